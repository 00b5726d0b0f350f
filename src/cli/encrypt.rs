//! `s3seal encrypt`: seals the objects of a prefix that were stored before the proxy, in place.

use std::cell::{Cell, RefCell};
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::bulk::{checkpoint_place, objects, stop_signal};
use super::{CommandError, check_config};
use crate::app::{self, with_causes};
use crate::bulk::checkpoint::{Checkpoint, Place, Progress, Task};
use crate::bulk::{Ended, each};
use crate::error::{Error, Fault};
use crate::ops::context::Cx;
use crate::ops::in_place::{self, Manner, Outcome};
use crate::upstream::walk::Walk;

/// Arguments of `encrypt`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file of the proxy: its rules say what is encrypted, and how
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The objects
    #[arg(value_name = "s3://bucket/prefix")]
    objects: String,
    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Where to note how far it has come, an object or a file: a run that was killed goes on there
    #[arg(long, value_name = "URL")]
    checkpoint: Option<String>,
    /// Objects at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// Write objects above this size in parts
    #[arg(long, value_name = "MIB", default_value_t = 5120, value_parser = clap::value_parser!(u64).range(1..=5120))]
    parts_above: u64,
    /// Go on over an upstream that ignores If-Match: nobody else writes to these objects meanwhile
    #[arg(long)]
    nobody_writes: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// What became of the objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Summary {
    bucket: String,
    prefix: String,
    dry_run: bool,
    /// Whether every key was reached.
    complete: bool,
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
    /// Left by the run that this one went on with.
    left_before: u64,
}

/// Everything that a run shares with its work.
struct Run<'a> {
    cx: &'a Cx,
    bucket: &'a str,
    manner: Manner,
    summary: RefCell<Summary>,
    /// Why the run as a whole cannot go on.
    fatal: RefCell<Option<String>>,
    /// Objects one after the other for which the upstream did not answer.
    unanswered: Cell<u32>,
    unanswered_max: u32,
    is_terminal: bool,
}

/// Asks the upstream, not the proxy, which may run meanwhile.
pub fn run(args: &Args) -> Result<(), CommandError> {
    let config = check_config::load(&args.config)?;
    app::init_log(&config.log).map_err(|error| CommandError::Usage(error.to_string()))?;
    let (bucket, prefix) = objects(&args.objects)?;
    let place = checkpoint_place(args.checkpoint.as_deref(), bucket, prefix)?;
    let runtime = app::runtime().map_err(|error| CommandError::Failed(error.to_string()))?;
    let summary = runtime.block_on(async {
        let cx = app::operator(config)
            .await
            .map_err(|error| CommandError::Usage(with_causes(&error)))?;
        encrypt(&cx, args, (bucket, prefix), place).await
    })?;
    print(&summary, args.json)?;
    summary.verdict()
}

async fn encrypt(
    cx: &Cx,
    args: &Args,
    (bucket, prefix): (&str, &str),
    place: Option<Place>,
) -> Result<Summary, CommandError> {
    let failed = |error: &dyn std::fmt::Display| CommandError::Failed(error.to_string());
    if !args.dry_run && !args.nobody_writes {
        need_conditions(cx, bucket, prefix).await?;
    }
    let run = Run {
        cx,
        bucket,
        manner: Manner {
            dry_run: args.dry_run,
            single_max: args.parts_above << 20,
        },
        summary: RefCell::new(Summary {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            dry_run: args.dry_run,
            ..Summary::default()
        }),
        fatal: RefCell::default(),
        unanswered: Cell::default(),
        // One moment without an upstream, which all at work notice, is not the end.
        unanswered_max: 2 * u32::from(args.concurrency),
        is_terminal: std::io::stderr().is_terminal() && !args.json,
    };
    let task = Task {
        command: "encrypt".to_owned(),
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
    };
    // Of a dry run nothing is to be gone on with.
    let place = place.filter(|_| !args.dry_run);
    let checkpoint = place.map(|place| Checkpoint::new(&cx.upstream, place, task));
    let progress = match &checkpoint {
        Some(checkpoint) => checkpoint.read().await.map_err(|error| failed(&error))?,
        None => Progress::default(),
    };
    run.summary.borrow_mut().left_before = progress.left;
    let walk = Walk::new(&cx.upstream, bucket, prefix, progress.after);
    let stop = stop_signal();
    let at_once = usize::from(args.concurrency);
    let is_stopped = || stop.load(Ordering::Acquire);
    let work = |key| run.one(key);
    let left = || run.summary.borrow().left();
    let ended = each(walk, checkpoint.as_ref(), at_once, is_stopped, work, left).await;
    if run.is_terminal {
        let _ = writeln!(std::io::stderr());
    }
    if let Some(fatal) = run.fatal.take() {
        return Err(CommandError::Failed(fatal));
    }
    let mut summary = run.summary.into_inner();
    summary.complete = ended.map_err(|error| failed(&error))? == Ended::AtTheEnd;
    Ok(summary)
}

