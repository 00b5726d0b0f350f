//! `s3seal key`: the commands that make, change and show a local keyring. No material is printed.

use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use thiserror::Error;
use time::OffsetDateTime;

use super::passphrase::{PassphraseArgs, PassphraseError, Passphrases};
use crate::keys::entropy::EntropyError;
use crate::keys::local::{
    Change, EditError, Keyring, KeyringError, KeyringFile, Material, NewKey, State, UpdateError,
    WhenMissing, ZeroMaterial,
};

mod material;
mod seal;
mod show;
mod unused;

/// `s3seal key ...`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key; also makes the keyring file if there is none
    Create(CreateArgs),
    /// Show all keys
    List(ListArgs),
    /// Show one key and its versions
    Describe(DescribeArgs),
    /// Give a key a new active version; older versions go on decrypting
    Rotate(DescribeArgs),
    /// Add material from outside, as a new key or as a version of a key
    Import(ImportArgs),
    /// Bring back a disabled key or version
    Enable(EnableArgs),
    /// Switch off a key or version, to be enabled again at will
    Disable(VersionArgs),
    /// Switch off a key or version for good, keeping its material
    Retire(RetireArgs),
    /// Erase the material of a key or version: what it encrypted is lost
    Destroy(DestroyArgs),
    /// Put the keyring's material under a passphrase, or under another one
    Seal(seal::SealArgs),
    /// Write the material of a sealed keyring in clear
    Unseal(seal::UnsealArgs),
}

#[derive(Debug, Args)]
struct Target {
    /// Keyring file
    #[arg(long, value_name = "FILE")]
    keyring: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct DescribeArgs {
    #[command(flatten)]
    target: Target,
    /// Id or alias of the key
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Debug, Args)]
struct NewKeyArgs {
    #[command(flatten)]
    target: Target,
    /// Id of the key: letters, digits and /_.:@+=-
    #[arg(value_name = "ID")]
    id: String,
    /// Another name for a new key; may be repeated
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// A note on a new key
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// Put a new keyring under a passphrase
    #[arg(long)]
    seal: bool,
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    key: NewKeyArgs,
}

#[derive(Debug, Args)]
struct ImportArgs {
    #[command(flatten)]
    key: NewKeyArgs,
    /// Number of the version [default: 1 for a new key, else the next]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// 32 raw bytes or their base64; - reads standard input
    #[arg(long, value_name = "FILE|-")]
    material: PathBuf,
}

#[derive(Debug, Args)]
struct VersionArgs {
    #[command(flatten)]
    key: DescribeArgs,
    /// One version instead of the whole key
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
}

#[derive(Debug, Args)]
struct EnableArgs {
    #[command(flatten)]
    key: VersionArgs,
    /// Bring back retired versions, too
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
struct RetireArgs {
    #[command(flatten)]
    key: VersionArgs,
    #[command(flatten)]
    unused: unused::UnusedArgs,
}

#[derive(Debug, Args)]
struct DestroyArgs {
    #[command(flatten)]
    key: VersionArgs,
    #[command(flatten)]
    unused: unused::UnusedArgs,
    /// Do not ask on a terminal
    #[arg(long)]
    yes: bool,
}

/// The surroundings of a command.
pub struct KeyIo<'a> {
    /// Standard input: material, and the answer to a question.
    pub input: &'a mut dyn BufRead,
    /// Standard output.
    pub output: &'a mut dyn Write,
    /// Whether somebody sits at standard input, so that a question makes sense.
    pub interactive: bool,
    /// Passphrases of sealed keyrings.
    pub passphrases: Passphrases<'a>,
    /// The time written into the keyring.
    pub now: OffsetDateTime,
}

