//! `s3seal open`: decrypts a stored object with nothing but a keyring and its two metadata values.
//! No proxy, no S3, no lock-in.

use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::BytesMut;

use super::CommandError;
use crate::format::metadata::{HEADER_NAME, KEY_NAME};
use crate::format::{
    Announced, BulkCipher, ContentKey, Layout, Metadata, OpenEnds, Opener, Walk, Wrapped,
};
use crate::keys::local::LocalProvider;
use crate::keys::types::ProviderKind;

/// Arguments of `open`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The keyring that holds the key
    #[arg(long, value_name = "FILE")]
    keyring: PathBuf,
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
    let failed = |error: &dyn std::fmt::Display| CommandError::Failed(error.to_string());
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
    let failed = |error: &dyn std::fmt::Display| CommandError::Failed(error.to_string());
    let values = [
        (HEADER_NAME, args.header.as_bytes()),
        (KEY_NAME, args.envelope.as_bytes()),
    ];
    let metadata = Metadata::parse(values)
        .map_err(|error| failed(&error))?
        .ok_or_else(|| failed(&"no metadata"))?;
    let head = metadata.envelope.head();
    let Wrapped::Direct(wrapped) = metadata.envelope.wrapped() else {
        return Err(failed(
            &"the data key is wrapped by a bucket key: not in this version",
        ));
    };
    if head.key().provider != ProviderKind::Local {
        let provider = head.key().provider.name();
        return Err(CommandError::Failed(format!(
            "the key is in a {provider} provider"
        )));
    }
    let context = head
        .context(metadata.header.prefix(), &args.bucket, &args.key)
        .map_err(|error| failed(&error))?;
    let keyring = LocalProvider::open(&args.keyring).map_err(|error| failed(&error))?;
    let data_key = keyring
        .unwrap_now(head.key(), wrapped, &context)
        .map_err(|error| failed(&error))?;
    metadata
        .header
        .verify(&data_key)
        .map_err(|error| failed(&error))
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

/// Bytes read at once.
const READ_LEN: usize = 256 * 1024;
