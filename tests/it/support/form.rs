//! Forms by hand, signed from the text of the specification: nothing is shared with the code under
//! test.

use aws_lc_rs::hmac;
use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::client::{Client, Draft, Identity};

/// A form in the making.
#[derive(Clone)]
pub struct Form {
    fields: Vec<(String, String)>,
    conditions: Vec<String>,
    expires_in: Duration,
    filename: String,
    file: Bytes,
    behind: Vec<u8>,
}

impl Form {
    /// A form for an object in `bucket`, whose policy allows any key.
    pub fn new(key: &str, file: impl Into<Bytes>) -> Self {
        Self {
            fields: vec![("key".to_owned(), key.to_owned())],
            conditions: vec![
                r#"{"bucket": "bucket"}"#.to_owned(),
                r#"["starts-with", "$key", ""]"#.to_owned(),
            ],
            expires_in: Duration::HOUR,
            filename: "file.txt".to_owned(),
            file: file.into(),
            behind: Vec::new(),
        }
    }

    /// Adds a field that the policy mentions.
    pub fn field(self, name: &str, value: &str) -> Self {
        let value_json = serde_json::Value::from(value);
        self.condition(&format!(r#"{{"{name}": {value_json}}}"#))
            .extra(name, value)
    }

    /// Adds a field that the policy does not mention.
    pub fn extra(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves out a field.
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(other, _)| other != name);
        self
    }

    /// Puts another value into a field, after it was signed.
    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).extra(name, value)
    }

    /// What a field holds.
    pub fn value(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(other, _)| other == name);
        &found.unwrap().1
    }

    /// Adds a condition to the policy.
    pub fn condition(mut self, json: &str) -> Self {
        self.conditions.push(json.to_owned());
        self
    }

    /// Drops all conditions.
    pub fn without_conditions(mut self) -> Self {
        self.conditions.clear();
        self
    }

    /// How long the policy is valid.
    pub fn expires_in(mut self, duration: Duration) -> Self {
        self.expires_in = duration;
        self
    }

    /// What the file is called.
    pub fn filename(mut self, name: &str) -> Self {
        name.clone_into(&mut self.filename);
        self
    }

    /// Another field, behind the file.
    pub fn behind(mut self, name: &str, value: &str) -> Self {
        self.behind.extend(part(name, value));
        self
    }

    /// Adds policy and signature (AWS, "Authenticating requests in browser-based uploads using
    /// POST").
    pub fn sign(self, identity: Identity) -> Self {
        let now = OffsetDateTime::now_utc();
        let day = format!(
            "{:04}{:02}{:02}",
            now.year(),
            u8::from(now.month()),
            now.day()
        );
        let scope = format!("{day}/us-east-1/s3/aws4_request");
        let credential = format!("{}/{scope}", identity.id);
        let date = format!(
            "{day}T{:02}{:02}{:02}Z",
            now.hour(),
            now.minute(),
            now.second()
        );
        let signed = self
            .field("x-amz-algorithm", "AWS4-HMAC-SHA256")
            .field("x-amz-credential", &credential)
            .field("x-amz-date", &date);
        let expiration = (now + signed.expires_in).format(&Rfc3339).unwrap();
        let policy = format!(
            r#"{{"expiration": "{expiration}", "conditions": [{}]}}"#,
            signed.conditions.join(",\n")
        );
        let policy = BASE64.encode(policy.as_bytes());
        let key = format!("AWS4{}", identity.secret).into_bytes();
        let key = scope.split('/').fold(key, |key, part| mac(&key, part));
        let signature = HEXLOWER.encode(&mac(&key, &policy));
        signed
            .extra("policy", &policy)
            .extra("x-amz-signature", &signature)
    }

    /// The body; its file begins behind the first result.
    pub fn parts(&self) -> (Vec<u8>, Vec<u8>) {
        let mut head: Vec<u8> = Vec::new();
        for (name, value) in &self.fields {
            head.extend(part(name, value));
        }
        let file = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
             Content-Type: text/html\r\n\r\n",
            self.filename
        );
        head.extend_from_slice(file.as_bytes());
        let end = format!("--{BOUNDARY}--\r\n");
        let rest = [&self.file[..], b"\r\n", &self.behind, end.as_bytes()].concat();
        (head, rest)
    }

    /// The request, which is signed nowhere else.
    pub fn draft(&self, client: &Client, target: &str) -> Draft {
        let (head, rest) = self.parts();
        client
            .unsigned("POST", target)
            .header("content-type", CONTENT_TYPE)
            .body([head, rest].concat())
    }
}

fn part(name: &str, value: &str) -> Vec<u8> {
    let part = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
    );
    part.into_bytes()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

const BOUNDARY: &str = "----boundary-of-the-tests";

/// The header of every form.
pub const CONTENT_TYPE: &str = "multipart/form-data; boundary=----boundary-of-the-tests";
