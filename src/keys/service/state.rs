//! What the key service knows of its providers and keys without asking anybody.

use crate::keys::policy::KeyId;
use crate::keys::provider::KeyError;
use crate::keys::service::KeyService;
use crate::keys::service::line::Line;
use crate::keys::types::ProviderKind;

/// One provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderState {
    /// Its name in the configuration.
    pub name: String,
    /// What it is.
    pub kind: ProviderKind,
    /// Whether it is left alone.
    pub breaker: BreakerState,
    /// What it said when readiness was last asked for; `None` before that.
    pub readiness: Option<Result<(), KeyError>>,
}

/// Whether a provider is left alone after outages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It is called.
    Closed,
    /// Calls are refused.
    Open,
    /// The next call is let through, to see whether it is back.
    Trying,
}

/// One key that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// Its canonical name.
    pub id: KeyId,
    /// The name of its provider in the configuration.
    pub provider: String,
    /// What it is for.
    pub part: Part,
}

/// What a key is for, beside what rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Named where nobody names one.
    Default,
    /// Was the managed one.
    FormerManaged,
    /// The managed one.
    Managed,
    /// Named by rules and clients.
    Named,
}

impl KeyService {
    /// Every provider, in the order of the configuration.
    pub fn providers(&self) -> Vec<ProviderState> {
        self.lines.iter().map(Line::state).collect()
    }

    /// Every key that may be used, in the order of the configuration.
    pub fn keys(&self) -> Vec<KeyState> {
        let routes = self.routes.current();
        let part = |id: &KeyId| match id {
            id if routes.default.as_ref() == Some(id) => Part::Default,
            id if routes.managed.as_ref() == Some(id) => Part::Managed,
            id if routes.former_managed.contains(id) => Part::FormerManaged,
            _ => Part::Named,
        };
        let state = |id: &KeyId| {
            let line = self.lines.get(routes.provider_of(id)?)?;
            Some(KeyState {
                id: id.clone(),
                provider: line.name().to_owned(),
                part: part(id),
            })
        };
        routes.keys().iter().filter_map(state).collect()
    }
}

impl BreakerState {
    /// The name that people see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Trying => "trying",
        }
    }
}

impl Part {
    /// The name that people see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::FormerManaged => "former-managed",
            Self::Managed => "managed",
            Self::Named => "named",
        }
    }
}
