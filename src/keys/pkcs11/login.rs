//! Logging in, with care: a token counts wrong PINs, and locks after a few.

use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

use super::failure::{Failure, is_pin_refusal};
use crate::config::keys::SecretPlace;
use crate::secret::Secret;

/// The PIN, and what is known of it.
pub(super) struct Login {
    pin: Arc<SecretPlace>,
    /// The PIN that the token refused. Held while logging in, so that of many threads one tries.
    refused: Mutex<Option<Secret<String>>>,
}

impl Login {
    pub(super) fn new(pin: Arc<SecretPlace>) -> Self {
        Self {
            pin,
            refused: Mutex::new(None),
        }
    }

    /// Logs the process in, unless it is: all its sessions with a token share one login.
    pub(super) fn log_in(
        &self,
        module: &Pkcs11,
        slot: Slot,
        session: &Session,
    ) -> Result<(), Failure> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if is_logged_in(session)? {
            return Ok(());
        }
        let pin = self.pin.read().map_err(Failure::PinUnreadable)?;
        if refused
            .as_ref()
            .is_some_and(|old| pin.ct_eq(old.expose().as_bytes()))
        {
            return Err(Failure::PinKnownWrong);
        }
        // A wrong PIN would be tried again at every start: a supervisor's restarts must not lock
        // the token for everybody else.
        let token = module.get_token_info(slot)?;
        if token.user_pin_locked() || token.user_pin_final_try() {
            return Err(Failure::PinLastTry);
        }
        let auth_pin = AuthPin::new(pin.expose().as_str().into());
        match session.login(UserType::User, Some(&auth_pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                *refused = None;
                Ok(())
            }
            Err(Error::Pkcs11(code, _)) if is_pin_refusal(code) => {
                *refused = Some(pin);
                Err(Failure::PinRefused(code))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether private keys are seen in this session.
pub(super) fn is_logged_in(session: &Session) -> Result<bool, Error> {
    match session.get_session_info()?.session_state() {
        SessionState::RoUser | SessionState::RwUser => Ok(true),
        SessionState::RoPublic | SessionState::RwPublic | SessionState::RwSecurityOfficer => {
            Ok(false)
        }
    }
}
