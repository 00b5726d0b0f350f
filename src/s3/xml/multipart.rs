//! The documents of multipart uploads: what clients send to complete one, and what the upstream
//! says about uploads and their parts.

use std::fmt::Write as _;

use super::document::{Document, Edits, Node};
use super::escape;
use crate::s3::checksum::{Checksum, ChecksumAlgorithm};
use crate::s3::etag::{self, ETagStyle};
use crate::s3::uri;

/// A part as a client names it to complete an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedPart {
    /// Its number, as the client wrote it.
    pub number: u32,
    /// Its entity tag as the client was shown it, without quotes.
    pub etag: String,
    /// The checksum of the part's plaintext, if the client repeats it.
    pub checksum: Option<Checksum>,
}

/// A part as the upstream lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPart {
    /// Its number.
    pub number: u32,
    /// The upstream's entity tag, without quotes; some servers (s3s-fs) list none.
    pub etag: Option<String>,
    /// Stored bytes.
    pub stored_len: u64,
}

/// One page of an upstream's list of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartsPage {
    /// By number, which may come more than once.
    pub parts: Vec<ListedPart>,
    /// The marker of the next page.
    pub next: Option<u32>,
}

/// What is shown instead of what the upstream lists of an upload.
#[derive(Clone, Copy, Debug)]
pub struct ShownUpload<'a> {
    /// As the client sent it.
    pub upload_id: &'a str,
    /// The names of the algorithm and type that the client asked for.
    pub checksum: Option<(&'a str, &'a str)>,
    /// How entity tags are shown.
    pub etags: ETagStyle,
}

/// The most parts of an upload (S3).
const PARTS_MAX: usize = 10_000;

/// Reads a client's `CompleteMultipartUpload`. `None`: 400 `MalformedXML`.
pub fn completed_parts(document: &[u8]) -> Option<Vec<CompletedPart>> {
    let document = Document::parse(document)?;
    let root = document.root();
    if root.name() != "CompleteMultipartUpload" {
        return None;
    }
    let parts = root.children().filter(|child| child.name() == "Part");
    let parts = parts.map(completed_part).collect::<Option<Vec<_>>>()?;
    (1..=PARTS_MAX).contains(&parts.len()).then_some(parts)
}

fn completed_part(part: Node<'_>) -> Option<CompletedPart> {
    let mut checksum = None;
    for child in part.children() {
        let Some(name) = child.name().strip_prefix("Checksum") else {
            continue;
        };
        let (algorithm, value) = (ChecksumAlgorithm::from_name(name)?, child.text()?);
        // Some clients write an element for each algorithm.
        if !value.is_empty() {
            checksum = Some(Checksum::parse(algorithm, value.as_bytes()).ok()?);
        }
    }
    Some(CompletedPart {
        number: part.child_number("PartNumber")?,
        etag: unquoted(&part.child_text("ETag")?).to_owned(),
        checksum,
    })
}

/// The document that completes an upload upstream, from numbers and upstream entity tags.
pub fn render_completion<E: AsRef<str>>(parts: impl Iterator<Item = (u32, E)>) -> String {
    let mut document = format!("<CompleteMultipartUpload xmlns=\"{NAMESPACE}\">");
    for (number, etag) in parts {
        let etag = escape(etag.as_ref());
        // Writing to a String cannot fail.
        let _ = write!(
            document,
            "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag></Part>"
        );
    }
    document.push_str("</CompleteMultipartUpload>");
    document
}

/// What a client is told about a completed upload.
#[derive(Clone, Copy, Debug)]
pub struct Completion<'a> {
    /// Where the object is, as the client addresses it.
    pub location: &'a str,
    /// The bucket as the client names it.
    pub bucket: &'a str,
    /// The key.
    pub key: &'a str,
    /// The entity tag as it is shown, with its quotes.
    pub etag: &'a str,
    /// The checksum of the object: name of the element, value and type.
    pub checksum: Option<(&'a str, &'a str, &'a str)>,
}

