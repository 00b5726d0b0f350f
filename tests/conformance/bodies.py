"""Object bodies that can be recognised: every one that can hold it contains MARKER.

After the suite no file of the upstream may contain MARKER (test_no_plaintext.py). What a test writes
straight to the upstream, around the proxy, must therefore use CONTROL instead.
"""
import hashlib
import random
import struct

MARKER = b"s3seal-conformance-plaintext"
CONTROL = b"s3seal-conformance-control"
PAGE = 4096  # a marker in every page: no storage block of the upstream is without one
BLOCK = 1 << 20

# Around every edge of a 64 KiB chunk, and the sizes people start with.
SIZES = [0, 1, 65535, 65536, 65537, 1 << 20, 5 << 20]


def body(size, seed=0, marker=MARKER):
    """`size` bytes, the same for the same seed, no two pages alike."""
    return b"".join(blocks(size, seed, marker))


def blocks(size, seed=0, marker=MARKER):
    """The same bytes in pieces of at most 1 MiB."""
    filler = random.Random(seed).randbytes(min(size, BLOCK))
    for start in range(0, size, BLOCK):
        block = bytearray(filler[: size - start])
        for at in range(0, len(block), PAGE):
            page = marker + struct.pack(">Q", (start + at) // PAGE)
            block[at : at + len(page)] = page[: len(block) - at]
        yield bytes(block)


def write_body(path, size, seed=0):
    """Write them to a file; returns their SHA-256 in hex."""
    digest = hashlib.sha256()
    with open(path, "wb") as f:
        for block in blocks(size, seed):
            digest.update(block)
            f.write(block)
    return digest.hexdigest()


def sha256_of_file(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
