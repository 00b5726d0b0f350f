//! Differences between servers and the proxy that `differential.rs` finds and that are meant, each with
//! its reason. One that is no longer found is an error.

/// A difference that is meant.
#[derive(Debug)]
pub struct Known {
    /// Over which server.
    pub server: &'static str,
    /// Of which requests: `*` stands for anything.
    pub case: &'static str,
    /// As the suite reports it.
    pub difference: &'static str,
    /// Why it is meant.
    pub reason: &'static str,
}

const fn seaweedfs(case: &'static str, difference: &'static str, reason: &'static str) -> Known {
    Known {
        server: "seaweedfs",
        case,
        difference,
        reason,
    }
}

const fn ceph(case: &'static str, difference: &'static str, reason: &'static str) -> Known {
    Known {
        server: "ceph",
        case,
        difference,
        reason,
    }
}

const OF_DOCUMENTS: &str = "S3 says it of objects; these servers also of documents";
const OWN_WORDS: &str = "the request ends at the proxy, which has the words of S3";
const MALFORMED: &str = "S3 ignores a Range that it cannot read (RFC 9110, section 14.2)";
const RANGE_OF_HEAD: &str = "S3 answers a HEAD with a Range by 206";
const PART_NUMBER: &str = "P56: as on S3, which this server is not like";
const UNKNOWN: &str = "P45: what is not known is refused, and never passed on";
const CHECKSUM_TYPE: &str = "S3 names the type of a checksum";
const MALFORMED_CHECKSUM: &str = "S3 tells a checksum that is none from one of other bytes";
const WITHOUT_CHECKSUMS: &str = "the proxy has them over servers that do not";
const BEFORE_THE_UPLOAD: &str =
    "what is wrong with a request is said before its upload is looked for";
const SOURCE: &str = "the proxy reads the source, and S3 names that";

/// All of them.
pub const KNOWN: &[Known] = &[
    seaweedfs(
        "*",
        "header accept-ranges: [\"bytes\"] and []",
        OF_DOCUMENTS,
    ),
    seaweedfs("*", "header server: * and []", OWN_WORDS),
    seaweedfs("*", "element (\"Message\", *", OWN_WORDS),
    seaweedfs(
        "range *",
        "header content-range: [\"bytes ?/*\"] and []",
        "S3's 416 says it in the document",
    ),
    seaweedfs("range GET *bytes=-", "status *", MALFORMED),
    seaweedfs("range GET *bytes=5-2", "status *", MALFORMED),
    seaweedfs("range GET *bytes=a-b", "status *", MALFORMED),
    seaweedfs(
        "range GET *-18446744073709551615",
        "status 416*",
        "a last byte behind the end is clamped",
    ),
    seaweedfs("range HEAD *", "status 200  and *", RANGE_OF_HEAD),
    seaweedfs("read *?partNumber=*", "*", PART_NUMBER),
    seaweedfs("read *torrent-not", "status 200  and 501*", UNKNOWN),
    seaweedfs(
        "missing key DELETE ?partNumber=1",
        "status 204  and 501*",
        UNKNOWN,
    ),
    seaweedfs("missing key HEAD ?tagging", "status 404  and 501*", UNKNOWN),
    seaweedfs(
        "checksum *",
        "header x-amz-checksum-type: [] and [\"FULL_OBJECT\"]",
        CHECKSUM_TYPE,
    ),
    seaweedfs(
        "checksum *",
        "element (\"Code\", \"BadDigest\") and (\"Code\", \"InvalidRequest\")",
        MALFORMED_CHECKSUM,
    ),
    seaweedfs(
        "refused MD5 that is none",
        "element (\"Code\", \"BadDigest\")*",
        "S3 tells an MD5 that is none from one of other bytes",
    ),
    seaweedfs(
        "refused key of *",
        "status 404 *",
        "a key has at most 1,024 bytes",
    ),
    seaweedfs(
        "list ?versions*",
        "element (\"Size\", *",
        "D11: in this listing SeaweedFS counts blocks as parts",
    ),
    seaweedfs("copy *", "element (\"Resource\", *", SOURCE),
    seaweedfs("copy if *", "element (\"Key\", *", SOURCE),
    seaweedfs(
        "refused completion that is none",
        "status 404 *",
        BEFORE_THE_UPLOAD,
    ),
    seaweedfs(
        "upload complete of nothing",
        "status 404 *",
        BEFORE_THE_UPLOAD,
    ),
    seaweedfs("upload part *", "status *", BEFORE_THE_UPLOAD),
    ceph(
        "*",
        "header accept-ranges: [\"bytes\"] and []",
        OF_DOCUMENTS,
    ),
    ceph("*", "element (\"Message\", *", OWN_WORDS),
    ceph(
        "* HEAD",
        "header content-* and []",
        "an answer to HEAD describes the object, and there is none",
    ),
    ceph(
        "range HEAD *",
        "header content-* and []",
        "an answer to HEAD describes the object, and there is none",
    ),
    ceph("range *octets=0-1", "*", MALFORMED),
    ceph("range *bytes=", "status *", MALFORMED),
    ceph("range *bytes=-", "status *", MALFORMED),
    ceph("range *bytes=5-2", "status *", MALFORMED),
    ceph("range *bytes=a-b", "status *", MALFORMED),
    ceph(
        "range *bytes=0-0,2-3",
        "status *",
        "S3 ignores a Range of several ranges",
    ),
    ceph(
        "range *bytes=-0",
        "status 206  and 416*",
        "no byte is asked for, which S3 cannot satisfy",
    ),
    ceph("read *?partNumber=*", "status *", PART_NUMBER),
    ceph(
        "read *attributes",
        "status 200  and 400*",
        "Ceph 16 has no GetObjectAttributes, and answers with the object",
    ),
    ceph("read *torrent-not", "status 200  and 501*", UNKNOWN),
    ceph(
        "missing key DELETE ?partNumber=1",
        "status 204  and 501*",
        UNKNOWN,
    ),
    ceph("missing key HEAD ?tagging", "status 404  and 501*", UNKNOWN),
    ceph(
        "bucket GET ?accelerate",
        "element (\"Size\", *",
        "Ceph 16 takes it for a listing, of what is stored",
    ),
    ceph(
        "bucket GET ?ownershipControls",
        "element (\"Size\", *",
        "Ceph 16 takes it for a listing, of what is stored",
    ),
    ceph(
        "checksum *",
        "header x-amz-checksum-*: [] and *",
        WITHOUT_CHECKSUMS,
    ),
    ceph("checksum *", "status 200  and 400*", WITHOUT_CHECKSUMS),
    ceph(
        "copied with tags",
        "header x-amz-tagging-count: [] and [\"1\"]",
        "P61: Ceph 16 loses tags where metadata is replaced",
    ),
    ceph("copy *", "element (\"BucketName\", *", SOURCE),
    ceph(
        "copy if *",
        "status 200  and 412*",
        "P60: Ceph 16 does not look at these conditions",
    ),
    ceph(
        "refused key of *",
        "element (\"Code\", \"InvalidObjectName\")*",
        "a key has at most 1,024 bytes",
    ),
    ceph("upload complete of nobody", "status 500 *", "Ceph 16 fails"),
    ceph("upload part *", "status 404 *", BEFORE_THE_UPLOAD),
];
