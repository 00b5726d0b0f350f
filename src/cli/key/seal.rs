//! `s3seal key seal` and `unseal`: material under a passphrase, under another one, or in clear.

use std::path::PathBuf;

use clap::Args;

use super::{KeyCommandError, KeyIo, Target, show};
use crate::cli::passphrase::{PassphraseError, in_file};
use crate::keys::local::{KeyringFile, is_sealed};

#[derive(Debug, Args)]
pub(super) struct SealArgs {
    #[command(flatten)]
    target: Target,
    /// File with another passphrase, for a keyring that is sealed [default: asked on a terminal]
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct UnsealArgs {
    #[command(flatten)]
    target: Target,
}

/// Seals a keyring, or changes the passphrase of one that is sealed.
pub(super) fn seal(args: &SealArgs, io: &mut KeyIo<'_>) -> Result<(), KeyCommandError> {
    let target = &args.target;
    let (before, passphrase) = if is_sealed(&target.keyring)? {
        let before = io
            .passphrases
            .existing(&target.keyring, &target.passphrase)?;
        let passphrase = match &args.new_passphrase_file {
            Some(path) => in_file(path),
            None => io.passphrases.ask_new()?.ok_or(PassphraseError::Sealed)?,
        };
        (before, passphrase)
    } else if args.new_passphrase_file.is_some() {
        return Err(PassphraseError::NotSealed.into());
    } else {
        let passphrase = io.passphrases.new_one(&target.passphrase)?;
        (KeyringFile::new(target.keyring.clone(), None), passphrase)
    };
    before.reseal(Some(&passphrase))?;
    let after = KeyringFile::new(target.keyring.clone(), Some(passphrase));
    Ok(show::list(&after.load()?, target.json, io.output)?)
}

/// Writes the material of a sealed keyring in clear.
pub(super) fn unseal(args: &UnsealArgs, io: &mut KeyIo<'_>) -> Result<(), KeyCommandError> {
    let target = &args.target;
    if !is_sealed(&target.keyring)? {
        return Err(PassphraseError::NotSealed.into());
    }
    let before = io
        .passphrases
        .existing(&target.keyring, &target.passphrase)?;
    before.reseal(None)?;
    let after = KeyringFile::new(target.keyring.clone(), None);
    Ok(show::list(&after.load()?, target.json, io.output)?)
}
