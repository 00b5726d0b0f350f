//! Which S3 operation a request is: by method, sub-resource and copy source.
//!
//! What the tables do not name is [`Operation::Unknown`] and is refused: a write that is forwarded
//! without being understood could store plaintext, or act on ciphertext as if it were plaintext.

mod routes;

use std::fmt;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};

use self::routes::{BUCKET_ROUTES, OBJECT_ROUTES, Route, SERVICE_ROUTES, Verb};
use super::headers::X_AMZ_COPY_SOURCE;
use super::hoisted::{self, Hoisted};
use super::query::Query;
use super::target::Target;
use super::uri;

/// An operation of the S3 API. Operations that are relayed and have nothing special about them
/// are [`Self::Bucket`] and [`Self::Object`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the S3 API reference")]
pub enum Operation {
    AbortMultipartUpload,
    /// A sub-resource of a bucket that is relayed: policies, tags, lifecycle and the like.
    Bucket(Relayed),
    CompleteMultipartUpload,
    CopyObject,
    CreateBucket,
    CreateMultipartUpload,
    CreateSession,
    DeleteBucket,
    DeleteBucketEncryption,
    DeleteObject,
    DeleteObjects,
    GetBucketEncryption,
    GetObject,
    GetObjectAttributes,
    GetObjectTorrent,
    HeadBucket,
    HeadObject,
    ListBuckets,
    ListMultipartUploads,
    ListObjectVersions,
    ListObjects,
    ListObjectsV2,
    ListParts,
    /// A sub-resource of an object that is relayed: ACL, tags, retention, legal hold.
    Object(Relayed),
    /// A browser's form upload.
    PostObject,
    /// A browser's `OPTIONS`.
    Preflight,
    PutBucketEncryption,
    PutObject,
    RenameObject,
    RestoreObject,
    SelectObjectContent,
    UpdateObjectEncryption,
    UploadPart,
    UploadPartCopy,
    WriteGetObjectResponse,
    /// Nothing that the tables name: refused with 501.
    Unknown {
        /// The method of the request.
        method: Method,
        /// What is unknown about it, for the client and the log; bounded.
        what: String,
    },
}

/// A relayed operation, by its name in the S3 API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    name: &'static str,
    writes: bool,
}

