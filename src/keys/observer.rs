//! What the key service tells about itself, so that it needs to know no metrics.

/// Receives counts and durations; called on the request path, so it must not block.
///
/// Labels are bounded: kinds of providers, calls and outcomes, never names of keys.
pub trait KeyObserver: Send + Sync + 'static {
    /// An attempt at a provider call begins. Who wants to know when and how it ends returns somebody to
    /// tell.
    fn begin_call(&self, _: &'static str, _: &'static str) -> Option<Box<dyn CallWatch>> {
        None
    }

    /// One attempt at a provider call ended. `outcome` is `"ok"` or [`KeyError::outcome`].
    ///
    /// [`KeyError::outcome`]: crate::keys::KeyError::outcome
    fn provider_call(
        &self,
        provider: &'static str,
        call: &'static str,
        outcome: &'static str,
        seconds: f64,
    );

    /// An unwrapped key came from the cache, or from another request's unwrap in flight.
    fn cache_hit(&self);

    /// A provider had to unwrap.
    fn cache_miss(&self);

    /// A provider had to unwrap and was away: an unwrapped key whose time was over was used.
    fn cache_stale(&self);

    /// Unwrapped keys held now; reported by every maintenance and purge.
    fn cache_entries(&self, entries: u64);

    /// How many providers of a kind are left alone now, after outages; reported by every
    /// maintenance.
    fn open_breakers(&self, provider: &'static str, count: usize);
}

/// Waits for the end of an attempt. Dropped without one, nobody waits for the answer any more.
pub trait CallWatch: Send {
    /// It ended; `outcome` as in [`KeyObserver::provider_call`].
    fn end(self: Box<Self>, outcome: &'static str);
}

/// An observer that looks away: for commands and tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl KeyObserver for NoObserver {
    fn provider_call(&self, _: &'static str, _: &'static str, _: &'static str, _: f64) {}
    fn cache_hit(&self) {}
    fn cache_miss(&self) {}
    fn cache_stale(&self) {}
    fn cache_entries(&self, _: u64) {}
    fn open_breakers(&self, _: &'static str, _: usize) {}
}
