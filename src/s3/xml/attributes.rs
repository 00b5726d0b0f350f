//! The answer to `GetObjectAttributes`.

use super::escape;
use crate::s3::checksum::ChecksumAlgorithm;
use crate::s3::error_code::S3Error;

/// Something that a client can ask for in `x-amz-object-attributes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// `ETag`.
    ETag,
    /// `Checksum`.
    Checksum,
    /// `ObjectParts`.
    Parts,
    /// `StorageClass`.
    StorageClass,
    /// `ObjectSize`.
    Size,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked(Vec<Attribute>);

/// What is known of an object.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// As it is shown, with or without quotes.
    pub etag: &'a str,
    /// Of the plaintext: algorithm, value and `FULL_OBJECT` or `COMPOSITE`.
    pub checksum: Option<(ChecksumAlgorithm, &'a str, &'a str)>,
    /// The number of parts of a multipart object.
    pub parts: Option<&'a str>,
    /// `STANDARD` where the upstream says nothing.
    pub storage_class: &'a str,
    /// Bytes of plaintext.
    pub size: u64,
}

impl Asked {
    /// Reads the values of all headers of that name.
    pub fn parse<'h>(values: impl Iterator<Item = &'h str>) -> Result<Self, S3Error> {
        let mut asked = Vec::new();
        for name in values.flat_map(|value| value.split(',')).map(str::trim) {
            let attribute = match name {
                "ETag" => Attribute::ETag,
                "Checksum" => Attribute::Checksum,
                "ObjectParts" => Attribute::Parts,
                "StorageClass" => Attribute::StorageClass,
                "ObjectSize" => Attribute::Size,
                _ => return Err(invalid(name)),
            };
            if !asked.contains(&attribute) {
                asked.push(attribute);
            }
        }
        if asked.is_empty() {
            return Err(invalid(""));
        }
        Ok(Self(asked))
    }

    /// Whether it was asked for.
    pub fn has(&self, attribute: Attribute) -> bool {
        self.0.contains(&attribute)
    }
}

fn invalid(name: &str) -> S3Error {
    S3Error::invalid_argument(
        "Invalid attribute name specified.",
        "x-amz-object-attributes",
        name,
    )
}

impl Attributes<'_> {
    /// The document, with what was asked for and is known.
    pub fn render(&self, asked: &Asked) -> String {
        let mut document = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <GetObjectAttributesResponse xmlns=\"{NAMESPACE}\">"
        );
        if asked.has(Attribute::ETag) {
            element(&mut document, "ETag", self.etag.trim_matches('"'));
        }
        if let Some((algorithm, value, kind)) =
            self.checksum.filter(|_| asked.has(Attribute::Checksum))
        {
            document.push_str("<Checksum>");
            let name = format!("Checksum{}", algorithm.name());
            element(&mut document, &name, value);
            element(&mut document, "ChecksumType", kind);
            document.push_str("</Checksum>");
        }
        if let Some(count) = self.parts.filter(|_| asked.has(Attribute::Parts)) {
            document.push_str("<ObjectParts>");
            element(&mut document, "PartsCount", count);
            document.push_str("</ObjectParts>");
        }
        if asked.has(Attribute::StorageClass) {
            element(&mut document, "StorageClass", self.storage_class);
        }
        if asked.has(Attribute::Size) {
            element(&mut document, "ObjectSize", &self.size.to_string());
        }
        document.push_str("</GetObjectAttributesResponse>");
        document
    }
}

fn element(document: &mut String, name: &str, text: &str) {
    document.extend(["<", name, ">", &escape(text), "</", name, ">"]);
}

/// The namespace of S3's documents.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::error_code::ErrorCode;

    #[test]
    fn names_are_read_as_clients_send_them() {
        let read = |values: &[&str]| Asked::parse(values.iter().copied());
        let asked = read(&["ETag,ObjectSize", " StorageClass"]).unwrap();
        let expected = [Attribute::ETag, Attribute::Size, Attribute::StorageClass];
        assert!(expected.into_iter().all(|attribute| asked.has(attribute)));
        assert!(!asked.has(Attribute::Checksum) && !asked.has(Attribute::Parts));
        for values in [&[][..], &[""], &["etag"], &["ETag,Colour"]] {
            let error = read(values).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgument, "{values:?}");
        }
    }

    #[test]
    fn only_what_was_asked_for_is_shown() {
        let attributes = Attributes {
            etag: "\"abc-0\"",
            checksum: Some((ChecksumAlgorithm::Crc32c, "4waSgw==", "FULL_OBJECT")),
            parts: Some("3"),
            storage_class: "STANDARD",
            size: 17,
        };
        let asked = Asked::parse(["ObjectSize"].into_iter()).unwrap();
        let document = attributes.render(&asked);
        assert!(document.ends_with("\"><ObjectSize>17</ObjectSize></GetObjectAttributesResponse>"));
        let all = ["ETag,Checksum,ObjectParts,StorageClass,ObjectSize"];
        let document = attributes.render(&Asked::parse(all.into_iter()).unwrap());
        for shown in [
            "<ETag>abc-0</ETag>",
            "<ChecksumCRC32C>4waSgw==</ChecksumCRC32C><ChecksumType>FULL_OBJECT</ChecksumType>",
            "<ObjectParts><PartsCount>3</PartsCount></ObjectParts>",
            "<StorageClass>STANDARD</StorageClass>",
        ] {
            assert!(document.contains(shown), "{document}");
        }
    }
}
