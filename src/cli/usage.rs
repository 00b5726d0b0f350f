//! `s3seal usage`: which keys, versions and modes the objects of a prefix are under. Nothing is
//! proven: no key is used.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Method, StatusCode};
use serde::Serialize;

use super::CommandError;
use super::bulk::{self, BulkArgs, End, Work};
use crate::error::Error;
use crate::format::{Metadata, WrapKind};
use crate::keys::types::{KeyRef, Mode};
use crate::ops::context::Cx;
use crate::upstream::request::UpstreamRequest;
use crate::upstream::walk::{Listed, Which};

/// Arguments of `usage`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    bulk: BulkArgs,
    /// Every version, and not only the current ones
    #[arg(long)]
    versions: bool,
}

/// One kind of object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Kind {
    mode: &'static str,
    provider: &'static str,
    key_id: String,
    key_version: u32,
    wrap: &'static str,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Count {
    objects: u64,
    stored_bytes: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    kind: Kind,
    #[serde(flatten)]
    count: Count,
}

#[derive(Clone, Debug, Serialize)]
struct Summary {
    #[serde(flatten)]
    end: End,
    keys: Vec<Row>,
    not_encrypted: Count,
    gone: u64,
    failed: u64,
}

#[derive(Default)]
struct Counting {
    which: Which,
    kinds: RefCell<BTreeMap<Kind, Count>>,
    others: RefCell<(Count, u64, u64)>,
}

/// Asks the upstream, not the proxy.
pub fn run(args: &Args) -> Result<(), CommandError> {
    bulk::run(&args.bulk, async |_, _, _| {
        Ok(Counting {
            which: Which::of(args.versions),
            ..Counting::default()
        })
    })
}

/// What is found under a name.
pub(super) enum Looked {
    /// One of ours, of so many stored bytes; its key-encryption key is the one in use.
    Sealed(Box<Sealed>),
    /// Something else, of so many bytes.
    NotEncrypted(u64),
    /// It is not there any more.
    Gone,
    /// It cannot be looked at.
    Failed(String),
}

/// See [`Looked::Sealed`].
pub(super) struct Sealed {
    pub(super) kek: KeyRef,
    mode: Mode,
    wrap: WrapKind,
    stored_len: u64,
}

/// Asks the upstream what an object is under.
pub(super) async fn look(cx: &Cx, bucket: &str, object: &Listed) -> Result<Looked, Error> {
    let key = object.key.as_str();
    let mut request = UpstreamRequest::new(Method::HEAD, Some(bucket), Some(key));
    request.operation = "HeadObject";
    request.query = object.version_query();
    let head = cx.upstream.send(request).await?;
    let headers = head.headers();
    let len = headers
        .get("content-length")
        .and_then(|len| len.to_str().ok()?.parse().ok())
        .unwrap_or_default();
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    if head.status() == StatusCode::OK && !object.is_shown_by(headers) {
        return Ok(Looked::Failed(OTHER_VERSION.to_owned()));
    }
    Ok(match (head.status(), Metadata::parse(pairs)) {
        (StatusCode::NOT_FOUND, _) => Looked::Gone,
        (StatusCode::OK, Ok(None)) => Looked::NotEncrypted(len),
        (StatusCode::OK, Ok(Some(metadata))) => {
            let Some(kek) = kek_in_use(cx, bucket, key, &metadata).await else {
                return Ok(Looked::Failed(REGISTRY_AWAY.to_owned()));
            };
            let head = metadata.envelope.head();
            Looked::Sealed(Box::new(Sealed {
                kek,
                mode: head.mode(),
                wrap: head.wrap(),
                stored_len: len,
            }))
        }
        (StatusCode::OK, Err(error)) => Looked::Failed(error.to_string()),
        (status, _) => Looked::Failed(format!("the upstream answers {status}")),
    })
}

