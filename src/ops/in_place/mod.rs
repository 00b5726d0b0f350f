//! Seals an object that was stored before the proxy, in its place: it is read as it is and written
//! back sealed, on the condition that nobody has replaced it meanwhile.

mod look;
mod parts;
mod write;

pub use self::write::heeds_conditions;

use http::HeaderMap;

use self::look::{Looked, Plaintext};
use super::context::Cx;
use super::encryption::{self, SealPlan};
use super::policy::ResolvedRule;
use super::read::settled;
use crate::error::Error;
use crate::format::MAX_SINGLE_LEN;

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
        let headers = self.kept(&plaintext).await?;
        self.write(plan, *plaintext, headers).await
    }

    async fn write(
        self,
        plan: SealPlan,
        plaintext: Plaintext,
        headers: HeaderMap,
    ) -> Result<Outcome, Error> {
        if plaintext.len > self.manner.single_max.min(MAX_SINGLE_LEN) {
            return Box::pin(self.write_parts(plan, plaintext, headers)).await;
        }
        Box::pin(self.write_single(plan, plaintext, headers)).await
    }
}