impl Completion<'_> {
    /// The document.
    pub fn render(&self) -> String {
        let mut document = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <CompleteMultipartUploadResult xmlns=\"{NAMESPACE}\"><Location>{}</Location>\
             <Bucket>{}</Bucket><Key>{}</Key><ETag>{}</ETag>",
            escape(self.location),
            escape(self.bucket),
            escape(self.key),
            escape(self.etag),
        );
        if let Some((name, value, kind)) = self.checksum {
            let (value, kind) = (escape(value), escape(kind));
            let _ = write!(
                document,
                "<{name}>{value}</{name}><ChecksumType>{kind}</ChecksumType>"
            );
        }
        document.push_str("</CompleteMultipartUploadResult>");
        document
    }
}

/// The upstream's id of a new upload, and the document with `shown` in its place. `None`: the
/// upstream's document cannot be read.
pub fn initiated<'a>(
    document: &'a Document<'a>,
) -> Option<(String, impl FnOnce(&str) -> String + 'a)> {
    let node = document.root().child("UploadId")?;
    let id = node.text().filter(|id| !id.is_empty())?;
    let rename = move |shown: &str| {
        let mut edits = Edits::default();
        edits.set_text(node, shown);
        edits.apply(document)
    };
    Some((id, rename))
}

/// What an upstream says of a completed upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedResult {
    /// The entity tag, with whatever quotes it came with.
    pub etag: String,
    /// The checksum of the stored object: name of the element, value and type.
    pub checksum: Option<(String, String, String)>,
}

/// Reads an upstream's answer to a completion; `None` if it is none.
pub fn completed_result(document: &Document<'_>) -> Option<CompletedResult> {
    let root = document.root();
    if root.name() != "CompleteMultipartUploadResult" {
        return None;
    }
    let kind = root.child_text("ChecksumType");
    let checksum = root.children().find_map(|child| {
        let name = child.name();
        let is_value = name.starts_with("Checksum") && name != "ChecksumType";
        is_value.then(|| Some((name.to_owned(), child.text()?, kind.clone()?)))?
    });
    Some(CompletedResult {
        etag: root.child_text("ETag")?,
        checksum,
    })
}

impl PartsPage {
    /// Reads a page. `None`: it cannot be read.
    ///
    /// Some servers write the parts in any order (s3s-fs), or every attempt at one (SeaweedFS).
    pub fn parse(document: &[u8]) -> Option<Self> {
        let document = Document::parse(document)?;
        let root = document.root();
        if root.name() != "ListPartsResult" {
            return None;
        }
        let parts = root.children().filter(|child| child.name() == "Part");
        let mut parts = parts.map(listed_part).collect::<Option<Vec<_>>>()?;
        parts.sort_by_key(|part| part.number);
        let is_truncated = root.child_text("IsTruncated").as_deref() == Some("true");
        let last = parts.last().map(|part| part.number);
        let next = is_truncated.then_some(last).flatten();
        Some(Self { parts, next })
    }
}

fn listed_part(part: Node<'_>) -> Option<ListedPart> {
    Some(ListedPart {
        number: part.child_number("PartNumber")?,
        etag: part
            .child_text("ETag")
            .map(|etag| unquoted(&etag).to_owned()),
        stored_len: part.child_number("Size")?,
    })
}

