//! One session: finds a key by its label, wraps and unwraps.
//!
//! Tokens wrap objects, not bytes: the plaintext becomes an object of the session, which is
//! destroyed whatever happens. Where that fails the session is closed, and all its objects with it.

use std::cell::Cell;

use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use zeroize::{Zeroize, Zeroizing};

use super::failure::{Blame, Failure, blame};
use super::{PLAINTEXT_LEN, WRAPPED_LEN, login};

/// A session that was logged in. Closed when dropped.
pub(super) struct TokenSession {
    session: Session,
    is_littered: Cell<bool>,
}

impl TokenSession {
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            is_littered: Cell::new(false),
        }
    }

    /// Whether an object with key material could not be destroyed.
    pub(super) fn is_littered(&self) -> bool {
        self.is_littered.get()
    }

    /// Whether it is still there and logged in.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if login::is_logged_in(&self.session)? {
            Ok(())
        } else {
            Err(Failure::LoggedOut)
        }
    }

    pub(super) fn wrap(&self, label: &str, plaintext: &[u8]) -> Result<Vec<u8>, Failure> {
        let key = self.find(label)?;
        let wrapped = self.wrap_by(key, plaintext)?;
        if wrapped.len() != WRAPPED_LEN {
            return Err(Failure::Value);
        }
        Ok(wrapped)
    }

    pub(super) fn unwrap(
        &self,
        label: &str,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let key = self.find(label)?;
        let object = match self.unwrap_by(key, wrapped) {
            Ok(object) => object,
            Err(error) => return Err(self.unwrap_failure(key, error)),
        };
        let value = self.value(object);
        self.destroy(object);
        let value = value?;
        if value.len() != PLAINTEXT_LEN {
            return Err(Failure::Value);
        }
        Ok(value)
    }

    /// Asked each time: tokens may give a destroyed key's handle to another key, and a label that
    /// became ambiguous must not go on being used.
    fn find(&self, label: &str) -> Result<ObjectHandle, Failure> {
        let found = self.session.find_objects(&[
            Attribute::Token(true),
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::Label(label.as_bytes().to_vec()),
        ])?;
        match found.as_slice() {
            [key] => Ok(*key),
            // Without a login private keys are invisible, which is no error.
            [] => Err(self.check().err().unwrap_or(Failure::KeyMissing)),
            [_, _, ..] => Err(Failure::KeyAmbiguous(label.to_owned())),
        }
    }

    fn wrap_by(&self, key: ObjectHandle, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        let mut template = temporary();
        // It leaves the token under the key only.
        template.0.push(Attribute::Sensitive(true));
        template.0.push(Attribute::Value(plaintext.to_vec()));
        let object = self.session.create_object(&template.0)?;
        let wrapped = self.session.wrap_key(&Mechanism::AesKeyWrap, key, object);
        self.destroy(object);
        wrapped
    }

    fn unwrap_by(&self, key: ObjectHandle, wrapped: &[u8]) -> Result<ObjectHandle, Error> {
        let mut template = temporary();
        template.0.push(Attribute::Sensitive(false));
        self.session
            .unwrap_key(&Mechanism::AesKeyWrap, key, wrapped, &template.0)
    }

    /// Many tokens have one code for a wrap that does not open and for an own fault. An outage
    /// must not look as if objects were tampered with, so the key is asked to open a good wrap.
    fn unwrap_failure(&self, key: ObjectHandle, error: Error) -> Failure {
        match blame(&error) {
            Blame::Wrap => Failure::WrapRefused,
            Blame::WrapOrToken if self.opens_its_own(key).is_ok() => Failure::WrapRefused,
            Blame::WrapOrToken | Blame::Other => error.into(),
        }
    }

    fn opens_its_own(&self, key: ObjectHandle) -> Result<(), Error> {
        let wrapped = self.wrap_by(key, &[0; PLAINTEXT_LEN])?;
        let object = self.unwrap_by(key, &wrapped)?;
        self.destroy(object);
        Ok(())
    }

    /// What is returned is wiped. The crate frees a buffer of its own without wiping it, which cannot
    /// be helped from here.
    fn value(&self, object: ObjectHandle) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let read = self
            .session
            .get_attributes(object, &[AttributeType::Value])?;
        let mut read = Template(read);
        match read.0.as_mut_slice() {
            [Attribute::Value(value)] => Ok(Zeroizing::new(std::mem::take(value))),
            _ => Err(Failure::Value),
        }
    }

    fn destroy(&self, object: ObjectHandle) {
        if self.session.destroy_object(object).is_err() {
            self.is_littered.set(true);
        }
    }
}

/// Attributes of which one may be key material: wiped when dropped.
struct Template(Vec<Attribute>);

impl Drop for Template {
    fn drop(&mut self) {
        for attribute in &mut self.0 {
            if let Attribute::Value(value) = attribute {
                value.zeroize();
            }
        }
    }
}

/// An object of this session, which others that are logged in may not use for more than we do.
fn temporary() -> Template {
    Template(vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Extractable(true),
    ])
}