impl Operation {
    /// The name in the S3 API, for spans and metrics: one of a bounded set.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AbortMultipartUpload => "AbortMultipartUpload",
            Self::Bucket(relayed) | Self::Object(relayed) => relayed.name,
            Self::CompleteMultipartUpload => "CompleteMultipartUpload",
            Self::CopyObject => "CopyObject",
            Self::CreateBucket => "CreateBucket",
            Self::CreateMultipartUpload => "CreateMultipartUpload",
            Self::CreateSession => "CreateSession",
            Self::DeleteBucket => "DeleteBucket",
            Self::DeleteBucketEncryption => "DeleteBucketEncryption",
            Self::DeleteObject => "DeleteObject",
            Self::DeleteObjects => "DeleteObjects",
            Self::GetBucketEncryption => "GetBucketEncryption",
            Self::GetObject => "GetObject",
            Self::GetObjectAttributes => "GetObjectAttributes",
            Self::GetObjectTorrent => "GetObjectTorrent",
            Self::HeadBucket => "HeadBucket",
            Self::HeadObject => "HeadObject",
            Self::ListBuckets => "ListBuckets",
            Self::ListMultipartUploads => "ListMultipartUploads",
            Self::ListObjectVersions => "ListObjectVersions",
            Self::ListObjects => "ListObjects",
            Self::ListObjectsV2 => "ListObjectsV2",
            Self::ListParts => "ListParts",
            Self::PostObject => "PostObject",
            Self::Preflight => "Preflight",
            Self::PutBucketEncryption => "PutBucketEncryption",
            Self::PutObject => "PutObject",
            Self::RenameObject => "RenameObject",
            Self::RestoreObject => "RestoreObject",
            Self::SelectObjectContent => "SelectObjectContent",
            Self::UpdateObjectEncryption => "UpdateObjectEncryption",
            Self::UploadPart => "UploadPart",
            Self::UploadPartCopy => "UploadPartCopy",
            Self::WriteGetObjectResponse => "WriteGetObjectResponse",
            Self::Unknown { .. } => "Unknown",
        }
    }

    /// Whether it changes anything: what a read-only client may not do.
    pub fn writes(&self) -> bool {
        match self {
            Self::Bucket(relayed) | Self::Object(relayed) => relayed.writes,
            Self::CreateSession
            | Self::GetBucketEncryption
            | Self::GetObject
            | Self::GetObjectAttributes
            | Self::GetObjectTorrent
            | Self::HeadBucket
            | Self::HeadObject
            | Self::ListBuckets
            | Self::ListMultipartUploads
            | Self::ListObjectVersions
            | Self::ListObjects
            | Self::ListObjectsV2
            | Self::ListParts
            | Self::Preflight
            | Self::SelectObjectContent => false,
            Self::AbortMultipartUpload
            | Self::CompleteMultipartUpload
            | Self::CopyObject
            | Self::CreateBucket
            | Self::CreateMultipartUpload
            | Self::DeleteBucket
            | Self::DeleteBucketEncryption
            | Self::DeleteObject
            | Self::DeleteObjects
            | Self::PostObject
            | Self::PutBucketEncryption
            | Self::PutObject
            | Self::RenameObject
            | Self::RestoreObject
            | Self::UpdateObjectEncryption
            | Self::UploadPart
            | Self::UploadPartCopy
            | Self::WriteGetObjectResponse
            | Self::Unknown { .. } => true,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a request looks like that is an operation of the tables.
#[derive(Clone, Debug)]
pub struct RequestShape {
    /// The method.
    pub method: Method,
    /// What it is about.
    pub place: Place,
    /// A query that chooses the operation, with values that mean nothing; may be empty.
    pub query: String,
    /// What a request without further headers is.
    pub operation: Operation,
}

/// What a request can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// All buckets.
    Service,
    /// A bucket.
    Bucket,
    /// An object.
    Object,
}

/// Every row of the tables, for whoever has something to say about all operations. Those that only
/// a header or a value tells apart are not among them: CopyObject, `UploadPartCopy`, ListObjects with
/// another `list-type`, Preflight, `WriteGetObjectResponse`.
pub fn request_shapes() -> impl Iterator<Item = RequestShape> {
    let tables = [
        (Place::Service, SERVICE_ROUTES),
        (Place::Bucket, BUCKET_ROUTES),
        (Place::Object, OBJECT_ROUTES),
    ];
    tables.into_iter().flat_map(|(place, routes)| {
        routes.iter().map(move |route| RequestShape {
            method: route.verb.method(),
            place,
            query: route.query(),
            operation: route.operation.clone(),
        })
    })
}

/// Names the operation of a request; total.
pub fn classify(
    method: &Method,
    target: &Target,
    query: Query<'_>,
    headers: &HeaderMap,
) -> Operation {
    if method == Method::OPTIONS {
        return Operation::Preflight;
    }
    find(method, target, query, headers).unwrap_or_else(|what| Operation::Unknown {
        method: method.clone(),
        what,
    })
}

fn find(
    method: &Method,
    target: &Target,
    query: Query<'_>,
    headers: &HeaderMap,
) -> Result<Operation, String> {
    let verb = Verb::of(method).ok_or("the method")?;
    if matches!(target, Target::Bucket { bucket } if bucket.as_str() == OBJECT_LAMBDA) {
        return match verb {
            Verb::Post => Ok(Operation::WriteGetObjectResponse),
            Verb::Delete | Verb::Get | Verb::Head | Verb::Put => Err(OBJECT_LAMBDA.to_owned()),
        };
    }
    let routes = match target {
        Target::Service => SERVICE_ROUTES,
        Target::Bucket { .. } => BUCKET_ROUTES,
        Target::Object { .. } => OBJECT_ROUTES,
    };
    let parameters = Parameters::read(query)?;
    let route = route_for(routes, verb, &parameters)?;
    let operation = refine(route.operation.clone(), query, headers)?;
    let copies = parameters.copy_source || headers.contains_key(X_AMZ_COPY_SOURCE);
    if copies {
        copy_of(&operation)
    } else {
        Ok(operation)
    }
}

/// The query of a request, sorted out.
struct Parameters {
    /// Decoded names that are left for a route to know; none is there twice.
    names: Vec<String>,
    /// Whether `x-amz-copy-source` was among the headers that stand in the query.
    copy_source: bool,
}

impl Parameters {
    fn read(query: Query<'_>) -> Result<Self, String> {
        let mut all = Self {
            names: Vec::new(),
            copy_source: false,
        };
        for (raw, _) in query.pairs() {
            let name = String::from_utf8(uri::decode(raw).into_owned())
                .map_err(|_| "a query parameter that is not UTF-8".to_owned())?;
            match hoisted::kind(&name) {
                Hoisted::Authentication => {}
                Hoisted::Header(header) => all.copy_source |= header == X_AMZ_COPY_SOURCE,
                Hoisted::Refused => return Err(parameter(&name)),
                Hoisted::No if name.is_empty() => {
                    return Err("a query parameter without a name".to_owned());
                }
                Hoisted::No if name == SDK_HINT => {}
                Hoisted::No if all.names.contains(&name) => {
                    return Err(format!("{} twice", parameter(&name)));
                }
                Hoisted::No => all.names.push(name),
            }
        }
        Ok(all)
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|found| found == name)
    }
}

