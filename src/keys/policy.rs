//! Which key may open what: decided by comparison, before any provider call or cache look-up.
//!
//! Key ids that come out of an envelope, an upload id or a registry entry were written by whoever
//! can write to the bucket. They are only ever compared with configured ones (keys.md, "Which key
//! may be used"): otherwise a storage provider with a key of his own seals a forged object and the
//! proxy serves it. [`OpenPolicy::check`] is the only way to an [`AcceptedKey`], and only an
//! accepted key can be given to the key service to unwrap with.

use std::collections::HashSet;

use thiserror::Error;

use crate::keys::types::{Binding, KeyRef, Mode, ProviderKind};

/// A key whatever its version: what rules accept and what purging names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId {
    /// Where the key lives.
    pub provider: ProviderKind,
    /// Canonical id, never an alias.
    pub id: String,
}

impl KeyId {
    /// Whether `key` is a version of this key.
    pub fn is_key_of(&self, key: &KeyRef) -> bool {
        self.provider == key.provider && self.id == key.id
    }
}

impl From<&KeyRef> for KeyId {
    fn from(key: &KeyRef) -> Self {
        Self {
            provider: key.provider,
            id: key.id.clone(),
        }
    }
}

/// The keys that may open objects under one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcceptedKeys {
    managed: HashSet<KeyId>,
    accepted: HashSet<KeyId>,
}

impl AcceptedKeys {
    /// `managed` are the deployment's managed key and those that were, which are accepted only if they
    /// are also among `accepted`; `accepted` holds canonical ids of configured keys.
    pub fn new(
        managed: impl IntoIterator<Item = KeyId>,
        accepted: impl IntoIterator<Item = KeyId>,
    ) -> Self {
        Self {
            managed: managed.into_iter().collect(),
            accepted: accepted.into_iter().collect(),
        }
    }

    /// Whether a key is the managed one, or was: never usable as a named key.
    pub fn is_managed(&self, key: &KeyId) -> bool {
        self.managed.contains(key)
    }
}

/// What a rule demands of an envelope before its key is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPolicy {
    /// The keys that may open objects here.
    pub accepted: AcceptedKeys,
    /// The weakest binding that is not refused.
    pub least_binding: Binding,
}

impl OpenPolicy {
    /// Decides whether an envelope's key may be asked to unwrap, by what the envelope says.
    ///
    /// The envelope is not authenticated yet at this point; what passes here is authenticated by
    /// the wrap, which is bound to provider, id, version, mode and binding.
    pub fn check(
        &self,
        key: &KeyRef,
        mode: Mode,
        binding: Binding,
    ) -> Result<Accepted, PolicyRefusal> {
        if binding < self.least_binding {
            return Err(PolicyRefusal::WeakBinding);
        }
        if mode == Mode::CustomerKey || key.provider == ProviderKind::Customer {
            return check_customer(key, mode);
        }
        let id = KeyId::from(key);
        if !self.accepted.accepted.contains(&id) {
            return Err(PolicyRefusal::NotAccepted);
        }
        match mode {
            Mode::Managed if !self.accepted.is_managed(&id) => {
                return Err(PolicyRefusal::NamedAsManaged);
            }
            Mode::NamedKey if self.accepted.is_managed(&id) => {
                return Err(PolicyRefusal::ManagedAsNamed);
            }
            Mode::CustomerKey | Mode::Managed | Mode::NamedKey => {}
        }
        Ok(Accepted::Configured(AcceptedKey(key.clone())))
    }
}

/// Whether an envelope stands for a caller's key, and for nothing else.
fn check_customer(key: &KeyRef, mode: Mode) -> Result<Accepted, PolicyRefusal> {
    if mode == Mode::CustomerKey && key.provider == ProviderKind::Customer && key.id.is_empty() {
        Ok(Accepted::Customer)
    } else {
        Err(PolicyRefusal::CustomerKey)
    }
}

/// What may open an object, by what its envelope says.
#[derive(Debug, PartialEq, Eq)]
pub enum Accepted {
    /// A configured key that the rule accepts.
    Configured(AcceptedKey),
    /// The key that comes with the request, if it does. No rule has to accept it: whoever cannot
    /// present it can neither read nor forge such an object.
    Customer,
}

/// Proof that a rule accepts this key: built by [`OpenPolicy::check`] only.
#[derive(Debug, PartialEq, Eq)]
pub struct AcceptedKey(KeyRef);

impl AcceptedKey {
    /// The key that may unwrap, and that authorisation has to follow.
    pub fn key(&self) -> &KeyRef {
        &self.0
    }
}

