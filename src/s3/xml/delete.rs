//! The document of DeleteObjects, where its objects are deleted on conditions.

use super::document::{Document, Edits};
use crate::s3::error_code::{ErrorCode, S3Error};
use crate::s3::etag;

/// The document with the entity tags that the upstream knows; `None` where every byte stays.
pub fn upstream_deletion(document: &[u8]) -> Result<Option<String>, S3Error> {
    let has = |name: &[u8]| memchr::memmem::find(document, name).is_some();
    if !has(b"ETag") && !has(b"Size") {
        return Ok(None);
    }
    let malformed = || S3Error::new(ErrorCode::MalformedXml);
    let document = Document::parse(document).ok_or_else(malformed)?;
    let mut edits = Edits::default();
    let mut is_edited = false;
    let root = document.root();
    for object in root.children().filter(|child| child.name() == "Object") {
        if object.child("Size").is_some() {
            return Err(S3Error::with_message(ErrorCode::NotImplemented, SIZE));
        }
        for tag in object.children().filter(|child| child.name() == "ETag") {
            let shown = tag.text().ok_or_else(malformed)?;
            let upstream = etag::upstream(&shown);
            if upstream != shown {
                edits.set_text(tag, &upstream);
                is_edited = true;
            }
        }
    }
    Ok(is_edited.then(|| edits.apply(&document)))
}

/// The keys that a document deletes, as they are spelled.
pub fn deleted_keys(document: &[u8]) -> Result<Vec<String>, S3Error> {
    let malformed = || S3Error::new(ErrorCode::MalformedXml);
    let document = Document::parse(document).ok_or_else(malformed)?;
    let mut keys = Vec::new();
    for object in document.root().children() {
        let mut of_object = object.children().filter(|child| child.name() == "Key");
        match (object.name(), of_object.next(), of_object.next()) {
            ("Quiet", None, None) => {}
            // Of two keys nobody knows which the upstream takes.
            ("Object", Some(key), None) => keys.push(key.exact_text().ok_or_else(malformed)?),
            _ => return Err(malformed()),
        }
    }
    Ok(keys)
}

/// The upstream compares it with the stored size.
const SIZE: &str = "Size as a condition of a deletion is not implemented.";

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn entity_tags_go_up_as_the_upstream_knows_them() {
        let of = |inner: &str| format!("<Delete><Object><Key>k</Key>{inner}</Object></Delete>");
        for (before, after) in [
            (
                format!("<ETag>{HEX}-0</ETag>"),
                format!("<ETag>{HEX}</ETag>"),
            ),
            (
                format!("<ETag>&quot;{HEX}-0&quot;</ETag>"),
                format!("<ETag>&quot;{HEX}&quot;</ETag>"),
            ),
            (
                format!("<ETag>\"{HEX}-0\"</ETag><LastModifiedTime>x</LastModifiedTime>"),
                format!("<ETag>&quot;{HEX}&quot;</ETag><LastModifiedTime>x</LastModifiedTime>"),
            ),
        ] {
            let edited = upstream_deletion(of(&before).as_bytes()).unwrap();
            assert_eq!(edited, Some(of(&after)));
        }
        for same in [
            format!("<ETag>{HEX}-2</ETag>"),
            "<ETag>*</ETag>".to_owned(),
            "<VersionId>v</VersionId>".to_owned(),
            "<LastModifiedTime>x</LastModifiedTime>".to_owned(),
        ] {
            assert_eq!(upstream_deletion(of(&same).as_bytes()), Ok(None), "{same}");
        }
    }

    #[test]
    fn deleted_keys_are_all_there_or_none() {
        let keys = |inner: &str| deleted_keys(format!("<Delete>{inner}</Delete>").as_bytes());
        let one = "<Object><Key>a&amp;b</Key><VersionId>v</VersionId></Object><Quiet>true</Quiet>";
        assert_eq!(keys(one), Ok(vec!["a&b".to_owned()]));
        for inner in [
            "<Object/>",
            "<Object><Key>a</Key><Key>b</Key></Object>",
            "<Object><Key><b/></Key></Object>",
            "<Other><Object><Key>a</Key></Object></Other>",
            "<Key>a</Key>",
        ] {
            assert!(keys(inner).is_err(), "{inner}");
        }
    }

    #[test]
    fn sizes_and_what_cannot_be_read_are_refused() {
        let code = |document: &str| upstream_deletion(document.as_bytes()).map_err(|it| it.code);
        let sized = "<Delete><Object><Key>k</Key><Size>1</Size></Object></Delete>";
        assert_eq!(code(sized), Err(ErrorCode::NotImplemented));
        for document in [
            "<Delete><Object><ETag>x</Object></Delete>",
            "<Delete><Object><ETag><b/></ETag></Object></Delete>",
        ] {
            assert_eq!(code(document), Err(ErrorCode::MalformedXml));
        }
        let named = "<Delete><Object><Key>&lt;Size>ETag</Key></Object></Delete>";
        assert_eq!(code(named), Ok(None));
    }
}
