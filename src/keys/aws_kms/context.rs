//! What a wrap is bound to, as KMS takes it: an encryption context.

use std::collections::HashMap;

use data_encoding::BASE64URL_NOPAD;

use crate::keys::types::WrapContext;
use crate::keys::wrap::context_digest;

/// The client's pairs, the digest of the whole context, and where the object is (keys.md,
/// "AWS KMS"). Ours come last: whatever a client calls its pairs, they replace nothing.
pub(super) fn encryption_context(
    context: &WrapContext,
    partition: &str,
) -> HashMap<String, String> {
    let mut pairs: HashMap<String, String> = context.client.iter().cloned().collect();
    let digest = BASE64URL_NOPAD.encode(&context_digest(&context.bytes));
    pairs.insert(CONTEXT.to_owned(), digest);
    if let Some(place) = place(context, partition) {
        pairs.insert(PLACE.to_owned(), place);
    }
    pairs
}

/// The ARN of the bucket or object, where the wrap is bound to the bucket.
fn place(context: &WrapContext, partition: &str) -> Option<String> {
    let bucket = context.bucket.as_deref()?;
    let bucket = format!("arn:{partition}:s3:::{bucket}");
    Some(match &context.object_key {
        Some(key) => format!("{bucket}/{key}"),
        None => bucket,
    })
}

const CONTEXT: &str = "s3seal:context";
/// S3's own name for it, so that key policies made for S3 apply.
const PLACE: &str = "aws:s3:arn";

#[cfg(test)]
mod tests {
    use super::*;

    fn context(bucket: Option<&str>, object_key: Option<&str>) -> WrapContext {
        WrapContext {
            bytes: b"abc".to_vec(),
            client: vec![
                ("s3seal:context".to_owned(), "forged".to_owned()),
                ("tenant".to_owned(), "a".to_owned()),
            ],
            bucket: bucket.map(str::to_owned),
            object_key: object_key.map(str::to_owned),
        }
    }

    /// SHA-256("abc") of FIPS 180-2, appendix B.1.
    const ABC: &str = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";

    #[test]
    fn a_place_is_named_as_far_as_the_wrap_is_bound_to_it() {
        for (bucket, key, place) in [
            (Some("b"), Some("a b/c"), Some("arn:aws-cn:s3:::b/a b/c")),
            (Some("b"), Some("/"), Some("arn:aws-cn:s3:::b//")),
            (Some("b"), None, Some("arn:aws-cn:s3:::b")),
            (None, Some("k"), None),
            (None, None, None),
        ] {
            let mut expected = HashMap::from([
                ("s3seal:context".to_owned(), ABC.to_owned()),
                ("tenant".to_owned(), "a".to_owned()),
            ]);
            expected.extend(place.map(|place| ("aws:s3:arn".to_owned(), place.to_owned())));
            let found = encryption_context(&context(bucket, key), "aws-cn");
            assert_eq!(found, expected);
        }
    }
}
