//! Whether anything that is stored needs a version of a key: looked at before the version goes away.

use std::cell::RefCell;
use std::fmt::Display;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use http::Method;

use super::{KeyCommandError, KeyIo, VersionArgs};
use crate::app::{self, with_causes};
use crate::bulk::each;
use crate::cli::usage::{self, Looked};
use crate::cli::{check_config, warn};
use crate::config::Config;
use crate::config::keys::Provider;
use crate::keys::KeyId;
use crate::keys::types::KeyRef;
use crate::ops::context::Cx;
use crate::ops::{bucket_key_rewrap, list_buckets};
use crate::upstream::request::UpstreamRequest;
use crate::upstream::walk::{Listed, Walk, Which};

/// How it is found out.
#[derive(Debug, clap::Args)]
pub(super) struct UnusedArgs {
    /// Look through all buckets first, every version of every object, and refuse while one needs the
    /// key, which must be off meanwhile: the proxy's configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Look through this bucket only, and not through all that the upstream lists; may be repeated
    #[arg(long = "bucket", value_name = "NAME", requires = "config")]
    buckets: Vec<String>,
    /// Whatever needs it
    #[arg(long, conflicts_with = "config")]
    force: bool,
}

/// Refuses while something needs the version, or all versions, of the key.
pub(super) fn check(
    args: &UnusedArgs,
    key: &VersionArgs,
    io: &mut KeyIo<'_>,
) -> Result<(), KeyCommandError> {
    let Some(config) = &args.config else {
        if !args.force {
            warn(&UNASKED);
        }
        return Ok(());
    };
    if !key.is_off(io)? {
        return Err(KeyCommandError::On);
    }
    let configuration = |text: String| KeyCommandError::Configuration(text);
    let config = check_config::load(config).map_err(|error| configuration(error.to_string()))?;
    app::init_log(&config.log).map_err(|error| configuration(error.to_string()))?;
    if !serves(&config, &key.key.target.keyring) {
        return Err(configuration(
            "no key provider of the configuration has this keyring".to_owned(),
        ));
    }
    app::runtime()?.block_on(async {
        let cx = app::operator(config).await.map_err(|error| {
            let text = with_causes(&error);
            if error.is_configuration() {
                configuration(text)
            } else {
                unsure(text)
            }
        })?;
        let id = cx.keys.resolve(&key.key.id);
        let id = id.ok_or_else(|| configuration(format!("{} is not served", key.key.id)))?;
        let version = key.version;
        let search = Search {
            cx: &cx,
            id: &id,
            version,
        };
        if args.buckets.is_empty() {
            return search.all(&search.buckets().await?).await;
        }
        search.all(&args.buckets).await
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
    async fn all(&self, buckets: &[String]) -> Result<(), KeyCommandError> {
        for bucket in buckets {
            self.registry(bucket).await?;
            // Both: some servers list versions of versioned buckets only.
            for which in [Which::Versions, Which::Current] {
                self.bucket(bucket, which).await?;
            }
        }
        Ok(())
    }

    fn is_it(&self, kek: &KeyRef) -> bool {
        self.id.is_key_of(kek) && self.version.is_none_or(|version| version == kek.version)
    }

    async fn buckets(&self) -> Result<Vec<String>, KeyCommandError> {
        let request = || {
            let mut request = UpstreamRequest::new(Method::GET, None, None);
            request.operation = "ListBuckets";
            request
        };
        let listed = list_buckets::gather(self.cx, request, "").await;
        let listed = listed.map_err(|error| unsure(with_causes(&error)))?;
        let listed = listed.map_err(|refused| {
            let status = refused.status();
            unsure(format!("the upstream lists no buckets: {status}"))
        })?;
        if listed.next.is_some() {
            return Err(unsure("the upstream's list of buckets has no end"));
        }
        Ok(listed.buckets.into_iter().map(|it| it.name).collect())
    }

    async fn registry(&self, bucket: &str) -> Result<(), KeyCommandError> {
        let keks = bucket_key_rewrap::keks(self.cx, bucket).await;
        let keks = keks.map_err(|error| unsure(with_causes(&error)))?;
        if keks.iter().any(|kek| self.is_it(kek)) {
            let what = format!("a bucket key of s3://{bucket}");
            return Err(KeyCommandError::Needed(what));
        }
        Ok(())
    }

    async fn bucket(&self, bucket: &str, which: Which) -> Result<(), KeyCommandError> {
        let walk = Walk::new(&self.cx.upstream, bucket, "", which, None);
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
            let version = object.version.as_ref();
            let version = version.map(|version| format!(" (version {version})"));
            format!(
                "s3://{bucket}/{}{}",
                object.key,
                version.unwrap_or_default()
            )
        };
        let looked = usage::look(self.cx, bucket, object).await;
        match looked.map_err(|error| unsure(format!("{}: {}", name(), with_causes(&error))))? {
            Looked::Sealed(sealed) if self.is_it(&sealed.kek) => {
                Err(KeyCommandError::Needed(name()))
            }
            Looked::Failed(reason) => Err(unsure(format!("{}: {reason}", name()))),
            Looked::Gone if self.is_listed(bucket, object).await? => {
                Err(unsure(format!("{}: it is listed and not there", name())))
            }
            Looked::Sealed(_) | Looked::NotEncrypted(_) | Looked::Gone => Ok(()),
        }
    }

    /// Whether it still is: an object that was deleted a moment ago needs no key.
    async fn is_listed(&self, bucket: &str, object: &Listed) -> Result<bool, KeyCommandError> {
        let which = Which::of(object.version.is_some());
        let mut walk = Walk::new(&self.cx.upstream, bucket, &object.key, which, None);
        // The key itself comes before all that begin with it.
        let page = walk.next_page().await;
        let page = page.map_err(|error| unsure(with_causes(&error)))?;
        Ok(page.is_some_and(|page| page.objects.contains(object)))
    }
}

fn unsure(reason: impl Display) -> KeyCommandError {
    KeyCommandError::Unsure(reason.to_string())
}

const UNASKED: &str = "nobody looked whether something stored needs it: --config FILE does, --force \
    says that you know";

/// Objects looked at at the same time.
const AT_ONCE: usize = 16;
