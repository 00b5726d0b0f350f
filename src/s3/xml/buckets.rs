//! The document of ListBuckets.

use super::document::{Document, Node};
use super::escape;

/// A list of buckets, or a page of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketList {
    /// Id and display name of whose they are, where that is said.
    pub owner: (Option<String>, Option<String>),
    /// The buckets.
    pub buckets: Vec<Bucket>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// What is said of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Further elements that are known, in order.
    pub details: Vec<(&'static str, String)>,
}

impl BucketList {
    /// Reads a document; `None` for one that is none, or that is cut and does not say where it goes on.
    pub fn parse(document: &[u8]) -> Option<Self> {
        let document = Document::parse(document)?;
        let root = document.root();
        let owner = root.child("Owner");
        let of_owner = |name: &str| owner.and_then(|owner| owner.child_text(name));
        let nodes = root.child("Buckets")?.children();
        let buckets = nodes.filter(|node| node.name() == "Bucket").map(bucket);
        let next = root.child_text("ContinuationToken");
        let next = next.filter(|it| !it.is_empty());
        let is_cut = root.child_text("IsTruncated").as_deref() == Some("true");
        Some(Self {
            owner: (of_owner("ID"), of_owner("DisplayName")),
            buckets: buckets.collect::<Option<_>>()?,
            next,
        })
        .filter(|it| root.name() == "ListAllMyBucketsResult" && (it.next.is_some() || !is_cut))
    }

    /// The document that says so, with another marker of the next page.
    pub fn render(&self, next: Option<&str>, prefix: Option<&str>) -> String {
        let (id, name) = &self.owner;
        let owner = [("ID", id), ("DisplayName", name)];
        let owner = owner
            .map(|(name, text)| element(name, text.as_deref()))
            .concat();
        let buckets = self.buckets.iter().map(|bucket| {
            let details = bucket.details.iter();
            let details: String = details
                .map(|(name, text)| element(name, Some(text)))
                .collect();
            format!(
                "<Bucket>{}{details}</Bucket>",
                element("Name", Some(&bucket.name))
            )
        });
        let buckets: String = buckets.collect();
        let rest = [("ContinuationToken", next), ("Prefix", prefix)];
        let rest = rest.map(|(name, text)| element(name, text)).concat();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <ListAllMyBucketsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Owner>{owner}</Owner>\
             <Buckets>{buckets}</Buckets>{rest}</ListAllMyBucketsResult>"
        )
    }
}

fn bucket(node: Node<'_>) -> Option<Bucket> {
    let details = ["CreationDate", "BucketRegion", "BucketArn"].into_iter();
    let details = details.filter_map(|name| Some((name, node.child_text(name)?)));
    Some(Bucket {
        name: node.child_text("Name")?,
        details: details.collect(),
    })
}

fn element(name: &str, text: Option<&str>) -> String {
    let text = text.map(escape);
    text.map_or_else(String::new, |text| format!("<{name}>{text}</{name}>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written() {
        let text = "<ListAllMyBucketsResult><Owner><ID>i</ID></Owner><Buckets><Bucket>\
                    <CreationDate>d</CreationDate><Name>a&amp;b</Name></Bucket></Buckets>\
                    <ContinuationToken>t</ContinuationToken></ListAllMyBucketsResult>";
        let list = BucketList::parse(text.as_bytes()).unwrap();
        assert_eq!(list.next.as_deref(), Some("t"));
        assert_eq!(list.buckets[0].name, "a&b");
        let again = list.render(Some("t"), Some("p<"));
        assert!(again.contains("<Prefix>p&lt;</Prefix>"), "{again}");
        assert_eq!(BucketList::parse(again.as_bytes()), Some(list));
    }

    #[test]
    fn what_is_no_list_is_not_read() {
        for text in [
            "",
            "<Error/>",
            "<ListAllMyBucketsResult/>",
            "<ListAllMyBucketsResult><Buckets><Bucket/></Buckets></ListAllMyBucketsResult>",
            "<ListAllMyBucketsResult><Buckets/><IsTruncated>true</IsTruncated></ListAllMyBucketsResult>",
        ] {
            assert_eq!(BucketList::parse(text.as_bytes()), None, "{text}");
        }
    }
}
