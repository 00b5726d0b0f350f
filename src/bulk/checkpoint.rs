//! How far a run has come: a small JSON document in a file or in the upstream.

use std::io::Write as _;
use std::path::PathBuf;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::body::{BodyError, collect};
use crate::upstream::request::{Payload, UpstreamRequest};
use crate::upstream::{Upstream, UpstreamError};

/// The checkpoint of one command and prefix.
pub struct Checkpoint<'a> {
    upstream: &'a Upstream,
    place: Place,
    task: Task,
}

/// Where a checkpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// An object in the upstream.
    Object {
        /// Its bucket.
        bucket: String,
        /// Its key.
        key: String,
    },
}

/// What a checkpoint is of: one of something else is never gone on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The command.
    pub command: String,
    /// The bucket.
    pub bucket: String,
    /// The prefix.
    pub prefix: String,
}

/// Why a checkpoint cannot be used.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The file cannot be read or written.
    #[error("checkpoint {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// No answer from the upstream.
    #[error("checkpoint: {0}")]
    Upstream(#[from] UpstreamError),
    /// The upstream's answer broke off.
    #[error("checkpoint: {0}")]
    Body(#[from] BodyError),
    /// The upstream says no.
    #[error("checkpoint: the upstream answers {0}")]
    Refused(StatusCode),
    /// It is none, or of another run.
    #[error(
        "checkpoint: it is not one of this command, bucket and prefix: remove it, or name another"
    )]
    Foreign,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    task: Task,
    /// The last key of the last page that was done.
    after: String,
    /// Objects up to there for which the work failed.
    #[serde(default)]
    left: u64,
}

/// Where a run goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Behind this key; at the beginning where `None`.
    pub after: Option<String>,
    /// Objects up to there for which the work failed.
    pub left: u64,
}

impl Place {
    /// Whether it is among the objects of a prefix.
    pub fn is_within(&self, of_bucket: &str, prefix: &str) -> bool {
        match self {
            Self::File(_) => false,
            Self::Object { bucket, key } => bucket == of_bucket && key.starts_with(prefix),
        }
    }

    /// Reads `s3://bucket/key`, `file:///path` or a path; `None` if it is none of them.
    pub fn parse(url: &str) -> Option<Self> {
        if let Some(rest) = url.strip_prefix("s3://") {
            let (bucket, key) = rest.split_once('/')?;
            let is_whole = !bucket.is_empty() && !key.is_empty() && !key.ends_with('/');
            return is_whole.then(|| Self::Object {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
            });
        }
        let path = url.strip_prefix("file://").unwrap_or(url);
        (!path.is_empty() && !path.contains("://")).then(|| Self::File(path.into()))
    }
}

impl<'a> Checkpoint<'a> {
    /// The checkpoint of a task at a place.
    pub fn new(upstream: &'a Upstream, place: Place, task: Task) -> Self {
        Self {
            upstream,
            place,
            task,
        }
    }

    /// Where to go on: at the beginning if there is no checkpoint.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is of something else.
    pub async fn read(&self) -> Result<Progress, CheckpointError> {
        let Some(bytes) = self.load().await? else {
            return Ok(Progress::default());
        };
        let document: Document =
            serde_json::from_slice(&bytes).map_err(|_| CheckpointError::Foreign)?;
        if document.version != VERSION || document.task != self.task {
            return Err(CheckpointError::Foreign);
        }
        Ok(Progress {
            after: Some(document.after),
            left: document.left,
        })
    }

    /// Every key up to `after` is done, but for `left` that failed.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub async fn write(&self, after: &str, left: u64) -> Result<(), CheckpointError> {
        let document = Document {
            version: VERSION,
            task: self.task.clone(),
            after: after.to_owned(),
            left,
        };
        let bytes = serde_json::to_vec(&document).map_err(|_| CheckpointError::Foreign)?;
        match &self.place {
            Place::File(path) => replace(path, &bytes).map_err(|source| CheckpointError::File {
                path: path.clone(),
                source,
            }),
            Place::Object { bucket, key } => {
                let mut put = request(Method::PUT, bucket, key);
                put.payload = Payload::Buffered {
                    bytes: bytes.into(),
                    checksum: false,
                };
                self.send(put).await.map(drop)
            }
        }
    }

    /// The task is done: the next run begins at the beginning.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub async fn remove(&self) -> Result<(), CheckpointError> {
        match &self.place {
            Place::File(path) => match std::fs::remove_file(path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    Err(CheckpointError::File {
                        path: path.clone(),
                        source,
                    })
                }
                Ok(()) | Err(_) => Ok(()),
            },
            Place::Object { bucket, key } => self
                .send(request(Method::DELETE, bucket, key))
                .await
                .map(drop),
        }
    }

    async fn load(&self) -> Result<Option<Vec<u8>>, CheckpointError> {
        match &self.place {
            Place::File(path) => match std::fs::read(path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(CheckpointError::File {
                    path: path.clone(),
                    source,
                }),
            },
            Place::Object { bucket, key } => self.send(request(Method::GET, bucket, key)).await,
        }
    }

    /// `None`: there is no such object.
    async fn send(&self, request: UpstreamRequest) -> Result<Option<Vec<u8>>, CheckpointError> {
        let response = self.upstream.send(request).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => {
                let body = collect(response.into_body(), DOCUMENT_LEN_MAX).await?;
                Ok(Some(body.to_vec()))
            }
            status => Err(CheckpointError::Refused(status)),
        }
    }
}

fn request(method: Method, bucket: &str, key: &str) -> UpstreamRequest {
    let mut request = UpstreamRequest::new(method, Some(bucket), Some(key));
    request.operation = "Checkpoint";
    request
}

/// Whole or not at all: a run can be killed at any time.
fn replace(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let mut file = std::fs::File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

const VERSION: u32 = 1;

/// A key of 1,024 bytes, escaped, and the names around it.
const DOCUMENT_LEN_MAX: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_files_or_objects() {
        let object = Place::Object {
            bucket: "ops".to_owned(),
            key: "a/b".to_owned(),
        };
        assert_eq!(Place::parse("s3://ops/a/b"), Some(object));
        for path in ["state.json", "file://state.json", "/tmp/x", "file:///tmp/x"] {
            let Some(Place::File(found)) = Place::parse(path) else {
                panic!("{path}");
            };
            assert_eq!(found, PathBuf::from(path.trim_start_matches("file://")));
        }
        for none in [
            "",
            "s3://ops",
            "s3://ops/",
            "s3:///key",
            "s3://ops/a/",
            "https://x/y",
        ] {
            assert_eq!(Place::parse(none), None, "{none}");
        }
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
