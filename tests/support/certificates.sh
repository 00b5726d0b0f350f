#!/usr/bin/env bash
# Makes a certificate authority and a server certificate for tests on loopback.
#
#     certificates.sh DIR      DIR/ca.pem, DIR/server-chain.pem, DIR/server.key
set -euo pipefail
mkdir -p "$1" && cd "$1"

new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
openssl req -x509 "${new_key[@]}" -days 30 -keyout ca.key -out ca.pem -subj "/CN=s3seal test CA" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
openssl req "${new_key[@]}" -keyout server.key -out server.csr -subj "/CN=localhost"
cat >server.ext <<X
subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1
extendedKeyUsage=serverAuth
keyUsage=critical,digitalSignature
basicConstraints=critical,CA:FALSE
X
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -sha256 \
    -extfile server.ext -out server.pem
cat server.pem ca.pem >server-chain.pem
