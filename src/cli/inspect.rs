//! `s3seal inspect`: how a stored object is encrypted, from its metadata alone. Shows no secret.

use std::io::Write;
use std::path::PathBuf;

use http::{Method, StatusCode};
use serde::Serialize;

use super::{CommandError, check_config};
use crate::app;
use crate::format::metadata::Metadata;
use crate::format::{KeyEnvelope, Layout, WrapKind, listed_plaintext_len};
use crate::keys::types::{Binding, Mode};
use crate::s3::etag;
use crate::upstream::request::UpstreamRequest;

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The object
    #[arg(value_name = "s3://bucket/key")]
    object: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is shown. Nothing of it is proven: no key is used.
#[derive(Debug, Serialize)]
struct Shown {
    bucket: String,
    key: String,
    stored_size: u64,
    plaintext_size: Option<u64>,
    layout: &'static str,
    parts: Option<u32>,
    object_id: String,
    mode: &'static str,
    provider: &'static str,
    key_id: String,
    key_version: u32,
    wrap: &'static str,
    binding: &'static str,
    encryption_context: Vec<(String, String)>,
}

/// Asks the upstream, not the proxy.
pub fn run(args: &Args) -> Result<(), CommandError> {
    let config = check_config::load(&args.config)?;
    let (bucket, key) = args
        .object
        .strip_prefix("s3://")
        .and_then(|rest| rest.split_once('/'))
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        .ok_or_else(|| CommandError::Usage("an object is named s3://bucket/key".to_owned()))?;
    let runtime = app::runtime().map_err(|error| CommandError::Failed(error.to_string()))?;
    let shown = runtime.block_on(async {
        let upstream = app::upstream_alone(&config)
            .await
            .map_err(|error| CommandError::Usage(error.to_string()))?;
        let request = UpstreamRequest::new(Method::HEAD, Some(bucket), Some(key));
        let response = upstream
            .send(request)
            .await
            .map_err(|error| CommandError::Failed(error.to_string()))?;
        match response.status() {
            StatusCode::OK => describe(bucket, key, response.headers()),
            status => Err(CommandError::Failed(format!(
                "the upstream answers {status}"
            ))),
        }
    })?;
    let text = if args.json {
        serde_json::to_string_pretty(&shown)
            .map_err(|error| CommandError::Failed(error.to_string()))?
    } else {
        shown.table()
    };
    writeln!(std::io::stdout(), "{text}").map_err(|error| CommandError::Failed(error.to_string()))
}

fn describe(bucket: &str, key: &str, headers: &http::HeaderMap) -> Result<Shown, CommandError> {
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let metadata = Metadata::parse(pairs)
        .map_err(|error| CommandError::Failed(error.to_string()))?
        .ok_or_else(|| CommandError::Failed("the object is not encrypted by s3seal".to_owned()))?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let stored_size = text("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let parts = text("etag").and_then(|tag| etag::ETag::new(tag).parts());
    let prefix = metadata.header.prefix();
    let head = metadata.envelope.head();
    Ok(Shown {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        stored_size,
        plaintext_size: listed_plaintext_len(stored_size, parts),
        layout: match prefix.layout() {
            Layout::Single => "single",
            Layout::Segmented => "segmented",
        },
        parts,
        object_id: data_encoding::HEXLOWER.encode(prefix.object_id()),
        mode: mode_name(&metadata.envelope),
        provider: head.key().provider.name(),
        key_id: head.key().id.clone(),
        key_version: head.key().version,
        wrap: match head.wrap() {
            WrapKind::Direct => "direct",
            WrapKind::BucketKey => "bucket-key",
        },
        binding: match head.binding() {
            Binding::None => "none",
            Binding::Key => "key",
            Binding::BucketAndKey => "bucket-and-key",
        },
        encryption_context: head.client_context().pairs().to_vec(),
    })
}

fn mode_name(envelope: &KeyEnvelope) -> &'static str {
    match envelope.head().mode() {
        Mode::Managed => "AES256",
        Mode::NamedKey => "aws:kms",
        Mode::CustomerKey => "SSE-C",
    }
}

impl Shown {
    fn table(&self) -> String {
        let plaintext = self
            .plaintext_size
            .map_or_else(|| "impossible".to_owned(), |size| size.to_string());
        let context = serde_json::to_string(&self.encryption_context).unwrap_or_default();
        format!(
            "object             s3://{}/{}\n\
             stored size        {}\n\
             plaintext size     {plaintext} (not proven)\n\
             layout             {}\n\
             object id          {}\n\
             mode               {}\n\
             key                {} version {} ({})\n\
             wrap               {}\n\
             binding            {}\n\
             client context     {context}",
            self.bucket,
            self.key,
            self.stored_size,
            self.layout,
            self.object_id,
            self.mode,
            self.key_id,
            self.key_version,
            self.provider,
            self.wrap,
            self.binding,
        )
    }
}
