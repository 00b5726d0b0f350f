//! Error documents: rendered for clients, read from the upstream.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

use super::escape;
use crate::s3::error_code::S3Error;

/// The largest upstream error document that is read; S3's own are below 2 KiB.
pub const ERROR_DOCUMENT_LEN_MAX: usize = 64 * 1024;

/// Renders an S3 error document: no namespace, `details` in order behind code and message.
///
/// `resource` is the path of the request as S3 shows it; `request_id` is also in the headers.
pub fn render(error: &S3Error, resource: Option<&str>, request_id: &str) -> String {
    let details = error
        .details
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    let resource = resource.map(|resource| ("Resource", resource));
    render_elements(
        [("Code", error.code.as_str()), ("Message", &error.message)]
            .into_iter()
            .chain(details)
            .chain(resource)
            .chain([("RequestId", request_id)]),
    )
}

/// An upstream's error, so that it can be shown again without what only concerns the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorDocument {
    /// In the order of the document; one of them is the code.
    elements: Vec<(String, String)>,
}

impl ErrorDocument {
    /// Reads an upstream's error document; `None` for everything that is none, that has no code,
    /// or that is larger than [`ERROR_DOCUMENT_LEN_MAX`].
    pub fn parse(body: &[u8]) -> Option<Self> {
        if body.len() > ERROR_DOCUMENT_LEN_MAX {
            return None;
        }
        let mut elements = read_elements(std::str::from_utf8(body).ok()?)?;
        elements.retain(|(name, _)| !WITHHELD.contains(&name.as_str()));
        let document = Self { elements };
        (!document.code().is_empty()).then_some(document)
    }

    /// The `<Code>`.
    pub fn code(&self) -> &str {
        self.element("Code").unwrap_or_default()
    }

    /// The text of an element.
    pub fn element(&self, name: &str) -> Option<&str> {
        let found = self.elements.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Renders what is shown of it.
    pub fn render(&self) -> String {
        let elements = self.elements.iter();
        render_elements(elements.map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

fn render_elements<'a>(elements: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut document = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
    for (name, value) in elements {
        document.extend(["<", name, ">", &escape(value), "</", name, ">"]);
    }
    document.push_str("</Error>");
    document
}

/// The texts of the children of `<Error>`; a child with children of its own is left out.
fn read_elements(document: &str) -> Option<Vec<(String, String)>> {
    let mut reader = Reader::from_str(document);
    let mut elements: Vec<(String, String)> = Vec::new();
    let mut depth = 0usize;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                open(depth, start.local_name().as_ref(), &mut elements)?;
                depth += 1;
            }
            Event::Empty(start) => open(depth, start.local_name().as_ref(), &mut elements)?,
            Event::End(_) => depth -= 1,
            Event::Text(text) if depth == 2 => append(&mut elements, &text.xml10_content()),
            Event::CData(text) if depth == 2 => append(&mut elements, &text.xml10_content()),
            Event::GeneralRef(entity) if depth == 2 => match entity.resolve_char_ref().ok()? {
                Some(c) => append(&mut elements, c.encode_utf8(&mut [0; 4])),
                None => append(&mut elements, resolve_predefined_entity(&entity)?),
            },
            Event::Eof => return (depth == 0 && !elements.is_empty()).then_some(elements),
            // A document type could declare entities: nothing an S3 server sends.
            Event::DocType(_) => return None,
            Event::Text(_)
            | Event::CData(_)
            | Event::GeneralRef(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_) => {}
        }
    }
}

/// Notes an element that begins at this depth; `None` where the document is not to be trusted.
fn open(depth: usize, name: &str, elements: &mut Vec<(String, String)>) -> Option<()> {
    match depth {
        0 if name != "Error" => return None,
        1 => {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            let is_legal = name.bytes().all(legal) && name.len() <= NAME_LEN_MAX;
            if !is_legal || elements.len() == ELEMENTS_MAX {
                return None;
            }
            // `Token-0` holds the session token that we signed with.
            let shown = if name.contains('-') { NESTED } else { name };
            elements.push((shown.to_owned(), String::new()));
        }
        // The parent holds elements, not a text: its name stays out of what we show.
        2 => {
            if let Some((name, _)) = elements.last_mut() {
                NESTED.clone_into(name);
            }
        }
        _ => {}
    }
    Some(())
}

