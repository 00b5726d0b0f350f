//! What commands over the objects of a prefix have in common: arguments, rate, shards, progress and
//! the end of a run.

use std::cell::{Cell, RefCell};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::{CommandError, check_config};
use crate::app::{self, with_causes};
use crate::bulk::checkpoint::{Checkpoint, Place, Progress, Task};
use crate::bulk::{Ended, each};
use crate::error::{Error, Fault};
use crate::ops::context::Cx;
use crate::upstream::walk::{Listed, Walk, Which};

/// Arguments of every such command.
#[derive(Debug, clap::Args)]
pub struct BulkArgs {
    /// The configuration file of the proxy
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The objects
    #[arg(value_name = "s3://bucket/prefix")]
    objects: String,
    /// Where to note how far it has come, an object or a file: a run that was killed goes on there
    #[arg(long, value_name = "URL")]
    checkpoint: Option<String>,
    /// Objects at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// Objects a second, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Only the objects of one of several workers, for example 0/4 to 3/4
    #[arg(long, value_name = "INDEX/COUNT", value_parser = Shard::parse)]
    shard: Option<Shard>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// The share of one of several workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    fn parse(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(index, count)| {
            let (index, count) = (index.parse().ok()?, count.parse().ok()?);
            (index < count && count <= 10_000).then_some(Self { index, count })
        });
        parsed.ok_or_else(|| "a shard is INDEX/COUNT, counted from 0".to_owned())
    }

    /// By the name alone, so that workers need not know of each other.
    fn has(self, key: &str) -> bool {
        let digest = crate::keys::wrap::context_digest(key.as_bytes());
        let number = digest
            .iter()
            .take(4)
            .fold(0, |number: u32, byte| number << 8 | u32::from(*byte));
        number % self.count == self.index
    }
}

/// What a command does with each object, and what it says at the end.
pub trait Work {
    /// What is printed, as JSON or as a table.
    type Summary: Serialize;

    /// Whether it only says what would be done.
    fn is_dry(&self) -> bool {
        false
    }
    /// What it is about.
    fn which(&self) -> Which {
        Which::Current
    }
    /// Names the command in checkpoints, with everything that decides what is done.
    fn command(&self) -> String;
    /// Deals with one object; `Err` is for what is wrong with more than this object.
    fn one(
        &self,
        cx: &Arc<Cx>,
        bucket: &str,
        object: &Listed,
        say: &dyn Fn(&str),
    ) -> impl Future<Output = Result<(), Error>>;
    /// Objects seen so far, and those for which the work failed.
    fn counts(&self) -> (u64, u64);
    /// The end of a run over `bucket` and `prefix`.
    fn summary(&self, end: End) -> Self::Summary;
    /// For people.
    fn table(&self, summary: &Self::Summary) -> String;
    /// How many objects the work failed for, as the beginning of a sentence.
    fn failure(&self, failed: u64) -> String;
}

/// How a run ended.
#[derive(Clone, Debug, Serialize)]
pub struct End {
    /// The bucket.
    pub bucket: String,
    /// What keys begin with.
    pub prefix: String,
    /// Whether every key was reached.
    pub complete: bool,
    /// Objects for which the work failed in the run that this one went on with.
    pub left_before: u64,
}

/// Everything that a run shares with its work.
struct Run<'a, W> {
    cx: &'a Arc<Cx>,
    bucket: &'a str,
    work: &'a W,
    pace: Option<Pace>,
    shard: Option<Shard>,
    /// Why the run as a whole cannot go on.
    fatal: RefCell<Option<String>>,
    /// Objects one after the other for which the upstream did not answer.
    unanswered: Cell<u32>,
    unanswered_max: u32,
    is_terminal: bool,
}

/// Runs a command; `work` is made once the rooms are there.
pub fn run<W: Work>(
    args: &BulkArgs,
    work: impl AsyncFnOnce(&Arc<Cx>, &str, &str) -> Result<W, CommandError>,
) -> Result<(), CommandError> {
    alone(args, async |cx, bucket, prefix| {
        let place = checkpoint_place(args.checkpoint.as_deref(), bucket, prefix)?;
        let work = work(cx, bucket, prefix).await?;
        Box::pin(walk(cx, args, (bucket, prefix), place, &work)).await
    })
}

