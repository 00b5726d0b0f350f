//! The composition root: from a configuration to running listeners. The only file that names every
//! room.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use prometheus::Registry;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::body::room::Room;
use crate::config::Config;
use crate::config::audit::{self as audit_config, AuditPlace};
use crate::config::listen::TlsFiles;
use crate::config::log::{Log, parse_filter};
use crate::keys::aws_kms::ConnectError;
use crate::keys::local::KeyringError;
use crate::keys::{CacheSettingsError, KeyService, ProbeError, RouteError};
use crate::ops::policy::{Caller, RuleBook, UnknownKey};
use crate::proxy::Proxy;
use crate::server::admin::{self, Admin, Draining, Inside, Page};
use crate::server::tls::{self, Greeting, Terms, TlsError};
use crate::server::wake::Hangup;
use crate::server::workers::{Threads, Worker};
use crate::server::{self, Limits};
use crate::telemetry::audit::{Audit, Destination};
use crate::telemetry::history::History;
use crate::telemetry::metrics::connections::Listener;
use crate::telemetry::metrics::{ChunkMemory, Metrics};
use crate::telemetry::recent::Recent;
use crate::telemetry::traces::Traces;
use crate::telemetry::{self, LogError};
use crate::upstream::client::TrustError;
use crate::upstream::credentials::CredentialsError;

mod keys;
mod live;
mod reload;
mod rooms;
mod series;
mod status;
mod traces;
mod upkeep;
mod upstream;

pub use self::rooms::{operator, upstream_alone};

use self::keys::names_alone;
use self::live::{Fresh, Live, Shared};
use self::reload::Reloader;
use self::rooms::Rooms;
use self::status::{Status, Summary};
use self::upkeep::{Keyring, upkeep};
use self::upstream::upstream_tls;

/// A proxy with its listeners bound, not yet serving.
pub struct App {
    listener: TcpListener,
    // Taken by the task that serves it.
    admin_listener: Option<TcpListener>,
    tls: Option<Greeting>,
    limits: Limits,
    threads: Threads,
    workers: Vec<Worker<Proxy>>,
    keys: Arc<KeyService>,
    keyrings: Vec<Keyring>,
    metrics: Arc<Metrics>,
    room: Arc<Room>,
    recent: Arc<Recent>,
    summary: Arc<ArcSwap<Summary>>,
    audit: Option<Audit>,
    traces: Option<Traces>,
    reloader: Reloader,
    draining: Draining,
    drain_notice: Duration,
}

