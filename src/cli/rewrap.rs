//! `s3seal rewrap`: another wrap for the data keys of a prefix, by another key or the same key's
//! current version. Bodies stay as they are.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use http::Method;
use serde::Serialize;

use super::CommandError;
use super::bulk::{self, BulkArgs, End, Work};
use super::encrypt::need_conditions;
use crate::app::with_causes;
use crate::error::Error;
use crate::keys::bucket_keys::BucketKeyId;
use crate::keys::types::KeyRef;
use crate::keys::{KeyError, KeyId};
use crate::ops::bucket_key_rewrap::{self, BucketKeyOutcome};
use crate::ops::context::{Cx, S3Request};
use crate::ops::copy::rewrap::{self, Manner, Outcome, Renewal, Target};
use crate::s3::operation::Operation;
use crate::upstream::walk::Listed;

/// Arguments of `rewrap`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Args {
    #[command(flatten)]
    bulk: BulkArgs,
    /// The key that wraps from now on, by id or alias: one that the rules accept for these objects
    #[arg(long, value_name = "KEY")]
    to: String,
    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Rewrap the bucket keys in the registry, and touch no object
    #[arg(long, conflicts_with_all = ["again", "nobody_writes"])]
    bucket_keys: bool,
    /// Of the bucket keys only those that are under this key
    #[arg(long, value_name = "KEY", requires = "bucket_keys")]
    from: Option<String>,
    /// Encrypt the objects anew, each under a fresh data key: for when data keys may be known to others
    #[arg(long, conflicts_with_all = ["again", "bucket_keys"])]
    new_data_key: bool,
    /// Also objects that are under this key: Transit, AWS KMS and tokens keep versions to themselves
    #[arg(long)]
    again: bool,
    /// Go on over an upstream that ignores the condition on the source of a copy, or with --new-data-key
    /// on a write: nobody else writes to these objects meanwhile
    #[arg(long)]
    nobody_writes: bool,
}

/// What became of the objects.
#[derive(Clone, Debug, Default, Serialize)]
struct Summary {
    #[serde(flatten)]
    end: Option<End>,
    to: String,
    dry_run: bool,
    rewrapped: u64,
    already_there: u64,
    /// Of the other mode: managed where the key is a named one, or the other way round.
    other_mode: u64,
    not_encrypted: u64,
    gone: u64,
    /// Under keys that only their writers have.
    customer_key: u64,
    archived: u64,
    metadata_too_large: u64,
    /// Replaced time and again.
    changed: u64,
    failed: u64,
    /// Whether those of the other mode are left, too.
    #[serde(skip)]
    is_other_left: bool,
}

struct Rewrapping {
    target: Target,
    summary: RefCell<Summary>,
}

/// Asks the upstream, not the proxy, which may run meanwhile.
pub fn run(args: &Args) -> Result<(), CommandError> {
    if args.bucket_keys {
        return bulk::alone(&args.bulk, async |cx, bucket, prefix| {
            if !prefix.is_empty() {
                let text = "bucket keys are those of a whole bucket: s3://bucket";
                return Err(CommandError::Usage(text.to_owned()));
            }
            bucket_keys(cx, bucket, args).await
        });
    }
    bulk::run(&args.bulk, async |cx, bucket, prefix| {
        if args.new_data_key && !args.dry_run && !args.nobody_writes {
            need_conditions(cx, bucket, prefix).await?;
        }
        Ok(Rewrapping {
            target: Target {
                key: key(cx, &args.to).await?,
                bucket_key: None,
                takes_managed: false,
                manner: Manner {
                    renewal: args.renewal(),
                    dry_run: args.dry_run,
                    nobody_writes: args.nobody_writes,
                },
            },
            summary: RefCell::new(Summary {
                to: args.to.clone(),
                dry_run: args.dry_run,
                is_other_left: args.new_data_key,
                ..Summary::default()
            }),
        })
    })
}

impl Args {
    fn renewal(&self) -> Renewal {
        match (self.new_data_key, self.again) {
            (true, _) => Renewal::DataKey,
            (false, true) => Renewal::WrapAgain,
            (false, false) => Renewal::Wrap,
        }
    }
}

