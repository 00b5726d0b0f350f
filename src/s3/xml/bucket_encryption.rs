//! The document of `GetBucketEncryption` and `PutBucketEncryption`.

use super::document::{Document, Node};
use super::escape;
use crate::s3::error_code::{ErrorCode, S3Error};

/// What new objects of a bucket are encrypted with where their writer says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultEncryption {
    /// `AES256`.
    Managed,
    /// `aws:kms`, with this key or whatever is the default.
    NamedKey {
        /// The key.
        key: Option<String>,
        /// Whether it wraps bucket keys, where that is said.
        bucket_key: Option<bool>,
    },
}

impl DefaultEncryption {
    /// Reads a document. `None`: it says what no rule of the proxy means, by an unknown element
    /// perhaps.
    pub fn parse(document: &[u8]) -> Result<Option<Self>, S3Error> {
        let malformed = || S3Error::new(ErrorCode::MalformedXml);
        let document = Document::parse(document).ok_or_else(malformed)?;
        let root = document.root();
        let rule = root.child("Rule").ok_or_else(malformed)?;
        let default = rule.child(DEFAULT).ok_or_else(malformed)?;
        let is_known = has_only(root, &["Rule"])
            && has_only(rule, &[DEFAULT, BUCKET_KEY])
            && has_only(default, &["SSEAlgorithm", "KMSMasterKeyID"]);
        let bucket_key = match rule.child(BUCKET_KEY).map(Node::text) {
            None => None,
            Some(Some(text)) if text == "true" => Some(true),
            Some(Some(text)) if text == "false" => Some(false),
            Some(_) => return Err(malformed()),
        };
        if root.name() != "ServerSideEncryptionConfiguration" {
            return Err(malformed());
        }
        let key = default.child("KMSMasterKeyID").map(Node::text);
        let algorithm = default.child_text("SSEAlgorithm").filter(|_| is_known);
        Ok(match (algorithm.as_deref(), key) {
            // S3 has bucket keys for aws:kms alone, and takes no notice here.
            (Some("AES256"), None) if bucket_key != Some(true) => Some(Self::Managed),
            (Some("aws:kms"), None) => Some(Self::NamedKey {
                key: None,
                bucket_key,
            }),
            (Some("aws:kms"), Some(key @ Some(_))) => Some(Self::NamedKey { key, bucket_key }),
            (Some(_) | None, _) => None,
        })
    }

    /// The document that says so.
    pub fn render(&self) -> String {
        let (default, bucket_key) = match self {
            Self::Managed => ("<SSEAlgorithm>AES256</SSEAlgorithm>".to_owned(), false),
            Self::NamedKey { key, bucket_key } => {
                let key = escape(key.as_deref().unwrap_or_default());
                let default = format!(
                    "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>{key}</KMSMasterKeyID>"
                );
                (default, bucket_key.unwrap_or(false))
            }
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule>\
             <ApplyServerSideEncryptionByDefault>{default}</ApplyServerSideEncryptionByDefault>\
             <BucketKeyEnabled>{bucket_key}</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"
        )
    }
}

/// Whether an element has no children but these, none of them twice.
fn has_only(node: Node<'_>, names: &[&str]) -> bool {
    let count = |name: &str| node.children().filter(|it| it.name() == name).count();
    let counts: Vec<usize> = names.iter().map(|name| count(name)).collect();
    counts.iter().all(|count| *count <= 1)
        && counts.iter().sum::<usize>() == node.children().count()
}

const DEFAULT: &str = "ApplyServerSideEncryptionByDefault";
const BUCKET_KEY: &str = "BucketKeyEnabled";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(inner: &str) -> Result<Option<DefaultEncryption>, ErrorCode> {
        let root = "ServerSideEncryptionConfiguration";
        let document = format!("<{root}>{inner}</{root}>");
        DefaultEncryption::parse(document.as_bytes()).map_err(|error| error.code)
    }

    fn rule(default: &str, rest: &str) -> String {
        let name = "ApplyServerSideEncryptionByDefault";
        format!("<Rule><{name}>{default}</{name}>{rest}</Rule>")
    }

    #[test]
    fn what_is_written_reads_back() {
        let key = |key: &str, bucket_key| DefaultEncryption::NamedKey {
            key: Some(key.to_owned()),
            bucket_key: Some(bucket_key),
        };
        for default in [
            DefaultEncryption::Managed,
            key("a", false),
            key("a", true),
            key("a&<b>", false),
        ] {
            let document = default.render();
            let read = DefaultEncryption::parse(document.as_bytes());
            assert_eq!(read, Ok(Some(default)));
        }
    }

    #[test]
    fn what_says_more_is_something_else() {
        const AES: &str = "<SSEAlgorithm>AES256</SSEAlgorithm>";
        const KMS: &str = "<SSEAlgorithm>aws:kms</SSEAlgorithm>";
        const KEY: &str = "<KMSMasterKeyID>k</KMSMasterKeyID>";
        let managed = Ok(Some(DefaultEncryption::Managed));
        let named = |key: Option<&str>, bucket_key| {
            Ok(Some(DefaultEncryption::NamedKey {
                key: key.map(str::to_owned),
                bucket_key,
            }))
        };
        let bucket_key = |is: &str| format!("<BucketKeyEnabled>{is}</BucketKeyEnabled>");
        let blocked = "<BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>";
        for (inner, expected) in [
            (rule(AES, ""), managed.clone()),
            (rule(AES, &bucket_key("false")), managed),
            (rule(KMS, ""), named(None, None)),
            (rule(KMS, &bucket_key("true")), named(None, Some(true))),
            (rule(&format!("{KMS}{KEY}"), ""), named(Some("k"), None)),
            (rule(KMS, &bucket_key("1")), Err(ErrorCode::MalformedXml)),
            (rule(AES, &bucket_key("true")), Ok(None)),
            (rule(AES, &bucket_key("false").repeat(2)), Ok(None)),
            (rule(AES, blocked), Ok(None)),
            (rule(&format!("{AES}{KEY}"), ""), Ok(None)),
            (rule(&format!("{KMS}<Other/>"), ""), Ok(None)),
            (rule(&format!("{KMS}{KEY}{KEY}"), ""), Ok(None)),
            (
                rule("<SSEAlgorithm>aws:kms:dsse</SSEAlgorithm>", ""),
                Ok(None),
            ),
            (rule(AES, "").repeat(2), Ok(None)),
            (String::new(), Err(ErrorCode::MalformedXml)),
            ("<Rule/>".to_owned(), Err(ErrorCode::MalformedXml)),
            (rule("", ""), Ok(None)),
        ] {
            assert_eq!(parse(&inner), expected, "{inner}");
        }
        for document in ["", "<Other/>", &rule(AES, "")] {
            assert!(DefaultEncryption::parse(document.as_bytes()).is_err());
        }
    }
}
