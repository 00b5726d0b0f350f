//! What can be wrong with the content of a keyring.

use thiserror::Error;

use super::keyring::{MAX_DESCRIPTION_LEN, MAX_NAME_LEN};

/// Why the content of a keyring is refused: an operator's or another program's fault.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Defect {
    /// The active version must be one of the key's, and enabled.
    #[error("key {0:?}: the active version {1} is not an enabled version")]
    ActiveNotEnabled(String, u32),
    /// A live version needs material and its check value.
    #[error("key {0:?}: version {1} lacks its material or check value")]
    MaterialMissing(String, u32),
    /// A destroyed version must not have material.
    #[error("key {0:?}: version {1} is destroyed and still has material or a check value")]
    MaterialOfDestroyed(String, u32),
    /// Not the base64 of 32 bytes.
    #[error("key {0:?}: the material of version {1} is not base64 of 32 bytes")]
    MaterialSyntax(String, u32),
    /// The material is not what it was when the check value was written.
    #[error("key {0:?}: the check value of version {1} does not match its material")]
    WrongCheck(String, u32),
    /// All-zero material.
    #[error("key {0:?}: the material of version {1} is all zeros")]
    ZeroMaterial(String, u32),
    /// Sealed material that was changed, or moved from another key or version.
    #[error(
        "key {0:?}: the sealed material of version {1} does not open: it was changed, or is another's"
    )]
    SealedMaterial(String, u32),
    /// A date that is not RFC 3339.
    #[error("key {0:?}: a created date is not RFC 3339")]
    Date(String),
    /// Too long.
    #[error("key {0:?}: the description has more than {MAX_DESCRIPTION_LEN} bytes")]
    Description(String),
    /// Ids and aliases share one name space.
    #[error("the id or alias {0:?} is used twice")]
    DuplicateName(String),
    /// Versions are told apart by their number.
    #[error("key {0:?}: version {1} is there twice")]
    DuplicateVersion(String, u32),
    /// A name that cannot be written in headers and configuration. It is not repeated here.
    #[error("an id or alias is not 1 to {MAX_NAME_LEN} letters, digits and /_.:@+=-")]
    Name,
    /// Versions that unwrap, but none that wraps.
    #[error("key {0:?}: there is no active version although some are enabled")]
    NoActive(String),
    /// A key without versions.
    #[error("key {0:?}: there are no versions")]
    NoVersions(String),
    /// 0 stands for "the provider keeps track" in envelopes.
    #[error("key {0:?}: version 0 is not allowed")]
    VersionZero(String),
}
