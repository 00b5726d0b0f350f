//! What a form wants to be answered when its file is stored.

use http::{StatusCode, Uri};
use percent_encoding::{CONTROLS, utf8_percent_encode};

use super::fields::FormFields;
use crate::s3::uri::encode_component;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Success {
    /// A status: 200, 201 with a document, or 204.
    Status(StatusCode),
    /// Another page.
    Redirect(String),
}

impl Success {
    /// Reads `success_action_redirect` (once `redirect`) and `success_action_status`. A value that
    /// cannot be understood counts as absent (AWS, "POST Object").
    pub fn of(fields: &FormFields) -> Self {
        let redirect = ["success_action_redirect", "redirect"];
        let redirect = redirect.iter().find_map(|name| fields.get(name));
        if let Some(page) = redirect.and_then(page) {
            return Self::Redirect(page);
        }
        Self::Status(match fields.get("success_action_status") {
            Some("200") => StatusCode::OK,
            Some("201") => StatusCode::CREATED,
            _ => StatusCode::NO_CONTENT,
        })
    }
}

/// The page with the name of what was stored in its query; `etag` as shown, with its quotes.
pub fn redirected(page: &str, bucket: &str, key: &str, etag: &str) -> String {
    let (page, fragment) = match page.split_once('#') {
        Some((page, fragment)) => (page, format!("#{fragment}")),
        None => (page, String::new()),
    };
    let joint = if page.contains('?') { '&' } else { '?' };
    let [bucket, key, etag] = [bucket, key, etag].map(|text| encode_component(text.as_bytes()));
    format!("{page}{joint}bucket={bucket}&key={key}&etag={etag}{fragment}")
}

/// The address of a page as a header holds it. What is no ASCII is escaped, as browsers do; spaces
/// and control characters are none of an address, also behind `#`, where no parser looks.
fn page(text: &str) -> Option<String> {
    if text.contains(|c: char| c == ' ' || c.is_control()) {
        return None;
    }
    let page = utf8_percent_encode(text, CONTROLS).to_string();
    let parsed: Uri = page.parse().ok()?;
    matches!(parsed.scheme_str(), Some("http" | "https")).then_some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn success(pairs: &[(&str, &str)]) -> Success {
        let mut fields = FormFields::default();
        for (name, value) in pairs {
            fields.insert(name, value.as_bytes().to_vec()).unwrap();
        }
        Success::of(&fields)
    }

    #[test]
    fn what_cannot_be_understood_counts_as_absent() {
        for (pairs, status) in [
            (&[] as &[(&str, &str)], 204),
            (&[("success_action_status", "200")], 200),
            (&[("success_action_status", "201")], 201),
            (&[("success_action_status", "404")], 204),
            (&[("success_action_redirect", "/page")], 204),
            (&[("success_action_redirect", "javascript:x")], 204),
            (&[("success_action_redirect", "")], 204),
            (&[("success_action_redirect", "http://h/#a b")], 204),
            (&[("success_action_redirect", "http://h/#\r\nx: y")], 204),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(success(pairs), Success::Status(status), "{pairs:?}");
        }
        let page = Success::Redirect("https://example.com/".to_owned());
        for name in ["redirect", "success_action_redirect"] {
            let status = ("success_action_status", "201");
            assert_eq!(success(&[status, (name, "https://example.com/")]), page);
        }
    }

    #[test]
    fn addresses_are_escaped_as_browsers_do() {
        let asked = success(&[("redirect", "https://h/\u{e9}%20?\u{e9}#\u{e9}")]);
        let page = "https://h/%C3%A9%20?%C3%A9#%C3%A9";
        assert_eq!(asked, Success::Redirect(page.to_owned()));
    }

    #[test]
    fn a_page_is_told_what_was_stored() {
        for (page, location) in [
            (
                "http://h/p",
                "http://h/p?bucket=b&key=k%2F%26&etag=%22x-0%22",
            ),
            (
                "http://h/p?a=1#f",
                "http://h/p?a=1&bucket=b&key=k%2F%26&etag=%22x-0%22#f",
            ),
        ] {
            assert_eq!(redirected(page, "b", "k/&", "\"x-0\""), location);
        }
    }
}
