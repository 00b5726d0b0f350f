"""Requests that no SDK sends: signed by botocore, written to the socket as given.

The signer is botocore's, the transport Python's http.client: neither shares code with s3seal, and
neither normalises paths or corrects lengths.
"""
import dataclasses
import hashlib
import http.client
import socket
import ssl

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from harness import REGION


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict
    body: bytes
    complete: bool  # False: the connection ended before the announced length

    @property
    def error_code(self):
        return self.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


def signed_headers(endpoint, method, path, headers=None, payload_hash="UNSIGNED-PAYLOAD", secret_key=None):
    """The headers of a SigV4 request; `path` is the request target as it goes over the wire."""
    credentials = botocore.credentials.Credentials(endpoint.access_key, secret_key or endpoint.secret_key)
    request = botocore.awsrequest.AWSRequest(
        method, endpoint.url + path, headers={"x-amz-content-sha256": payload_hash} | (headers or {})
    )
    request.context["payload_signing_enabled"] = True
    signer = botocore.auth.S3SigV4Auth(credentials, "s3", REGION)
    signer.payload = lambda _: payload_hash
    signer.add_auth(request)
    return dict(request.headers.items()) | {"Host": endpoint.host}


def send(endpoint, method, path, body=b"", headers=None, payload_hash=None, secret_key=None):
    """One request on its own connection; reads until the body ends or the connection breaks.

    A connection that breaks before the head was read gives status 0.
    """
    payload_hash = payload_hash or hashlib.sha256(body).hexdigest()
    head = signed_headers(endpoint, method, path, headers, payload_hash, secret_key)
    connection = connect(endpoint)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in ({"Content-Length": str(len(body))} | head).items():
            connection.putheader(name, value)
        connection.endheaders(body)
        return read_answer(connection.getresponse())
    except (ConnectionError, ssl.SSLError):
        return Answer(0, {}, b"", complete=False)
    finally:
        connection.close()


def read_answer(response):
    received, complete = bytearray(), True
    try:
        while piece := response.read1(65536):
            received += piece
    except (http.client.IncompleteRead, ConnectionError, ssl.SSLError):
        complete = False
    if response.length:  # announced, not delivered: read1() reports a short body as its end
        complete = False
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, bytes(received), complete)


def connect(endpoint):
    host, _, port = endpoint.host.partition(":")
    if not endpoint.tls:
        return http.client.HTTPConnection(host, int(port), timeout=60)
    context = ssl.create_default_context(cafile=endpoint.ca)
    return http.client.HTTPSConnection(host, int(port), timeout=60, context=context)


def send_expecting_continue(endpoint, path, body, secret_key=None):
    """PUT with `Expect: 100-continue`; waits before the body.

    -> the statuses in the order they came, and whether the connection ends with the last one.
    """
    head = signed_headers(
        endpoint, "PUT", path, {"Expect": "100-continue"}, hashlib.sha256(body).hexdigest(), secret_key
    )
    host, _, port = endpoint.host.partition(":")
    lines = [f"PUT {path} HTTP/1.1", f"Content-Length: {len(body)}", *(f"{n}: {v}" for n, v in head.items())]
    with socket.create_connection((host, int(port)), timeout=60) as s, s.makefile("rb") as reader:
        s.sendall("\r\n".join([*lines, "", ""]).encode())
        status, closes = read_head(reader)
        statuses = [status]
        if status == 100:
            s.sendall(body)
            status, closes = read_head(reader)
            statuses.append(status)
        return statuses, closes


def read_head(reader):
    """(status, whether the connection ends)"""
    status, closes = int(reader.readline().split()[1]), False
    while line := reader.readline().strip():
        closes = closes or line.lower() == b"connection: close"
    return status, closes


def send_unsigned(endpoint, method, path, headers=None):
    """One request without a signature and without a body, as a browser's preflight is."""
    connection = connect(endpoint)
    try:
        connection.request(method, path, headers=headers or {})
        return read_answer(connection.getresponse())
    finally:
        connection.close()