async fn key(cx: &Cx, name: &str) -> Result<KeyRef, CommandError> {
    cx.keys.describe(name).await.map_err(|error| {
        if error == KeyError::NotFound {
            return CommandError::Usage(format!("no provider serves the key {name:?}"));
        }
        CommandError::Failed(format!("{name}: {}", with_causes(&error)))
    })
}

impl Work for Rewrapping {
    type Summary = Summary;

    fn is_dry(&self) -> bool {
        self.target.manner.dry_run
    }

    fn command(&self) -> String {
        let KeyRef { id, version, .. } = &self.target.key;
        let manner = match self.target.manner.renewal {
            Renewal::Wrap => "",
            Renewal::WrapAgain => " again",
            Renewal::DataKey => " with new data keys",
        };
        format!("rewrap to {id} version {version}{manner}")
    }

    async fn one(
        &self,
        cx: &Arc<Cx>,
        bucket: &str,
        Listed { key, .. }: &Listed,
        say: &dyn Fn(&str),
    ) -> Result<(), Error> {
        let request = S3Request::of_operator(Operation::CopyObject, Method::PUT, bucket, key)?;
        let outcome = match request.rule(cx) {
            Ok(rule) => match rewrap::accepts(rule, &cx.keys, &self.target) {
                Ok(()) => rewrap::rewrap(cx, &request, &self.target).await,
                Err(refused) => Ok(Outcome::Refused(refused)),
            },
            Err(_denied) => Ok(Outcome::NotSealed),
        };
        let mut summary = self.summary.borrow_mut();
        match outcome {
            Ok(outcome) => summary.count(&outcome, say),
            Err(Error::Changed) => {
                summary.changed += 1;
                say("it was replaced time and again");
            }
            Err(error) => {
                summary.failed += 1;
                return Err(error);
            }
        }
        Ok(())
    }

    fn counts(&self) -> (u64, u64) {
        let summary = self.summary.borrow();
        (summary.seen(), summary.left())
    }

    fn summary(&self, end: End) -> Summary {
        Summary {
            end: Some(end),
            ..self.summary.borrow().clone()
        }
    }

    fn table(&self, summary: &Summary) -> String {
        summary.table()
    }

    fn failure(&self, failed: u64) -> String {
        if self.target.manner.renewal == Renewal::DataKey {
            return format!("{failed} objects are under their old data keys");
        }
        format!("{failed} objects have not the new wrap")
    }
}

impl Summary {
    fn count(&mut self, outcome: &Outcome, say: &dyn Fn(&str)) {
        match outcome {
            Outcome::Rewrapped => self.rewrapped += 1,
            Outcome::AlreadyThere => self.already_there += 1,
            Outcome::OtherMode => {
                self.other_mode += 1;
                if self.is_other_left {
                    say("it is of the other mode: name a key of that mode in another run");
                }
            }
            Outcome::NotSealed => self.not_encrypted += 1,
            Outcome::Gone => self.gone += 1,
            Outcome::CustomerKey => {
                self.customer_key += 1;
                say("it is under its writer's own key: only a copy by its writer changes that");
            }
            Outcome::Archived => {
                self.archived += 1;
                say("it is archived: restore it first");
            }
            Outcome::MetadataTooLarge(len) => {
                self.metadata_too_large += 1;
                say(&format!(
                    "with the new wrap it would have {len} bytes of metadata"
                ));
            }
            Outcome::Refused(code) => {
                self.failed += 1;
                say(&format!("refused: {code}"));
            }
        }
    }

    fn seen(&self) -> u64 {
        let other = if self.is_other_left {
            0
        } else {
            self.other_mode
        };
        self.rewrapped + self.already_there + other + self.not_encrypted + self.gone + self.left()
    }

    /// Objects that should have another wrap and have not.
    fn left(&self) -> u64 {
        let other = if self.is_other_left {
            self.other_mode
        } else {
            0
        };
        let hindered = self.customer_key + self.archived + self.metadata_too_large;
        hindered + self.changed + self.failed + other
    }

