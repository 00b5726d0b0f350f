//! The answers to copies: `CopyObjectResult` and `CopyPartResult`.

use super::document::Document;
use super::escape;
use crate::s3::uri;

/// What a client is told about a copy.
#[derive(Clone, Copy, Debug)]
pub struct CopyResult<'a> {
    /// `CopyObjectResult` or `CopyPartResult`.
    pub root: &'static str,
    /// The entity tag as it is shown, with its quotes.
    pub etag: &'a str,
    /// When the copy was made (RFC 3339, with milliseconds).
    pub last_modified: &'a str,
    /// A checksum of the plaintext: name of the header and value.
    pub checksum: Option<(&'a str, &'a str)>,
}

impl CopyResult<'_> {
    /// The document.
    pub fn render(&self) -> String {
        let root = self.root;
        let (etag, last_modified) = (escape(self.etag), escape(self.last_modified));
        let checksum = self.checksum.and_then(|(header, value)| {
            let name = header.strip_prefix("x-amz-checksum-")?.to_uppercase();
            Some(format!(
                "<Checksum{name}>{}</Checksum{name}>",
                escape(value)
            ))
        });
        let checksum = checksum.unwrap_or_default();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"{NAMESPACE}\">\
             <LastModified>{last_modified}</LastModified><ETag>{etag}</ETag>{checksum}</{root}>"
        )
    }
}

/// Entity tag and date of an upstream's answer to a copy; `None` if it is none.
pub fn copied(document: &[u8]) -> Option<(String, Option<String>)> {
    let document = Document::parse(document)?;
    let root = document.root();
    let is_answer = matches!(root.name(), "CopyObjectResult" | "CopyPartResult");
    let etag = is_answer.then(|| root.child_text("ETag")).flatten()?;
    Some((etag, root.child_text("LastModified")))
}

/// The tags of an object, as `x-amz-tagging` holds them; `None` if it is no document of tags.
pub fn tagging_header(document: &[u8]) -> Option<String> {
    let document = Document::parse(document)?;
    let root = document.root();
    if root.name() != "Tagging" {
        return None;
    }
    let set = root.child("TagSet")?;
    let encode = |text: &str| uri::encode_component(text.as_bytes()).into_owned();
    let tags = set.children().filter(|child| child.name() == "Tag");
    let pairs = tags.map(|tag| {
        let (key, value) = (tag.child_text("Key")?, tag.child_text("Value")?);
        Some(format!("{}={}", encode(&key), encode(&value)))
    });
    Some(pairs.collect::<Option<Vec<_>>>()?.join("&"))
}

/// The pairs that `x-amz-tagging` holds, decoded.
pub fn tag_pairs(header: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        String::from_utf8_lossy(&uri::decode(&text)).into_owned()
    };
    let pairs = header.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

/// The document that `PutObjectTagging` takes.
pub fn tagging_document(tags: &[(String, String)]) -> String {
    let mut document = format!("<Tagging xmlns=\"{NAMESPACE}\"><TagSet>");
    for (key, value) in tags {
        let (key, value) = (escape(key), escape(value));
        let tag = [
            "<Tag><Key>",
            &key,
            "</Key><Value>",
            &value,
            "</Value></Tag>",
        ];
        document.extend(tag);
    }
    document.push_str("</TagSet></Tagging>");
    document
}

/// The namespace of S3's documents.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rendered_reads_back() {
        let result = CopyResult {
            root: "CopyObjectResult",
            etag: "\"x-0\"",
            last_modified: "2026-01-02T03:04:05.000Z",
            checksum: Some(("x-amz-checksum-crc32c", "4waSgw==")),
        };
        let document = result.render();
        let date = Some("2026-01-02T03:04:05.000Z".to_owned());
        assert_eq!(
            copied(document.as_bytes()),
            Some(("\"x-0\"".to_owned(), date))
        );
        assert!(document.contains("<ChecksumCRC32C>4waSgw==</ChecksumCRC32C>"));
        assert_eq!(copied(b"<Error><Code>x</Code></Error>"), None);
    }

    #[test]
    fn tags_become_a_header() {
        let document = b"<Tagging><TagSet><Tag><Key>a b</Key><Value>1&amp;2</Value></Tag>\
            <Tag><Key>c</Key><Value/></Tag></TagSet></Tagging>";
        assert_eq!(tagging_header(document).as_deref(), Some("a%20b=1%262&c="));
        assert_eq!(
            tagging_header(b"<Tagging><TagSet/></Tagging>").as_deref(),
            Some("")
        );
        assert_eq!(tagging_header(b"<Other/>"), None);
    }

    #[test]
    fn tags_of_a_header_become_a_document() {
        let tags = tag_pairs("a%20b=1%262&c=&d&e+f=g");
        let document = tagging_document(&tags);
        let header = tagging_header(document.as_bytes());
        assert_eq!(header.as_deref(), Some("a%20b=1%262&c=&d=&e%20f=g"));
        assert_eq!(tag_pairs(""), []);
    }
}
