//! A fixed number of threads for calls that block.

use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::Dispatch;

use crate::keys::provider::{KeyError, Outage};

/// Threads that each own an `S` and take jobs from one queue.
pub(super) struct Pool<S> {
    /// `None` only while being dropped.
    queue: Option<SyncSender<Job<S>>>,
    /// Ends when the last thread does.
    ended: Mutex<Receiver<Infallible>>,
}

struct Job<S>(Box<dyn FnOnce(&mut S) + Send>);

impl<S: Send + 'static> Pool<S> {
    /// One thread for each worker; `capacity` jobs may wait.
    pub(super) fn start(
        name: &str,
        workers: impl Iterator<Item = S>,
        capacity: usize,
    ) -> io::Result<Self> {
        let (queue, jobs) = sync_channel(capacity);
        let jobs = Arc::new(Mutex::new(jobs));
        let (running, ended) = channel();
        for worker in workers {
            start_thread(name, worker, Arc::clone(&jobs), running.clone())?;
        }
        Ok(Self {
            queue: Some(queue),
            ended: Mutex::new(ended),
        })
    }

    /// Waits until a thread has done it. A caller that leaves takes its job along, unless a thread
    /// is at it already, which then drops what comes out.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, KeyError> {
        let (reply, answer) = oneshot::channel();
        let job = Job(Box::new(move |worker: &mut S| {
            if !reply.is_closed() {
                let _caller_left = reply.send(work(worker));
            }
        }));
        let queue = self.queue.as_ref().ok_or(Outage::Unreachable)?;
        match queue.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(KeyError::Throttled),
            Err(TrySendError::Disconnected(_)) => return Err(Outage::Unreachable.into()),
        }
        // No answer means that the job panicked.
        answer.await.map_err(|_gone| Outage::Unreachable.into())
    }
}

impl<S> Drop for Pool<S> {
    /// Idle threads are gone at once. They are waited for, since a module's sessions must not be
    /// closed while the process is ending; one in a call that hangs is left behind.
    fn drop(&mut self) {
        self.queue = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _all_ended_or_too_late = ended.recv_timeout(END_MAX);
    }
}

fn start_thread<S: Send + 'static>(
    name: &str,
    worker: S,
    jobs: Arc<Mutex<Receiver<Job<S>>>>,
    running: Sender<Infallible>,
) -> io::Result<()> {
    // Log lines go where those of the thread that starts it go.
    let log = tracing::dispatcher::get_default(Dispatch::clone);
    thread::Builder::new()
        .name(format!("keys-{name}"))
        .spawn(move || {
            let _logging = tracing::dispatcher::set_default(&log);
            work(worker, &jobs);
            drop(running);
        })?;
    Ok(())
}

/// Until the other end of the queue is gone. A panic in one job must not end the others.
fn work<S>(mut worker: S, jobs: &Mutex<Receiver<Job<S>>>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job(job)) = next else { return };
        if catch_unwind(AssertUnwindSafe(|| job(&mut worker))).is_err() {
            tracing::error!("key provider: a call panicked, which is a bug");
        }
    }
}

/// How long dropping a pool may take.
const END_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::iter;
    use std::time::Instant;

    use super::*;

    /// A pool of one thread, which is at a job until the sender is dropped.
    fn busy(capacity: usize) -> (Arc<Pool<u32>>, Sender<()>) {
        let pool = Arc::new(Pool::start("test", iter::once(0), capacity).unwrap());
        let (release, blocked) = channel::<()>();
        let (begin, begun) = channel();
        let (reply, _left) = oneshot::channel::<()>();
        let job = Job(Box::new(move |_: &mut u32| {
            begin.send(()).unwrap();
            let _ = blocked.recv();
            drop(reply);
        }));
        pool.queue.as_ref().unwrap().try_send(job).ok().unwrap();
        begun.recv().unwrap();
        (pool, release)
    }

    #[tokio::test]
    async fn a_full_queue_throttles() {
        let (pool, release) = busy(1);
        let waiting = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.call(|calls| *calls += 1).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(pool.call(|_| ()).await, Err(KeyError::Throttled));
        drop(release);
        assert_eq!(waiting.await.unwrap(), Ok(()));
        assert_eq!(pool.call(|calls| *calls).await, Ok(1));
    }

    #[tokio::test]
    async fn jobs_of_callers_that_left_are_not_done() {
        let (pool, release) = busy(100);
        for _ in 0..100 {
            let call = pool.call(|calls| *calls += 1);
            assert!(
                tokio::time::timeout(Duration::ZERO, call).await.is_err(),
                "the thread is busy"
            );
        }
        drop(release);
        let mut calls = Err(KeyError::Throttled);
        while calls == Err(KeyError::Throttled) {
            calls = pool.call(|calls| *calls).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(calls, Ok(0));
    }

    #[tokio::test]
    async fn a_panic_ends_its_call_only() {
        let pool = Pool::start("test", iter::once(()), 1).unwrap();
        let panicked = pool.call(|()| panic!("on purpose")).await;
        assert_eq!(panicked, Err::<(), _>(Outage::Unreachable.into()));
        assert_eq!(pool.call(|()| 1).await, Ok(1));
    }

    /// Workers tell when they are dropped.
    struct Worker(#[expect(dead_code, reason = "dropped with it")] Sender<Infallible>);

    #[tokio::test]
    async fn the_threads_end_with_the_pool() {
        let (alive, gone) = channel();
        let workers = (0..4).map(|_| Worker(alive.clone()));
        let pool = Pool::start("test", workers, 1).unwrap();
        drop(alive);
        assert_eq!(pool.call(|_| 1).await, Ok(1));
        drop(pool);
        assert!(
            gone.try_recv()
                .is_err_and(|error| error == std::sync::mpsc::TryRecvError::Disconnected)
        );
    }

    #[tokio::test]
    async fn a_thread_that_hangs_is_left_behind() {
        let (pool, _release) = busy(1);
        let began = Instant::now();
        drop(pool);
        assert!(began.elapsed() < END_MAX * 5);
    }
}
