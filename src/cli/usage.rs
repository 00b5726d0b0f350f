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
use crate::keys::types::Mode;
use crate::ops::context::Cx;
use crate::upstream::request::UpstreamRequest;

/// Arguments of `usage`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    bulk: BulkArgs,
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
    kinds: RefCell<BTreeMap<Kind, Count>>,
    others: RefCell<(Count, u64, u64)>,
}

/// Asks the upstream, not the proxy.
pub fn run(args: &Args) -> Result<(), CommandError> {
    bulk::run(&args.bulk, async |_, _, _| Ok(Counting::default()))
}

impl Counting {
    async fn look(
        &self,
        cx: &Cx,
        bucket: &str,
        key: &str,
        say: &dyn Fn(&str),
    ) -> Result<(), Error> {
        let mut request = UpstreamRequest::new(Method::HEAD, Some(bucket), Some(key));
        request.operation = "HeadObject";
        let head = cx.upstream.send(request).await?;
        let status = head.status();
        let headers = head.headers();
        let len = headers
            .get("content-length")
            .and_then(|len| len.to_str().ok()?.parse().ok());
        let pairs = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()));
        let mut others = self.others.borrow_mut();
        match (status, Metadata::parse(pairs)) {
            (StatusCode::NOT_FOUND, _) => others.1 += 1,
            (StatusCode::OK, Ok(None)) => others.0.add(len.unwrap_or_default()),
            (StatusCode::OK, Ok(Some(metadata))) => {
                drop(others);
                let kind = kind(cx, bucket, key, &metadata).await;
                let mut kinds = self.kinds.borrow_mut();
                kinds.entry(kind).or_default().add(len.unwrap_or_default());
            }
            (StatusCode::OK, Err(error)) => {
                others.2 += 1;
                say(&error.to_string());
            }
            _ => {
                others.2 += 1;
                say(&format!("the upstream answers {status}"));
            }
        }
        Ok(())
    }
}

/// Of a bucket key the wrap in use counts: the registry's, if it has one.
async fn kind(cx: &Cx, bucket: &str, key: &str, metadata: &Metadata) -> Kind {
    let head = metadata.envelope.head();
    let rule = cx.rules.find(bucket, Some(key));
    let logical = rule.map_or(bucket, |rule| rule.rule.logical_bucket(bucket));
    let current = cx.keys.current_wrap(&metadata.envelope, logical).await;
    let kek = current
        .as_ref()
        .map_or_else(|_outage| head.key(), |current| current.kek());
    Kind {
        mode: match head.mode() {
            Mode::Managed => "AES256",
            Mode::NamedKey => "aws:kms",
            Mode::CustomerKey => "SSE-C",
        },
        provider: kek.provider.name(),
        key_id: kek.id.clone(),
        key_version: kek.version,
        wrap: match head.wrap() {
            WrapKind::Direct => "direct",
            WrapKind::BucketKey => "bucket-key",
        },
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
        "usage".to_owned()
    }

    async fn one(
        &self,
        cx: &Arc<Cx>,
        bucket: &str,
        key: &str,
        say: &dyn Fn(&str),
    ) -> Result<(), Error> {
        let looked = self.look(cx, bucket, key, say).await;
        if looked.is_err() {
            self.others.borrow_mut().2 += 1;
        }
        looked
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
        format!("{failed} objects could not be looked at, see above")
    }
}
