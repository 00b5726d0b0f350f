//! The audit log: one line of JSON for each request, in a file or on standard output. Requests hand
//! their line over and go on; a thread of its own writes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

use super::metrics::Metrics;

/// What the audit log says about a request. Holds no secret, and nothing that could be used as one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AuditRecord<'a> {
    /// Always [`TARGET`], for whoever reads several logs as one.
    pub target: &'static str,
    /// When the request came, as RFC 3339.
    pub time: String,
    /// The id that is also in the response.
    pub request_id: &'a str,
    /// Access key id of the caller; none of an unsigned request, or one whose signature is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<&'a str>,
    /// Address and port of the connection.
    pub peer: String,
    /// How the caller was identified: `header`, `presigned`, `form` or `anonymous`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<&'static str>,
    /// S3's name of the operation.
    pub operation: &'static str,
    /// The bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// The decoded object key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The version that was asked for, or made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Bucket of what a copy reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_bucket: Option<String>,
    /// Its decoded key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_key: Option<String>,
    /// Its version, if one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_version_id: Option<String>,
    /// What a copy should read, as the client wrote it, where that names no object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// The S3 code it was refused with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// Mode of the encryption that was used: `managed`, `named-key` or `customer-key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<&'static str>,
    /// Kind of the provider of the key-encryption key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<&'static str>,
    /// Id of the key-encryption key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Its version; 0 where the provider keeps track of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_version: Option<u32>,
    /// How it ended.
    pub outcome: &'static str,
    /// Body bytes received.
    pub bytes_in: u64,
    /// Body bytes sent.
    pub bytes_out: u64,
}

/// Where the audit log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Lines are appended to this file; a new one has mode 0600.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// The way to the audit log. Clones share it.
#[derive(Clone)]
pub struct Audit {
    // Not bounded: whoever was let in must be able to send. What waits is counted.
    sender: UnboundedSender<Message>,
    waiting: Arc<Waiting>,
    is_failing: Arc<AtomicBool>,
    is_required: bool,
    metrics: Arc<Metrics>,
}

/// Says that a request was let in while there was room: its line is taken, whatever waits by then.
///
/// It takes no room itself. If it did, whoever keeps many requests open would keep others out; so
/// memory is bounded by the lines that wait and those of requests in flight, which take more already.
#[derive(Clone, Copy, Debug)]
pub struct Slot(());

/// Whose line it is. Each of the two has room of its own: anybody can make those of strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// A client, or who may still turn out to be one.
    Client,
    /// Who has proven nothing.
    Stranger,
}

/// Bytes of lines that are sent and not yet written. Apart: what strangers send keeps no client out.
#[derive(Debug, Default)]
struct Waiting {
    of_clients: AtomicUsize,
    of_strangers: AtomicUsize,
}

impl Waiting {
    fn of(&self, party: Party) -> &AtomicUsize {
        match party {
            Party::Client => &self.of_clients,
            Party::Stranger => &self.of_strangers,
        }
    }

    fn has_room(&self, party: Party) -> bool {
        self.of(party).load(Ordering::Relaxed) < WAITING_MAX
    }
}

/// The log is required and cannot be written: the request must not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAudit;

enum Message {
    Line(Vec<u8>, Party),
    Reopen,
    Flush(oneshot::Sender<()>),
}

