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
    NamedKey(Option<String>),
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
            && has_only(default, &["SSEAlgorithm", "KMSMasterKeyID"])
            && rule
                .child(BUCKET_KEY)
                .is_none_or(|it| it.text().as_deref() == Some("false"));
        if root.name() != "ServerSideEncryptionConfiguration" {
            return Err(malformed());
        }
        let key = default.child("KMSMasterKeyID").map(Node::text);
        let algorithm = default.child_text("SSEAlgorithm").filter(|_| is_known);
        Ok(match (algorithm.as_deref(), key) {
            (Some("AES256"), None) => Some(Self::Managed),
            (Some("aws:kms"), None) => Some(Self::NamedKey(None)),
            (Some("aws:kms"), Some(Some(key))) => Some(Self::NamedKey(Some(key))),
            (Some(_) | None, _) => None,
        })
    }

    /// The document that says so.
    pub fn render(&self) -> String {
        let default = match self {
            Self::Managed => "<SSEAlgorithm>AES256</SSEAlgorithm>".to_owned(),
            Self::NamedKey(key) => format!(
                "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>{}</KMSMasterKeyID>",
                escape(key.as_deref().unwrap_or_default())
            ),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule>\
             <ApplyServerSideEncryptionByDefault>{default}</ApplyServerSideEncryptionByDefault>\
             <BucketKeyEnabled>false</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"
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
        let key = |key: &str| DefaultEncryption::NamedKey(Some(key.to_owned()));
        for default in [DefaultEncryption::Managed, key("a"), key("a&<b>")] {
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
        let named =
            |key: Option<&str>| Ok(Some(DefaultEncryption::NamedKey(key.map(str::to_owned))));
        let bucket_key = |is: &str| format!("<BucketKeyEnabled>{is}</BucketKeyEnabled>");
        let blocked = "<BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>";
        for (inner, expected) in [
            (rule(AES, ""), managed.clone()),
            (rule(AES, &bucket_key("false")), managed),
            (rule(KMS, ""), named(None)),
            (rule(&format!("{KMS}{KEY}"), ""), named(Some("k"))),
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
