//! What the runner itself does of a multipart upload: it begins, lists and completes it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use aws_lc_rs::digest;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    error::LoadError,
    sign::{self, Unsigned},
    wire::ResponseReader,
};

/// An upload that runs.
#[derive(Debug)]
pub(crate) struct Upload {
    target: SocketAddr,
    path: String,
    id: String,
}

/// A part as it is listed.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Its number.
    pub(crate) number: u64,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// Its entity tag, escaped for XML.
    etag: String,
}

impl Upload {
    /// Begins one.
    pub(crate) fn create(target: SocketAddr, path: &str) -> Result<Self, LoadError> {
        let answer = call(target, "POST", &format!("{path}?uploads="), "")?;
        let id = element(&answer.body, "UploadId").unwrap_or_default();
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong(path, "no upload id"));
        }
        Ok(Self {
            target,
            path: path.to_owned(),
            id: utf8_percent_encode(id, NON_ALPHANUMERIC).to_string(),
        })
    }

    /// Where a part goes.
    pub(crate) fn part(&self, number: u64) -> String {
        format!("{}?partNumber={number}&uploadId={}", self.path, self.id)
    }

    /// All parts, page by page.
    pub(crate) fn list(&self) -> Result<Vec<Listed>, LoadError> {
        let mut parts: Vec<Listed> = Vec::new();
        loop {
            let marker = parts.last().map_or(0, |part| part.number);
            let query = format!("part-number-marker={marker}&uploadId={}", self.id);
            let answer = call(self.target, "GET", &format!("{}?{query}", self.path), "")?;
            let page = answer.body.split("<Part>").skip(1).map(listed);
            let page: Option<Vec<Listed>> = page.collect();
            let page = page.ok_or_else(|| wrong(&self.path, "a list that cannot be read"))?;
            let is_truncated = element(&answer.body, "IsTruncated") == Some("true");
            if is_truncated && page.is_empty() {
                return Err(wrong(&self.path, "a list without an end"));
            }
            parts.extend(page);
            if !is_truncated {
                return Ok(parts);
            }
        }
    }

    /// Makes an object of all parts.
    pub(crate) fn complete(&self) -> Result<(), LoadError> {
        let parts = self.list()?.into_iter().map(|part| {
            let Listed { number, etag, .. } = part;
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        });
        let parts: String = parts.collect();
        let document = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let target = format!("{}?uploadId={}", self.path, self.id);
        let answer = call(self.target, "POST", &target, &document)?;
        match element(&answer.body, "ETag") {
            Some(_) => Ok(()),
            None => Err(wrong(&self.path, &answer.body)),
        }
    }
}

/// The size that HEAD shows of an object.
pub(crate) fn size(target: SocketAddr, path: &str) -> Result<u64, LoadError> {
    let head = call(target, "HEAD", path, "")?.head.to_lowercase();
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let length = lines.find(|(name, _)| *name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok());
    length.ok_or_else(|| wrong(path, "no size"))
}

struct Answer {
    head: String,
    body: String,
}

/// One request over a connection of its own.
fn call(target: SocketAddr, method: &str, path: &str, body: &str) -> Result<Answer, LoadError> {
    let hash = digest::digest(&digest::SHA256, body.as_bytes());
    let hash = data_encoding::HEXLOWER.encode(hash.as_ref());
    let head = sign::head(Unsigned {
        method,
        host: target,
        target: path,
        sha256: Some(&hash),
        length: (method == "POST").then_some(body.len() as u64),
    })?;
    let context = || LoadError::io(format!("{method} {path}"));
    let mut stream = TcpStream::connect(target).map_err(context())?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(context())?;
    let request = format!("{head}connection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).map_err(context())?;
    let mut wire = Vec::new();
    stream.read_to_end(&mut wire).map_err(context())?;
    let answer = read(&wire, method)?;
    if answer.head.starts_with("HTTP/1.1 200") {
        return Ok(answer);
    }
    let reason = format!("{}: {}", answer.head, answer.body);
    Err(wrong(path, &reason))
}

fn read(wire: &[u8], method: &str) -> Result<Answer, LoadError> {
    let text = String::from_utf8_lossy(wire);
    let (head, _) = text.split_once("\r\n\r\n").unwrap_or_default();
    let mut body = Vec::new();
    if method != "HEAD" {
        ResponseReader::default().push(wire, &mut |_, data| body.extend_from_slice(data))?;
    }
    Ok(Answer {
        head: head.to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn listed(part: &str) -> Option<Listed> {
    Some(Listed {
        number: element(part, "PartNumber")?.parse().ok()?,
        size: element(part, "Size")?.parse().ok()?,
        etag: element(part, "ETag")?.to_owned(),
    })
}

/// The text of the first element of this name.
fn element<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

fn wrong(path: &str, reason: &str) -> LoadError {
    LoadError::Answer {
        target: path.to_owned(),
        reason: reason.to_owned(),
    }
}

/// A completion of 10,000 parts takes a while.
const PATIENCE: Duration = Duration::from_mins(5);
