//! The keyring as JSON text: parsed strictly, printed canonically, in buffers that are wiped.

use std::io;

use data_encoding::{BASE64, HEXLOWER};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize, Serializer};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use super::defect::Defect;
use super::keyring::{
    Key, Keyring, Live, LiveState, Origin, State, Timestamp, Version, check_name,
};
use super::material::{MATERIAL_LEN, Material};
use super::seal::{FileSeal, Passphrase, Seal, SealError, SealedMaterial};
use crate::secret::Secret;

/// Why text is not a keyring. Positions instead of excerpts: an excerpt may be material.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParseError {
    /// JSON that breaks a rule of the keyring.
    #[error(transparent)]
    Defect(#[from] Defect),
    /// JSON, but of something else.
    #[error("not a keyring: \"format\" is not \"{FORMAT}\"")]
    Format,
    /// A keyring of a later program.
    #[error("keyring format version {0} is not known, only {VERSION} is")]
    FormatVersion(u32),
    /// Not JSON, or an unknown, missing, repeated or mistyped field.
    #[error("unreadable at line {line} column {column}: {problem}")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What kind of problem.
        problem: &'static str,
    },
    /// The seal and the passphrase do not fit together.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Reads a keyring file's bytes. Blocks while the key of a seal is made.
pub(super) fn parse(bytes: &[u8], passphrase: Option<&Passphrase>) -> Result<Keyring, ParseError> {
    // The head first, so that a file of a later version is refused as that.
    head(bytes)?;
    let file: File = serde_json::from_slice(bytes).map_err(|error| position(&error))?;
    let seal = match (file.sealed, passphrase) {
        (None, None) => None,
        (Some(sealed), Some(passphrase)) => Some(passphrase.open(&sealed.check()?)?),
        (Some(_), None) => return Err(SealError::NoPassphrase.into()),
        (None, Some(_)) => return Err(SealError::NotSealed.into()),
    };
    let keys = file.keys.into_iter();
    let keys: Result<_, Defect> = keys.map(|key| key.into_key(seal.as_ref())).collect();
    let mut keyring = Keyring::from_keys(keys?)?;
    keyring.seal = seal;
    Ok(keyring)
}

/// Whether a keyring file's bytes are sealed, without opening anything.
pub(super) fn is_sealed(bytes: &[u8]) -> Result<bool, ParseError> {
    Ok(head(bytes)?.sealed.is_some())
}

fn head(bytes: &[u8]) -> Result<Head, ParseError> {
    let head: Head = serde_json::from_slice(bytes).map_err(|error| position(&error))?;
    if head.format != FORMAT {
        return Err(ParseError::Format);
    }
    if head.version != VERSION {
        return Err(ParseError::FormatVersion(head.version));
    }
    Ok(head)
}

/// Writes a keyring as the bytes of a file.
///
/// The text is produced twice, first to be counted: a buffer that grows would leave copies of
/// material behind in freed memory.
pub(super) fn print(keyring: &Keyring) -> io::Result<Zeroizing<Vec<u8>>> {
    let keys = keyring.keys().iter();
    let keys: io::Result<_> = keys
        .map(|key| FileKey::of(key, keyring.seal.as_ref()))
        .collect();
    let file = File {
        format: FORMAT.to_owned(),
        version: VERSION,
        sealed: keyring.seal.as_ref().map(Seal::head),
        keys: keys?,
    };
    let mut counter = Counter(0);
    serde_json::to_writer_pretty(&mut counter, &file)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(counter.0 + 1));
    serde_json::to_writer_pretty(&mut *bytes, &file)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
    sealed: Option<IgnoredAny>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<FileSeal>,
    keys: Vec<FileKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileKey {
    id: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    description: String,
    created: String,
    active: Option<u32>,
    versions: Vec<FileVersion>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileVersion {
    version: u32,
    state: State,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "expose"
    )]
    material: Option<Secret<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<String>,
    created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
}

impl FileKey {
    fn of(key: &Key, seal: Option<&Seal>) -> io::Result<Self> {
        let versions = key.versions.iter();
        let versions: io::Result<_> = versions
            .map(|version| FileVersion::of(version, &key.id, seal))
            .collect();
        Ok(Self {
            id: key.id.clone(),
            aliases: key.aliases.clone(),
            description: key.description.clone(),
            created: key.created.0.clone(),
            active: key.active,
            versions: versions?,
        })
    }

