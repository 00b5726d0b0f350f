//! The provider seam: what every home of key-encryption keys can do, and how it may fail.

use std::collections::BTreeMap;

use async_trait::async_trait;
use thiserror::Error;

use crate::keys::entropy::EntropyError;
use crate::keys::types::{
    DataKey, FreshDataKey, KeyRef, ProviderKind, WrapContext, WrappedDataKey,
};

/// A home of key-encryption keys: it sees data keys and contexts, never objects.
///
/// Every implementation passes the contract suite in `tests/it/providers/contract.rs`. Calls are cancelled by
/// dropping their future; none may block the thread on file or network IO.
#[async_trait]
pub trait KeyProvider: Send + Sync + 'static {
    /// The envelope's provider byte and the metric label.
    fn kind(&self) -> ProviderKind;

    /// Resolves an id, ARN or alias to the canonical id and the version that wraps now.
    ///
    /// Comes first when an object is written: the envelope head, with both in it, is part of the
    /// context that the wrap is bound to.
    async fn describe(&self, name: &str) -> Result<KeyRef, KeyError>;

    /// Makes a data key and wraps it.
    async fn generate(&self, key: &KeyRef, context: &WrapContext)
    -> Result<FreshDataKey, KeyError>;

    /// Wraps a data key under `key`, bound to `context`.
    async fn wrap(
        &self,
        key: &KeyRef,
        data_key: &DataKey,
        context: &WrapContext,
    ) -> Result<WrappedDataKey, KeyError>;

    /// Opens a wrap. `key` was compared with the accepted keys before (see [`crate::keys::policy`]).
    async fn unwrap(
        &self,
        key: &KeyRef,
        wrapped: &WrappedDataKey,
        context: &WrapContext,
    ) -> Result<DataKey, KeyError>;

    /// Moves a data key from one wrap to another within this provider: same data key, new key,
    /// version or context. Providers that can do it without showing the data key override this.
    async fn rewrap(
        &self,
        from: (&KeyRef, &WrapContext),
        wrapped: &WrappedDataKey,
        to: (&KeyRef, &WrapContext),
    ) -> Result<WrappedDataKey, KeyError> {
        let data_key = self.unwrap(from.0, wrapped, from.1).await?;
        self.wrap(to.0, &data_key, to.1).await
    }

    /// Whether the provider could serve a request now. Cheap: readiness asks often.
    async fn probe(&self) -> Result<(), KeyError>;
}

/// A provider whose keys also open what another program wrapped, bound to pairs of its own.
///
/// Apart from [`KeyProvider`], since only AWS KMS has wraps of that kind.
#[async_trait]
pub trait ForeignWraps: Send + Sync + 'static {
    /// Opens such a wrap by the key with this canonical id, which is named in the call.
    async fn unwrap_foreign(
        &self,
        id: &str,
        wrapped: &WrappedDataKey,
        context: &BTreeMap<String, String>,
    ) -> Result<DataKey, KeyError>;
}

/// Why a key could not be used; each variant says who is at fault.
///
/// No variant carries bytes or text of a wrap, a context or a key. Clients see them by the table
/// in keys.md, "Errors to clients".
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// The wrap does not open: it was made for another object or key, or was tampered with.
    #[error("the wrapped key does not belong to this object, or was tampered with")]
    ContextMismatch,
    /// The operator's policy in the provider refuses us.
    #[error("the key provider denies the use of this key")]
    Denied,
    /// The key material is gone, or pending deletion: an operator's decision.
    #[error("the key is destroyed or in a state that allows no use")]
    Destroyed,
    /// The key, or this version of it, is disabled or retired: an operator's decision.
    #[error("the key is disabled")]
    Disabled,
    /// The wrap has an impossible shape: the stored object was damaged.
    #[error("the wrapped key is malformed")]
    Malformed,
    /// Nobody has this key: the client or a rule named it wrongly.
    #[error("the key does not exist")]
    NotFound,
    /// The provider asks for fewer requests.
    #[error("the key provider is throttling")]
    Throttled,
    /// The provider, or this machine, cannot do it now.
    #[error("the key provider is unavailable: {0}")]
    Unavailable(Outage),
}

