//! What a task or a body does, it does in the trace of its request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use http_body::{Body as HttpBody, Frame, SizeHint};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, ContextGuard};
use pin_project_lite::pin_project;

pin_project! {
    /// A future or a body that is polled in a trace, if there is one.
    pub struct InTrace<T> {
        trace: Option<Context>,
        #[pin]
        inner: T,
    }
}

impl<T> InTrace<T> {
    /// Wraps it; without a trace nothing is done.
    pub fn new(trace: Option<Context>, inner: T) -> Self {
        Self { trace, inner }
    }

    /// In the trace of whoever calls this.
    pub fn current(inner: T) -> Self {
        let current = Context::current();
        let trace = current.has_active_span().then_some(current);
        Self::new(trace, inner)
    }
}

fn enter(trace: Option<&Context>) -> Option<ContextGuard> {
    trace.map(|trace| trace.clone().attach())
}

impl<F: Future> Future for InTrace<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = enter(this.trace.as_ref());
        this.inner.poll(cx)
    }
}

impl<B: HttpBody> HttpBody for InTrace<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let _entered = enter(this.trace.as_ref());
        this.inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