    fn into_key(self, seal: Option<&Seal>) -> Result<Key, Defect> {
        // Before any message that repeats the id.
        check_name(&self.id)?;
        let date = || Defect::Date(self.id.clone());
        let versions = self.versions.into_iter();
        let versions: Result<_, Defect> = versions
            .map(|version| version.into_version(&self.id, seal))
            .collect();
        Ok(Key {
            created: Timestamp::parse(self.created).ok_or_else(date)?,
            id: self.id,
            aliases: self.aliases,
            description: self.description,
            active: self.active,
            versions: versions?,
        })
    }
}

impl FileVersion {
    fn of(version: &Version, key: &str, seal: Option<&Seal>) -> io::Result<Self> {
        let live = version.live.as_ref();
        let material = match (live, seal) {
            (None, _) => None,
            (Some(live), None) => Some(BASE64.encode(live.material.expose())),
            (Some(live), Some(seal)) => Some(live.sealed_by(seal, key, version.number)?.0),
        };
        Ok(Self {
            version: version.number,
            state: version.state(),
            material: material.map(Secret::new),
            check: live.map(|live| HEXLOWER.encode(&live.material.check())),
            created: version.created.0.clone(),
            origin: version.origin,
        })
    }

    fn into_version(self, key: &str, seal: Option<&Seal>) -> Result<Version, Defect> {
        let at = |defect: fn(String, u32) -> Defect| defect(key.to_owned(), self.version);
        let live = match (live_state(self.state), &self.material, &self.check) {
            (None, None, None) => None,
            (None, _, _) => return Err(at(Defect::MaterialOfDestroyed)),
            (Some(state), Some(material), Some(check)) => {
                let sealed = seal.map(|_| SealedMaterial(material.expose().clone()));
                let bytes = match (seal, &sealed) {
                    (Some(seal), Some(sealed)) => seal
                        .open(sealed, key, self.version)
                        .ok_or_else(|| at(Defect::SealedMaterial))?,
                    (None, _) | (_, None) => {
                        decode(material).ok_or_else(|| at(Defect::MaterialSyntax))?
                    }
                };
                let material = Material::new(&bytes).map_err(|_| at(Defect::ZeroMaterial))?;
                let expected = HEXLOWER.encode(&material.check());
                if !bool::from(expected.as_bytes().ct_eq(check.as_bytes())) {
                    return Err(at(Defect::WrongCheck));
                }
                Some(Live {
                    state,
                    material,
                    sealed,
                })
            }
            (Some(_), _, _) => return Err(at(Defect::MaterialMissing)),
        };
        Ok(Version {
            number: self.version,
            created: Timestamp::parse(self.created).ok_or_else(|| Defect::Date(key.to_owned()))?,
            origin: self.origin,
            live,
        })
    }
}

impl Live {
    /// As the file has it, or sealed anew where it was not sealed, or by another seal.
    fn sealed_by(&self, seal: &Seal, key: &str, version: u32) -> io::Result<SealedMaterial> {
        match self.sealed.clone() {
            Some(sealed) => Ok(sealed),
            None => seal
                .seal(&self.material, key, version)
                .map_err(io::Error::other),
        }
    }
}

fn live_state(state: State) -> Option<LiveState> {
    match state {
        State::Enabled => Some(LiveState::Enabled),
        State::DecryptOnly => Some(LiveState::DecryptOnly),
        State::Disabled => Some(LiveState::Disabled),
        State::Retired => Some(LiveState::Retired),
        State::Destroyed => None,
    }
}

fn decode(material: &Secret<String>) -> Option<Zeroizing<[u8; MATERIAL_LEN]>> {
    let bytes = Zeroizing::new(BASE64.decode(material.expose().as_bytes()).ok()?);
    let mut array = Zeroizing::new([0; MATERIAL_LEN]);
    if bytes.len() != array.len() {
        return None;
    }
    array.copy_from_slice(&bytes);
    Some(array)
}

/// The one place where secrets are serialised: into the keyring file.
#[expect(clippy::ref_option, reason = "the signature serde calls")]
fn expose<S: Serializer>(material: &Option<Secret<String>>, to: S) -> Result<S::Ok, S::Error> {
    material.as_ref().map(Secret::expose).serialize(to)
}

fn position(error: &serde_json::Error) -> ParseError {
    ParseError::Json {
        line: error.line(),
        column: error.column(),
        problem: match error.classify() {
            serde_json::error::Category::Data => "an unknown, missing, repeated or mistyped field",
            serde_json::error::Category::Eof => "the text ends too early",
            serde_json::error::Category::Io | serde_json::error::Category::Syntax => "not JSON",
        },
    }
}

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const FORMAT: &str = "s3seal-keyring";
const VERSION: u32 = 1;