/// A list of parts as the client is to see it: plaintext sizes by `plaintext_len`, no part that is
/// the proxy's own by `is_hidden` (both of number and stored size), and no checksum of ciphertext.
/// `None`: the upstream's document cannot be read.
pub fn show_parts(
    document: &[u8],
    shown: ShownUpload<'_>,
    plaintext_len: impl Fn(u64) -> u64,
    is_hidden: impl Fn(&ListedPart) -> bool,
) -> Option<String> {
    let document = Document::parse(document)?;
    let mut edits = Edits::default();
    for child in document.root().children() {
        match child.name() {
            "UploadId" => edits.set_text(child, shown.upload_id),
            "ChecksumAlgorithm" | "ChecksumType" => edits.remove(child),
            "Part" => {
                let part = listed_part(child)?;
                if is_hidden(&part) {
                    edits.remove(child);
                } else {
                    show_part(
                        &mut edits,
                        child,
                        plaintext_len(part.stored_len),
                        shown.etags,
                    );
                }
            }
            _ => {}
        }
    }
    if let Some((algorithm, kind)) = shown.checksum {
        edits.append(document.root(), "ChecksumAlgorithm", algorithm);
        edits.append(document.root(), "ChecksumType", kind);
    }
    Some(edits.apply(&document))
}

fn show_part(edits: &mut Edits, part: Node<'_>, size: u64, etags: ETagStyle) {
    for child in part.children() {
        match child.name() {
            "Size" => edits.set_text(child, &size.to_string()),
            "ETag" => {
                let etag = child.text().unwrap_or_default();
                edits.set_text(child, &etag::shown(&etag, etags));
            }
            name if name.starts_with("Checksum") => edits.remove(child),
            _ => {}
        }
    }
}

/// A list of uploads with the ids that clients got where `shown_id` (of the decoded key and the
/// upstream's id) knows them, and without what the upstream was asked to check of ciphertext.
/// `None`: the upstream's document cannot be read.
pub fn show_uploads(
    document: &[u8],
    mut shown_id: impl FnMut(&str, &str) -> Option<String>,
) -> Option<String> {
    let document = Document::parse(document)?;
    let root = document.root();
    let is_encoded = root.child_text("EncodingType").as_deref() == Some("url");
    let mut edits = Edits::default();
    for upload in root.children().filter(|child| child.name() == "Upload") {
        for child in upload.children() {
            if child.name().starts_with("Checksum") {
                edits.remove(child);
            }
        }
        let (Some(key), Some(id)) = (upload.child_text("Key"), upload.child("UploadId")) else {
            continue;
        };
        let key = if is_encoded {
            let decoded = uri::decode(&key.replace('+', " ")).into_owned();
            // One that is not text was not created here.
            String::from_utf8(decoded).unwrap_or_default()
        } else {
            key
        };
        let shown = id.text().and_then(|text| shown_id(&key, &text));
        if let Some(shown) = shown {
            edits.set_text(id, &shown);
        }
    }
    Some(edits.apply(&document))
}

/// Without the quotes that some clients and servers write.
fn unquoted(etag: &str) -> &str {
    etag.strip_prefix('"')
        .and_then(|etag| etag.strip_suffix('"'))
        .unwrap_or(etag)
}

