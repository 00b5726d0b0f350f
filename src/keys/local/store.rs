//! The keyring file on disk: read with its mode checked, replaced as a whole under a lock.
//!
//! A writer takes the lock (`FILE.lock`), reads, changes, writes `.FILE.tmp`, syncs it, renames it
//! over the file and syncs the folder: a reader sees the old keyring or the new one, and a crash
//! leaves at worst a temporary file, which nobody reads and the next writer removes. The keyring
//! before the change stays as `FILE.previous`, unless the change destroyed material or sealed it,
//! which then must not survive there. What backups and the storage medium still hold is out of reach.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use super::edit::EditError;
use super::file::{self, ParseError};
use super::keyring::Keyring;
use super::seal::Passphrase;
use super::stamp::Stamp;

/// Where a keyring lies, and what opens its seal, if it has one.
#[derive(Debug)]
pub struct KeyringFile {
    path: PathBuf,
    passphrase: Option<Passphrase>,
}

impl KeyringFile {
    /// With a passphrase the file must be sealed, without one it must not.
    pub fn new(path: PathBuf, passphrase: Option<Passphrase>) -> Self {
        Self { path, passphrase }
    }

    /// Reads and checks the keyring. Blocks on the disk, and while the key of a seal is made.
    pub fn load(&self) -> Result<Keyring, KeyringError> {
        self.load_stamped().map(|(keyring, _)| keyring)
    }

    /// Changes the keyring: all of it or nothing. Blocks as [`Self::load`], and on other writers.
    pub fn update<T>(
        &self,
        missing: WhenMissing,
        edit: impl FnOnce(&mut Keyring) -> Result<T, EditError>,
    ) -> Result<T, UpdateError> {
        let writing = Writing::begin(&self.path, missing)?;
        let mut keyring = match &writing.old {
            Some((bytes, _)) => parse(&writing.path, bytes, self.passphrase.as_ref())?,
            None => self.empty()?,
        };
        let tombstones = keyring.tombstones();
        let done = edit(&mut keyring)?;
        let previous = if keyring.tombstones() > tombstones {
            Previous::Overwrite
        } else {
            Previous::Keep
        };
        writing.finish(&keyring, self.passphrase.as_ref(), previous)?;
        Ok(done)
    }

