//! One thread's session with the token: opened when it is needed, replaced when it was lost.

use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cryptoki::context::Pkcs11;
use cryptoki::slot::Slot;

use super::failure::{Aftermath, Failure};
use super::login::Login;
use super::module;
use super::token::TokenSession;
use crate::config::keys::Pkcs11Provider as Pkcs11Config;
use crate::keys::provider::KeyError;

/// The token, as all threads of a provider see it.
pub(super) struct Device {
    provider: String,
    module: PathBuf,
    token_label: String,
    login: Login,
    /// When the log last heard of a failure.
    reported: Mutex<Option<Instant>>,
}

impl Device {
    pub(super) fn new(config: &Pkcs11Config) -> Self {
        Self {
            provider: config.name.clone(),
            module: config.module.clone(),
            token_label: config.token_label.clone(),
            login: Login::new(Arc::clone(&config.pin)),
            reported: Mutex::new(None),
        }
    }

    fn open(&self) -> Result<TokenSession, Failure> {
        let module = module::load(&self.module)?;
        let slot = self.slot(&module)?;
        // Read-only: objects of the session may be made there, those of the token may not.
        let session = module.open_ro_session(slot)?;
        self.login.log_in(&module, slot, &session)?;
        Ok(TokenSession::new(session))
    }

    /// Where the token is. Slots are asked each time: tokens are unplugged and fail over.
    fn slot(&self, module: &Pkcs11) -> Result<Slot, Failure> {
        let slots = module.get_slots_with_token()?;
        let is_ours = |slot: &Slot| {
            module
                .get_token_info(*slot)
                .is_ok_and(|token| token.label() == self.token_label)
        };
        let mut ours = slots.into_iter().filter(is_ours);
        match (ours.next(), ours.next()) {
            (Some(slot), None) => Ok(slot),
            (None, _) => Err(Failure::TokenMissing),
            (Some(_), Some(_)) => Err(Failure::TokenAmbiguous),
        }
    }

    /// Tells the operator what the token says; one line a second, since calls may be many.
    fn report(&self, failure: &Failure) {
        match failure.answer() {
            KeyError::Denied | KeyError::Unavailable(_) => {}
            KeyError::ContextMismatch
            | KeyError::Destroyed
            | KeyError::Disabled
            | KeyError::Malformed
            | KeyError::NotFound
            | KeyError::Throttled => return,
        }
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.is_some_and(|at| at.elapsed() < REPORT_PERIOD) {
            return;
        }
        *reported = Some(Instant::now());
        tracing::warn!(
            provider = self.provider,
            error = %failure,
            "key provider: the token does not do it"
        );
    }
}

/// What a thread owns.
pub(super) struct Worker {
    device: Arc<Device>,
    session: Option<TokenSession>,
}

impl Worker {
    pub(super) fn new(device: Arc<Device>) -> Self {
        Self {
            device,
            session: None,
        }
    }

    /// Does it, and once more with another session if this one, or its login, was lost.
    pub(super) fn run<T>(
        &mut self,
        work: &impl Fn(&TokenSession) -> Result<T, Failure>,
    ) -> Result<T, KeyError> {
        let mut outcome = self.attempt(work);
        if let Err(failure) = &outcome
            && failure.aftermath().is_worth_repeating()
        {
            outcome = self.attempt(work);
        }
        outcome.map_err(|failure| {
            self.device.report(&failure);
            failure.answer()
        })
    }

    fn attempt<T>(
        &mut self,
        work: &impl Fn(&TokenSession) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.device.open()?,
        };
        let outcome = work(&session);
        let aftermath = outcome
            .as_ref()
            .map_or_else(Failure::aftermath, |_| Aftermath::Keep);
        match aftermath {
            Aftermath::Keep if !session.is_littered() => self.session = Some(session),
            Aftermath::Keep | Aftermath::Close | Aftermath::CloseAndRepeat => drop(session),
            // Its handle may be another thread's new session by now, which must not be closed.
            Aftermath::ForgetAndRepeat => mem::forget(session),
        }
        outcome
    }
}

const REPORT_PERIOD: Duration = Duration::from_secs(1);
