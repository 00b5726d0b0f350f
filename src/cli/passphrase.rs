//! Passphrases of sealed keyrings: from a file, from the environment, or asked on the terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::config::keys::SecretPlace;
use crate::config::{Environment, KEYRING_PASSPHRASE};
use crate::keys::local::{KeyringError, KeyringFile, Passphrase, is_sealed};
use crate::secret::Secret;

/// What opens a sealed keyring.
#[derive(Debug, clap::Args)]
pub struct PassphraseArgs {
    /// File with the passphrase of a sealed keyring [default: the environment variable
    /// `S3SEAL_KEYRING_PASSPHRASE`, else asked on a terminal]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Where passphrases come from that no option names.
pub struct Passphrases<'a> {
    /// The environment's.
    pub variable: Option<Arc<SecretPlace>>,
    /// Asks somebody, after this text; `None` where nobody sits at a terminal.
    pub ask: &'a mut dyn FnMut(&str) -> io::Result<Option<Secret<String>>>,
}

impl<'a> Passphrases<'a> {
    /// With the process's own environment.
    pub fn of_process(ask: &'a mut dyn FnMut(&str) -> io::Result<Option<Secret<String>>>) -> Self {
        let environment = Environment::of_process();
        let variable = environment.find(KEYRING_PASSPHRASE);
        let fixed = |text: &str| Arc::new(SecretPlace::Fixed(Secret::new(text.to_owned())));
        Self {
            variable: variable.map(fixed),
            ask,
        }
    }

    /// A keyring that is there. Somebody is asked only if it is sealed.
    pub fn existing(
        &mut self,
        keyring: &Path,
        args: &PassphraseArgs,
    ) -> Result<KeyringFile, PassphraseError> {
        let passphrase = match self.given(args) {
            Some(given) => Some(given),
            None if is_sealed(keyring)? => {
                let asked = (self.ask)("Passphrase of the keyring: ");
                let asked = asked.map_err(PassphraseError::Terminal)?;
                asked.map(Passphrase::of_text)
            }
            None => None,
        };
        Ok(KeyringFile::new(keyring.to_owned(), passphrase))
    }

    /// A keyring that may have to be made, and then sealed or not.
    pub fn existing_or_new(
        &mut self,
        keyring: &Path,
        args: &PassphraseArgs,
        seal: bool,
    ) -> Result<KeyringFile, PassphraseError> {
        let is_there = keyring.try_exists().unwrap_or(true);
        match (is_there, seal) {
            (true, true) if !is_sealed(keyring)? => Err(PassphraseError::NotSealed),
            (true, _) => self.existing(keyring, args),
            (false, true) => {
                let passphrase = self.new_one(args)?;
                Ok(KeyringFile::new(keyring.to_owned(), Some(passphrase)))
            }
            (false, false) if self.given(args).is_some() => Err(PassphraseError::Unused),
            (false, false) => Ok(KeyringFile::new(keyring.to_owned(), None)),
        }
    }

    /// The passphrase of a new seal: the one that is given, else one that is asked for.
    pub fn new_one(&mut self, args: &PassphraseArgs) -> Result<Passphrase, PassphraseError> {
        match self.given(args) {
            Some(given) => Ok(given),
            None => self.ask_new()?.ok_or(PassphraseError::Missing),
        }
    }

    /// Asks for a new passphrase twice: a mistyped one would lose the keys.
    pub fn ask_new(&mut self) -> Result<Option<Passphrase>, PassphraseError> {
        let mut ask = |text| (self.ask)(text).map_err(PassphraseError::Terminal);
        let Some(first) = ask("New passphrase of the keyring: ")? else {
            return Ok(None);
        };
        let second = ask("The same again: ")?;
        let is_same = |second: &Secret<String>| first.ct_eq(second.expose().as_bytes());
        if !second.as_ref().is_some_and(is_same) {
            return Err(PassphraseError::Differ);
        }
        Ok(Some(Passphrase::of_text(first)))
    }

    fn given(&self, args: &PassphraseArgs) -> Option<Passphrase> {
        let place = match &args.passphrase_file {
            Some(path) => Some(Arc::new(SecretPlace::File(path.clone()))),
            None => self.variable.clone(),
        };
        place.map(Passphrase::new)
    }
}

/// A passphrase that a file holds.
pub fn in_file(path: &Path) -> Passphrase {
    Passphrase::new(Arc::new(SecretPlace::File(path.to_owned())))
}

/// Why there is no passphrase.
#[derive(Debug, Error)]
pub enum PassphraseError {
    /// Typed differently.
    #[error("the two passphrases differ: nothing was changed")]
    Differ,
    /// The keyring file cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// A seal needs one.
    #[error(
        "a passphrase is needed: --passphrase-file, {KEYRING_PASSPHRASE}, or a terminal to ask on"
    )]
    Missing,
    /// A changed passphrase is for sealed keyrings.
    #[error("the keyring is not sealed: `s3seal key seal` seals it")]
    NotSealed,
    /// The one that opens the seal is not a new one.
    #[error(
        "the keyring is sealed already: --new-passphrase-file, or a terminal to ask on, changes its \
         passphrase"
    )]
    Sealed,
    /// The terminal is gone.
    #[error("cannot ask on the terminal")]
    Terminal(#[source] io::Error),
    /// A passphrase, and a keyring that is going to be made without.
    #[error("there is no keyring yet: a passphrase is for one that --seal makes")]
    Unused,
}

/// Asks on the terminal of the process, without showing what is typed.
pub fn ask_terminal(text: &str) -> io::Result<Option<Secret<String>>> {
    // Standard input may be an object or material; who has sent away standard error sits nowhere.
    if !io::stderr().is_terminal() {
        return Ok(None);
    }
    let Ok(mut terminal) = OpenOptions::new().read(true).write(true).open("/dev/tty") else {
        return Ok(None);
    };
    terminal.write_all(text.as_bytes())?;
    let hidden = Hidden::begin(&terminal)?;
    let line = read_line(&terminal);
    drop(hidden);
    line.map(Some)
}

fn read_line(mut terminal: &File) -> io::Result<Secret<String>> {
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE_LEN));
    let mut byte = Zeroizing::new([0]);
    while terminal.read(byte.as_mut_slice())? == 1 && *byte != [b'\n'] {
        if line.len() == MAX_LINE_LEN {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        line.extend_from_slice(byte.as_slice());
    }
    let line = String::from_utf8(std::mem::take(&mut *line));
    line.map(Secret::new)
        .map_err(|_| io::ErrorKind::InvalidData.into())
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(terminal, OptionalActions::Flush, &hidden)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// Longer than any passphrase that a seal takes.
const MAX_LINE_LEN: usize = 4096;
