//! `s3seal open`: decrypts a stored object with nothing but a keyring and its two metadata values.
//! No proxy, no S3, no lock-in.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;

use super::CommandError;
use super::passphrase::{PassphraseArgs, Passphrases, ask_terminal};
use crate::app::with_causes;
use crate::format::metadata::{HEADER_NAME, KEY_NAME};
use crate::format::{
    Announced, BulkCipher, ContentKey, Layout, Metadata, OpenEnds, Opener, Walk, Wrapped,
};
use crate::keys::bucket_keys::{BucketKey, WrappedBucketKey, registry};
use crate::keys::local::LocalProvider;
use crate::keys::types::{DataKey, KeyRef, ProviderKind, WrapContext, WrappedDataKey};

/// Arguments of `open`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The keyring that holds the key
    #[arg(long, value_name = "FILE")]
    keyring: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// The logical bucket that the object was written to
    #[arg(long)]
    bucket: String,
    /// The object key that it was written to
    #[arg(long)]
    key: String,
    /// Value of `x-amz-meta-s3seal-header`
    #[arg(long, value_name = "V")]
    header: String,
    /// Value of `x-amz-meta-s3seal-key`
    #[arg(long, value_name = "V")]
    envelope: String,
    /// Entry of the bucket key registry, or the folder of the registry: for objects whose bucket key
    /// was moved to a key of this keyring
    #[arg(long, value_name = "FILE|DIR")]
    registry_entry: Option<PathBuf>,
    /// Parts of a multipart object, as its ETag says
    #[arg(long, value_name = "N")]
    parts: Option<u32>,
    /// Stored bytes; needed where standard input is a pipe
    #[arg(long, value_name = "T")]
    length: Option<u64>,
}

/// Reads the stored body from standard input and writes the plaintext to standard output. Plaintext
/// that was written before a failure is verified; what follows it is missing.
pub fn run(args: &Args) -> Result<(), CommandError> {
    let stdin = io::stdin().lock();
    let length = match args.length {
        Some(length) => length,
        None => file_length(&stdin).ok_or_else(|| {
            CommandError::Usage("standard input is not a file: --length is needed".to_owned())
        })?,
    };
    let key = content_key(args)?;
    let opener = opener(key, length, args.parts)?;
    copy(opener, stdin, BufWriter::new(io::stdout().lock()))
}

fn opener(key: ContentKey, length: u64, parts: Option<u32>) -> Result<Opener, CommandError> {
    match key.prefix().layout() {
        Layout::Single => {
            Opener::single(BulkCipher::AwsLc, &key, length).map_err(|error| failed(&error))
        }
        Layout::Segmented => {
            let announced = Announced {
                stored_len: length,
                parts,
            };
            // Whoever opens offline has no rule: an open end is what the header says it is.
            let walk = Walk::new(key.prefix(), announced, OpenEnds::Allow)
                .map_err(|error| failed(&error))?;
            Ok(Opener::segmented(BulkCipher::AwsLc, Arc::new(key), walk))
        }
    }
}

/// The size of a regular file behind standard input, from its current position.
fn file_length(stdin: &io::StdinLock<'_>) -> Option<u64> {
    let metadata = rustix::fs::fstat(stdin).ok()?;
    let is_file = rustix::fs::FileType::from_raw_mode(metadata.st_mode).is_file();
    is_file
        .then(|| u64::try_from(metadata.st_size).ok())
        .flatten()
}

fn content_key(args: &Args) -> Result<ContentKey, CommandError> {
    let values = [
        (HEADER_NAME, args.header.as_bytes()),
        (KEY_NAME, args.envelope.as_bytes()),
    ];
    let metadata = Metadata::parse(values)
        .map_err(|error| failed(&error))?
        .ok_or_else(|| CommandError::Failed("no metadata".to_owned()))?;
    let head = metadata.envelope.head();
    let context = head
        .context(metadata.header.prefix(), &args.bucket, &args.key)
        .map_err(|error| failed(&error))?;
    let data_key = match metadata.envelope.wrapped() {
        Wrapped::Direct(wrapped) => unwrap(args, head.key(), wrapped, &context)?,
        Wrapped::BucketKey {
            id,
            wrapped_bucket_key,
            wrapped,
        } => {
            let embedded = WrappedBucketKey {
                id: *id,
                kek: head.key().clone(),
                wrapped: WrappedDataKey(wrapped_bucket_key.clone()),
            };
            let bucket_key = bucket_key(args, &newest(args, embedded)?)?;
            bucket_key
                .unwrap(wrapped, &context)
                .map_err(|error| failed(&error))?
        }
    };
    metadata
        .header
        .verify(&data_key)
        .map_err(|error| failed(&error))
}

