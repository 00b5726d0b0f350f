//! Where the segments of an object are: known from earlier reads, or guessed to be equal and proven
//! as far as they are needed, or walked (format.md, "Cold range read").

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::timeout;

use super::pinned::Head;
use super::range::Fetched;
use super::{Object, broken, place};
use crate::config::rules::RangeLayout;
use crate::error::{Error, StoredError};
use crate::format::{
    ColdRead, OpenError, PartNumber, SegmentHead, SegmentedLayout, SegmentedRange, WalkError,
};
use crate::ops::layouts::{Certainty, Proven, Walked};
use crate::ops::store::slow_down;
use crate::s3::range::ResolvedRange;

impl Object<'_> {
    /// Where the segments are. Size and number of parts are right; the place of a part is where
    /// `confirmed` says so.
    pub async fn layout(&self) -> Result<Arc<Proven>, Error> {
        match self.known()? {
            Some(known) => Ok(known),
            None => Ok(self.prove(None).await?.0),
        }
    }

    /// Where the segments are, that of `part` without a doubt.
    pub(super) async fn confirmed(&self, part: PartNumber) -> Result<Arc<Proven>, Error> {
        let proven = self.layout().await?;
        if proven.is_certain(part) {
            return Ok(proven);
        }
        let Some(offset) = proven.layout.header_offset(part) else {
            return Ok(proven);
        };
        let head = self.pinned().head_at(offset).await?;
        if self.confirm(&proven, part, &head)? {
            return Ok(proven);
        }
        self.walk_in_doubt().await
    }

    /// What earlier reads have proven of the object that is there.
    pub(super) fn known(&self) -> Result<Option<Arc<Proven>>, Error> {
        let known = self.cx.layouts.get(&place(self.request)?);
        Ok(known.filter(|known| {
            self.etag.as_ref() == Some(&known.etag)
                && known.header == self.header.to_bytes()
                && known.stored_len == self.announced.stored_len
        }))
    }

    /// Proves a layout. If it is the guessed one, the stored bytes of `range` by that guess have
    /// been asked for along with the proof.
    pub(super) async fn prove(
        &self,
        range: Option<ResolvedRange>,
    ) -> Result<(Arc<Proven>, Option<Fetched>), Error> {
        let first = self.pinned().head_at(0).await?;
        if let Some(guess) = self.guess(&first)? {
            let plan = range.and_then(|range| guess.plan(range));
            let (last, fetched) =
                futures_util::future::try_join(self.last_head(&guess, first), async {
                    match plan {
                        Some(plan) => self.fetch_range(&guess.proven, &plan).await.map(Some),
                        None => Ok(None),
                    }
                })
                .await?;
            // What does not verify is no header: the guess was wrong, and the walk will tell.
            let last_head = SegmentHead::verify(&self.key, &last).ok();
            if last_head.is_some_and(|head| guess.cold.prove(&[], &head).is_some()) {
                guess.proven.keep_head(guess.cold.last_part(), last);
                self.keep(&guess.proven)?;
                return Ok((guess.proven, fetched));
            }
        }
        Ok((self.walk(first).await?, None))
    }

    /// The layout of equal parts, if that may be what the object has.
    fn guess(&self, first: &Head) -> Result<Option<Guess>, Error> {
        if self.rule.rule.range_layout == RangeLayout::Walk || self.is_doubted()? {
            return Ok(None);
        }
        let head = self.verify(first)?;
        let prefix = self.header.prefix();
        let cold = ColdRead::new(prefix, self.announced, self.open_ends(), &head);
        let Some(cold) = cold.map_err(broken)? else {
            return Ok(None);
        };
        Ok(cold.guess().map(|layout| {
            let proven = self.proven(layout, Certainty::Guessed);
            proven.keep_head(PartNumber::FIRST, *first);
            Guess { cold, proven }
        }))
    }

    async fn last_head(&self, guess: &Guess, first: Head) -> Result<Head, Error> {
        match guess.cold.header_offset(guess.cold.last_part()) {
            0 => Ok(first),
            offset => self.pinned().head_at(offset).await,
        }
    }

    /// Whether the header at the place of a part is that part's. What a walk has proven must be;
    /// a guess may turn out wrong.
    pub(super) fn confirm(
        &self,
        proven: &Proven,
        part: PartNumber,
        head: &Head,
    ) -> Result<bool, Error> {
        let is_guessed = proven.certainty == Certainty::Guessed;
        proven.confirm(&self.key, part, head).map_or_else(
            |error| is_guessed.then_some(false).ok_or_else(|| error.into()),
            |()| Ok(true),
        )
    }

    /// Walks an object whose parts only looked equal, and remembers to.
    pub(super) async fn walk_in_doubt(&self) -> Result<Arc<Proven>, Error> {
        if let Some(etag) = &self.etag {
            self.cx.layouts.doubt(&place(self.request)?, etag);
        }
        let first = self.pinned().head_at(0).await?;
        self.walk(first).await
    }

    fn is_doubted(&self) -> Result<bool, Error> {
        let place = place(self.request)?;
        let etag = self.etag.as_ref();
        Ok(etag.is_some_and(|etag| self.cx.layouts.is_doubted(&place, etag)))
    }

    /// Walks an object, unless somebody else is at it.
    async fn walk(&self, first: Head) -> Result<Arc<Proven>, Error> {
        if self.etag.is_none() {
            return self.walk_alone(first).await;
        }
        let turn = self.cx.layouts.turn(place(self.request)?);
        let mut turn = timeout(WALK_PATIENCE, turn.lock())
            .await
            .map_err(|_elapsed| slow_down())?;
        if let Some(known) = self.known()?
            && known.certainty == Certainty::Walked
        {
            return Ok(known);
        }
        // What the last one has passed before it left need not be passed again.
        let is_of_this = |walked: &Walked| {
            Some(&walked.etag) == self.etag.as_ref()
                && walked.header == self.header.to_bytes()
                && walked.stored_len == self.announced.stored_len
        };
        let walked = match turn.take().filter(is_of_this) {
            Some(walked) => walked,
            None => self.begin()?,
        };
        let proven = self.go_on(turn.insert(walked), first).await;
        // Kept for who goes on: of a walk that was left, or whose upstream did not answer. What did not
        // fit may be no fault of what came before, and is walked anew.
        if !matches!(proven, Err(Error::Upstream(_))) {
            *turn = None;
        }
        proven
    }

    async fn walk_alone(&self, first: Head) -> Result<Arc<Proven>, Error> {
        self.go_on(&mut self.begin()?, first).await
    }

    fn begin(&self) -> Result<Walked, Error> {
        Ok(Walked {
            etag: self.etag.clone().unwrap_or(NO_ETAG),
            header: self.header.to_bytes(),
            stored_len: self.announced.stored_len,
            walk: self.walk_from_start()?,
            lens: Vec::new(),
        })
    }

    /// Reads the header of every segment, one after the other: each says where the next one is.
    async fn go_on(&self, walked: &mut Walked, first: Head) -> Result<Arc<Proven>, Error> {
        while let Some(offset) = walked.walk.next_header() {
            let head = match offset {
                0 => first,
                _ => self.pinned().head_at(offset).await?,
            };
            let head = self.verify(&head)?;
            walked.walk.accept(&head).map_err(broken)?;
            walked.lens.push(head.plaintext_len());
        }
        let lens = walked.lens.iter().copied();
        let layout = SegmentedLayout::walked(lens).ok_or_else(|| broken(WalkError::Order))?;
        let proven = self.proven(layout, Certainty::Walked);
        self.keep(&proven)?;
        Ok(proven)
    }

    fn proven(&self, layout: SegmentedLayout, certainty: Certainty) -> Arc<Proven> {
        Arc::new(Proven::new(
            self.etag.clone().unwrap_or(NO_ETAG),
            self.header.to_bytes(),
            self.announced.stored_len,
            (layout, certainty),
        ))
    }

    /// Keeps it for later reads, which can be pinned only to an entity tag.
    fn keep(&self, proven: &Arc<Proven>) -> Result<(), Error> {
        if self.etag.is_some() {
            let place = place(self.request)?;
            self.cx.layouts.insert(place, Arc::clone(proven));
        }
        Ok(())
    }

    fn verify(&self, head: &Head) -> Result<SegmentHead, Error> {
        SegmentHead::verify(&self.key, head)
            .map_err(|error| StoredError::from(OpenError::from(error)).into())
    }
}

/// In the place of an entity tag that the upstream does not give; nothing is remembered then.
const NO_ETAG: HeaderValue = HeaderValue::from_static("");

/// How long somebody waits for who walks before.
const WALK_PATIENCE: Duration = Duration::from_secs(30);

/// A layout that first and last header may prove.
struct Guess {
    cold: ColdRead,
    proven: Arc<Proven>,
}

impl Guess {
    fn plan(&self, range: ResolvedRange) -> Option<SegmentedRange> {
        self.proven.layout.range(range.first(), range.last())
    }
}
