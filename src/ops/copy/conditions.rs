//! Whether the upstream heeds the condition on the source of a copy. What is shared between a source
//! and its copy is a data key: a copy of other bytes under this header could not be read, and onto
//! itself it would be the loss of the object. Servers differ, so the first copy asks.

use std::sync::OnceLock;

use http::HeaderValue;

use crate::format::Layout;

/// What was found out about the upstream, for as long as the process lives.
#[derive(Debug, Default)]
pub struct CopyConditions {
    of_objects: OnceLock<bool>,
    of_parts: OnceLock<bool>,
}

impl CopyConditions {
    /// Whether objects of a layout are copied only if the source is the one that was named; `None`
    /// while that is not known.
    pub fn are_heeded(&self, layout: Layout) -> Option<bool> {
        self.of(layout).get().copied()
    }

    /// Remembers what the upstream made of a condition that cannot hold.
    pub fn learn(&self, layout: Layout, are_heeded: bool) {
        if self.of(layout).set(are_heeded).is_ok() && !are_heeded {
            tracing::warn!(
                ?layout,
                "the upstream ignores x-amz-copy-source-if-match: copies are moved through the proxy"
            );
        }
    }

    fn of(&self, layout: Layout) -> &OnceLock<bool> {
        match layout {
            Layout::Single => &self.of_objects,
            Layout::Segmented => &self.of_parts,
        }
    }
}

/// An entity tag that no object has: a copy on this condition must be refused.
pub(super) const IMPOSSIBLE: HeaderValue =
    HeaderValue::from_static("\"00000000000000000000000000000000\"");
