//! Small documents, read as a whole: where every element stands, so that a text can be read or
//! replaced and every other byte stays.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

use super::escape;

/// A well-formed document without a document type, which could declare entities.
#[derive(Debug)]
pub struct Document<'a> {
    text: &'a str,
    /// In the order of their start tags.
    elements: Vec<Element>,
}

#[derive(Debug)]
struct Element {
    /// Without a namespace prefix.
    name: Range<usize>,
    /// Start tag, content and end tag.
    outer: Range<usize>,
    /// Between the tags.
    inner: Range<usize>,
    /// Index behind the last element inside of this one.
    end: usize,
}

/// An element of a document.
#[derive(Clone, Copy, Debug)]
pub struct Node<'d> {
    document: &'d Document<'d>,
    index: usize,
}

/// Replacements of ranges of one document.
#[derive(Debug, Default)]
pub struct Edits(Vec<(Range<usize>, String)>);

impl<'a> Document<'a> {
    /// Reads a document; `None` for one that is not well-formed, not UTF-8, nested more deeply than
    /// [`DEPTH_MAX`] or of more than [`ELEMENTS_MAX`] elements.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut reader = Reader::from_str(text);
        let mut elements: Vec<Element> = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        let mut at = 0;
        loop {
            let event = reader.read_event().ok()?;
            let end = usize::try_from(reader.buffer_position()).ok()?;
            match event {
                Event::Start(_) | Event::Empty(_) => {
                    let is_second_root = open.is_empty() && !elements.is_empty();
                    let is_full = elements.len() == ELEMENTS_MAX || open.len() == DEPTH_MAX;
                    if is_second_root || is_full {
                        return None;
                    }
                    elements.push(Element {
                        name: local_name(text, at..end)?,
                        outer: at..end,
                        inner: end..end,
                        end: elements.len() + 1,
                    });
                    if matches!(event, Event::Start(_)) {
                        open.push(elements.len() - 1);
                    }
                }
                Event::End(_) => {
                    let count = elements.len();
                    let element = elements.get_mut(open.pop()?)?;
                    element.inner.end = at;
                    element.outer.end = end;
                    element.end = count;
                }
                Event::DocType(_) => return None,
                Event::Eof => break,
                Event::Text(_)
                | Event::CData(_)
                | Event::GeneralRef(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_) => {}
            }
            at = end;
        }
        let is_complete = open.is_empty() && !elements.is_empty();
        is_complete.then_some(Self { text, elements })
    }

    /// The outermost element.
    pub fn root(&self) -> Node<'_> {
        Node {
            document: self,
            index: 0,
        }
    }
}

impl<'d> Node<'d> {
    fn element(self) -> Option<&'d Element> {
        self.document.elements.get(self.index)
    }

    /// The name without a namespace prefix.
    pub fn name(self) -> &'d str {
        let name = self.element().map(|element| element.name.clone());
        name.and_then(|name| self.document.text.get(name))
            .unwrap_or_default()
    }

    /// The elements directly inside, in order.
    pub fn children(self) -> impl Iterator<Item = Node<'d>> {
        let end = self.element().map_or(0, |element| element.end);
        let mut next = self.index + 1;
        std::iter::from_fn(move || {
            let node = Node {
                document: self.document,
                index: next,
            };
            let element = node.element().filter(|_| next < end)?;
            next = element.end;
            Some(node)
        })
    }

    /// The first child of this name.
    pub fn child(self, name: &str) -> Option<Self> {
        self.children().find(|child| child.name() == name)
    }

    /// The text, with references resolved and without white space around it; `None` if there are
    /// elements in it.
    pub fn text(self) -> Option<String> {
        self.exact_text().map(|text| text.trim().to_owned())
    }

    /// The same with its white space, which is a part of names.
    pub fn exact_text(self) -> Option<String> {
        let element = self.element()?;
        let inner = self.document.text.get(element.inner.clone())?;
        if element.end != self.index + 1 {
            return None;
        }
        resolve(inner)
    }

    /// The text of the first child of this name.
    pub fn child_text(self, name: &str) -> Option<String> {
        self.child(name)?.text()
    }

    /// The number that the first child of this name holds.
    pub fn child_number<T: std::str::FromStr>(self, name: &str) -> Option<T> {
        let text = self.child_text(name)?;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| text.parse().ok()).flatten()
    }
}

impl Edits {
    /// Puts another text into an element.
    pub fn set_text(&mut self, node: Node<'_>, text: &str) {
        let Some(element) = node.element() else {
            return;
        };
        if element.inner.is_empty() {
            // It may be written without an end tag.
            let name = node.name();
            let whole = format!("<{name}>{}</{name}>", escape(text));
            self.0.push((element.outer.clone(), whole));
        } else {
            self.0
                .push((element.inner.clone(), escape(text).into_owned()));
        }
    }

    /// Adds an element behind all others of a parent that is not empty.
    pub fn append(&mut self, parent: Node<'_>, name: &str, text: &str) {
        let Some(element) = parent.element().filter(|it| !it.inner.is_empty()) else {
            return;
        };
        let end = element.inner.end;
        let added = format!("<{name}>{}</{name}>", escape(text));
        self.0.push((end..end, added));
    }

