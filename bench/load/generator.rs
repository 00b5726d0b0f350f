//! The load: a closed loop of signed requests over raw sockets, one order per process.
//!
//! Cheap on purpose, for it shares a core with the origin: heads are signed once per path, bodies
//! are slices of one block, and every read goes into one buffer.

use std::{
    cell::{Cell, RefCell},
    io,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use tokio::time::{sleep, timeout};

use crate::{
    connection::Connection,
    error::LoadError,
    order::{Order, Outcome, Payload, Work},
    pattern::Pattern,
    proc::CpuReading,
    sign::{self, Unsigned},
};

/// The worker process: an order on stdin, its outcome on stdout.
pub(crate) fn work() -> Result<(), LoadError> {
    let order: Order = serde_json::from_reader(io::stdin().lock())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(LoadError::io("starting a runtime"))?;
    let outcome = runtime.block_on(generate(&order))?;
    serde_json::to_writer(io::stdout().lock(), &outcome)?;
    Ok(())
}

async fn generate(order: &Order) -> Result<Outcome, LoadError> {
    let shared = Shared::new(order)?;
    let opened = (0..order.connections).map(|number| Connection::open(&shared, number));
    let mut connections = try_join_all(opened).await?;
    within(
        order,
        try_join_all(connections.iter_mut().map(Connection::warm_up)),
    )
    .await?;

    for connection in &mut connections {
        connection.take_latencies();
    }
    shared.moved.set(0);
    shared.left.set(order.requests);
    sleep(SETTLE).await;
    let (cpu_before, started) = (shared.cpu()?, Instant::now());
    within(
        order,
        try_join_all(connections.iter_mut().map(Connection::run)),
    )
    .await?;
    let wall_seconds = started.elapsed().as_secs_f64();
    if order.stop_after.is_none() {
        sleep(SETTLE).await;
    }
    let cpu = cpu_before.zip(shared.cpu()?);
    let waited = cpu
        .as_ref()
        .map(|(before, after)| after.waited_since(before));

    let mut latencies: Vec<Duration> = connections
        .iter_mut()
        .flat_map(Connection::take_latencies)
        .collect();
    latencies.sort_unstable();
    let percentile = |percent: usize| {
        let index = latencies.len() * percent / 100;
        latencies
            .get(index)
            .map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
    };
    Ok(Outcome {
        requests: latencies.len() as u64,
        bytes: shared.moved.get(),
        wall_seconds,
        cpu_seconds: cpu.map(|(before, after)| after.since(&before).as_secs_f64()),
        waited_seconds: waited.map(|time| time.as_secs_f64()),
        p50_us: percentile(50),
        p99_us: percentile(99),
    })
}

async fn within<T>(
    order: &Order,
    work: impl Future<Output = Result<T, LoadError>>,
) -> Result<T, LoadError> {
    let stalled = || LoadError::Stalled {
        target: order.name.clone(),
        seconds: STALL_LIMIT.as_secs(),
    };
    timeout(STALL_LIMIT, work).await.map_err(|_| stalled())?
}

/// What all connections of an order have in common; one thread, so cells will do.
pub(crate) struct Shared<'a> {
    /// The order.
    pub(crate) order: &'a Order,
    /// The bytes that are sent, and expected back.
    pub(crate) pattern: Pattern,
    /// A signed head per path.
    pub(crate) heads: Vec<String>,
    /// What every connection reads into, for as long as a read takes.
    pub(crate) scratch: RefCell<Vec<u8>>,
    left: Cell<u64>,
    turn: Cell<usize>,
    moved: Cell<u64>,
}

impl<'a> Shared<'a> {
    fn new(order: &'a Order) -> Result<Self, LoadError> {
        let pattern = Pattern::new();
        let (method, hash, length) = match order.work {
            Work::Get | Work::GetRange { .. } | Work::List => ("GET", None, None),
            Work::Put {
                size,
                payload: Payload::Unsigned,
            } => ("PUT", None, Some(size)),
            Work::Put {
                size,
                payload: Payload::Sha256,
            } => ("PUT", Some(pattern.sha256(size)), Some(size)),
        };
        let sha256 = hash.as_deref();
        let head = |target| {
            sign::head(Unsigned {
                method,
                host: order.target,
                target,
                sha256,
                length,
            })
        };
        let heads = order
            .paths
            .iter()
            .map(|path| head(path))
            .collect::<Result<_, _>>()?;
        let scratch = RefCell::new(vec![0; READ_BUFFER]);
        Ok(Self {
            order,
            pattern,
            heads,
            scratch,
            left: Cell::default(),
            turn: Cell::default(),
            moved: Cell::default(),
        })
    }

    fn cpu(&self) -> Result<Option<CpuReading>, LoadError> {
        let reading = self.order.process.map(CpuReading::of).transpose();
        reading.map_err(LoadError::io(format!(
            "{}: reading its CPU time",
            self.order.name
        )))
    }

    /// Takes one of the requests that are left.
    pub(crate) fn take(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }

    /// The number of the next path where they are taken in turn.
    pub(crate) fn next_turn(&self) -> usize {
        self.turn.replace(self.turn.get() + 1)
    }

    /// Counts bytes of bodies; true when the order says to stop here.
    pub(crate) fn count(&self, bytes: u64) -> bool {
        self.moved.set(self.moved.get() + bytes);
        self.order
            .stop_after
            .is_some_and(|limit| self.moved.get() >= limit)
    }

    /// Bytes of body per request.
    pub(crate) fn body_length(&self) -> u64 {
        match self.order.work {
            Work::Get | Work::GetRange { .. } | Work::List => 0,
            Work::Put { size, .. } => size,
        }
    }

    /// The target's answer is not what it should be.
    pub(crate) fn wrong(&self, reason: impl Into<String>) -> LoadError {
        LoadError::Answer {
            target: self.order.name.clone(),
            reason: reason.into(),
        }
    }

    /// The target's connection failed.
    pub(crate) fn lost(&self, error: &io::Error) -> LoadError {
        self.wrong(format!("the connection broke: {error}"))
    }
}

/// Large enough that a read takes all a socket has, small enough to stay in the cache.
const READ_BUFFER: usize = 256 * 1024;

/// After this nobody who still works is still running: a process off the CPU has exact times.
const SETTLE: Duration = Duration::from_millis(20);

/// Far above the slowest sound cell; a prototype was once seen to stall for whole rounds.
const STALL_LIMIT: Duration = Duration::from_mins(5);
