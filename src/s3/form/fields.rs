//! The fields of a form, and the headers that they stand for.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{FORM_LEN_MAX, FormError};
use crate::s3::headers::METADATA_PREFIX;
use crate::s3::xml::copy::tagging_header;

/// Fields by name in lower case, each once. `Debug` shows no value: one may be a customer key.
#[derive(Clone, Default)]
pub struct FormFields(Vec<(String, String)>);

impl FormFields {
    /// Adds a field that was read.
    pub fn insert(&mut self, name: &str, value: Vec<u8>) -> Result<(), FormError> {
        let name = name.to_ascii_lowercase();
        if self.get(&name).is_some() {
            return Err(FormError::Repeated { name });
        }
        let value = String::from_utf8(value);
        let value = value.map_err(|_| FormError::Malformed("a field that is not UTF-8"))?;
        self.0.push((name, value));
        Ok(())
    }

    /// The value of a field; `name` in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The value of a field that must be there; `name` in lower case.
    pub fn need(&self, name: &'static str) -> Result<&str, FormError> {
        self.get(name).ok_or(FormError::Missing { name })
    }

    /// The names, in the order of the form.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Puts the name of the file in the place of `${filename}`, in every field but those of the
    /// signature. The policy is about what comes of it (AWS, "POST policy": condition matching).
    pub fn expand(&mut self, filename: &str) -> Result<(), FormError> {
        let mut len = 0;
        for (name, value) in &mut self.0 {
            if !SIGNATURE_FIELDS.contains(&name.as_str()) {
                let count = value.matches(FILENAME).count();
                len += value.len() + count * filename.len();
                // A name that is repeated often enough would be of any length.
                if len > FORM_LEN_MAX {
                    return Err(FormError::TooLong);
                }
                if count > 0 {
                    *value = value.replace(FILENAME, filename);
                }
            }
        }
        Ok(())
    }

    /// The name of the object.
    pub fn key(&self) -> Result<&str, FormError> {
        let key = self.need("key")?;
        if key.is_empty() {
            return Err(FormError::Missing { name: "key" });
        }
        Ok(key)
    }

    /// Whether the form is signed, whichever way; a part of a signature counts.
    pub fn is_signed(&self) -> bool {
        let mut names = self.names();
        names.any(|name| SIGNATURE_FIELDS.contains(&name) || V2_FIELDS.contains(&name))
    }

    /// Whether the form is signed with Signature Version 2.
    pub fn is_signed_v2(&self) -> bool {
        self.names().any(|name| V2_FIELDS.contains(&name))
    }

    /// The headers of a `PutObject` with the same meaning. They are checked as those are.
    pub fn headers(&self) -> Result<HeaderMap, FormError> {
        let mut headers = HeaderMap::new();
        for (field, value) in &self.0 {
            let Some(name) = header_of(field)? else {
                continue;
            };
            // White space around the value of a header is none of it (RFC 9110, section 5.5).
            let value = value.trim_matches([' ', '\t']);
            // An input that the user left blank.
            if value.is_empty() && !name.as_str().starts_with(METADATA_PREFIX) {
                continue;
            }
            let invalid = || FormError::Value {
                name: field.clone(),
            };
            let value = if field == TAGGING {
                let tags = tagging_header(value.as_bytes()).ok_or(FormError::Tagging)?;
                HeaderValue::from_str(&tags)
            } else {
                HeaderValue::from_bytes(value.as_bytes())
            };
            if headers.contains_key(&name) {
                return Err(FormError::Repeated {
                    name: field.clone(),
                });
            }
            headers.insert(name, value.map_err(|_| invalid())?);
        }
        Ok(headers)
    }
}

impl fmt::Debug for FormFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// The header that a field stands for; `None` where it means something else, or nothing.
fn header_of(field: &str) -> Result<Option<HeaderName>, FormError> {
    let name = match field {
        "acl" => "x-amz-acl",
        TAGGING => "x-amz-tagging",
        field => field,
    };
    if SIGNATURE_FIELDS.contains(&name) {
        return Ok(None);
    }
    if !name.starts_with("x-amz-") && !CONTENT_HEADERS.contains(&name) {
        return Ok(None);
    }
    let is_of_requests = OF_REQUESTS.iter().any(|prefix| name.starts_with(prefix));
    if is_of_requests {
        return Err(FormError::NotImplemented {
            name: name.to_owned(),
        });
    }
    let invalid = || FormError::Value {
        name: field.to_owned(),
    };
    let header = HeaderName::from_bytes(name.as_bytes());
    header.map(Some).map_err(|_| invalid())
}