/// What made a provider unavailable. The texts are fixed: a provider's own words may hold secrets.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Outage {
    /// The provider answered in a way that makes no sense.
    #[error("it answered in a way that makes no sense")]
    Answer,
    /// The operating system gave no random bytes.
    #[error("no entropy from the operating system")]
    Entropy,
    /// The provider does not let us in: the token is not good any more, or the login was refused.
    #[error("it does not let us in")]
    Login,
    /// The registry of bucket keys cannot be read or written, or lost the only copy of one.
    #[error("the registry of bucket keys is not usable")]
    Registry,
    /// The version was rotated away between [`KeyProvider::describe`] and the wrap; describing
    /// the key again helps, repeating the same call does not.
    #[error("the key version was rotated away meanwhile")]
    Superseded,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// Not reachable, or it failed in a way that may pass.
    #[error("not reachable")]
    Unreachable,
}

impl KeyError {
    /// Every [`Self::outcome`] there is.
    pub const OUTCOMES: [&str; 9] = [
        "context_mismatch",
        "denied",
        "destroyed",
        "disabled",
        "malformed",
        "not_found",
        "throttled",
        "timeout",
        "unavailable",
    ];

    /// The metric label for this outcome, one of [`Self::OUTCOMES`]; success is `"ok"`.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::ContextMismatch => "context_mismatch",
            Self::Denied => "denied",
            Self::Destroyed => "destroyed",
            Self::Disabled => "disabled",
            Self::Malformed => "malformed",
            Self::NotFound => "not_found",
            Self::Throttled => "throttled",
            Self::Unavailable(Outage::Timeout) => "timeout",
            Self::Unavailable(
                Outage::Answer
                | Outage::Entropy
                | Outage::Login
                | Outage::Registry
                | Outage::Superseded
                | Outage::Unreachable,
            ) => "unavailable",
        }
    }

    /// Whether repeating the very same call soon may succeed.
    ///
    /// A timeout is not repeated: it has used up the time the caller was given.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Throttled | Self::Unavailable(Outage::Unreachable) => true,
            Self::ContextMismatch
            | Self::Denied
            | Self::Destroyed
            | Self::Disabled
            | Self::Malformed
            | Self::NotFound
            | Self::Unavailable(
                Outage::Answer
                | Outage::Entropy
                | Outage::Login
                | Outage::Registry
                | Outage::Superseded
                | Outage::Timeout,
            ) => false,
        }
    }

    /// Whether the provider did not get to answer: what a key was good for may still hold then.
    ///
    /// A login that is refused is none of these. It is how an operator shuts the proxy out.
    pub fn is_absence(self) -> bool {
        match self {
            Self::Throttled | Self::Unavailable(Outage::Timeout | Outage::Unreachable) => true,
            Self::ContextMismatch
            | Self::Denied
            | Self::Destroyed
            | Self::Disabled
            | Self::Malformed
            | Self::NotFound
            | Self::Unavailable(
                Outage::Answer
                | Outage::Entropy
                | Outage::Login
                | Outage::Registry
                | Outage::Superseded,
            ) => false,
        }
    }

    /// Whether the provider refuses the use of the key itself, whatever was to be unwrapped.
    pub fn is_refusal(self) -> bool {
        match self {
            Self::Denied | Self::Destroyed | Self::Disabled | Self::NotFound => true,
            Self::ContextMismatch | Self::Malformed | Self::Throttled | Self::Unavailable(_) => {
                false
            }
        }
    }
}

impl From<Outage> for KeyError {
    fn from(outage: Outage) -> Self {
        Self::Unavailable(outage)
    }
}

impl From<EntropyError> for KeyError {
    fn from(_: EntropyError) -> Self {
        Self::Unavailable(Outage::Entropy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_by_itself_is_transient() {
        let transient = [KeyError::Throttled, Outage::Unreachable.into()];
        let lasting = [
            KeyError::ContextMismatch,
            KeyError::Denied,
            KeyError::Destroyed,
            KeyError::Disabled,
            KeyError::Malformed,
            KeyError::NotFound,
            Outage::Answer.into(),
            Outage::Entropy.into(),
            Outage::Login.into(),
            Outage::Registry.into(),
            Outage::Superseded.into(),
            Outage::Timeout.into(),
        ];
        assert!(transient.into_iter().all(KeyError::is_transient));
        assert!(!lasting.into_iter().any(KeyError::is_transient));
    }
}
