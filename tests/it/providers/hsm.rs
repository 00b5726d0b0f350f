//! SoftHSM as the environment names it, and what the operator of a token does.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use s3seal::config::keys::{Pkcs11Provider as Pkcs11Config, SecretPlace};
use s3seal::secret::Secret;

use crate::support::upstream::value_from_environment;

/// A token, and the module that its operator uses.
pub struct Token {
    context: Pkcs11,
    pub label: String,
    pub pin: String,
}

impl Token {
    /// A token that many tests use. `None` where the tests are told to do without.
    pub fn shared() -> Option<Self> {
        Self::numbered(0)
    }

    /// One that no other test uses: all sessions with a token share one login.
    pub fn fresh() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let token = Self::numbered(number)?;
        let made = variable("S3SEAL_TEST_HSM_TOKENS").parse().unwrap();
        assert!(number < made, "start_hsm has to make more tokens");
        Some(token)
    }

    fn numbered(number: u32) -> Option<Self> {
        Some(Self {
            context: module()?,
            label: format!("of-the-run-{number}"),
            pin: variable("S3SEAL_TEST_HSM_PIN"),
        })
    }

    /// A provider's configuration for this token.
    pub fn config(&self, keys: &[&str]) -> Pkcs11Config {
        Pkcs11Config {
            name: "hsm".to_owned(),
            module: variable("S3SEAL_TEST_HSM_MODULE").into(),
            token_label: self.label.clone(),
            pin: pin(&self.pin),
            sessions: 4,
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
        }
    }

    fn slot(&self) -> Slot {
        let slots = self.context.get_slots_with_token().unwrap().into_iter();
        let is_ours = |slot: &Slot| {
            let token = self.context.get_token_info(*slot).unwrap();
            token.label() == self.label
        };
        let ours: Vec<Slot> = slots.filter(is_ours).collect();
        assert_eq!(ours.len(), 1, "{}", self.label);
        ours[0]
    }

    /// Whether a wrong PIN was seen since the last good one.
    pub fn saw_a_wrong_pin(&self) -> bool {
        let token = self.context.get_token_info(self.slot()).unwrap();
        token.user_pin_count_low()
    }

    /// A session in which the user is logged in, as the whole process is then.
    pub fn session(&self) -> Session {
        let session = self.context.open_rw_session(self.slot()).unwrap();
        let pin = AuthPin::new(self.pin.as_str().into());
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => panic!("{error}"),
        }
        session
    }

    /// A key as an operator should make it: its material never leaves the token.
    pub fn make_key(&self, label: &str) {
        let mut template = key_template(label);
        template.push(Attribute::ValueLen(32.into()));
        let session = self.session();
        session
            .generate_key(&Mechanism::AesKeyGen, &template)
            .unwrap();
    }

    /// A key of known material.
    pub fn import_key(&self, label: &str, material: &[u8]) {
        let mut template = key_template(label);
        template.push(Attribute::Value(material.to_vec()));
        self.session().create_object(&template).unwrap();
    }

    pub fn destroy_key(&self, label: &str) {
        let session = self.session();
        for key in keys(&session, label) {
            session.destroy_object(key).unwrap();
        }
    }

    /// The key may not unwrap any more.
    pub fn forbid_unwrap(&self, label: &str) {
        let session = self.session();
        for key in keys(&session, label) {
            let forbidden = [Attribute::Unwrap(false)];
            session.update_attributes(key, &forbidden).unwrap();
        }
    }

    /// Objects with key material that calls have left behind.
    pub fn litter(&self) -> usize {
        let temporary = [Attribute::Token(false)];
        self.session().find_objects(&temporary).unwrap().len()
    }
}

pub fn pin(text: &str) -> Arc<SecretPlace> {
    Arc::new(SecretPlace::Fixed(Secret::new(text.to_owned())))
}

/// A name that no other test has.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{what}-{}-{number}", std::process::id())
}

fn keys(session: &Session, label: &str) -> Vec<ObjectHandle> {
    let label = Attribute::Label(label.as_bytes().to_vec());
    session.find_objects(&[label]).unwrap()
}

fn key_template(label: &str) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Wrap(true),
        Attribute::Unwrap(true),
        Attribute::Label(label.as_bytes().to_vec()),
    ]
}

/// SoftHSM, initialised once, before any provider does it.
fn module() -> Option<Pkcs11> {
    static MODULE: OnceLock<Option<Pkcs11>> = OnceLock::new();
    let load = || {
        let module = Pkcs11::new(value_from_environment("S3SEAL_TEST_HSM_MODULE")?).unwrap();
        module
            .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
            .unwrap();
        Some(module)
    };
    MODULE.get_or_init(load).clone()
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// The module that fails to order, for one test at a time.
pub struct Faults {
    module: PathBuf,
    folder: PathBuf,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl Faults {
    pub async fn turn() -> Self {
        static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let faults = Self {
            _turn: TURN.lock().await,
            module: variable("S3SEAL_TEST_HSM_FAULTS").into(),
            folder: variable("S3SEAL_TEST_HSM_FAULT_DIR").into(),
        };
        for entry in fs::read_dir(&faults.folder).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        faults
    }

    /// A provider's configuration that goes through it.
    pub fn config(&self, token: &Token, keys: &[&str]) -> Pkcs11Config {
        Pkcs11Config {
            module: self.module.clone(),
            ..token.config(keys)
        }
    }

    /// What the function does the next `times`; see `tests/support/pkcs11_faults.c`.
    pub fn order(&self, function: &str, action: &str, times: u32) {
        let text = format!("{action} {times}");
        let half = self.folder.join("half-written");
        fs::write(&half, text).unwrap();
        fs::rename(half, self.folder.join(function)).unwrap();
    }

    /// Takes an order back.
    pub fn cancel(&self, function: &str) {
        match fs::remove_file(self.folder.join(function)) {
            Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
            Ok(()) | Err(_) => {}
        }
    }

    /// How often the function was called.
    pub fn count(&self, function: &str) -> usize {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        log.lines().filter(|line| *line == function).count()
    }
}