/// What signs a form.
const SIGNATURE_FIELDS: &[&str] = &[
    "policy",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-signature",
];

/// What signed one before.
const V2_FIELDS: &[&str] = &["awsaccesskeyid", "signature"];

/// What S3 calls the system metadata of an object, and the claim about its bytes.
const CONTENT_HEADERS: &[&str] = &[
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-md5",
    "content-type",
    "expires",
];

/// Beginnings of names that make another request of one, or describe a body that a form has not.
const OF_REQUESTS: &[&str] = &[
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-decoded-content-length",
    "x-amz-trailer",
];

const TAGGING: &str = "tagging";

const FILENAME: &str = "${filename}";

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> FormFields {
        let mut fields = FormFields::default();
        for (name, value) in pairs {
            fields.insert(name, value.as_bytes().to_vec()).unwrap();
        }
        fields
    }

    #[test]
    fn fields_become_headers() {
        let tags = "<Tagging><TagSet><Tag><Key>a b</Key><Value>1</Value></Tag></TagSet></Tagging>";
        let headers = fields(&[
            ("Key", "k"),
            ("ACL", "private"),
            ("tagging", tags),
            ("Content-Type", "image/png"),
            ("Cache-Control", ""),
            ("X-Amz-Meta-Colour", "bl\u{fc}e"),
            ("x-amz-meta-empty", ""),
            ("x-amz-credential", "secret"),
            ("x-ignore-me", "x"),
            ("submit", "Send"),
        ]);
        let headers = headers.headers().unwrap();
        let mut seen: Vec<(&str, &[u8])> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        seen.sort_unstable();
        let expected: &[(&str, &[u8])] = &[
            ("content-type", b"image/png"),
            ("x-amz-acl", b"private"),
            ("x-amz-meta-colour", "bl\u{fc}e".as_bytes()),
            ("x-amz-meta-empty", b""),
            ("x-amz-tagging", b"a%20b=1"),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn fields_that_cannot_be_headers_are_refused() {
        for (name, value, code) in [
            (
                "x-amz-meta-a",
                "1\r\nx-amz-acl: public-read",
                "InvalidArgument",
            ),
            ("content-type", "a\nb", "InvalidArgument"),
            ("x-amz-meta-a b", "1", "InvalidArgument"),
            ("tagging", "a=b", "MalformedXML"),
            ("x-amz-copy-source", "b/k", "NotImplemented"),
            ("x-amz-copy-source-if-match", "x", "NotImplemented"),
            ("x-amz-content-sha256", "UNSIGNED-PAYLOAD", "NotImplemented"),
        ] {
            let error = fields(&[(name, value)]).headers().unwrap_err();
            assert_eq!(error.to_s3().code.as_str(), code, "{name}");
        }
        let twice = fields(&[("acl", "private"), ("x-amz-acl", "public-read")]);
        assert!(matches!(twice.headers(), Err(FormError::Repeated { .. })));
        let again = fields(&[("key", "a")]).insert("KEY", b"b".to_vec());
        assert!(matches!(again, Err(FormError::Repeated { .. })));
        let latin = FormFields::default().insert("key", b"\xfc".to_vec());
        assert!(matches!(latin, Err(FormError::Malformed(_))));
    }

    #[test]
    fn the_name_of_the_file_is_put_in_everywhere_but_into_the_signature() {
        let mut form = fields(&[
            ("key", "user/${filename}"),
            ("x-amz-meta-name", "${filename}${filename}"),
            ("policy", "${filename}"),
        ]);
        form.expand("a.txt").unwrap();
        assert_eq!(form.get("key"), Some("user/a.txt"));
        assert_eq!(form.get("x-amz-meta-name"), Some("a.txta.txt"));
        assert_eq!(form.get("policy"), Some("${filename}"));
        let mut bomb = fields(&[("key", &"${filename}".repeat(1000))]);
        assert_eq!(bomb.expand(&"x".repeat(5000)), Err(FormError::TooLong));
    }

    #[test]
    fn values_stay_out_of_debug_texts() {
        let form = fields(&[("x-amz-signature", "c0ffee")]);
        assert_eq!(format!("{form:?}"), "[\"x-amz-signature\"]");
    }
}
