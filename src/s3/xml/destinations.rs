//! The buckets that the configuration of a bucket names: where the upstream writes in the proxy's
//! name (replicas, logs, inventories, analyses).

use super::document::{Document, Node};
use crate::s3::error_code::{ErrorCode, S3Error};

/// The names, as S3 understands them. A document that cannot be read is refused: what an upstream
/// makes of it is not known.
pub fn destinations(document: &[u8]) -> Result<Vec<String>, S3Error> {
    let malformed = || S3Error::new(ErrorCode::MalformedXml);
    let document = Document::parse(document).ok_or_else(malformed)?;
    let mut names = Vec::new();
    let mut left = vec![document.root()];
    while let Some(node) = left.pop() {
        if is_bucket(node) {
            let text = node.text().ok_or_else(malformed)?;
            // A name, or an ARN that ends in one.
            let name = text.rsplit(':').next().unwrap_or_default();
            names.push(name.to_owned());
        }
        left.extend(node.children());
    }
    Ok(names)
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
                vec!["bucket/b"],
            ),
            (
                "<a><Bucket>arn:aws:s3:r:1:accesspoint/b</Bucket></a>",
                vec!["accesspoint/b"],
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