/// The wrap that the registry has, or the one in the object.
fn newest(args: &Args, embedded: WrappedBucketKey) -> Result<WrappedBucketKey, CommandError> {
    let Some(path) = &args.registry_entry else {
        return Ok(embedded);
    };
    let in_folder = path.is_dir();
    let path = if in_folder {
        path.join(registry::name(&args.bucket, &embedded.id))
    } else {
        path.clone()
    };
    let entry = match read_entry(&path) {
        Ok(entry) => entry,
        // As the proxy does: a registry need not know every bucket key.
        Err(error) if in_folder && error.kind() == io::ErrorKind::NotFound => return Ok(embedded),
        Err(error) => {
            let text = format!("{}: {error}", path.display());
            return Err(CommandError::Failed(text));
        }
    };
    registry::parse(&entry)
        .filter(|entry| entry.id == embedded.id)
        .ok_or_else(|| {
            let path = path.display();
            CommandError::Failed(format!("{path} is no entry of the object's bucket key"))
        })
}

fn read_entry(path: &Path) -> io::Result<Vec<u8>> {
    let mut entry = Vec::new();
    let file = File::open(path)?;
    file.take(MAX_ENTRY_LEN).read_to_end(&mut entry)?;
    Ok(entry)
}

fn bucket_key(args: &Args, wrapped: &WrappedBucketKey) -> Result<BucketKey, CommandError> {
    if wrapped.wrapped.0.is_empty() {
        let text = "the wrapped bucket key is not in the object: --registry-entry is needed";
        return Err(CommandError::Failed(text.to_owned()));
    }
    let context = wrapped
        .context(&args.bucket)
        .map_err(|error| failed(&error))?;
    let key = unwrap(args, &wrapped.kek, &wrapped.wrapped, &context)?;
    Ok(BucketKey::new(wrapped.id, key))
}

/// Opens what a key of the keyring wrapped.
fn unwrap(
    args: &Args,
    kek: &KeyRef,
    wrapped: &WrappedDataKey,
    context: &WrapContext,
) -> Result<DataKey, CommandError> {
    if kek.provider != ProviderKind::Local {
        let provider = kek.provider.name();
        return Err(CommandError::Failed(format!(
            "the key is in a {provider} provider"
        )));
    }
    let mut ask = ask_terminal;
    let file = Passphrases::of_process(&mut ask)
        .existing(&args.keyring, &args.passphrase)
        .map_err(|error| failed(&error))?;
    let keyring = LocalProvider::load(file).map_err(|error| failed(&error))?;
    keyring
        .unwrap_now(kek, wrapped, context)
        .map_err(|error| failed(&error))
}

fn failed(error: &dyn std::error::Error) -> CommandError {
    CommandError::Failed(with_causes(error))
}

fn copy(
    mut opener: Opener,
    mut stored: impl Read,
    mut plaintext: impl Write,
) -> Result<(), CommandError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        CommandError::Failed(format!("{what}: {error}"))
    };
    let mut gathered = BytesMut::with_capacity(READ_LEN);
    let mut block = vec![0; READ_LEN];
    loop {
        let read = stored
            .read(&mut block)
            .map_err(|error| failed("reading", &error))?;
        if read == 0 {
            break;
        }
        gathered.extend_from_slice(block.get(..read).unwrap_or_default());
        let mut written = Ok(());
        opener
            .push(&mut gathered, &mut |chunk| {
                if written.is_ok() {
                    written = plaintext.write_all(&chunk);
                }
            })
            .map_err(|error| failed("the stored object is not intact", &error))?;
        written.map_err(|error| failed("writing", &error))?;
    }
    opener
        .finish()
        .map_err(|error| failed("the stored object is not intact", &error))?;
    plaintext.flush().map_err(|error| failed("writing", &error))
}

/// Longer than any entry: three fields of two bytes' length.
const MAX_ENTRY_LEN: u64 = 256 * 1024;

/// Bytes read at once.
const READ_LEN: usize = 256 * 1024;
