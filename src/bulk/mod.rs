//! Commands that walk a prefix: page by page, some objects at a time, with a checkpoint behind each
//! page, so that a run that was killed goes on where it was.

pub mod checkpoint;

use std::cell::Cell;
use std::ops::ControlFlow;

use futures_util::stream::{self, StreamExt};

use self::checkpoint::{Checkpoint, CheckpointError};
use crate::upstream::walk::{Listed, Walk, WalkError};

/// How a run ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every key was reached.
    AtTheEnd,
    /// It was told to stop, or the work said so.
    Stopped,
}

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// The keys cannot be listed.
    #[error("the keys cannot be listed: {0}")]
    Walk(#[from] WalkError),
    /// The checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Does `work` for every object, `at_once` at a time, until it breaks off or `is_stopped`. What has begun
/// is finished. A checkpoint is written when a page is done: until then its objects count as untouched,
/// so work must be such that doing it again does no harm. It also says how many objects are `left`
/// behind it for which the work failed.
///
/// # Errors
///
/// Of the listing and the checkpoint; what goes wrong with an object is for `work` to keep.
pub async fn each<W: Future<Output = ControlFlow<()>>>(
    mut walk: Walk<'_>,
    checkpoint: Option<&Checkpoint<'_>>,
    at_once: usize,
    is_stopped: impl Fn() -> bool,
    work: impl Fn(Listed) -> W,
    left: impl Fn() -> u64,
) -> Result<Ended, BulkError> {
    while let Some(page) = walk.next_page().await? {
        let goes_on = Cell::new(true);
        let mut running = stream::iter(page.objects)
            .take_while(|_| std::future::ready(goes_on.get() && !is_stopped()))
            .map(&work)
            .buffer_unordered(at_once);
        while let Some(done) = running.next().await {
            if done.is_break() {
                goes_on.set(false);
            }
        }
        if !goes_on.get() || is_stopped() {
            return Ok(Ended::Stopped);
        }
        if let (Some(checkpoint), Some(after)) = (checkpoint, &page.last) {
            checkpoint.write(after, left()).await?;
        }
    }
    if let Some(checkpoint) = checkpoint {
        checkpoint.remove().await?;
    }
    Ok(Ended::AtTheEnd)
}
