//! The answer to a form: `PostResponse`.

use super::escape;

/// What a client is told about the file of its form.
#[derive(Clone, Copy, Debug)]
pub struct PostResult<'a> {
    /// Where it can be read.
    pub location: &'a str,
    /// The bucket.
    pub bucket: &'a str,
    /// The key.
    pub key: &'a str,
    /// The entity tag as it is shown, with its quotes.
    pub etag: &'a str,
}

impl PostResult<'_> {
    /// The document.
    pub fn render(&self) -> String {
        let texts = [self.location, self.bucket, self.key, self.etag];
        let [location, bucket, key, etag] = texts.map(escape);
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>{location}\
             </Location><Bucket>{bucket}</Bucket><Key>{key}</Key><ETag>{etag}</ETag></PostResponse>"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::xml::document::Document;

    #[test]
    fn what_is_rendered_reads_back() {
        let result = PostResult {
            location: "http://h/b/k%26",
            bucket: "b",
            key: "k&<",
            etag: "\"x-0\"",
        };
        let text = result.render();
        let document = Document::parse(text.as_bytes()).unwrap();
        let read = |name: &str| document.root().child_text(name).unwrap();
        assert_eq!(document.root().name(), "PostResponse");
        let names = ["Location", "Bucket", "Key", "ETag"];
        let expected = [result.location, result.bucket, result.key, result.etag];
        assert_eq!(names.map(read), expected);
    }
}