/// The namespace of S3's documents.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "d41d8cd98f00b204e9800998ecf8427e";

    #[test]
    fn completions_are_read_strictly() {
        let document = format!(
            "<CompleteMultipartUpload xmlns=\"x\"><Part><PartNumber>1</PartNumber>\
             <ETag>&quot;{HASH}-0&quot;</ETag><ChecksumCRC32>y/Q5Jg==</ChecksumCRC32></Part>\
             <Part><ETag>{HASH}</ETag><PartNumber>2</PartNumber><ChecksumSHA1/></Part></CompleteMultipartUpload>"
        );
        let parts = completed_parts(document.as_bytes()).unwrap();
        assert_eq!(parts[0].etag, format!("{HASH}-0"));
        assert_eq!(
            parts[0].checksum.map(|checksum| checksum.algorithm()),
            Some(ChecksumAlgorithm::Crc32)
        );
        assert_eq!((parts[1].number, parts[1].checksum), (2, None));
        for broken in [
            "",
            "<CompleteMultipartUpload/>",
            "<Other><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></Other>",
            "<CompleteMultipartUpload><Part><ETag>x</ETag></Part></CompleteMultipartUpload>",
            "<CompleteMultipartUpload><Part><PartNumber>-1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag><ChecksumCRC32>?</ChecksumCRC32></Part></CompleteMultipartUpload>",
        ] {
            assert_eq!(completed_parts(broken.as_bytes()), None, "{broken}");
        }
        let rendered = render_completion([(1, HASH), (2, "a&b")].into_iter());
        let read = completed_parts(rendered.as_bytes()).unwrap();
        assert_eq!(
            (read[0].etag.as_str(), read[1].etag.as_str()),
            (HASH, "a&b")
        );
    }

    #[test]
    fn lists_of_parts_show_plaintext() {
        let document = format!(
            "<ListPartsResult><Bucket>b</Bucket><UploadId>up</UploadId><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>\
             <Part><PartNumber>1</PartNumber><ETag>\"{HASH}\"</ETag><Size>20000</Size><ChecksumCRC64NVME>x</ChecksumCRC64NVME></Part>\
             <Part><PartNumber>2</PartNumber><ETag>\"{HASH}\"</ETag><Size>16640</Size></Part>\
             <IsTruncated>false</IsTruncated></ListPartsResult>"
        );
        let page = PartsPage::parse(document.as_bytes()).unwrap();
        assert_eq!(page.parts[1].stored_len, 16_640);
        assert_eq!(page.next, None);
        let shown = ShownUpload {
            upload_id: "s3seal1.x.up",
            checksum: Some(("CRC32", "COMPOSITE")),
            etags: ETagStyle::Dashed,
        };
        let shown = show_parts(
            document.as_bytes(),
            shown,
            |stored| stored - 16_640,
            |part| part.number == 2,
        );
        assert_eq!(
            shown.unwrap(),
            format!(
                "<ListPartsResult><Bucket>b</Bucket><UploadId>s3seal1.x.up</UploadId>\
                 <Part><PartNumber>1</PartNumber><ETag>&quot;{HASH}-0&quot;</ETag><Size>3360</Size></Part>\
                 <IsTruncated>false</IsTruncated><ChecksumAlgorithm>CRC32</ChecksumAlgorithm>\
                 <ChecksumType>COMPOSITE</ChecksumType></ListPartsResult>"
            )
        );
        let cut = document.replace("false", "true");
        assert_eq!(PartsPage::parse(cut.as_bytes()).unwrap().next, Some(2));
    }

    #[test]
    fn lists_of_uploads_show_the_ids_that_clients_know() {
        let document = "<ListMultipartUploadsResult><EncodingType>url</EncodingType>\
            <Upload><Key>a%2Fb</Key><UploadId>1</UploadId><ChecksumType>FULL_OBJECT</ChecksumType></Upload>\
            <Upload><Key>c</Key><UploadId>2</UploadId></Upload></ListMultipartUploadsResult>";
        let shown = show_uploads(document.as_bytes(), |key, id| {
            (key == "a/b" && id == "1").then(|| "s3seal1.x.1".to_owned())
        });
        assert_eq!(
            shown.unwrap(),
            "<ListMultipartUploadsResult><EncodingType>url</EncodingType>\
            <Upload><Key>a%2Fb</Key><UploadId>s3seal1.x.1</UploadId></Upload>\
            <Upload><Key>c</Key><UploadId>2</UploadId></Upload></ListMultipartUploadsResult>"
        );
    }

    #[test]
    fn a_new_upload_gets_another_id() {
        let text = b"<InitiateMultipartUploadResult><Key>k</Key><UploadId>up</UploadId></InitiateMultipartUploadResult>";
        let document = Document::parse(text).unwrap();
        let (id, rename) = initiated(&document).unwrap();
        assert_eq!(id, "up");
        assert!(rename("s3seal1.x.up").contains("<UploadId>s3seal1.x.up</UploadId>"));
        let empty = Document::parse(b"<R><UploadId/></R>").unwrap();
        assert!(initiated(&empty).is_none());
    }
}