/// Without the condition on it a write could replace one that came in between.
async fn need_conditions(cx: &Cx, bucket: &str, prefix: &str) -> Result<(), CommandError> {
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

impl Run<'_> {
    async fn one(&self, key: String) -> ControlFlow<()> {
        let outcome = in_place::seal(self.cx, self.bucket, &key, self.manner).await;
        if !matches!(outcome, Err(Error::Upstream(_))) {
            self.unanswered.set(0);
        }
        let mut summary = self.summary.borrow_mut();
        match outcome {
            Ok(Outcome::Sealed(len)) => {
                summary.encrypted += 1;
                summary.encrypted_bytes += len;
            }
            Ok(Outcome::AlreadySealed) => summary.already_encrypted += 1,
            Ok(Outcome::Exempt) => summary.exempt += 1,
            Ok(Outcome::Gone) => summary.gone += 1,
            Ok(Outcome::Archived) => {
                summary.archived += 1;
                self.say(&key, "it is archived: restore it first");
            }
            Ok(Outcome::Refused(code)) => {
                summary.failed += 1;
                self.say(&key, &format!("the upstream answers {code}"));
            }
            Err(Error::Changed) => {
                summary.changed += 1;
                self.say(&key, "it was replaced time and again");
            }
            Err(error) => {
                summary.failed += 1;
                self.say(&key, &with_causes(&error));
                if self.is_fatal(&error) {
                    *self.fatal.borrow_mut() = Some(format!("{key}: {}", with_causes(&error)));
                    return ControlFlow::Break(());
                }
            }
        }
        self.progress(&summary);
        ControlFlow::Continue(())
    }

    /// Whether no other object will fare better: without keys none will; of an upstream that does not
    /// answer that is known after some.
    fn is_fatal(&self, error: &Error) -> bool {
        if matches!(error, Error::Upstream(_)) {
            self.unanswered.set(self.unanswered.get() + 1);
        }
        error.fault() == Fault::Keys || self.unanswered.get() >= self.unanswered_max
    }

    /// About one object, which stays as it is.
    fn say(&self, key: &str, what: &str) {
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        let _ = writeln!(std::io::stderr(), "s3://{}/{key}: {what}", self.bucket);
    }

    fn progress(&self, summary: &Summary) {
        let seen = summary.seen();
        if self.is_terminal {
            let _ = write!(
                std::io::stderr(),
                "\r\x1b[K{seen} objects, {} encrypted",
                summary.encrypted
            );
        } else if seen.is_multiple_of(PROGRESS_EVERY) {
            tracing::info!(objects = seen, encrypted = summary.encrypted, "encrypting");
        }
    }
}

impl Summary {
    fn seen(&self) -> u64 {
        let left = self.left() - self.left_before;
        self.encrypted + self.already_encrypted + self.exempt + self.gone + left
    }

    /// Objects that are not encrypted and should be.
    fn left(&self) -> u64 {
        self.archived + self.changed + self.failed + self.left_before
    }

    fn verdict(&self) -> Result<(), CommandError> {
        if !self.complete {
            return Err(CommandError::Failed(
                "stopped before the end: the same command goes on".to_owned(),
            ));
        }
        match self.left() {
            0 => Ok(()),
            left if self.left_before > 0 => Err(CommandError::Failed(format!(
                "{left} objects are not encrypted, {} of them seen by the run that this one went on \
                 with: the same command begins anew",
                self.left_before
            ))),
            left => Err(CommandError::Failed(format!(
                "{left} objects are not encrypted, see above"
            ))),
        }
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
            self.left_before,
        )
    }
}

fn print(summary: &Summary, as_json: bool) -> Result<(), CommandError> {
    let failed = |error: &dyn std::fmt::Display| CommandError::Failed(error.to_string());
    let text = if as_json {
        serde_json::to_string_pretty(summary).map_err(|error| failed(&error))?
    } else {
        summary.table()
    };
    writeln!(std::io::stdout(), "{text}").map_err(|error| failed(&error))
}

/// Objects between two lines in the log.
const PROGRESS_EVERY: u64 = 1_000;