    /// Puts the material under the seal of another passphrase, or under none: all of it or nothing.
    /// Blocks as [`Self::update`].
    pub fn reseal(&self, passphrase: Option<&Passphrase>) -> Result<(), KeyringError> {
        let writing = Writing::begin(&self.path, WhenMissing::Refuse)?;
        let mut keyring = match &writing.old {
            Some((bytes, _)) => parse(&writing.path, bytes, self.passphrase.as_ref())?,
            None => return Err(KeyringError::Missing(writing.path)),
        };
        let seal = passphrase.map(Passphrase::make_seal).transpose();
        keyring.set_seal(seal.map_err(|error| refused(&writing.path)(error.into()))?);
        // Neither material in clear nor a seal that was given up may stay beside a new seal.
        let previous = match passphrase {
            Some(_) => Previous::Overwrite,
            None => Previous::Keep,
        };
        writing.finish(&keyring, passphrase, previous)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A keyring with the stamp of the file it was read from.
    pub(super) fn load_stamped(&self) -> Result<(Keyring, Stamp), KeyringError> {
        let (bytes, metadata) = read(&self.path)?;
        let keyring = parse(&self.path, &bytes, self.passphrase.as_ref())?;
        Ok((keyring, Stamp::of(&metadata)))
    }

    /// What a new file begins with.
    fn empty(&self) -> Result<Keyring, KeyringError> {
        let mut keyring = Keyring::default();
        let seal = self.passphrase.as_ref().map(Passphrase::make_seal);
        let seal = seal.transpose();
        keyring.seal = seal.map_err(|error| refused(&self.path)(error.into()))?;
        Ok(keyring)
    }
}

impl Keyring {
    /// Reads and checks a keyring file that is not sealed. Blocks on the disk.
    pub fn load(path: &Path) -> Result<Self, KeyringError> {
        KeyringFile::new(path.to_owned(), None).load()
    }
}

/// Whether a keyring file is sealed. Blocks on the disk.
pub fn is_sealed(path: &Path) -> Result<bool, KeyringError> {
    let (bytes, _) = read(path)?;
    file::is_sealed(&bytes).map_err(refused(path))
}

/// Changes a keyring file that is not sealed, as [`KeyringFile::update`] does.
pub fn update<T>(
    path: &Path,
    missing: WhenMissing,
    edit: impl FnOnce(&mut Keyring) -> Result<T, EditError>,
) -> Result<T, UpdateError> {
    KeyringFile::new(path.to_owned(), None).update(missing, edit)
}

/// A file with its lock, between reading and writing.
struct Writing {
    path: PathBuf,
    old: Option<(Zeroizing<Vec<u8>>, Metadata)>,
    _lock: File,
}

impl Writing {
    fn begin(path: &Path, missing: WhenMissing) -> Result<Self, KeyringError> {
        let exists = path.try_exists().map_err(at(path, "find"))?;
        if !exists && missing == WhenMissing::Refuse {
            return Err(KeyringError::Missing(path.to_owned()));
        }
        // A link to a keyring is followed: what it points to is replaced, not the link.
        let path = if exists {
            path.canonicalize().map_err(at(path, "find"))?
        } else {
            path.to_owned()
        };
        let lock = lock(&path)?;
        let old = match read(&path) {
            Ok(found) => Some(found),
            Err(KeyringError::Missing(_)) if missing == WhenMissing::Create => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            path,
            old,
            _lock: lock,
        })
    }

    fn finish(
        self,
        keyring: &Keyring,
        passphrase: Option<&Passphrase>,
        previous: Previous,
    ) -> Result<(), KeyringError> {
        let path = &self.path;
        let bytes = file::print(keyring).map_err(at(path, "print"))?;
        // Nothing is written that would not load.
        parse(path, &bytes, passphrase)?;
        let Some((old_bytes, metadata)) = &self.old else {
            return write(path, &bytes, None);
        };
        if **old_bytes == **bytes {
            return Ok(());
        }
        let beside = beside(path, "", ".previous");
        match previous {
            Previous::Overwrite => {
                write(path, &bytes, Some(metadata))?;
                write(&beside, &bytes, Some(metadata))
            }
            Previous::Keep => {
                write(&beside, old_bytes, Some(metadata))?;
                write(path, &bytes, Some(metadata))
            }
        }
    }
}

/// What becomes of the file before a change.
#[derive(Clone, Copy)]
enum Previous {
    /// It stays beside the new one.
    Keep,
    /// It must not survive.
    Overwrite,
}

/// What a change does where there is no keyring file yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenMissing {
    /// Start with an empty keyring: `key create`, `key import` and `dev` only.
    Create,
    /// Fail: a mistyped path must not become a keyring.
    Refuse,
}

/// Why a keyring file cannot be used: the operator's to mend.
#[derive(Debug, Error)]
pub enum KeyringError {
    /// The operating system failed.
    #[error("cannot {action} {path:?}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// There is no such file.
    #[error("there is no keyring at {0:?}: `s3seal key create` makes one")]
    Missing(PathBuf),
    /// Others may read or write it.
    #[error("keyring {path:?} has mode {mode:04o}: it must be 0600")]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A folder or a device.
    #[error("keyring {0:?} is not a regular file")]
    NotAFile(PathBuf),
    /// The content is refused.
    #[error("keyring {path:?} is refused")]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParseError,
    },
    /// Larger than any keyring.
    #[error("keyring {0:?} has more than {MAX_FILE_LEN} bytes")]
    TooLarge(PathBuf),
}

