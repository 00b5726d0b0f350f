//! `s3seal encrypt`: seals the objects of a prefix that were stored before the proxy, in place.

use std::cell::RefCell;
use std::sync::Arc;

use serde::Serialize;

use super::CommandError;
use super::bulk::{self, BulkArgs, End, Work};
use crate::app::with_causes;
use crate::error::Error;
use crate::ops::context::Cx;
use crate::ops::in_place::{self, Manner, Outcome};
use crate::upstream::walk::Listed;

/// Arguments of `encrypt`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    bulk: BulkArgs,
    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Write objects above this size in parts
    #[arg(long, value_name = "MIB", default_value_t = 5120, value_parser = clap::value_parser!(u64).range(1..=5120))]
    parts_above: u64,
    /// Go on over an upstream that ignores If-Match: nobody else writes to these objects meanwhile
    #[arg(long)]
    nobody_writes: bool,
}

/// What became of the objects.
#[derive(Clone, Debug, Default, Serialize)]
struct Summary {
    #[serde(flatten)]
    end: Option<End>,
    dry_run: bool,
    encrypted: u64,
    encrypted_bytes: u64,
    already_encrypted: u64,
    /// Directory markers, and objects under rules that do not encrypt.
    exempt: u64,
    gone: u64,
    archived: u64,
    /// Replaced time and again.
    changed: u64,
    failed: u64,
}

struct Encrypting {
    manner: Manner,
    summary: RefCell<Summary>,
}

/// Asks the upstream, not the proxy, which may run meanwhile.
pub fn run(args: &Args) -> Result<(), CommandError> {
    bulk::run(&args.bulk, async |cx, bucket, prefix| {
        if !args.dry_run && !args.nobody_writes {
            need_conditions(cx, bucket, prefix).await?;
        }
        Ok(Encrypting {
            manner: Manner {
                dry_run: args.dry_run,
                single_max: args.parts_above << 20,
            },
            summary: RefCell::new(Summary {
                dry_run: args.dry_run,
                ..Summary::default()
            }),
        })
    })
}

/// Without the condition on it a write could replace one that came in between.
pub(super) async fn need_conditions(
    cx: &Cx,
    bucket: &str,
    prefix: &str,
) -> Result<(), CommandError> {
    match in_place::heeds_conditions(cx, bucket, prefix).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(CommandError::Failed(
            "the upstream ignores If-Match on PutObject: what is written while an object is being \
             encrypted would be lost. Stop all writers and say --nobody-writes"
                .to_owned(),
        )),
        Err(error) => Err(CommandError::Failed(with_causes(&error))),
    }
}

impl Work for Encrypting {
    type Summary = Summary;

    fn is_dry(&self) -> bool {
        self.manner.dry_run
    }

    fn command(&self) -> String {
        "encrypt".to_owned()
    }

    async fn one(
        &self,
        cx: &Arc<Cx>,
        bucket: &str,
        Listed { key, .. }: &Listed,
        say: &dyn Fn(&str),
    ) -> Result<(), Error> {
        let outcome = in_place::seal(cx, bucket, key, self.manner).await;
        let mut summary = self.summary.borrow_mut();
        match outcome {
            Ok(outcome) => summary.count(outcome, say),
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

    fn failure(&self, left: u64) -> String {
        format!("{left} objects are not encrypted")
    }
}

impl Summary {
    fn count(&mut self, outcome: Outcome, say: &dyn Fn(&str)) {
        match outcome {
            Outcome::Sealed(len) => {
                self.encrypted += 1;
                self.encrypted_bytes += len;
            }
            Outcome::AlreadySealed => self.already_encrypted += 1,
            Outcome::Exempt => self.exempt += 1,
            Outcome::Gone => self.gone += 1,
            Outcome::Archived => {
                self.archived += 1;
                say("it is archived: restore it first");
            }
            Outcome::Refused(code) => {
                self.failed += 1;
                say(&format!("the upstream answers {code}"));
            }
        }
    }

    fn seen(&self) -> u64 {
        self.encrypted + self.already_encrypted + self.exempt + self.gone + self.left()
    }

    /// Objects that are not encrypted and should be.
    fn left(&self) -> u64 {
        self.archived + self.changed + self.failed
    }

    fn table(&self) -> String {
        let verb = if self.dry_run {
            "to be encrypted   "
        } else {
            "encrypted         "
        };
        format!(
            "{verb} {} ({} bytes)\n\
             already encrypted  {}\n\
             not to be          {}\n\
             gone meanwhile     {}\n\
             archived           {}\n\
             changed meanwhile  {}\n\
             failed             {}\n\
             left before        {}",
            self.encrypted,
            self.encrypted_bytes,
            self.already_encrypted,
            self.exempt,
            self.gone,
            self.archived,
            self.changed,
            self.failed,
            self.end.as_ref().map_or(0, |end| end.left_before),
        )
    }
}