/// Why an envelope's key is not used. Each is an integrity failure: the object was not written
/// under this rule, or the envelope was rewritten.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PolicyRefusal {
    /// The envelope mixes a caller's key with a configured one.
    #[error("the envelope mixes a customer key with another")]
    CustomerKey,
    /// The managed key is never usable as a named key.
    #[error("the envelope uses the managed key as a named key")]
    ManagedAsNamed,
    /// A named key is never usable as the managed key.
    #[error("the envelope uses a named key as the managed key")]
    NamedAsManaged,
    /// Not a key that the rule for this bucket and prefix accepts.
    #[error("the envelope names a key that the rule does not accept")]
    NotAccepted,
    /// Bound to less than the rule demands.
    #[error("the envelope is bound to less than the rule demands")]
    WeakBinding,
}

impl PolicyRefusal {
    /// The metric label for this refusal.
    pub fn label(self) -> &'static str {
        match self {
            Self::CustomerKey => "customer_key",
            Self::ManagedAsNamed => "managed_as_named",
            Self::NamedAsManaged => "named_as_managed",
            Self::NotAccepted => "key_not_accepted",
            Self::WeakBinding => "weak_binding",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(provider: ProviderKind, id: &str) -> KeyRef {
        KeyRef {
            provider,
            id: id.to_owned(),
            version: 7,
        }
    }

    fn local(id: &str) -> KeyId {
        KeyId::from(&key(ProviderKind::Local, id))
    }

    fn policy(accepted: &[&str], least_binding: Binding) -> OpenPolicy {
        OpenPolicy {
            accepted: AcceptedKeys::new(
                Some(local("managed")),
                accepted.iter().map(|id| local(id)),
            ),
            least_binding,
        }
    }

    #[test]
    fn keys_are_accepted_by_provider_and_id_and_in_their_own_mode() {
        use Mode::{CustomerKey, Managed, NamedKey};
        use PolicyRefusal as No;
        use ProviderKind::{AwsKms, Customer, Local};

        let policy = policy(&["app", "managed"], Binding::BucketAndKey);
        let cases = [
            ("named", Local, "app", NamedKey, None),
            ("managed", Local, "managed", Managed, None),
            (
                "unknown id",
                Local,
                "other",
                NamedKey,
                Some(No::NotAccepted),
            ),
            (
                "id of another provider",
                AwsKms,
                "app",
                NamedKey,
                Some(No::NotAccepted),
            ),
            (
                "case matters",
                Local,
                "App",
                NamedKey,
                Some(No::NotAccepted),
            ),
            ("empty id", Local, "", NamedKey, Some(No::NotAccepted)),
            (
                "managed as named",
                Local,
                "managed",
                NamedKey,
                Some(No::ManagedAsNamed),
            ),
            (
                "named as managed",
                Local,
                "app",
                Managed,
                Some(No::NamedAsManaged),
            ),
            (
                "customer mode on a configured key",
                Local,
                "app",
                CustomerKey,
                Some(No::CustomerKey),
            ),
            ("customer key", Customer, "", CustomerKey, None),
            (
                "customer key with a name",
                Customer,
                "app",
                CustomerKey,
                Some(No::CustomerKey),
            ),
            (
                "customer key as named",
                Customer,
                "",
                NamedKey,
                Some(No::CustomerKey),
            ),
        ];
        for (name, provider, id, mode, refusal) in cases {
            let outcome = policy.check(&key(provider, id), mode, Binding::BucketAndKey);
            assert_eq!(outcome.err(), refusal, "{name}");
        }
    }

    #[test]
    fn the_managed_key_is_refused_where_the_rule_does_not_list_it() {
        let refused = policy(&["app"], Binding::None).check(
            &key(ProviderKind::Local, "managed"),
            Mode::Managed,
            Binding::BucketAndKey,
        );
        assert_eq!(refused, Err(PolicyRefusal::NotAccepted));
    }

    #[test]
    fn a_binding_weaker_than_the_least_is_refused() {
        let all = [Binding::None, Binding::Key, Binding::BucketAndKey];
        for least in all {
            for found in all {
                let outcome = policy(&["app"], least).check(
                    &key(ProviderKind::Local, "app"),
                    Mode::NamedKey,
                    found,
                );
                assert_eq!(outcome.is_ok(), found >= least, "{found:?} under {least:?}");
            }
        }
    }

    #[test]
    fn the_accepted_key_is_the_one_that_was_checked() {
        let wanted = key(ProviderKind::Local, "app");
        let accepted = policy(&["app"], Binding::None)
            .check(&wanted, Mode::NamedKey, Binding::None)
            .unwrap();
        assert_eq!(accepted, Accepted::Configured(AcceptedKey(wanted)));
    }
}
