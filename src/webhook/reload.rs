//! Takes up changed files while it serves: certificate, private key, client authority, profiles.
//!
//! Files are read again rather than asked for their times: they are small, and a link may have come
//! to lead elsewhere.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256};

use super::profile::Profiles;
use super::templates;
use crate::config::listen::TlsFiles;
use crate::server::tls::{Greeting, Terms, TlsError, terms};
use crate::server::wake::{Hangup, every};

/// The files as they were when they were last taken up.
#[derive(Clone, Debug)]
pub struct Certificate {
    files: TlsFiles,
    digest: Vec<u8>,
}

impl Certificate {
    /// Reads the files for the first time.
    pub fn load(files: TlsFiles) -> Result<(Self, Terms), TlsError> {
        // In this order: what changes in between has another digest the next time.
        let digest = digest_of(&files)?;
        let config = terms(&files)?;
        Ok((Self { files, digest }, config))
    }

    /// What to greet connections with from now on, if the files have changed.
    fn changed(&mut self) -> Result<Option<Terms>, TlsError> {
        let digest = digest_of(&self.files)?;
        if digest == self.digest {
            return Ok(None);
        }
        let config = terms(&self.files)?;
        self.digest = digest;
        Ok(Some(config))
    }
}

fn digest_of(files: &TlsFiles) -> Result<Vec<u8>, TlsError> {
    let mut all = Vec::new();
    let authorities = files.clients.as_ref().map(|clients| &clients.ca);
    let paths = [&files.certificate, &files.private_key];
    for path in paths.into_iter().chain(authorities) {
        let digest = digest(path).map_err(|source| TlsError::Read {
            path: path.clone(),
            source,
        })?;
        all.extend_from_slice(&digest);
    }
    Ok(all)
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    struct Hashing(Context);
    impl io::Write for Hashing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut hashing = Hashing(Context::new(&SHA256));
    io::copy(&mut std::fs::File::open(path)?, &mut hashing)?;
    let digest = hashing.0.finish();
    digest.as_ref().try_into().map_err(io::Error::other)
}

/// Looks at the files every ten seconds and on SIGHUP, until it is aborted.
pub async fn watch(
    certificate: Certificate,
    greeting: Greeting,
    folder: PathBuf,
    profiles: Arc<ArcSwap<Profiles>>,
) {
    let mut watched = Watched {
        certificate,
        greeting,
        folder,
        profiles,
        certificate_problem: None,
        profiles_problem: None,
    };
    let mut ticks = every(PERIOD);
    let mut hangup = Hangup::watch();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = hangup.next() => {
                tracing::info!("SIGHUP: looking at the files");
                // Who asks is told again.
                watched.certificate_problem = None;
                watched.profiles_problem = None;
            }
        }
        let look = move || {
            watched.look();
            watched
        };
        match tokio::task::spawn_blocking(look).await {
            Ok(looked) => watched = looked,
            Err(_) => {
                return tracing::error!("changed files are no longer taken up: please report it");
            }
        }
    }
}

struct Watched {
    certificate: Certificate,
    greeting: Greeting,
    folder: PathBuf,
    profiles: Arc<ArcSwap<Profiles>>,
    /// What was wrong when it was last looked at: said once, not every ten seconds.
    certificate_problem: Option<String>,
    profiles_problem: Option<String>,
}

impl Watched {
    fn look(&mut self) {
        let looked = self.certificate.changed();
        let looked = looked.map(|changed| changed.map(|config| self.greeting.replace(config)));
        report("certificate", looked, &mut self.certificate_problem);
        let looked = templates::read(&self.folder).map(|read| {
            let has_changed = read != **self.profiles.load();
            has_changed.then(|| self.profiles.store(Arc::new(read)))
        });
        report("profiles", looked, &mut self.profiles_problem);
    }
}

fn report<E: std::fmt::Display>(
    what: &str,
    looked: Result<Option<()>, E>,
    problem: &mut Option<String>,
) {
    match looked {
        Ok(changed) => {
            *problem = None;
            if changed.is_some() {
                tracing::info!(what, "changed files taken up");
            }
        }
        Err(error) => {
            let error = error.to_string();
            if problem.as_ref() != Some(&error) {
                tracing::error!(
                    what,
                    error,
                    "changed files not taken up: those of before stay"
                );
            }
            *problem = Some(error);
        }
    }
}

/// How long a changed file goes unnoticed.
const PERIOD: Duration = Duration::from_secs(10);