impl Audit {
    /// Opens the log and starts its thread, which ends with the last clone.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or there is no thread.
    pub fn start(
        destination: Destination,
        is_required: bool,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let output = Some(open(&destination)?);
        let (audit, receiver) = Self::unwritten(is_required, metrics);
        let writer = Writer {
            output,
            destination,
            waiting: Arc::clone(&audit.waiting),
            is_failing: Arc::clone(&audit.is_failing),
            is_torn: false,
            metrics: Arc::clone(&audit.metrics),
        };
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(receiver))?;
        Ok(audit)
    }

    /// A log, and what somebody has to write.
    fn unwritten(is_required: bool, metrics: Arc<Metrics>) -> (Self, UnboundedReceiver<Message>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let audit = Self {
            sender,
            waiting: Arc::default(),
            is_failing: Arc::default(),
            is_required,
            metrics,
        };
        (audit, receiver)
    }

    /// Lets a request in, or not, before anything of it is done.
    pub fn reserve(&self, party: Party) -> Result<Option<Slot>, NoAudit> {
        if !self.is_required {
            return Ok(None);
        }
        let is_failing = self.is_failing.load(Ordering::Acquire);
        if !is_failing && !self.sender.is_closed() && self.waiting.has_room(party) {
            return Ok(Some(Slot(())));
        }
        self.metrics.audit_failure();
        Err(NoAudit)
    }

    /// Hands a line over. Without a slot it is lost, and counted, where too many wait.
    pub fn record(&self, slot: Option<Slot>, record: &AuditRecord<'_>) {
        let party = record.client.map_or(Party::Stranger, |_| Party::Client);
        let is_taken = slot.is_some() || self.waiting.has_room(party);
        let line = serde_json::to_vec(record).ok().filter(|_| is_taken);
        let Some(mut line) = line else {
            self.metrics.audit_failure();
            return;
        };
        line.push(b'\n');
        let waiting = self.waiting.of(party);
        waiting.fetch_add(line.len(), Ordering::Relaxed);
        if self.sender.send(Message::Line(line, party)).is_err() {
            self.metrics.audit_failure();
        }
    }

    /// Opens the file again, after it was moved away.
    pub fn reopen(&self) {
        // An error is a thread that is gone: requests notice.
        let _ = self.sender.send(Message::Reopen);
    }

    /// Waits until everything so far is written, or a few seconds.
    pub async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        let _ = self.sender.send(Message::Flush(done));
        if tokio::time::timeout(FLUSH_PATIENCE, is_done).await.is_err() {
            tracing::error!("the audit log is not written to its end");
        }
    }
}

/// A value of a request, of bounded length.
pub fn bounded(text: &str) -> String {
    if text.len() <= VALUE_LEN_MAX {
        return text.to_owned();
    }
    let mut end = VALUE_LEN_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let kept = text.get(..end).unwrap_or_default();
    format!("{kept}…")
}

struct Writer {
    destination: Destination,
    output: Option<Box<dyn Write + Send>>,
    waiting: Arc<Waiting>,
    is_failing: Arc<AtomicBool>,
    /// Whether the file may end in the midst of a line.
    is_torn: bool,
    metrics: Arc<Metrics>,
}

impl Writer {
    fn run(mut self, mut receiver: UnboundedReceiver<Message>) {
        while let Some(message) = receiver.blocking_recv() {
            match message {
                Message::Line(line, party) => {
                    self.write(&line, &receiver);
                    let waiting = self.waiting.of(party);
                    waiting.fetch_sub(line.len(), Ordering::Relaxed);
                }
                Message::Reopen => self.output = None,
                Message::Flush(done) => drop(done.send(())),
            }
        }
    }

    /// Tries until it is written: meanwhile lines wait, and where they are required nobody is served.
    fn write(&mut self, line: &[u8], receiver: &UnboundedReceiver<Message>) {
        while let Err(error) = self.try_write(line) {
            self.metrics.audit_failure();
            if !self.is_failing.swap(true, Ordering::AcqRel) {
                tracing::error!(%error, "the audit log cannot be written");
            }
            self.output = None;
            if receiver.is_closed() {
                return; // nobody waits any longer
            }
            thread::sleep(RETRY_PAUSE);
        }
        if self.is_failing.swap(false, Ordering::AcqRel) {
            tracing::info!("the audit log can be written again");
        }
    }

    fn try_write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.output.is_none() {
            self.output = Some(open(&self.destination)?);
        }
        let Some(output) = &mut self.output else {
            return Ok(());
        };
        if self.is_torn {
            output.write_all(b"\n")?;
            self.is_torn = false;
        }
        self.is_torn = true;
        output.write_all(line)?;
        output.flush()?;
        self.is_torn = false;
        Ok(())
    }
}

fn open(destination: &Destination) -> io::Result<Box<dyn Write + Send>> {
    Ok(match destination {
        Destination::File(path) => {
            let mut options = OpenOptions::new();
            let file: File = options.append(true).create(true).mode(0o600).open(path)?;
            Box::new(file)
        }
        Destination::Stdout => Box::new(io::stdout()),
    })
}

/// What tells the lines from others.
pub const TARGET: &str = "s3seal::audit";

/// Bytes of lines that wait to be written, of clients and of strangers each, but for those of requests
/// that were let in before.
const WAITING_MAX: usize = 16 << 20;

/// Longest value of a request in a line, in bytes: the longest key of an object.
const VALUE_LEN_MAX: usize = 1024;