/// Runs one `key` command.
pub fn run(args: &KeyArgs, io: &mut KeyIo<'_>) -> Result<(), KeyCommandError> {
    match &args.command {
        KeyCommand::Create(args) => create(&args.key, io),
        KeyCommand::List(args) => list(&args.target, io),
        KeyCommand::Describe(args) => {
            let file = args.target.file(io)?;
            describe(&file, &args.target, &args.id, io)
        }
        KeyCommand::Rotate(args) => {
            let (material, now) = (Material::generate()?, io.now);
            let rotate = |keyring: &mut Keyring| keyring.rotate(&args.id, material, now).map(drop);
            edit(args, rotate, io)
        }
        KeyCommand::Import(args) => import(args, io),
        KeyCommand::Enable(args) => change(&args.key, Change::Enable { force: args.force }, io),
        KeyCommand::Disable(args) => change(args, Change::Disable, io),
        KeyCommand::Retire(args) => {
            unused::check(&args.unused, &args.key, io)?;
            change(&args.key, Change::Retire, io)
        }
        KeyCommand::Destroy(args) => {
            unused::check(&args.unused, &args.key, io)?;
            if io.interactive && !args.yes {
                confirm(&args.key, io)?;
            }
            change(&args.key, Change::Destroy, io)
        }
        KeyCommand::Seal(args) => seal::seal(args, io),
        KeyCommand::Unseal(args) => seal::unseal(args, io),
    }
}

/// Why a `key` command failed.
#[derive(Debug, Error)]
pub enum KeyCommandError {
    /// The change is against the rules.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// No random bytes, no key.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The keyring file cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The configuration that says where to look for what needs a key.
    #[error("{0}")]
    Configuration(String),
    /// Something that is stored needs the key.
    #[error("{0} needs it: rewrap first, or say --force instead of --config")]
    Needed(String),
    /// It cannot be said whether something that is stored needs the key.
    #[error("it cannot be said whether something needs it: {0}")]
    Unsure(String),
    /// Neither 32 bytes nor base64 of them.
    #[error("the material is neither 32 raw bytes nor the base64 of 32 bytes")]
    Material,
    /// The material's file cannot be read.
    #[error("cannot read the material from {path:?}")]
    MaterialFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The question was not answered with the id.
    #[error("nothing was destroyed")]
    NotConfirmed,
    /// It still wraps or unwraps, so that something may come to need it while everything is looked at.
    #[error("disable it first: while it is on, something may come to need it")]
    On,
    /// No passphrase, or one too many.
    #[error(transparent)]
    Passphrase(PassphraseError),
    /// The result cannot be printed.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// All-zero material.
    #[error(transparent)]
    ZeroMaterial(#[from] ZeroMaterial),
}

impl KeyCommandError {
    /// 64 for bad usage or an unusable keyring, 1 for everything else that went wrong.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Edit(EditError::Defect(_) | EditError::Exists(_))
            | Self::Configuration(_)
            | Self::Material
            | Self::Passphrase(
                PassphraseError::Missing
                | PassphraseError::NotSealed
                | PassphraseError::Sealed
                | PassphraseError::Unused,
            )
            | Self::ZeroMaterial(_)
            | Self::Keyring(
                KeyringError::Content { .. }
                | KeyringError::Missing(_)
                | KeyringError::Mode { .. }
                | KeyringError::NotAFile(_)
                | KeyringError::TooLarge(_),
            ) => 64,
            Self::Edit(
                EditError::ActiveAlone(_)
                | EditError::Clock
                | EditError::Destroyed
                | EditError::Off(_)
                | EditError::Retired
                | EditError::UnknownKey(_)
                | EditError::UnknownVersion(_)
                | EditError::VersionTaken(_)
                | EditError::VersionsExhausted,
            )
            | Self::Entropy(_)
            | Self::Keyring(KeyringError::Io { .. })
            | Self::MaterialFile { .. }
            | Self::Needed(_)
            | Self::NotConfirmed
            | Self::On
            | Self::Unsure(_)
            | Self::Passphrase(
                PassphraseError::Differ
                | PassphraseError::Keyring(_)
                | PassphraseError::Terminal(_),
            )
            | Self::Output(_) => 1,
        }
    }
}

impl From<UpdateError> for KeyCommandError {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Edit(error) => error.into(),
            UpdateError::File(error) => error.into(),
        }
    }
}

impl From<PassphraseError> for KeyCommandError {
    fn from(error: PassphraseError) -> Self {
        match error {
            PassphraseError::Keyring(error) => error.into(),
            error @ (PassphraseError::Differ
            | PassphraseError::Missing
            | PassphraseError::NotSealed
            | PassphraseError::Sealed
            | PassphraseError::Terminal(_)
            | PassphraseError::Unused) => Self::Passphrase(error),
        }
    }
}

