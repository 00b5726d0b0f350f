//! `Content-Disposition` of a part of a form.

/// What a part is (RFC 7578, section 4.2).
pub(super) struct Disposition {
    pub(super) name: String,
    pub(super) filename: Option<String>,
}

impl Disposition {
    /// Reads `form-data; name="..."; filename="..."`; other parameters have no meaning.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let (kind, mut rest) = value.split_once(';')?;
        if !kind.trim().eq_ignore_ascii_case("form-data") {
            return None;
        }
        let [mut name, mut filename] = [None, None];
        while !rest.trim().is_empty() {
            let (parameter, after) = rest.split_once('=')?;
            let (value, after) = parameter_value(after.trim_start())?;
            let replaced = match parameter.trim().to_ascii_lowercase().as_str() {
                "name" => name.replace(value),
                "filename" => filename.replace(value),
                _ => None,
            };
            let after = after.trim_start();
            let is_separated = after.is_empty() || after.starts_with(';');
            if replaced.is_some() || !is_separated {
                return None;
            }
            rest = after.strip_prefix(';').unwrap_or_default();
        }
        let name = name?;
        Some(Self { name, filename })
    }
}

/// A value, and what follows it.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return Some((value.trim_end().to_owned(), after));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            // Only these are escaped: a backslash before others is one of a Windows path.
            '\\' => {
                let escaped = chars.next_if(|(_, next)| matches!(next, '"' | '\\'));
                value.push(escaped.map_or('\\', |(_, next)| next));
            }
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_browsers_and_libraries_write_them() {
        for (value, name, filename) in [
            (" form-data; name=\"key\"", "key", None),
            ("form-data;name=key", "key", None),
            ("Form-Data; NAME=\"a\"; FileName=\"b\"", "a", Some("b")),
            (
                "form-data; name=\"f\"; filename=\"a;\\\"b\\\"=c\"; x=1",
                "f",
                Some("a;\"b\"=c"),
            ),
            (
                "form-data; name=\"f\"; filename=\"C:\\dir\\x\"",
                "f",
                Some("C:\\dir\\x"),
            ),
            (
                "form-data; name=\"f\"; filename=\"é.txt\"; filename*=UTF-8''e",
                "f",
                Some("é.txt"),
            ),
        ] {
            let read = Disposition::parse(value).expect(value);
            assert_eq!((&*read.name, read.filename.as_deref()), (name, filename));
        }
    }

    #[test]
    fn what_is_ambiguous_is_no_disposition() {
        for value in [
            "form-data",
            "form-data; filename=\"f\"",
            "attachment; name=\"key\"",
            "form-data; name=\"key",
            "form-data; name=\"key\" x",
            "form-data; name=\"a\"; name=\"b\"",
            "form-data; name=\"a\"; filename=\"b\"; filename=\"c\"",
            "form-data; name",
        ] {
            assert!(Disposition::parse(value).is_none(), "{value}");
        }
    }
}