/// Why a proxy does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// AWS KMS cannot be used, or does not know a key.
    #[error("key provider {name}: {source}")]
    AwsKms {
        /// The provider's name in the configuration.
        name: String,
        /// Why.
        source: ConnectError,
    },
    /// A cache setting out of bounds.
    #[error(transparent)]
    Cache(#[from] CacheSettingsError),
    /// A keyring that cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// Key names that two keys share, or that nobody serves.
    #[error(transparent)]
    Routes(#[from] RouteError),
    /// A rule or client names a key that nobody serves.
    #[error(transparent)]
    UnknownKey(#[from] UnknownKey),
    /// A certificate or private key that cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The upstream's trust store cannot be used.
    #[error("upstream {0}")]
    Trust(#[from] TrustError),
    /// The trust store for the collector of traces cannot be used.
    #[error("traces: {0}")]
    TracesTrust(#[source] TrustError),
    /// There is nothing to sign upstream requests with.
    #[error("upstream {0}")]
    Credentials(#[from] CredentialsError),
    /// A key does not wrap and unwrap.
    #[error("{_0}: {source}", source = _0.source)]
    Probe(#[from] ProbeError),
    /// A log filter that cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A metric that is there twice: a bug.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// No threads to serve with.
    #[error("cannot start threads: {0}")]
    Threads(#[source] io::Error),
    /// No entropy.
    #[error("entropy: {0}")]
    Entropy(#[from] getrandom::Error),
    /// The audit log cannot be opened.
    #[error("audit: {0}")]
    Audit(#[source] io::Error),
    /// Whoever has to be asked for a changed configuration does not answer.
    #[error("credentials or key providers do not answer")]
    Late,
    /// A changed configuration is for another place than the one in use.
    #[error(
        "upstream.endpoint, region or addressing differ: that needs a restart, and nothing else of the \
         configuration is taken over before"
    )]
    OtherUpstream,
    /// An address that cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// As configured.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl StartError {
    /// Whether the configuration has to change, rather than the world around it.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Cache(_)
            | Self::Keyring(_)
            | Self::Routes(_)
            | Self::UnknownKey(_)
            | Self::Log(_)
            | Self::OtherUpstream
            | Self::Tls(_)
            | Self::TracesTrust(_)
            | Self::Trust(_) => true,
            Self::AwsKms { .. }
            | Self::Credentials(_)
            | Self::Probe(_)
            | Self::Metrics(_)
            | Self::Threads(_)
            | Self::Audit(_)
            | Self::Late
            | Self::Entropy(_)
            | Self::Bind { .. } => false,
        }
    }
}

impl App {
    /// Builds every room, tests every key, and binds both listeners.
    pub async fn build(config: Config) -> Result<Self, StartError> {
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let fresh = Fresh::read(config)?;
        let config = &fresh.config;
        let metrics = new_metrics()?;
        let traces = traces::start(config.traces.as_ref(), &metrics)?;
        let building = Rooms::new(config, Arc::clone(&metrics), traces.clone());
        let (rooms, keyrings) = building.await?;
        let keys = Arc::clone(&rooms.keys);
        let room = Arc::clone(&rooms.room);
        let summary = Arc::new(ArcSwap::from_pointee(Summary::of(config)));
        let audit = audit_log(config.audit.as_ref(), &metrics)?;
        let limits = Limits::from(&config.listen);
        let (address, admin) = (config.listen.address, config.admin.address);
        let drain_notice = config.listen.drain_notice;
        let shared = Shared::new(audit.clone(), traces.clone(), Arc::clone(&summary));
        let (recent, draining) = (Arc::clone(&shared.recent), shared.draining.clone());
        let mut live = Box::pin(Live::new(fresh, rooms, shared)).await?;
        let threads = Threads::start().map_err(StartError::Threads)?;
        let worker = |runtime: &Handle| {
            Ok(Worker {
                runtime: runtime.clone(),
                handler: live.proxy()?,
            })
        };
        let workers = threads.runtimes().iter().map(worker);
        let workers = workers.collect::<Result<_, StartError>>()?;
        Ok(Self {
            listener: bind(address).await?,
            admin_listener: Some(bind(admin).await?),
            tls: live.tls.clone(),
            limits,
            threads,
            workers,
            keys,
            keyrings,
            metrics,
            room,
            recent,
            summary,
            audit,
            traces,
            reloader: Reloader::new(live),
            draining,
            drain_notice,
        })
    }

    /// The address that S3 clients connect to.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The address of the status page, `/metrics`, `/healthz` and `/readyz`.
    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        let listener = self
            .admin_listener
            .as_ref()
            .ok_or(io::ErrorKind::NotConnected)?;
        listener.local_addr()
    }

    /// Serves until `stop` resolves, then lets requests in flight finish.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        if let (Ok(address), Ok(admin)) = (self.address(), self.admin_address()) {
            let fips = aws_lc_rs::try_fips_mode().is_ok();
            tracing::info!(%address, %admin, tls = self.tls.is_some(), fips, "serving");
        }
        let draining = self.draining.clone();
        let not_ready = Arc::new(ArcSwap::from_pointee(None));
        let (end_admin, admin_ends) = watch::channel(());
        let history = Arc::<History>::default();
        let status = self.status(&not_ready, &history);
        let admin = self.serve_admin(&draining, status, admin_ends);
        let connections = self
            .metrics
            .connections(Listener::S3, self.limits.max_connections);
        let upkeep = upkeep(
            self.keys,
            self.keyrings,
            not_ready,
            self.metrics,
            history,
            self.reloader,
        );
        let upkeep = tokio::spawn(upkeep);
        let rotation = self
            .audit
            .clone()
            .map(|audit| tokio::spawn(reopen_on_hangup(audit)));
        let stop = async {
            stop.await;
            draining.begin();
            tracing::info!("draining");
            // Whoever sends requests here has so long to see that it should not any more.
            tokio::time::sleep(self.drain_notice).await;
        };
        let cut = server::serve(
            self.listener,
            self.tls,
            self.limits,
            self.workers,
            connections,
            stop,
        )
        .await;
        drop(self.threads);
        upkeep.abort();
        if let Some(rotation) = rotation {
            rotation.abort();
        }
        flush(self.audit.as_ref(), self.traces.as_ref()).await;
        drop(end_admin);
        let _ = admin.await;
        tracing::info!(cut, "stopped");
    }
}

impl App {
    fn status(&self, not_ready: &Arc<ArcSwap<Option<String>>>, history: &Arc<History>) -> Status {
        let addresses = [self.address().ok(), self.admin_address().ok()];
        self.summary
            .rcu(|summary| Summary::clone(summary).at(addresses));
        Status {
            began: Instant::now(),
            summary: Arc::clone(&self.summary),
            metrics: Arc::clone(&self.metrics),
            keys: Arc::clone(&self.keys),
            keyrings: self.keyrings.clone(),
            not_ready: Arc::clone(not_ready),
            history: Arc::clone(history),
            recent: Arc::clone(&self.recent),
        }
    }

    /// The admin listener lives until the last S3 request has ended, so that a drain can be
    /// watched.
    fn serve_admin(
        &mut self,
        draining: &Draining,
        status: Status,
        mut ends: watch::Receiver<()>,
    ) -> tokio::task::JoinHandle<usize> {
        let inside = Surface {
            room: Arc::clone(&self.room),
            page: status::page(),
            status,
        };
        let handler = Admin::new(inside, draining.clone());
        let stop = async move {
            // An error is the other end being dropped: that is the signal.
            let _ = ends.changed().await;
        };
        let connections = self
            .metrics
            .connections(Listener::Admin, admin::LIMITS.max_connections);
        let Some(listener) = self.admin_listener.take() else {
            return tokio::spawn(std::future::ready(0));
        };
        tokio::spawn(server::serve(
            listener,
            None,
            admin::LIMITS,
            Worker::here(handler),
            connections,
            stop,
        ))
    }
}

/// What the admin listener reaches.
struct Surface {
    room: Arc<Room>,
    page: Page,
    status: Status,
}

impl Inside for Surface {
    fn metrics(&self) -> String {
        for (of, taken) in [
            (ChunkMemory::Open, self.room.opening()),
            (ChunkMemory::Seal, self.room.sealing()),
        ] {
            let metrics = &self.status.metrics;
            metrics.chunk_memory(of, taken.bytes, taken.max);
        }
        self.status.metrics.render()
    }

    fn page(&self) -> Page {
        self.page.clone()
    }

    fn status(&self, is_draining: bool) -> String {
        self.status.render(now(), is_draining)
    }

    fn readiness(&self) -> Result<(), String> {
        match self.status.not_ready.load().as_ref() {
            None => Ok(()),
            Some(reason) => Err(reason.clone()),
        }
    }

    fn log_filter(&self) -> Option<String> {
        telemetry::filter()
    }

    fn set_log_filter(&self, filter: &str) -> Result<(), String> {
        parse_filter(filter).map_err(|error| error.to_string())?;
        // Before, and where nothing was let through, after: who reads the log sees why it changes.
        let tell = || tracing::error!(filter, "log filter changed by the admin listener");
        let is_told = tracing::enabled!(tracing::Level::ERROR);
        if is_told {
            tell();
        }
        telemetry::set_filter(filter).map_err(|error| error.to_string())?;
        if !is_told {
            tell();
        }
        Ok(())
    }

    async fn purge(&self, key: &str) -> bool {
        let Some(id) = self.status.keys.resolve(key) else {
            return false;
        };
        self.status.keys.purge(id.clone()).await;
        tracing::info!(key = id.id, "unwrapped keys purged");
        true
    }
}

/// Everything of a configuration that can be checked without opening a socket.
pub fn check(config: &Config) -> Result<(), StartError> {
    let keys = names_alone(&config.keys, &new_metrics()?)?;
    listener_tls(config.listen.tls.as_ref())?;
    upstream_tls(&config.upstream)?;
    config.traces.as_ref().map(traces::tls).transpose()?;
    let managed = keys.managed_keys();
    RuleBook::new(&config.rules, &keys, &managed, config.own_buckets())?;
    for client in config.clients.iter() {
        Caller::check(client, &keys)?;
    }
    Ok(())
}

/// Switches off what the process must not have: core dumps, which would hold keys, and huge pages,
/// which made a small proxy twice as large.
pub fn prepare_process() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // Where the limit cannot be changed, the operator's is in force.
    let _ = setrlimit(Resource::Core, none);
    // The limit does not hold for kernels that pipe dumps into a program.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // Kernels without huge pages refuse it, and need it not.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// The runtime of everything but requests: those run on [`Threads`].
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Resolves at SIGTERM or SIGINT.
pub async fn shutdown_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("cannot watch signals");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn listener_tls(files: Option<&TlsFiles>) -> Result<Option<Terms>, TlsError> {
    files.map(tls::terms).transpose()
}

fn audit_log(
    config: Option<&audit_config::Audit>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Audit>, StartError> {
    let Some(config) = config else {
        return Ok(None);
    };
    let destination = match &config.place {
        AuditPlace::File(path) => Destination::File(path.clone()),
        AuditPlace::Stdout => Destination::Stdout,
    };
    let audit = Audit::start(destination, config.is_required, Arc::clone(metrics));
    audit.map(Some).map_err(StartError::Audit)
}

/// Writes and delivers what waits: at once, since the time until the process is killed is short.
async fn flush(audit: Option<&Audit>, traces: Option<&Traces>) {
    let audit = async {
        if let Some(audit) = audit {
            audit.flush().await;
        }
    };
    let traces = async {
        if let Some(traces) = traces {
            traces.flush().await;
        }
    };
    tokio::join!(audit, traces);
}

/// A file that was moved away is let go of.
async fn reopen_on_hangup(audit: Audit) {
    let mut hangup = Hangup::watch();
    loop {
        hangup.next().await;
        audit.reopen();
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Bind { address, source })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock of the composition root"
)]
/// The time, for everything that needs it.
pub fn now() -> OffsetDateTime {
    OffsetDateTime::from(std::time::SystemTime::now())
}

/// An error with everything that caused it, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some texts end with their cause already.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Starts logging as configured.
pub fn init_log(log: &Log) -> Result<(), StartError> {
    Ok(telemetry::init(log)?)
}

fn new_metrics() -> Result<Arc<Metrics>, StartError> {
    Ok(Arc::new(Metrics::new(&Registry::new(), HOT_OPERATIONS)?))
}

/// Operations whose series are looked up without a lock.
const HOT_OPERATIONS: [&str; 6] = [
    "GetObject",
    "HeadObject",
    "PutObject",
    "DeleteObject",
    "ListObjects",
    "ListObjectsV2",
];