/// Why a keyring file was not changed.
#[derive(Debug, Error)]
pub enum UpdateError {
    /// The change is against the rules.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The file cannot be used or written.
    #[error(transparent)]
    File(#[from] KeyringError),
}

fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, Metadata), KeyringError> {
    let file = File::open(path).map_err(at(path, "open"))?;
    // Of the open file, not of the path: nobody can swap it in between.
    let metadata = file.metadata().map_err(at(path, "examine"))?;
    if !metadata.is_file() {
        return Err(KeyringError::NotAFile(path.to_owned()));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & !PRIVATE_MODE != 0 {
        return Err(KeyringError::Mode {
            path: path.to_owned(),
            mode,
        });
    }
    if metadata.len() > MAX_FILE_LEN {
        return Err(KeyringError::TooLarge(path.to_owned()));
    }
    // One byte more than needed, so that reading to the end never moves the buffer.
    let capacity = usize::try_from(metadata.len())
        .unwrap_or(0)
        .saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    let mut limited = file.take(MAX_FILE_LEN);
    limited.read_to_end(&mut bytes).map_err(at(path, "read"))?;
    Ok((bytes, metadata))
}

fn parse(
    path: &Path,
    bytes: &[u8],
    passphrase: Option<&Passphrase>,
) -> Result<Keyring, KeyringError> {
    file::parse(bytes, passphrase).map_err(refused(path))
}

fn refused(path: &Path) -> impl FnOnce(ParseError) -> KeyringError {
    let path = path.to_owned();
    move |source| KeyringError::Content { path, source }
}

/// Puts `bytes` at `path`, durably, in one step. `like` is the file whose owner is kept: root
/// rotating a key must not lock the proxy's user out of the keyring.
fn write(path: &Path, bytes: &[u8], like: Option<&Metadata>) -> Result<(), KeyringError> {
    let temporary = beside(path, ".", ".tmp");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(at(&temporary, "remove")(error));
        }
        Ok(()) | Err(_) => {}
    }
    let written = write_new(&temporary, bytes, like)
        .map_err(at(&temporary, "write"))
        .and_then(|()| fs::rename(&temporary, path).map_err(at(path, "replace")));
    if written.is_err() {
        // It holds material. If this fails, too, the next writer removes it.
        drop(fs::remove_file(&temporary));
    }
    written?;
    let folder = folder_of(path);
    let sync = File::open(folder).and_then(|folder| folder.sync_all());
    sync.map_err(at(folder, "sync"))
}

fn write_new(path: &Path, bytes: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(PRIVATE_MODE)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(PRIVATE_MODE))?;
    if let Some(like) = like {
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (like.uid(), like.gid()) {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Waits for other writers. The lock file stays: removing it would let two writers in.
fn lock(path: &Path) -> Result<File, KeyringError> {
    let path = beside(path, "", ".lock");
    let mut options = OpenOptions::new();
    let options = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE_MODE);
    let file = options.open(&path).map_err(at(&path, "make"))?;
    file.lock().map_err(at(&path, "lock"))?;
    Ok(file)
}

fn beside(path: &Path, before: &str, after: &str) -> PathBuf {
    let mut name = OsString::from(before);
    name.push(path.file_name().unwrap_or_default());
    name.push(after);
    path.with_file_name(name)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

pub(super) fn at(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> KeyringError {
    let path = path.to_owned();
    move |source| {
        let missing = source.kind() == io::ErrorKind::NotFound;
        if missing && matches!(action, "find" | "open") {
            return KeyringError::Missing(path);
        }
        KeyringError::Io {
            path,
            action,
            source,
        }
    }
}

/// Owner may read and write, nobody else anything. Less is fine: a mounted secret is read-only.
const PRIVATE_MODE: u32 = 0o600;
/// Tens of thousands of versions; more is not a keyring.
const MAX_FILE_LEN: u64 = 16 * 1024 * 1024;