fn create(args: &NewKeyArgs, io: &mut KeyIo<'_>) -> Result<(), KeyCommandError> {
    let (material, now) = (Material::generate()?, io.now);
    let file = args.file(io)?;
    file.update(WhenMissing::Create, |keyring| {
        keyring.create(args.new_key(), material, now)
    })?;
    describe(&file, &args.target, &args.id, io)
}

fn import(args: &ImportArgs, io: &mut KeyIo<'_>) -> Result<(), KeyCommandError> {
    let material = material::read(&args.material, io.input)?;
    let now = io.now;
    let file = args.key.file(io)?;
    file.update(WhenMissing::Create, |keyring| {
        keyring.import(args.key.new_key(), args.version, material, now)
    })?;
    describe(&file, &args.key.target, &args.key.id, io)
}

fn change(args: &VersionArgs, change: Change, io: &mut KeyIo<'_>) -> Result<(), KeyCommandError> {
    let id = &args.key.id;
    edit(
        &args.key,
        |keyring| keyring.change(id, args.version, change),
        io,
    )
}

fn edit(
    args: &DescribeArgs,
    edit: impl FnOnce(&mut Keyring) -> Result<(), EditError>,
    io: &mut KeyIo<'_>,
) -> Result<(), KeyCommandError> {
    let file = args.target.file(io)?;
    file.update(WhenMissing::Refuse, edit)?;
    describe(&file, &args.target, &args.id, io)
}

fn confirm(args: &VersionArgs, io: &mut KeyIo<'_>) -> Result<(), KeyCommandError> {
    let id = &args.key.id;
    match args.version {
        Some(version) => write!(io.output, "Version {version} of key {id}")?,
        None => write!(io.output, "Every version of key {id}")?,
    }
    write!(
        io.output,
        " will be erased. What it encrypted can then never be read again.\n\
         Type the id of the key to go on: "
    )?;
    io.output.flush()?;
    let mut answer = String::new();
    io.input.take(MAX_ANSWER_LEN).read_line(&mut answer)?;
    if answer.trim() == id.as_str() {
        Ok(())
    } else {
        Err(KeyCommandError::NotConfirmed)
    }
}

fn list(target: &Target, io: &mut KeyIo<'_>) -> Result<(), KeyCommandError> {
    let keyring = target.file(io)?.load()?;
    Ok(show::list(&keyring, target.json, io.output)?)
}

fn describe(
    file: &KeyringFile,
    target: &Target,
    name: &str,
    io: &mut KeyIo<'_>,
) -> Result<(), KeyCommandError> {
    let keyring = file.load()?;
    let key = keyring
        .find(name)
        .ok_or_else(|| EditError::UnknownKey(name.to_owned()))?;
    Ok(show::key(key, target.json, io.output)?)
}

impl VersionArgs {
    /// Whether the version, or every version of the key, neither wraps nor unwraps.
    fn is_off(&self, io: &mut KeyIo<'_>) -> Result<bool, KeyCommandError> {
        let keyring = self.key.target.file(io)?.load()?;
        let unknown = || EditError::UnknownKey(self.key.id.clone());
        let key = keyring.find(&self.key.id).ok_or_else(unknown)?;
        let versions = key.versions().iter();
        let mut concerned = versions.filter(|it| self.version.is_none_or(|one| one == it.number()));
        Ok(concerned.all(|it| !matches!(it.state(), State::Enabled | State::DecryptOnly)))
    }
}

impl Target {
    fn file(&self, io: &mut KeyIo<'_>) -> Result<KeyringFile, KeyCommandError> {
        Ok(io.passphrases.existing(&self.keyring, &self.passphrase)?)
    }
}

impl NewKeyArgs {
    fn file(&self, io: &mut KeyIo<'_>) -> Result<KeyringFile, KeyCommandError> {
        let Target {
            keyring,
            passphrase,
            ..
        } = &self.target;
        Ok(io
            .passphrases
            .existing_or_new(keyring, passphrase, self.seal)?)
    }

    fn new_key(&self) -> NewKey {
        NewKey {
            id: self.id.clone(),
            aliases: self.alias.clone(),
            description: self.description.clone(),
        }
    }
}

/// Longer than any id.
const MAX_ANSWER_LEN: u64 = 256;

#[cfg(test)]
mod tests;