    fn table(&self) -> String {
        let verb = if self.dry_run {
            "to be rewrapped   "
        } else {
            "rewrapped         "
        };
        format!(
            "{verb}  {}\n\
             already there       {}\n\
             of the other mode   {}\n\
             not encrypted       {}\n\
             gone meanwhile      {}\n\
             customer keys       {}\n\
             archived            {}\n\
             too much metadata   {}\n\
             changed meanwhile   {}\n\
             failed              {}\n\
             left before         {}",
            self.rewrapped,
            self.already_there,
            self.other_mode,
            self.not_encrypted,
            self.gone,
            self.customer_key,
            self.archived,
            self.metadata_too_large,
            self.changed,
            self.failed,
            self.end.as_ref().map_or(0, |end| end.left_before),
        )
    }
}

/// What became of the bucket keys.
#[derive(Debug, Default, Serialize)]
struct BucketKeys {
    bucket: String,
    to: String,
    dry_run: bool,
    rewrapped: u64,
    already_there: u64,
    other_mode: u64,
    failed: u64,
}

/// The bucket keys to move. Where they are under several keys one has to be named: who may use one
/// may not be who may use another.
fn chosen(
    cx: &Cx,
    found: Vec<(BucketKeyId, KeyRef)>,
    to: &KeyRef,
    args: &Args,
) -> Result<Vec<BucketKeyId>, CommandError> {
    let usage = |text: String| CommandError::Usage(text);
    let from = match &args.from {
        Some(name) => {
            let key = cx.keys.resolve(name);
            Some(key.ok_or_else(|| usage(format!("no provider serves the key {name:?}")))?)
        }
        None => None,
    };
    let others = found.iter().map(|(_, kek)| KeyId::from(kek));
    let others: BTreeSet<String> = others
        .filter(|id| !id.is_key_of(to))
        .map(|id| id.id)
        .collect();
    if from.is_none() && others.len() > 1 {
        let names: Vec<_> = others.into_iter().collect();
        let names = names.join(", ");
        return Err(usage(format!(
            "the bucket keys are under several keys ({names}): say --from"
        )));
    }
    let is_chosen = |kek: &KeyRef| from.as_ref().is_none_or(|from| from.is_key_of(kek));
    let chosen = found.into_iter().filter(|(_, kek)| is_chosen(kek));
    Ok(chosen.map(|(id, _)| id).collect())
}

async fn bucket_keys(cx: &Arc<Cx>, bucket: &str, args: &Args) -> Result<(), CommandError> {
    let failed = |error: &dyn std::fmt::Display| CommandError::Failed(error.to_string());
    let to = key(cx, &args.to).await?;
    let mut summary = BucketKeys {
        bucket: bucket.to_owned(),
        to: args.to.clone(),
        dry_run: args.dry_run,
        ..BucketKeys::default()
    };
    let found = bucket_key_rewrap::list(cx, bucket)
        .await
        .map_err(|error| failed(&error))?;
    for id in chosen(cx, found, &to, args)? {
        let outcome = bucket_key_rewrap::rewrap(cx, bucket, &id, &to, args.dry_run).await;
        match outcome {
            Ok(BucketKeyOutcome::Rewrapped) => summary.rewrapped += 1,
            Ok(BucketKeyOutcome::AlreadyThere) => summary.already_there += 1,
            Ok(BucketKeyOutcome::OtherMode) => summary.other_mode += 1,
            Err(error) => {
                summary.failed += 1;
                super::warn(&format!(
                    "bucket key {}: {}",
                    data_encoding::HEXLOWER.encode(&id),
                    with_causes(&error)
                ));
            }
        }
    }
    let text = if bulk::wants_json(&args.bulk) {
        serde_json::to_string_pretty(&summary).map_err(|error| failed(&error))?
    } else {
        format!(
            "rewrapped           {}\nalready there       {}\nof the other mode   {}\nfailed              {}",
            summary.rewrapped, summary.already_there, summary.other_mode, summary.failed
        )
    };
    bulk::print(&text)?;
    match summary.failed {
        0 => Ok(()),
        count => Err(CommandError::Failed(format!(
            "{count} bucket keys have not the new wrap"
        ))),
    }
}
