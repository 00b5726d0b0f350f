//! Whether anything that is stored needs a version of a key: looked at before the version goes away.

use std::cell::RefCell;
use std::fmt::Display;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use http::{Method, StatusCode};

use super::{KeyCommandError, VersionArgs};
use crate::app::{self, with_causes};
use crate::body::collect;
use crate::bulk::each;
use crate::cli::usage::{self, Looked};
use crate::cli::{check_config, warn};
use crate::config::Config;
use crate::config::keys::Provider;
use crate::keys::KeyId;
use crate::keys::types::KeyRef;
use crate::ops::bucket_key_rewrap::{self, BucketKeyError};
use crate::ops::context::Cx;
use crate::s3::xml::document::Document;
use crate::upstream::request::UpstreamRequest;
use crate::upstream::walk::{Listed, Walk, Which};

/// How it is found out.
#[derive(Debug, clap::Args)]
pub(super) struct UnusedArgs {
    /// Look through all buckets first, every version of every object, and refuse while one needs the
    /// key: the proxy's configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Whatever needs it
    #[arg(long, conflicts_with = "config")]
    force: bool,
}

/// Refuses while something needs the version, or all versions, of the key.
pub(super) fn check(args: &UnusedArgs, key: &VersionArgs) -> Result<(), KeyCommandError> {
    let Some(config) = &args.config else {
        if !args.force {
            warn(&UNASKED);
        }
        return Ok(());
    };
    let configuration = |text: String| KeyCommandError::Configuration(text);
    let config = check_config::load(config).map_err(|error| configuration(error.to_string()))?;
    if !serves(&config, &key.key.target.keyring) {
        return Err(configuration(
            "no key provider of the configuration has this keyring".to_owned(),
        ));
    }
    app::runtime()?.block_on(async {
        let cx = app::operator(config)
            .await
            .map_err(|error| configuration(with_causes(&error)))?;
        let id = cx.keys.resolve(&key.key.id);
        let id = id.ok_or_else(|| configuration(format!("{} is not served", key.key.id)))?;
        let version = key.version;
        let search = Search {
            cx: &cx,
            id: &id,
            version,
        };
        search.all().await
    })
}

fn serves(config: &Config, keyring: &Path) -> bool {
    let same = |path: &Path| fs::canonicalize(path).ok();
    let wanted = same(keyring);
    config.keys.providers.iter().any(|provider| match provider {
        Provider::Local(local) => wanted.is_some() && same(&local.keyring) == wanted,
        Provider::AwsKms(_) | Provider::Transit(_) | Provider::Pkcs11(_) => false,
    })
}

struct Search<'a> {
    cx: &'a Cx,
    id: &'a KeyId,
    version: Option<u32>,
}

impl Search<'_> {
    async fn all(&self) -> Result<(), KeyCommandError> {
        for bucket in self.buckets().await? {
            self.registry(&bucket).await?;
            self.bucket(&bucket).await?;
        }
        Ok(())
    }

    fn is_it(&self, kek: &KeyRef) -> bool {
        self.id.is_key_of(kek) && self.version.is_none_or(|version| version == kek.version)
    }

    async fn buckets(&self) -> Result<Vec<String>, KeyCommandError> {
        let mut request = UpstreamRequest::new(Method::GET, None, None);
        request.operation = "ListBuckets";
        let response = self
            .cx
            .upstream
            .send(request)
            .await
            .map_err(|error| unsure(with_causes(&error)))?;
        if response.status() != StatusCode::OK {
            let status = response.status();
            return Err(unsure(format!("the upstream lists no buckets: {status}")));
        }
        let document = collect(response.into_body(), BUCKETS_LEN_MAX).await;
        let document = document.map_err(|error| unsure(with_causes(&error)))?;
        let names = Document::parse(&document).and_then(|document| {
            let root = document.root();
            let buckets = root.children().find(|child| child.name() == "Buckets")?;
            let names = buckets.children().map(|bucket| bucket.child_text("Name"));
            names.collect::<Option<Vec<_>>>()
        });
        names.ok_or_else(|| unsure("the upstream's list of buckets cannot be read"))
    }

    async fn registry(&self, bucket: &str) -> Result<(), KeyCommandError> {
        let found = match bucket_key_rewrap::list(self.cx, bucket).await {
            Ok(found) => found,
            Err(BucketKeyError::NoRegistry | BucketKeyError::NoRule) => return Ok(()),
            Err(error) => return Err(unsure(with_causes(&error))),
        };
        if found.iter().any(|(_, kek)| self.is_it(kek)) {
            let what = format!("a bucket key of s3://{bucket}");
            return Err(KeyCommandError::Needed(what));
        }
        Ok(())
    }

    async fn bucket(&self, bucket: &str) -> Result<(), KeyCommandError> {
        let walk = Walk::new(&self.cx.upstream, bucket, "", Which::Versions, None);
        let found = RefCell::new(Ok(()));
        let work = |object: Listed| {
            let found = &found;
            async move {
                let outcome = self.object(bucket, &object).await;
                if outcome.is_ok() {
                    return ControlFlow::Continue(());
                }
                *found.borrow_mut() = outcome;
                ControlFlow::Break(())
            }
        };
        let walked = each(walk, None, AT_ONCE, || false, work, || 0).await;
        walked.map_err(|error| unsure(format!("s3://{bucket}: {}", with_causes(&error))))?;
        found.into_inner()
    }

    async fn object(&self, bucket: &str, object: &Listed) -> Result<(), KeyCommandError> {
        let name = || {
            let version = object.version.as_deref().unwrap_or_default();
            format!("s3://{bucket}/{} (version {version})", object.key)
        };
        let looked = usage::look(self.cx, bucket, object).await;
        match looked.map_err(|error| unsure(format!("{}: {}", name(), with_causes(&error))))? {
            Looked::Sealed(sealed) if self.is_it(&sealed.kek) => {
                Err(KeyCommandError::Needed(name()))
            }
            Looked::Failed(reason) => Err(unsure(format!("{}: {reason}", name()))),
            Looked::Sealed(_) | Looked::NotEncrypted(_) | Looked::Gone => Ok(()),
        }
    }
}

fn unsure(reason: impl Display) -> KeyCommandError {
    KeyCommandError::Unsure(reason.to_string())
}

const UNASKED: &str = "nobody looked whether something stored needs it: --config FILE does, --force \
    says that you know";

/// Objects looked at at the same time.
const AT_ONCE: usize = 16;

/// A hundred thousand buckets.
const BUCKETS_LEN_MAX: u64 = 32 << 20;
