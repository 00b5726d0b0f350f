"""Every operation, sub-resource and header of the S3 model of the installed botocore has a decision.

The decisions are the tables of the source and those here; a newer botocore with something new fails
here, and not with a user's data."""
import re

import botocore.session
import pytest

import harness
import rawhttp

MODEL = botocore.session.get_session().get_service_model("s3")
S3 = harness.REPO / "src/s3"
OPERATIONS = {}
for found in re.findall(r'\("(\w+)", "([A-Z]+)", "([^"]*)"', (S3 / "operation/tests.rs").read_text()):
    OPERATIONS.setdefault(found[0], found[1:])
HEADERS = set(re.findall(r'"([a-z0-9-]+)"', (S3 / "headers.rs").read_text()))

# Told apart by more than a line of that table: by headers, or by having no bucket.
TESTED_ELSEWHERE = {"CopyObject", "ListBuckets", "ListDirectoryBuckets", "UploadPartCopy", "WriteGetObjectResponse"}
# Older names for the same request.
SYNONYMS = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
}
# Unknown, and so 501. The texts of annotations are data, which would go up as they are.
REFUSED = {
    "DeleteObjectAnnotation",
    "GetObjectAnnotation",
    "ListObjectAnnotations",
    "PutObjectAnnotation",
    "UpdateBucketMetadataAnnotationTableConfiguration",
}
REFUSED_HEADERS = {
    "x-amz-client-token",
    "x-amz-create-session-mode",
    "x-amz-if-match-size",
    "x-amz-object-annotation-directive",
    "x-amz-rename-source",
    "x-amz-rename-source-if-match",
    "x-amz-rename-source-if-modified-since",
    "x-amz-rename-source-if-none-match",
    "x-amz-rename-source-if-unmodified-since",
    "x-amz-write-offset-bytes",
}
# In answers that are never asked for: of appends.
DROPPED_HEADERS = {"x-amz-object-size"}


def names_of_query(uri):
    return {pair.partition("=")[0] for pair in uri.partition("?")[2].split("&") if pair}


@pytest.mark.parametrize("name", MODEL.operation_names)
def test_operation_is_classified(name):
    if name in TESTED_ELSEWHERE | REFUSED:
        return
    http = MODEL.operation_model(name).http
    known = SYNONYMS.get(name, name)
    assert known in OPERATIONS, f"{name} is not in the table of operations"
    method, line = OPERATIONS[known]
    assert method == http["method"]
    assert names_of_query(http["requestUri"]) - {"x-id"} <= names_of_query(line)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_d30_what_is_not_known_is_refused(seaweedfs_http, bucket_of, name):
    http = MODEL.operation_model(name).http
    bucket = bucket_of("seaweedfs")
    line = http["requestUri"].replace("{Bucket}", bucket).replace("{Key+}", "key")
    answer = rawhttp.send(seaweedfs_http, http["method"], line, b"text" if http["method"] == "PUT" else b"")
    assert (answer.status, answer.error_code) == (501, "NotImplemented")


@pytest.mark.parametrize("name", sorted(REFUSED_HEADERS))
def test_a_header_that_is_not_known_is_refused(seaweedfs_http, bucket_of, name):
    answer = rawhttp.send(seaweedfs_http, "PUT", f"/{bucket_of('seaweedfs')}/key", b"text", {name: "1"})
    assert (answer.status, answer.error_code) == (501, "NotImplemented")


def headers_of(shape):
    for member in shape.members.values() if shape else ():
        if member.serialization.get("location") == "header":
            yield member.serialization["name"].lower()


@pytest.mark.parametrize("name", sorted(set(MODEL.operation_names) - REFUSED - {"WriteGetObjectResponse"}))
def test_headers_are_decided(name):
    operation = MODEL.operation_model(name)
    sent, shown = set(headers_of(operation.input_shape)), set(headers_of(operation.output_shape))
    missing = (sent - HEADERS - REFUSED_HEADERS) | (shown - HEADERS - DROPPED_HEADERS)
    assert not missing, f"no decision about {sorted(missing)}"


def test_the_model_is_there():
    assert len(MODEL.operation_names) > 100 and len(OPERATIONS) > 100
