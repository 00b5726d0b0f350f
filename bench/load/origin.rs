//! An S3-shaped origin that costs little: it answers from memory, throws away or keeps, and
//! believes every signature.
//!
//! `PUT /sink/...` discards, `PUT /store/...` keeps body and user metadata, `GET` and `HEAD` serve
//! what is kept with ranges, `GET /BUCKET?list-type=2` lists 1,000 made-up keys. Multipart uploads
//! are kept in the same way: of parts below `/sink/` only the sizes are.

use std::{
    cell::RefCell,
    collections::HashMap,
    convert::Infallible,
    fmt::Write as _,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task};

use crate::{
    chunked::ChunkDecoder,
    error::LoadError,
    uploads::{self, Finished, Part, Uploads},
};

/// The worker process: prints its address, then serves until it is killed.
pub(crate) fn work() -> Result<(), LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(LoadError::io("starting a runtime"))?;
    task::LocalSet::new().block_on(&runtime, serve())
}

/// Binds a port of the system's choice and tells the runner.
pub(crate) async fn announced_listener() -> Result<TcpListener, LoadError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(address)
        .await
        .map_err(LoadError::io("binding a port"))?;
    let address = listener
        .local_addr()
        .map_err(LoadError::io("binding a port"))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{address}").map_err(LoadError::io("announcing the address"))?;
    Ok(listener)
}