fn append(elements: &mut [(String, String)], text: &str) {
    if let Some((_, value)) = elements.last_mut() {
        value.push_str(text);
    }
}

/// What names the upstream's machines, and what is not shown.
const WITHHELD: [&str; 3] = ["HostId", "Endpoint", NESTED];

/// Stands for the name of an element that is not shown; no element can be called so.
const NESTED: &str = "";

/// S3's longest error documents have about a dozen elements.
const ELEMENTS_MAX: usize = 32;
const NAME_LEN_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::s3::error_code::ErrorCode;

    #[test]
    fn renders_as_s3_does() {
        let error = S3Error::new(ErrorCode::NoSuchKey).detail("Key", "photos/a&b.jpg");
        assert_eq!(
            render(&error, Some("/bucket/photos/a&b.jpg"), "4442587FB7D0A2F9"),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code>\
             <Message>The specified key does not exist.</Message><Key>photos/a&amp;b.jpg</Key>\
             <Resource>/bucket/photos/a&amp;b.jpg</Resource>\
             <RequestId>4442587FB7D0A2F9</RequestId></Error>"
        );
    }

    #[test]
    fn reads_what_servers_send_and_withholds_their_hosts() {
        let document = b"<?xml version='1.0'?>\n<!-- x --><s:Error xmlns:s='urn:x' a='>'>\n  \
            <s:Code>Permanent<![CDATA[Redirect]]></s:Code><Message>a&#32;&lt;b&gt;</Message>\
            <Endpoint>inside.example</Endpoint><Bucket/><Token-0>t</Token-0><Nested>x<a>y</a></Nested>\
            <ActualObjectSize>144</ActualObjectSize><RequestId>1</RequestId><HostId>2</HostId></s:Error>\n";
        let error = ErrorDocument::parse(document).unwrap();
        assert_eq!(error.code(), "PermanentRedirect");
        assert_eq!(error.element("Message"), Some("a <b>"));
        assert_eq!(
            error.render(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>PermanentRedirect</Code>\
             <Message>a &lt;b&gt;</Message><Bucket></Bucket>\
             <ActualObjectSize>144</ActualObjectSize><RequestId>1</RequestId></Error>"
        );
    }

    #[test]
    fn other_bodies_are_no_error_documents() {
        for body in [
            "",
            "<html><body>502</body></html>",
            "<Error>",
            "<Error></Error>",
            "<Error><Code></Code></Error>",
            "<Error><Message>x</Message></Error>",
            "<Error><Code>A</Error></Code>",
            "Error",
            "<!DOCTYPE Error [<!ENTITY x 'y'>]><Error><Code>&x;</Code></Error>",
            "<Error><Code>A</Code><a.b>x</a.b></Error>",
            "{\"Code\":\"A\"}",
        ] {
            assert_eq!(ErrorDocument::parse(body.as_bytes()), None, "{body}");
        }
        let long = format!(
            "<Error><Code>{}</Code></Error>",
            "a".repeat(ERROR_DOCUMENT_LEN_MAX)
        );
        assert_eq!(ErrorDocument::parse(long.as_bytes()), None);
        let many = format!(
            "<Error><Code>A</Code>{}</Error>",
            "<B/>".repeat(ELEMENTS_MAX)
        );
        assert_eq!(ErrorDocument::parse(many.as_bytes()), None);
        assert_eq!(
            ErrorDocument::parse(b"<Error><Code>\xff</Code></Error>"),
            None
        );
    }

    proptest! {
        /// What we render reads back, but for the characters that XML cannot hold.
        #[test]
        fn rendered_errors_read_back(message in "[^\u{0}-\u{1f}\u{fffe}\u{ffff}]*", key in "[a-z<&>\r\n\t ü]*") {
            let error = S3Error::with_message(ErrorCode::NoSuchKey, message.clone()).detail("Key", key.clone());
            let read = ErrorDocument::parse(render(&error, None, "id").as_bytes()).unwrap();
            prop_assert_eq!(read.code(), "NoSuchKey");
            prop_assert_eq!(read.element("Key"), Some(key.as_str()));
            prop_assert_eq!(ErrorDocument::parse(read.render().as_bytes()), Some(read.clone()));
            prop_assert_eq!(read.element("Message"), Some(message.as_str()));
        }

        #[test]
        fn any_body_is_survived(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ErrorDocument::parse(&body);
        }
    }
}