    /// Takes an element out.
    pub fn remove(&mut self, node: Node<'_>) {
        if let Some(element) = node.element() {
            self.0.push((element.outer.clone(), String::new()));
        }
    }

    /// The document with all replacements; where two overlap, the one that begins first holds.
    pub fn apply(mut self, document: &Document<'_>) -> String {
        self.0.sort_by_key(|(range, _)| range.start);
        let mut edited = String::with_capacity(document.text.len());
        let mut written = 0;
        for (range, replacement) in self.0 {
            if range.start < written {
                continue;
            }
            edited.push_str(document.text.get(written..range.start).unwrap_or_default());
            edited.push_str(&replacement);
            written = range.end;
        }
        edited.push_str(document.text.get(written..).unwrap_or_default());
        edited
    }
}

/// Where the name of a tag stands in it, without its namespace prefix.
fn local_name(text: &str, tag: Range<usize>) -> Option<Range<usize>> {
    let inside = text.get(tag.clone())?.strip_prefix('<')?;
    let len = inside.find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>')?;
    let name = inside.get(..len)?;
    let prefix = name.find(':').map_or(0, |colon| colon + 1);
    let start = tag.start + 1;
    Some(start + prefix..start + len)
}

/// The characters that a text without elements stands for.
fn resolve(raw: &str) -> Option<String> {
    if !raw.contains(['&', '<']) {
        return Some(raw.to_owned());
    }
    let mut reader = Reader::from_str(raw);
    let mut text = String::with_capacity(raw.len());
    loop {
        match reader.read_event().ok()? {
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::CData(part) => text.push_str(&part.xml10_content()),
            Event::GeneralRef(entity) => match entity.resolve_char_ref().ok()? {
                Some(c) => text.push(c),
                None => text.push_str(resolve_predefined_entity(&entity)?),
            },
            Event::Eof => return Some(text),
            Event::Comment(_) | Event::PI(_) => {}
            Event::Start(_)
            | Event::End(_)
            | Event::Empty(_)
            | Event::Decl(_)
            | Event::DocType(_) => return None,
        }
    }
}

/// The deepest nesting; S3's own documents have 4 levels.
pub const DEPTH_MAX: usize = 16;

/// A list of 10,000 parts with everything that can stand in one.
pub const ELEMENTS_MAX: usize = 200_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_are_found_and_replaced_where_they_stand() {
        let text = "<?xml version=\"1.0\"?>\n<a:R xmlns:a='u'> <Id >x&amp;<![CDATA[<y>]]></Id>\n\
                    <P><N>1</N></P><P><N>2</N></P><E/><!-- N --></a:R>\n";
        let document = Document::parse(text.as_bytes()).unwrap();
        let root = document.root();
        assert_eq!(root.name(), "R");
        assert_eq!(root.child_text("Id").as_deref(), Some("x&<y>"));
        assert_eq!(root.text(), None);
        let parts: Vec<Node<'_>> = root
            .children()
            .filter(|child| child.name() == "P")
            .collect();
        let numbers: Vec<Option<u32>> = parts.iter().map(|part| part.child_number("N")).collect();
        assert_eq!(numbers, [Some(1), Some(2)]);
        let mut edits = Edits::default();
        edits.remove(parts[1]);
        edits.set_text(root.child("Id").unwrap(), "<z>");
        edits.set_text(root.child("E").unwrap(), "e");
        assert_eq!(
            edits.apply(&document),
            "<?xml version=\"1.0\"?>\n<a:R xmlns:a='u'> <Id >&lt;z&gt;</Id>\n\
             <P><N>1</N></P><E>e</E><!-- N --></a:R>\n"
        );
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "</a>",
            "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
        ] {
            assert!(Document::parse(text.as_bytes()).is_none(), "{text}");
        }
        let deep = format!("{}{}", "<a>".repeat(20), "</a>".repeat(20));
        assert!(Document::parse(deep.as_bytes()).is_none());
        let unknown = Document::parse(b"<a>&x;</a>").unwrap();
        assert_eq!(unknown.root().text(), None);
        let signed = Document::parse(b"<a><n>-1</n><m>+1</m><o>1 </o></a>").unwrap();
        assert_eq!(signed.root().child_number::<i64>("n"), None);
        assert_eq!(signed.root().child_number::<i64>("m"), None);
        assert_eq!(signed.root().child_number::<i64>("o"), Some(1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_unedited_documents_stay(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(document) = Document::parse(&bytes) {
                let _ = document.root().text();
                prop_assert_eq!(Edits::default().apply(&document).into_bytes(), bytes);
            }
        }

        #[test]
        fn written_texts_read_back(text in "[^\u{0}-\u{1f}\u{feff}\u{fffe}\u{ffff}]*") {
            let document = format!("<a><b/>{}</a>", "<c/>");
            let document = Document::parse(document.as_bytes()).unwrap();
            let mut edits = Edits::default();
            edits.set_text(document.root().child("b").unwrap(), &text);
            let edited = edits.apply(&document);
            let edited = Document::parse(edited.as_bytes()).unwrap();
            prop_assert_eq!(edited.root().child_text("b"), Some(text.trim().to_owned()));
        }
    }
}
