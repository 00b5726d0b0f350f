//! Uploads whose upstream fails late, behind a head that says 200, or whose rule stores them as they
//! are.

use super::Bench;
use crate::support::Options;
use crate::support::chaos::{Reply, Step};

const CREATE: &str = "/bucket/object?uploads";
const COMPLETE: &str = "/bucket/object?uploadId=up";
const ETAG: &str = "0123456789abcdef0123456789abcdef";

fn created() -> Step {
    Step::Answer(Reply::new(
        200,
        "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>object</Key>\
         <UploadId>up</UploadId></InitiateMultipartUploadResult>",
    ))
}

/// One part, small enough to be the last.
fn listed() -> Step {
    Step::Answer(Reply::new(
        200,
        format!(
            "<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber>\
             <ETag>{ETAG}</ETag><Size>16740</Size></Part></ListPartsResult>"
        ),
    ))
}

fn completion(checksum: &str) -> String {
    format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;{ETAG}-0&quot;</ETag>\
         {checksum}</Part></CompleteMultipartUpload>"
    )
}

/// Nothing was sent to the client yet: it gets the status that the error has.
#[tokio::test]
async fn an_error_behind_a_200_is_an_error() {
    let bench = Bench::start(Options::default()).await;
    bench.chaos.script([created()]);
    let created = bench.client.draft("POST", CREATE).send().await;
    assert_eq!(created.status, 200, "{created:?}");
    let error = |code: &str| {
        let document = format!("<Error><Code>{code}</Code><Message>late</Message></Error>");
        let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
        Step::Answer(Reply::new(200, format!("   \n{head}{document}")))
    };
    for (code, status) in [
        ("InternalError", 500),
        ("SlowDown", 503),
        ("EntityTooSmall", 400),
        ("SomethingNew", 500),
    ] {
        bench.chaos.script([listed(), error(code)]);
        let draft = bench.client.draft("POST", COMPLETE).body(completion(""));
        let refused = draft.send().await;
        assert_eq!((refused.status.as_u16(), &*refused.code()), (status, code));
    }
    // What is done already is looked for, and is not there.
    for (code, status) in [
        ("NoSuchUpload", 404),
        ("PreconditionFailed", 412),
        ("InvalidPart", 400),
    ] {
        bench.chaos.script([listed(), error(code)]);
        let draft = bench.client.draft("POST", COMPLETE).body(completion(""));
        let refused = draft.send().await;
        assert_eq!((refused.status.as_u16(), &*refused.code()), (status, code));
        let last = bench.chaos.seen().pop().unwrap();
        assert_eq!(
            (&*last.head.method, last.head.path()),
            ("HEAD", "/bucket/object")
        );
    }
    for (answer, what) in [
        (Vec::new(), "nothing"),
        (b"  <html>gateway</html>".to_vec(), "another document"),
        (vec![b' '; 2 << 20], "white space without end"),
    ] {
        bench
            .chaos
            .script([listed(), Step::Answer(Reply::new(200, answer))]);
        let draft = bench.client.draft("POST", COMPLETE).body(completion(""));
        let refused = draft.send().await;
        let said = (refused.status.as_u16(), refused.code());
        assert_eq!(said, (500, "InternalError".to_owned()), "{what}");
    }
    bench.proxy.stop().await;
}

/// The upstream is asked to check what is stored by one checksum, and hears of no other.
#[tokio::test]
async fn checksums_of_an_unencrypted_upload_end_here() {
    let options = Options {
        encryption: "off",
        ..Options::default()
    };
    let bench = Bench::start(options).await;
    bench.chaos.script([created()]);
    let created = bench
        .client
        .draft("POST", CREATE)
        .header("x-amz-checksum-algorithm", "SHA256")
        .header("x-amz-checksum-type", "COMPOSITE")
        .send()
        .await;
    assert_eq!(
        (created.status.as_u16(), &*created.element("UploadId")),
        (200, "up")
    );
    let seen = bench.chaos.only();
    assert_eq!(seen.header("x-amz-checksum-algorithm"), Some("CRC64NVME"));
    assert_eq!(seen.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    bench.chaos.forget();
    let done =
        "<CompleteMultipartUploadResult><ETag>\"0-1\"</ETag></CompleteMultipartUploadResult>";
    bench.chaos.script([Step::Answer(Reply::new(200, done))]);
    let checksum = "<ChecksumSHA256>47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=</ChecksumSHA256>";
    let draft = bench.client.draft("POST", COMPLETE);
    let completed = draft
        .header("x-amz-checksum-type", "COMPOSITE")
        .body(completion(checksum))
        .send()
        .await;
    assert_eq!(completed.status.as_u16(), 200, "{completed:?}");
    let seen = bench.chaos.only();
    let document = String::from_utf8(seen.content()).unwrap();
    assert!(
        document.contains(&format!("&quot;{ETAG}&quot;")) && !document.contains("Checksum"),
        "{document}"
    );
    assert_eq!(seen.header("x-amz-checksum-type"), None);
    bench.proxy.stop().await;
}
