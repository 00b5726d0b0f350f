//! What a `RestoreRequest` asks for.

use super::document::Document;
use crate::s3::error_code::{ErrorCode, S3Error};

/// Whether it asks for more than a restored copy: a select, which would read what is stored, or a
/// place to write the outcome into. The name of the element that says so.
pub fn selects(document: &[u8]) -> Result<Option<&'static str>, S3Error> {
    let document =
        Document::parse(document).ok_or_else(|| S3Error::new(ErrorCode::MalformedXml))?;
    let mut left = vec![document.root()];
    while let Some(node) = left.pop() {
        match node.name() {
            "OutputLocation" => return Ok(Some("OutputLocation")),
            "SelectParameters" => return Ok(Some("SelectParameters")),
            "Type" => return Ok(Some("Type")),
            _ => left.extend(node.children()),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_are_found_in_any_spelling() {
        for (document, found) in [
            ("<RestoreRequest><Days>1</Days></RestoreRequest>", None),
            (
                "<RestoreRequest><Days>1</Days><GlacierJobParameters><Tier>Bulk</Tier></GlacierJobParameters></RestoreRequest>",
                None,
            ),
            ("<a><Type>SELECT</Type></a>", Some("Type")),
            ("<a><Type>SEL&#69;CT</Type></a>", Some("Type")),
            (
                "<a xmlns:s=\"x\"><s:OutputLocation/></a>",
                Some("OutputLocation"),
            ),
            (
                "<a><b><SelectParameters /></b></a>",
                Some("SelectParameters"),
            ),
        ] {
            assert_eq!(selects(document.as_bytes()).unwrap(), found, "{document}");
        }
        assert!(selects(b"<a><OutputLocation>").is_err());
    }
}