const RETRY_PAUSE: Duration = Duration::from_secs(1);

const FLUSH_PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use prometheus::Registry;

    use super::*;

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(&Registry::new(), []).unwrap())
    }

    fn record(id: &str) -> AuditRecord<'_> {
        AuditRecord {
            request_id: id,
            key: Some(bounded("line\nbreak \"quoted\"")),
            ..AuditRecord::default()
        }
    }

    #[tokio::test]
    async fn lines_are_appended_to_a_file_of_its_own_and_after_a_rotation_to_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let log = Audit::start(Destination::File(path.clone()), true, metrics()).unwrap();
        log.record(log.reserve(Party::Client).unwrap(), &record("A"));
        log.record(None, &record("B"));
        log.flush().await;
        let moved = dir.path().join("audit.1");
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        log.record(None, &record("C"));
        log.flush().await;
        let ids = |path: &std::path::Path| -> Vec<String> {
            let text = std::fs::read_to_string(path).unwrap();
            let lines = text.lines().map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(line["key"], "line\nbreak \"quoted\"");
                line["request_id"].as_str().unwrap().to_owned()
            });
            lines.collect()
        };
        assert_eq!(ids(&moved), ["A", "B"]);
        assert_eq!(ids(&path), ["C"]);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_required_log_that_cannot_be_written_refuses_until_it_can_and_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("audit.jsonl");
        let counted = metrics();
        let log = Audit::start(Destination::File(path.clone()), true, Arc::clone(&counted));
        let log = log.unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        log.reopen();
        log.record(log.reserve(Party::Client).unwrap(), &record("A"));
        while log.reserve(Party::Client).is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let text = counted.render();
        assert!(!text.contains("s3seal_audit_failures_total 0"), "{text}");
        std::fs::create_dir(&folder).unwrap();
        log.flush().await;
        assert!(log.reserve(Party::Client).is_ok());
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        let away = dir.path().join("none").join("audit.jsonl");
        assert!(Audit::start(Destination::File(away), true, counted).is_err());
    }

    /// However many there are and however slow, whoever asks: only lines that wait take room.
    #[tokio::test]
    async fn requests_that_have_not_ended_keep_nobody_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = Destination::File(dir.path().join("audit.jsonl"));
        let log = Audit::start(file, true, metrics()).unwrap();
        let open: Vec<_> = (0..100_000).map(|_| log.reserve(Party::Client)).collect();
        assert!(open.iter().all(Result::is_ok));
    }

    #[test]
    fn strangers_keep_no_client_out() {
        let (log, _unread) = Audit::unwritten(true, metrics());
        let key = Some("\u{1}".repeat(VALUE_LEN_MAX));
        let line = |client| AuditRecord {
            client,
            key: key.clone(),
            ..record("REQUEST")
        };
        let (stranger, client) = (line(None), line(Some("APP")));
        let early = log.reserve(Party::Stranger).unwrap();
        let fill = |record: &AuditRecord<'_>, party| {
            let waiting = log.waiting.of(party);
            while waiting.load(Ordering::Relaxed) < WAITING_MAX {
                log.record(None, record);
            }
            let most = waiting.load(Ordering::Relaxed);
            assert!(most < WAITING_MAX + 8 * VALUE_LEN_MAX, "bytes are bounded");
            assert_eq!(log.reserve(party).err(), Some(NoAudit));
            log.record(None, record);
            assert_eq!(waiting.load(Ordering::Relaxed), most, "it is lost");
        };
        fill(&stranger, Party::Stranger);
        let before = log.waiting.of_strangers.load(Ordering::Relaxed);
        // Who was let in is heard, however many they are.
        for _ in 0..100 {
            log.record(early, &stranger);
        }
        assert!(log.waiting.of_strangers.load(Ordering::Relaxed) > before);
        assert!(log.reserve(Party::Client).is_ok());
        fill(&client, Party::Client);
        let counted = "s3seal_audit_failures_total 4";
        let text = log.metrics.render();
        assert!(text.lines().any(|line| line == counted), "{text}");
    }

    #[test]
    fn values_are_bounded() {
        assert_eq!(bounded("short"), "short");
        let long = bounded(&"ü".repeat(2000));
        assert!(long.len() <= VALUE_LEN_MAX + 3 && long.ends_with('…'));
    }
}