/// The one route that knows every parameter of the request.
fn route_for<'a>(
    routes: &'a [Route],
    verb: Verb,
    parameters: &Parameters,
) -> Result<&'a Route, String> {
    let is_subresource = |name: &&String| routes.iter().any(|route| route.subresource == **name);
    let mut subresources = parameters.names.iter().filter(is_subresource);
    let subresource = subresources.next().map_or("", String::as_str);
    if let Some(second) = subresources.next() {
        return Err(format!(
            "{} with {}",
            parameter(subresource),
            parameter(second)
        ));
    }
    let route = routes
        .iter()
        .filter(|route| route.verb == verb && route.subresource == subresource)
        .find(|route| route.needs.is_none_or(|needed| parameters.has(needed)))
        .ok_or_else(|| match subresource {
            "" => "the method here".to_owned(),
            _ => parameter(subresource),
        })?;
    let stranger = parameters.names.iter().find(|name| {
        let known = [subresource, route.needs.unwrap_or_default()].contains(&name.as_str());
        !known && !route.parameters.contains(&name.as_str())
    });
    stranger.map_or(Ok(route), |name| Err(parameter(name)))
}

/// Tells apart what a value or a header tells apart.
fn refine(
    operation: Operation,
    query: Query<'_>,
    headers: &HeaderMap,
) -> Result<Operation, String> {
    if operation == Operation::ListObjectsV2 && query.get("list-type").as_deref() != Some(b"2") {
        return Ok(Operation::ListObjects);
    }
    if operation == Operation::PostObject {
        let form = headers.get(CONTENT_TYPE).is_some_and(|value| {
            let kind = value.as_bytes().get(..FORM.len());
            kind.is_some_and(|kind| kind.eq_ignore_ascii_case(FORM))
        });
        return if form {
            Ok(operation)
        } else {
            Err("a POST that is no form".to_owned())
        };
    }
    Ok(operation)
}

/// What an operation becomes by naming a copy source.
fn copy_of(operation: &Operation) -> Result<Operation, String> {
    if *operation == Operation::PutObject {
        Ok(Operation::CopyObject)
    } else if *operation == Operation::UploadPart {
        Ok(Operation::UploadPartCopy)
    } else {
        Err(format!("{X_AMZ_COPY_SOURCE} on {operation}"))
    }
}

/// Names a parameter in a text, without letting it grow the text at will.
fn parameter(name: &str) -> String {
    let shown: String = name.chars().take(SHOWN_NAME_LEN_MAX).collect();
    format!("query parameter {}", shown.escape_debug())
}

/// Where S3 Object Lambda functions post their answers.
const OBJECT_LAMBDA: &str = "WriteGetObjectResponse";

/// SDKs name the operation in it; S3 ignores it.
const SDK_HINT: &str = "x-id";

const FORM: &[u8] = b"multipart/form-data";

const SHOWN_NAME_LEN_MAX: usize = 64;

#[cfg(test)]
mod tests;
