//! What went wrong at a token, whose fault it is, and what to do about the session.

use std::io;

use cryptoki::error::{Error, RvError};
use thiserror::Error as ThisError;

use crate::keys::provider::{KeyError, Outage};

/// A failed call. The texts name functions and return codes, never values.
#[derive(Debug, ThisError)]
pub(super) enum Failure {
    /// The module says so.
    #[error("{0}")]
    Call(#[from] Error),
    /// Two secret keys have the label: which one wraps would be chance.
    #[error("two secret keys share the label {0:?}")]
    KeyAmbiguous(String),
    /// No secret key has the label.
    #[error("no secret key has the label")]
    KeyMissing,
    /// Nobody is logged in any more: private keys are invisible then.
    #[error("the login was lost")]
    LoggedOut,
    /// This PIN was refused before. It is not tried again: that would lock the token.
    #[error("the PIN was refused before; it is not tried again until it changes")]
    PinKnownWrong,
    /// One wrong PIN more would lock the token. The last try is left to a human.
    #[error("the token is locked, or would be after one more wrong PIN: log in with another tool")]
    PinLastTry,
    /// The token refuses the PIN.
    #[error("the token refuses the PIN: {0}")]
    PinRefused(RvError),
    /// The file with the PIN cannot be read.
    #[error("the file with the PIN: {0}")]
    PinUnreadable(#[source] io::Error),
    /// Two tokens have the label.
    #[error("two tokens have the configured label")]
    TokenAmbiguous,
    /// No token has the label.
    #[error("no token has the configured label")]
    TokenMissing,
    /// A value of another length than key wrap gives.
    #[error("the token gave a value of an impossible length")]
    Value,
    /// The wrap does not open with this key.
    #[error("the wrap does not open")]
    WrapRefused,
}

/// What becomes of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aftermath {
    /// Nothing is wrong with it.
    Keep,
    /// It may be out of order.
    Close,
    /// It is, and the call would do in another one.
    CloseAndRepeat,
    /// It does not exist any more.
    ForgetAndRepeat,
}

impl Aftermath {
    pub(super) fn is_worth_repeating(self) -> bool {
        match self {
            Self::CloseAndRepeat | Self::ForgetAndRepeat => true,
            Self::Keep | Self::Close => false,
        }
    }
}

impl Failure {
    /// What the caller is told.
    pub(super) fn answer(&self) -> KeyError {
        match self {
            Self::Call(error) => meaning(error).0,
            Self::KeyMissing => KeyError::NotFound,
            Self::LoggedOut
            | Self::PinKnownWrong
            | Self::PinLastTry
            | Self::PinRefused(_)
            | Self::PinUnreadable(_) => Outage::Login.into(),
            Self::TokenMissing => Outage::Unreachable.into(),
            // Not a client's fault, and nothing that passes by itself.
            Self::KeyAmbiguous(_) | Self::TokenAmbiguous | Self::Value => Outage::Answer.into(),
            Self::WrapRefused => KeyError::ContextMismatch,
        }
    }

    pub(super) fn aftermath(&self) -> Aftermath {
        match self {
            Self::Call(error) => meaning(error).1,
            Self::KeyAmbiguous(_) | Self::KeyMissing | Self::WrapRefused => Aftermath::Keep,
            Self::LoggedOut => Aftermath::CloseAndRepeat,
            Self::PinKnownWrong
            | Self::PinLastTry
            | Self::PinRefused(_)
            | Self::PinUnreadable(_)
            | Self::TokenAmbiguous
            | Self::TokenMissing
            | Self::Value => Aftermath::Close,
        }
    }
}

/// Whether a token refuses a PIN by this code, so that another try with it would do harm.
pub(super) fn is_pin_refusal(code: RvError) -> bool {
    [
        RvError::PinExpired,
        RvError::PinIncorrect,
        RvError::PinInvalid,
        RvError::PinLenRange,
        RvError::PinLocked,
        RvError::UserPinNotInitialized,
    ]
    .contains(&code)
}

/// What a failed unwrap says about the wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The wrap is bad.
    Wrap,
    /// The token does not say: the wrap is bad, or the token is out of order.
    WrapOrToken,
    /// Something else.
    Other,
}