/// Of a bucket key the wrap in use counts: the registry's, if it has one. `None` where it cannot be asked.
async fn kek_in_use(cx: &Cx, bucket: &str, key: &str, metadata: &Metadata) -> Option<KeyRef> {
    let rule = cx.rules.find(bucket, Some(key));
    let logical = rule.map_or(bucket, |rule| rule.rule.logical_bucket(bucket));
    let current = cx.keys.current_wrap(&metadata.envelope, logical).await;
    let current = current.ok().filter(|current| !current.is_unsure())?;
    Some(current.kek().clone())
}

impl Counting {
    fn count(&self, looked: Looked, say: &dyn Fn(&str)) {
        let mut others = self.others.borrow_mut();
        match looked {
            Looked::Gone => others.1 += 1,
            Looked::NotEncrypted(len) => others.0.add(len),
            Looked::Sealed(sealed) => {
                let mut kinds = self.kinds.borrow_mut();
                let kind = Kind::of(&sealed);
                kinds.entry(kind).or_default().add(sealed.stored_len);
            }
            Looked::Failed(reason) => {
                others.2 += 1;
                say(&reason);
            }
        }
    }
}

impl Kind {
    fn of(
        Sealed {
            kek, mode, wrap, ..
        }: &Sealed,
    ) -> Self {
        Self {
            mode: match mode {
                Mode::Managed => "AES256",
                Mode::NamedKey => "aws:kms",
                Mode::CustomerKey => "SSE-C",
            },
            provider: kek.provider.name(),
            key_id: kek.id.clone(),
            key_version: kek.version,
            wrap: match wrap {
                WrapKind::Direct => "direct",
                WrapKind::BucketKey => "bucket-key",
            },
        }
    }
}

impl Count {
    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.stored_bytes += bytes;
    }
}

impl Work for Counting {
    type Summary = Summary;

    fn command(&self) -> String {
        self.which.command("usage")
    }

    fn which(&self) -> Which {
        self.which
    }

    async fn one(
        &self,
        cx: &Arc<Cx>,
        bucket: &str,
        object: &Listed,
        say: &dyn Fn(&str),
    ) -> Result<(), Error> {
        match look(cx, bucket, object).await {
            Ok(looked) => self.count(looked, say),
            Err(error) => {
                self.others.borrow_mut().2 += 1;
                return Err(error);
            }
        }
        Ok(())
    }

    fn counts(&self) -> (u64, u64) {
        let (plain, gone, failed) = self.others.borrow().clone();
        let sealed: u64 = self
            .kinds
            .borrow()
            .values()
            .map(|count| count.objects)
            .sum();
        (sealed + plain.objects + gone + failed, failed)
    }

    fn summary(&self, end: End) -> Summary {
        let (not_encrypted, gone, failed) = self.others.borrow().clone();
        let kinds = self.kinds.borrow().clone().into_iter();
        Summary {
            end,
            keys: kinds.map(|(kind, count)| Row { kind, count }).collect(),
            not_encrypted,
            gone,
            failed,
        }
    }

    fn table(&self, summary: &Summary) -> String {
        let mut lines = vec![format!(
            "{:>10} {:>16}  {:<8} {:<8} {:<11} key",
            "objects", "stored bytes", "mode", "provider", "wrap"
        )];
        for Row { kind, count } in &summary.keys {
            lines.push(format!(
                "{:>10} {:>16}  {:<8} {:<8} {:<11} {} version {}",
                count.objects,
                count.stored_bytes,
                kind.mode,
                kind.provider,
                kind.wrap,
                kind.key_id,
                kind.key_version
            ));
        }
        let Count {
            objects,
            stored_bytes,
        } = summary.not_encrypted;
        lines.push(format!("{objects:>10} {stored_bytes:>16}  not encrypted"));
        lines.join("\n")
    }

    fn failure(&self, failed: u64) -> String {
        format!("{failed} objects could not be looked at")
    }
}

const REGISTRY_AWAY: &str = "the registry of bucket keys cannot be asked";

/// What is said where an upstream does not know versions.
pub(super) const OTHER_VERSION: &str = "the upstream shows another version";