/// Runs a command that walks no objects, with the rooms of the others.
pub fn alone(
    args: &BulkArgs,
    work: impl AsyncFnOnce(&Arc<Cx>, &str, &str) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let config = check_config::load(&args.config)?;
    app::init_log(&config.log).map_err(|error| CommandError::Usage(error.to_string()))?;
    let (bucket, prefix) = objects(&args.objects)?;
    let runtime = app::runtime().map_err(|error| CommandError::Failed(error.to_string()))?;
    runtime.block_on(async {
        let cx = app::operator(config).await?;
        work(&Arc::new(cx), bucket, prefix).await
    })
}

/// Whether the summary is for a program.
pub fn wants_json(args: &BulkArgs) -> bool {
    args.json
}

/// Writes a summary.
pub fn print(text: &str) -> Result<(), CommandError> {
    writeln!(std::io::stdout(), "{text}").map_err(|error| CommandError::Failed(error.to_string()))
}

/// Bucket and prefix of `s3://bucket/prefix`.
fn objects(url: &str) -> Result<(&str, &str), CommandError> {
    let rest = url.strip_prefix("s3://").filter(|rest| !rest.is_empty());
    let rest =
        rest.ok_or_else(|| CommandError::Usage("objects are named s3://bucket/prefix".to_owned()))?;
    Ok(rest.split_once('/').unwrap_or((rest, "")))
}

/// Where a checkpoint is; never among the objects that are worked on.
fn checkpoint_place(
    url: Option<&str>,
    bucket: &str,
    prefix: &str,
) -> Result<Option<Place>, CommandError> {
    let Some(url) = url else { return Ok(None) };
    let usage = |text: &str| CommandError::Usage(text.to_owned());
    let place = Place::parse(url);
    let place = place.ok_or_else(|| usage("a checkpoint is s3://bucket/key or a file"))?;
    if place.is_within(bucket, prefix) {
        return Err(usage("the checkpoint must lie outside of the objects"));
    }
    Ok(Some(place))
}

/// Set by SIGTERM or SIGINT: what has begun is finished.
fn stop_signal() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    tokio::spawn(async move {
        app::shutdown_signal().await;
        flag.store(true, Ordering::Release);
    });
    stop
}

async fn walk<W: Work>(
    cx: &Arc<Cx>,
    args: &BulkArgs,
    (bucket, prefix): (&str, &str),
    place: Option<Place>,
    work: &W,
) -> Result<(), CommandError> {
    let failed = |error: &dyn std::fmt::Display| CommandError::Failed(error.to_string());
    // A checkpoint of another worker, or of another number of workers, says nothing about this one's.
    let worker = args
        .shard
        .map(|Shard { index, count }| format!(", worker {index} of {count}"));
    let task = Task {
        command: work.command() + &worker.unwrap_or_default(),
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
    };
    // Of a run that writes nothing nothing is to be gone on with.
    let place = place.filter(|_| !work.is_dry());
    let checkpoint = place.map(|place| Checkpoint::new(&cx.upstream, place, task));
    let progress = match &checkpoint {
        Some(checkpoint) => checkpoint.read().await.map_err(|error| failed(&error))?,
        None => Progress::default(),
    };
    let run = Run {
        cx,
        bucket,
        work,
        pace: args.rate.map(Pace::new),
        shard: args.shard,
        fatal: RefCell::default(),
        unanswered: Cell::default(),
        // One moment without an upstream, which all at work notice, is not the end.
        unanswered_max: 2 * u32::from(args.concurrency),
        is_terminal: std::io::stderr().is_terminal() && !args.json,
    };
    let stop = stop_signal();
    let ended = each(
        Walk::new(&cx.upstream, bucket, prefix, work.which(), progress.after),
        checkpoint.as_ref(),
        usize::from(args.concurrency),
        || stop.load(Ordering::Acquire),
        |object| run.one(object),
        || progress.left + work.counts().1,
    );
    let ended = ended.await;
    if run.is_terminal {
        let _ = writeln!(std::io::stderr());
    }
    if let Some(fatal) = run.fatal.take() {
        return Err(CommandError::Failed(fatal));
    }
    let end = End {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        complete: ended.map_err(|error| failed(&error))? == Ended::AtTheEnd,
        left_before: progress.left,
    };
    report(work, &end, args.json)
}