pub(super) fn blame(error: &Error) -> Blame {
    let Error::Pkcs11(code, _) = error else {
        return Blame::Other;
    };
    let bad_wrap = [
        RvError::DataInvalid,
        RvError::DataLenRange,
        RvError::EncryptedDataInvalid,
        RvError::EncryptedDataLenRange,
        RvError::WrappedKeyInvalid,
        RvError::WrappedKeyLenRange,
    ];
    // SoftHSM says CKR_GENERAL_ERROR, and makers have codes of their own.
    let vague = [RvError::FunctionFailed, RvError::GeneralError];
    if bad_wrap.contains(code) {
        Blame::Wrap
    } else if vague.contains(code) || matches!(code, RvError::VendorDefined(_)) {
        Blame::WrapOrToken
    } else {
        Blame::Other
    }
}

fn meaning(error: &Error) -> (KeyError, Aftermath) {
    let Error::Pkcs11(code, _) = error else {
        // The module cannot be loaded, or is none.
        return (Outage::Unreachable.into(), Aftermath::Close);
    };
    let found = MEANINGS.iter().find(|(codes, ..)| codes.contains(code));
    // Whatever else happens inside of a token may pass.
    found.map_or_else(
        || (Outage::Unreachable.into(), Aftermath::Close),
        |(_, answer, aftermath)| (*answer, *aftermath),
    )
}

/// Return codes that are not just a device that fails.
const MEANINGS: &[(&[RvError], KeyError, Aftermath)] = &[
    (
        &[
            RvError::DeviceRemoved,
            RvError::SessionClosed,
            RvError::SessionHandleInvalid,
        ],
        KeyError::Unavailable(Outage::Unreachable),
        Aftermath::ForgetAndRepeat,
    ),
    (
        &[RvError::UserNotLoggedIn],
        KeyError::Unavailable(Outage::Login),
        Aftermath::CloseAndRepeat,
    ),
    // The key was there a moment ago.
    (
        &[
            RvError::KeyHandleInvalid,
            RvError::ObjectHandleInvalid,
            RvError::UnwrappingKeyHandleInvalid,
            RvError::WrappingKeyHandleInvalid,
        ],
        KeyError::NotFound,
        Aftermath::CloseAndRepeat,
    ),
    (
        &[RvError::ActionProhibited, RvError::KeyFunctionNotPermitted],
        KeyError::Denied,
        Aftermath::Keep,
    ),
    // Neither this key nor this token can do it, however often they are asked.
    (
        &[
            RvError::AttributeSensitive,
            RvError::AttributeTypeInvalid,
            RvError::AttributeValueInvalid,
            RvError::FunctionNotSupported,
            RvError::KeyNotWrappable,
            RvError::KeySizeRange,
            RvError::KeyTypeInconsistent,
            RvError::KeyUnextractable,
            RvError::MechanismInvalid,
            RvError::MechanismParamInvalid,
            RvError::TemplateIncomplete,
            RvError::TemplateInconsistent,
            RvError::UnwrappingKeySizeRange,
            RvError::UnwrappingKeyTypeInconsistent,
            RvError::WrappingKeySizeRange,
            RvError::WrappingKeyTypeInconsistent,
        ],
        KeyError::Unavailable(Outage::Answer),
        Aftermath::Keep,
    ),
    // By another application in this process, as somebody else.
    (
        &[
            RvError::UserAnotherAlreadyLoggedIn,
            RvError::UserTooManyTypes,
        ],
        KeyError::Unavailable(Outage::Login),
        Aftermath::Close,
    ),
];
