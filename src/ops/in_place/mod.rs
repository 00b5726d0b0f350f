//! Writes an object anew in its place: one that was stored before the proxy is sealed, a sealed one
//! gets a fresh data key. It is read and written back on the condition that nobody has replaced it
//! meanwhile.

mod look;
mod parts;
mod write;

pub use self::write::heeds_conditions;

use self::look::{Looked, Original};
use super::context::Cx;
use super::copy::Source;
use super::encryption::{self, SealPlan};
use super::head_object;
use super::policy::ResolvedRule;
use super::read::settled;
use super::segmented::Object as Segmented;
use crate::error::Error;
use crate::format::{Layout, MAX_SINGLE_LEN, Metadata};

/// How objects are sealed in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Says what would be done, and writes nothing.
    pub dry_run: bool,
    /// Plaintext bytes above which an object is written in parts.
    pub single_max: u64,
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is sealed, or would be: so many plaintext bytes.
    Sealed(u64),
    /// It was already.
    AlreadySealed,
    /// It is a directory marker, or under a rule that does not encrypt: it stays as it is.
    Exempt,
    /// It is archived, and cannot be read before it is restored.
    Archived,
    /// It is gone.
    Gone,
    /// The upstream says no, with this code.
    Refused(String),
}

/// One object of a bucket.
#[derive(Clone, Copy)]
struct Object<'a> {
    cx: &'a Cx,
    rule: &'a ResolvedRule,
    bucket: &'a str,
    key: &'a str,
    manner: Manner,
}

/// Seals one object; starts over when that is replaced meanwhile.
///
/// # Errors
///
/// No answer from upstream or keys, an object that cannot be read as it is described, or one that is
/// replaced time and again.
pub async fn seal(cx: &Cx, bucket: &str, key: &str, manner: Manner) -> Result<Outcome, Error> {
    let Some(rule) = cx.rules.find(bucket, Some(key)) else {
        return Ok(Outcome::Exempt);
    };
    let object = Object {
        cx,
        rule,
        bucket,
        key,
        manner,
    };
    settled(|| object.seal()).await
}

/// Writes a sealed object again under a fresh data key, with the parts that it has; the caller may
/// read it, and starts over when it is replaced meanwhile. What the upstream says instead, if it
/// refuses.
///
/// # Errors
///
/// No answer from upstream or keys, or an object that does not open.
pub async fn reseal(
    cx: &Cx,
    source: &Source<'_>,
    metadata: &Metadata,
    plan: SealPlan,
) -> Result<Written, Error> {
    let (bucket, key) = source.reading.request.object()?;
    let object = Object {
        cx,
        rule: source.rule,
        bucket,
        key,
        manner: Manner {
            dry_run: false,
            single_max: MAX_SINGLE_LEN,
        },
    };
    object.reseal(source, metadata, plan).await
}

/// Whether an object is written, or what the upstream says instead.
type Written = Result<(), String>;

impl Object<'_> {
    async fn seal(self) -> Result<Outcome, Error> {
        let plaintext = match self.look().await? {
            Looked::Plaintext(plaintext) => plaintext,
            Looked::Settled(outcome) => return Ok(outcome),
        };
        // As a writer that asks for nothing would have it.
        let Some(plan) = encryption::own_plan(self.cx, self.rule).await? else {
            return Ok(Outcome::Exempt);
        };
        if self.manner.dry_run {
            return Ok(Outcome::Sealed(plaintext.len));
        }
        let (len, lens) = (plaintext.len, self.lens(plaintext.len));
        let written = self.write(plan, *plaintext, lens.as_deref()).await?;
        Ok(written.map_or_else(Outcome::Refused, |()| Outcome::Sealed(len)))
    }

    async fn reseal(
        self,
        source: &Source<'_>,
        metadata: &Metadata,
        plan: SealPlan,
    ) -> Result<Written, Error> {
        let reading = &source.reading.request;
        let (lens, checksum) = match metadata.header.prefix().layout() {
            Layout::Single => {
                let len = source.stored_len;
                let checksum = head_object::sealed_checksum(self.cx, reading, metadata, len);
                (None, Box::pin(checksum).await?)
            }
            Layout::Segmented => {
                let said = (&source.headers, source.stored_len);
                let object = Segmented::new(self.cx, reading, self.rule, metadata, said).await?;
                (Some(object.part_lens().await?), None)
            }
        };
        let original = Original::sealed(source, checksum)?;
        self.write(plan, original, lens.as_deref()).await
    }

    /// The parts to write an object in, if it is to have any.
    fn lens(self, len: u64) -> Option<Vec<u64>> {
        let single_max = self.manner.single_max;
        (len > single_max.min(MAX_SINGLE_LEN)).then(|| parts::equal_parts(len, single_max))
    }

    async fn write(
        self,
        plan: SealPlan,
        mut original: Original<'_>,
        lens: Option<&[u64]>,
    ) -> Result<Written, Error> {
        let headers = match self.kept(&mut original).await? {
            Ok(headers) => headers,
            Err(reason) => return Ok(Err(reason)),
        };
        let original = &original;
        match lens {
            Some(lens) => Box::pin(self.write_parts(plan, original, lens, headers)).await,
            None => Box::pin(self.write_single(plan, original, headers)).await,
        }
    }
}