fn report<W: Work>(work: &W, end: &End, as_json: bool) -> Result<(), CommandError> {
    let failed = |error: &dyn std::fmt::Display| CommandError::Failed(error.to_string());
    let summary = work.summary(end.clone());
    let text = if as_json {
        serde_json::to_string_pretty(&summary).map_err(|error| failed(&error))?
    } else {
        work.table(&summary)
    };
    print(&text)?;
    if !end.complete {
        return Err(CommandError::Failed(
            "stopped before the end: the same command goes on".to_owned(),
        ));
    }
    match work.counts().1 + end.left_before {
        0 => Ok(()),
        left if end.left_before > 0 => Err(CommandError::Failed(format!(
            "{}, {} of them seen by the run that this one went on with: the same command begins anew",
            work.failure(left),
            end.left_before
        ))),
        left => Err(CommandError::Failed(format!(
            "{}, see above",
            work.failure(left)
        ))),
    }
}

impl<W: Work> Run<'_, W> {
    async fn one(&self, object: Listed) -> std::ops::ControlFlow<()> {
        use std::ops::ControlFlow::{Break, Continue};
        if self.shard.is_some_and(|shard| !shard.has(&object.key)) {
            return Continue(());
        }
        if let Some(pace) = &self.pace {
            pace.wait().await;
        }
        let say = |what: &str| self.say(&object, what);
        let outcome = self.work.one(self.cx, self.bucket, &object, &say).await;
        let is_answered = !matches!(outcome, Err(Error::Upstream(_)));
        let unanswered = self.unanswered.get() + 1;
        self.unanswered
            .set(if is_answered { 0 } else { unanswered });
        let Err(error) = outcome else {
            self.progress();
            return Continue(());
        };
        self.say(&object, &with_causes(&error));
        self.progress();
        if self.is_fatal(&error) {
            *self.fatal.borrow_mut() = Some(format!("{}: {}", object.key, with_causes(&error)));
            return Break(());
        }
        Continue(())
    }

    /// Whether no other object will fare better: without keys none will; of an upstream that does not
    /// answer that is known after some.
    fn is_fatal(&self, error: &Error) -> bool {
        error.fault() == Fault::Keys || self.unanswered.get() >= self.unanswered_max
    }

    /// About one object.
    fn say(&self, Listed { key, version }: &Listed, what: &str) {
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        let version = version.as_ref().map(|id| format!(" (version {id})"));
        let version = version.unwrap_or_default();
        let _ = writeln!(
            std::io::stderr(),
            "s3://{}/{key}{version}: {what}",
            self.bucket
        );
    }

    fn progress(&self) {
        let (seen, failed) = self.work.counts();
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K{seen} objects, {failed} failed");
        } else if seen.is_multiple_of(PROGRESS_EVERY) {
            tracing::info!(
                objects = seen,
                failed,
                command = self.work.command(),
                "at work"
            );
        }
    }
}

/// Not more than so many a second, evenly.
struct Pace {
    every: Duration,
    next: Cell<Option<Instant>>,
}

impl Pace {
    fn new(a_second: u32) -> Self {
        Self {
            every: Duration::from_secs(1) / a_second.max(1),
            next: Cell::default(),
        }
    }

    async fn wait(&self) {
        let now = Instant::now();
        let turn = self.next.get().map_or(now, |next| next.max(now));
        self.next.set(Some(turn + self.every));
        sleep_until(turn).await;
    }
}

/// Objects between two lines in the log.
const PROGRESS_EVERY: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_parsed_and_share_all_keys() {
        for text in ["0", "1/1", "4/4", "-1/2", "0/0", "a/b", "0/10001"] {
            assert!(Shard::parse(text).is_err(), "{text}");
        }
        let shards = [0, 1, 2].map(|index| Shard::parse(&format!("{index}/3")).unwrap());
        let mut sizes = [0; 3];
        for number in 0..3_000 {
            let key = format!("key-{number}");
            let having = shards.iter().filter(|shard| shard.has(&key)).count();
            assert_eq!(having, 1, "{key}");
            for (size, shard) in sizes.iter_mut().zip(shards) {
                *size += usize::from(shard.has(&key));
            }
        }
        assert!(
            sizes.iter().all(|size| (800..1_200).contains(size)),
            "{sizes:?}"
        );
    }

    #[tokio::test]
    async fn a_pace_is_kept() {
        let pace = Pace::new(100);
        let began = Instant::now();
        for _ in 0..21 {
            pace.wait().await;
        }
        assert!(began.elapsed() >= Duration::from_millis(200));
    }
}
