//! The buckets that the configuration of a bucket names: where the upstream writes in the proxy's
//! name (replicas, logs, inventories, analyses).

use super::document::{Document, Node};
use crate::s3::error_code::{ErrorCode, S3Error};

/// What they are called. Of an ARN of a bucket that is the name; what is something else (an access
/// point, a bucket of another account, one with a prefix) stays as it is, and is no name. A document
/// that cannot be read is refused: what an upstream makes of it is not known.
pub fn destinations(document: &[u8]) -> Result<Vec<String>, S3Error> {
    let malformed = || S3Error::new(ErrorCode::MalformedXml);
    let document = Document::parse(document).ok_or_else(malformed)?;
    let mut names = Vec::new();
    let mut left = vec![document.root()];
    while let Some(node) = left.pop() {
        if is_bucket(node) {
            let text = node.text().ok_or_else(malformed)?;
            names.push(of_bucket(&text).unwrap_or(&text).to_owned());
        }
        left.extend(node.children());
    }
    Ok(names)
}

/// The name in `arn:PARTITION:s3:::NAME`.
fn of_bucket(arn: &str) -> Option<&str> {
    let (partition, name) = arn.strip_prefix("arn:")?.split_once(":s3:::")?;
    (!partition.contains(':')).then_some(name)
}

fn is_bucket(node: Node<'_>) -> bool {
    ["Bucket", "TableBucketArn", "TargetBucket"].contains(&node.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_they_stand() {
        for (document, expected) in [
            ("<a/>", vec![]),
            ("<a><TargetBucket> b </TargetBucket></a>", vec!["b"]),
            ("<x:a><x:Bucket>arn:aws:s3:::b</x:Bucket></x:a>", vec!["b"]),
            (
                "<a><b><Bucket>b</Bucket></b><Bucket>c</Bucket></a>",
                vec!["c", "b"],
            ),
            (
                "<a><TableBucketArn>arn:aws:s3tables:r:1:bucket/b</TableBucketArn></a>",
                vec!["arn:aws:s3tables:r:1:bucket/b"],
            ),
            (
                "<a><Bucket>arn:aws:s3:r:1:accesspoint/b</Bucket></a>",
                vec!["arn:aws:s3:r:1:accesspoint/b"],
            ),
            (
                "<a><Bucket>arn:aws:s3:zone:tenant:b</Bucket><Bucket>tenant:b</Bucket></a>",
                vec!["tenant:b", "arn:aws:s3:zone:tenant:b"],
            ),
            (
                "<a><Bucket>arn:aws-cn:s3:::b/c</Bucket><Bucket>arn:x:y:s3:::b</Bucket></a>",
                vec!["arn:x:y:s3:::b", "b/c"],
            ),
        ] {
            assert_eq!(
                destinations(document.as_bytes()),
                Ok(expected.into_iter().map(String::from).collect())
            );
        }
        for document in ["", "{}", "<a><Bucket><b/></Bucket></a>", "<!DOCTYPE a><a/>"] {
            let refused = destinations(document.as_bytes()).map_err(|error| error.code);
            assert_eq!(refused, Err(ErrorCode::MalformedXml), "{document}");
        }
    }
}