async fn serve() -> Result<(), LoadError> {
    let listener = announced_listener().await?;
    let store = Rc::new(Store::new());
    loop {
        let (stream, _) = listener
            .accept()
            .await
            .map_err(LoadError::io("accepting"))?;
        stream
            .set_nodelay(true)
            .map_err(LoadError::io("accepting"))?;
        let store = Rc::clone(&store);
        task::spawn_local(async move {
            let service = service_fn(|request| {
                let store = Rc::clone(&store);
                async move { Ok::<_, Infallible>(store.answer(request).await) }
            });
            let mut server = http1::Builder::new();
            server.max_buf_size(READ_BUFFER);
            // A client that went away is its own affair: orders may stop in the middle.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// What is kept, by path.
struct Store {
    objects: RefCell<HashMap<String, Object>>,
    uploads: RefCell<Uploads>,
    listing: Bytes,
}

/// An object: cheap to clone.
#[derive(Clone)]
struct Object {
    body: Bytes,
    /// More than the body has if that was thrown away.
    len: u64,
    etag: String,
    metadata: HeaderMap,
}

type Answer = Response<Full<Bytes>>;

impl Store {
    fn new() -> Self {
        Self {
            objects: RefCell::default(),
            uploads: RefCell::default(),
            listing: listing().into(),
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (path, query) = (
            request.uri().path(),
            request.uri().query().unwrap_or_default(),
        );
        let in_bucket = path.trim_matches('/').contains('/');
        if let Some(id) = uploads::id_of(query) {
            return self.answer_upload(id, request).await;
        }
        match *request.method() {
            Method::POST if query == "uploads" || query == "uploads=" => {
                let metadata = user_metadata(request.headers());
                xml(self.uploads.borrow_mut().create(path, metadata).into())
            }
            Method::PUT if path.starts_with("/sink/") => discard(request.into_body()).await,
            Method::PUT if path.starts_with("/store/") => self.keep(request).await,
            Method::GET if !in_bucket && query.contains("list-type=2") => xml(self.listing.clone()),
            Method::GET if path == "/" => xml(Bytes::from_static(NO_BUCKETS)),
            Method::GET | Method::HEAD if in_bucket => self.find(&request),
            Method::HEAD | Method::PUT => empty(StatusCode::OK),
            Method::DELETE => {
                self.objects.borrow_mut().remove(path);
                empty(StatusCode::NO_CONTENT)
            }
            _ => failure(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
        }
    }

    /// A request about the upload `id`.
    async fn answer_upload(&self, id: u64, request: Request<Incoming>) -> Answer {
        let query = request.uri().query().unwrap_or_default();
        match *request.method() {
            Method::PUT => {
                let number = uploads::number(query, "partNumber").unwrap_or_default();
                let part = match receive_part(request).await {
                    Ok(part) => part,
                    Err(code) => return failure(StatusCode::BAD_REQUEST, code),
                };
                let is_taken = self.uploads.borrow_mut().add(id, number, part);
                is_taken.map_or_else(no_such_upload, |()| accepted())
            }
            Method::GET => {
                let marker = uploads::number(query, "part-number-marker").unwrap_or_default();
                let max = uploads::number(query, "max-parts").unwrap_or(1000);
                let page = self.uploads.borrow().list(id, marker, max);
                page.map_or_else(no_such_upload, |page| xml(page.into()))
            }
            Method::POST => {
                let path = request.uri().path().to_owned();
                let finished = self.uploads.borrow_mut().complete(id);
                finished.map_or_else(no_such_upload, |finished| self.complete(path, finished))
            }
            Method::DELETE => {
                self.uploads.borrow_mut().abort(id);
                empty(StatusCode::NO_CONTENT)
            }
            _ => failure(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
        }
    }

    fn complete(&self, path: String, finished: Finished) -> Answer {
        let document = finished.document();
        let object = Object {
            body: finished.body,
            len: finished.len,
            etag: finished.etag,
            metadata: finished.metadata,
        };
        self.objects.borrow_mut().insert(path, object);
        xml(document.into())
    }

    async fn keep(&self, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        match collect(&parts.headers, body).await {
            Ok(body) => {
                let metadata = user_metadata(&parts.headers);
                let object = Object {
                    len: body.len() as u64,
                    body,
                    etag: ETAG.to_owned(),
                    metadata,
                };
                self.objects
                    .borrow_mut()
                    .insert(parts.uri.path().to_owned(), object);
                accepted()
            }
            Err(code) => failure(StatusCode::BAD_REQUEST, code),
        }
    }

    fn find(&self, request: &Request<Incoming>) -> Answer {
        let Some(object) = self.objects.borrow().get(request.uri().path()).cloned() else {
            return failure(StatusCode::NOT_FOUND, "NoSuchKey");
        };
        let total = object.body.len();
        let range = request
            .headers()
            .get(header::RANGE)
            .and_then(|range| range.to_str().ok());
        let mut answer = match range.map(|range| parse_range(range, total)) {
            None => Response::new(Full::new(object.body)),
            Some(Some((first, last))) => partial(&object.body, first, last),
            Some(None) => failure(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"),
        };
        let headers = answer.headers_mut();
        headers.extend(object.metadata);
        if request.method() == Method::HEAD {
            headers.insert(header::CONTENT_LENGTH, object.len.into());
        }
        if let Ok(etag) = HeaderValue::try_from(object.etag) {
            headers.insert(header::ETAG, etag);
        }
        headers.insert(
            header::LAST_MODIFIED,
            HeaderValue::from_static(LAST_MODIFIED),
        );
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        answer
    }
}

/// Below `/sink/` only the length is kept.
async fn receive_part(request: Request<Incoming>) -> Result<Part, &'static str> {
    let (parts, mut body) = request.into_parts();
    if !parts.uri.path().starts_with("/sink/") {
        let body = collect(&parts.headers, body).await?;
        return Ok(Part::new(body.len() as u64, body));
    }
    let len = stored_len(&parts.headers).ok_or("MissingContentLength")?;
    while let Some(frame) = body.frame().await {
        frame.map_err(|_| "IncompleteBody")?;
    }
    Ok(Part::new(len, Bytes::new()))
}

/// What a body holds without its framing.
fn stored_len(headers: &HeaderMap) -> Option<u64> {
    let names = ["x-amz-decoded-content-length", "content-length"];
    let value = names.iter().find_map(|name| headers.get(*name));
    value?.to_str().ok()?.parse().ok()
}

fn no_such_upload() -> Answer {
    failure(StatusCode::NOT_FOUND, "NoSuchUpload")
}

async fn discard(mut body: Incoming) -> Answer {
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return failure(StatusCode::BAD_REQUEST, "IncompleteBody");
        }
    }
    accepted()
}

/// The whole body, taken out of aws-chunks, its CRC64NVME trailer checked; or an S3 error code.
async fn collect(headers: &HeaderMap, mut body: Incoming) -> Result<Bytes, &'static str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let framed = text("x-amz-content-sha256").is_some_and(|hash| hash.starts_with("STREAMING-"));
    let length = text(if framed {
        "x-amz-decoded-content-length"
    } else {
        "content-length"
    });
    let length: usize = length
        .and_then(|l| l.parse().ok())
        .ok_or("MissingContentLength")?;
    let mut decoder = ChunkDecoder::default();
    let mut out = Vec::with_capacity(length);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| "IncompleteBody")?.into_data() else {
            continue;
        };
        if framed {
            let push = decoder.push(&data, &mut |data| out.extend_from_slice(data));
            push.map_err(|_| "InvalidRequest")?;
        } else {
            out.extend_from_slice(&data);
        }
    }
    if out.len() != length || (framed && !decoder.is_done()) {
        return Err("IncompleteBody");
    }
    let sum = decoder
        .trailers()
        .iter()
        .find(|(name, _)| name == "x-amz-checksum-crc64nvme");
    match sum {
        Some((_, sum)) if *sum != crc64nvme(&out) => Err("BadDigest"),
        Some(_) | None => Ok(out.into()),
    }
}

fn crc64nvme(bytes: &[u8]) -> String {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes);
    data_encoding::BASE64.encode(&sum.to_be_bytes())
}

fn user_metadata(headers: &HeaderMap) -> HeaderMap {
    let kept = |name: &str| name.starts_with("x-amz-meta-") || name == "content-type";
    let pairs = headers.iter().filter(|(name, _)| kept(name.as_str()));
    pairs
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// First and last byte of `bytes=a-b`, `bytes=a-` or `bytes=-n`; none if it cannot be satisfied.
fn parse_range(range: &str, total: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let end = total.checked_sub(1)?;
    let (first, last) = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => (first, last.min(end)),
        (Ok(first), Err(_)) => (first, end),
        (Err(_), Ok(suffix)) => (total.saturating_sub(suffix), end),
        (Err(_), Err(_)) => return None,
    };
    (first <= last).then_some((first, last))
}

fn partial(body: &Bytes, first: usize, last: usize) -> Answer {
    let mut answer = Response::new(Full::new(body.slice(first..=last)));
    *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    let range = format!("bytes {first}-{last}/{}", body.len());
    if let Ok(range) = HeaderValue::from_str(&range) {
        answer.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    answer
}

fn accepted() -> Answer {
    let mut answer = empty(StatusCode::OK);
    answer
        .headers_mut()
        .insert(header::ETAG, HeaderValue::from_static(ETAG));
    answer
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

fn failure(status: StatusCode, code: &str) -> Answer {
    let mut answer = xml(format!("<Error><Code>{code}</Code></Error>").into());
    *answer.status_mut() = status;
    answer
}

fn xml(body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    let kind = HeaderValue::from_static("application/xml");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// `ListObjectsV2` as S3 prints it; every size is one that a sealed object can have.
fn listing() -> String {
    let mut xml = String::from(concat!(
        r#"<?xml version="1.0" encoding="UTF-8"?>"#,
        "\n",
        r#"<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>store</Name>"#,
        "<Prefix></Prefix><KeyCount>1000</KeyCount><MaxKeys>1000</MaxKeys>",
        "<IsTruncated>false</IsTruncated>",
    ));
    for number in 0..1000_u64 {
        let plaintext = number * 7919;
        let stored = plaintext + 16 * plaintext.div_ceil(65_536).max(1) + 128;
        let _ = write!(
            xml,
            "<Contents><Key>backups/2026/07/{number:06}/segment.parquet</Key>\
             <LastModified>2026-07-01T00:00:00.000Z</LastModified>\
             <ETag>&quot;9e107d9d372bb6826bd81d3542a419d6&quot;</ETag>\
             <Size>{stored}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        ); // a String takes everything
    }
    xml + "</ListBucketResult>"
}

pub(crate) const ETAG: &str = "\"9e107d9d372bb6826bd81d3542a419d6\"";
const LAST_MODIFIED: &str = "Wed, 01 Jul 2026 00:00:00 GMT";
const NO_BUCKETS: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListAllMyBucketsResult \
    xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Owner><ID>bench</ID></Owner><Buckets/>\
    </ListAllMyBucketsResult>";

/// As much per read as a loopback socket ever holds.
const READ_BUFFER: usize = 1024 * 1024;
