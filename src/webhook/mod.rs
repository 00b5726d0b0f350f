//! A mutating admission webhook of Kubernetes, which gives pods the sidecar that they ask for.
//!
//! What is decided is pure: [`review`] reads and answers, [`pod`] is what matters of a pod, [`patch`]
//! what it lacks, [`profile`] what it may get. The rest serves it: [`templates`] is the folder of the
//! profiles, [`listener`] its answers, [`reload`] takes up changed files.

pub mod listener;
pub mod patch;
pub mod pod;
pub mod profile;
pub mod reload;
pub mod review;
pub mod templates;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::net::TcpListener;

use crate::config::listen::TlsFiles;
use crate::server;
use crate::server::tls::{Greeting, TlsError};
use crate::server::workers::Worker;
use crate::telemetry::metrics::connections::Connections;
use listener::Reviewer;
use profile::Profiles;
use reload::Certificate;
use templates::TemplatesError;

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the API server connects.
    pub address: SocketAddr,
    /// Certificate, private key, and who may connect.
    pub certificate: TlsFiles,
    /// The folder of the profiles.
    pub templates: PathBuf,
}

/// Why the webhook does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address that cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// As it was given.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A counter that cannot be made: a bug.
    #[error(transparent)]
    Counter(#[from] prometheus::Error),
    /// The folder of the profiles, or one of them, cannot be used.
    #[error(transparent)]
    Templates(#[from] TemplatesError),
    /// Certificate, private key or client authority cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A webhook with its listener bound, not yet serving.
pub struct Webhook {
    listener: TcpListener,
    certificate: Certificate,
    greeting: Greeting,
    templates: PathBuf,
    profiles: Arc<ArcSwap<Profiles>>,
    connections: Connections,
}

impl Webhook {
    /// Reads every file and binds the listener.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let (certificate, config) = Certificate::load(settings.certificate)?;
        let profiles = templates::read(&settings.templates)?;
        let address = settings.address;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Bind { address, source })?;
        Ok(Self {
            listener,
            certificate,
            greeting: Greeting::from(config),
            templates: settings.templates,
            profiles: Arc::new(ArcSwap::from_pointee(profiles)),
            connections: Connections::unshown()?,
        })
    }

    /// Serves until `stop` resolves, then lets requests in flight finish. Must be called in a
    /// runtime, which serves everything.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        if let Ok(address) = self.listener.local_addr() {
            let profiles = self.profiles.load().names();
            tracing::info!(%address, profiles, "serving");
        }
        let handler = Reviewer::new(Arc::clone(&self.profiles));
        let watching = tokio::spawn(reload::watch(
            self.certificate,
            self.greeting.clone(),
            self.templates,
            self.profiles,
        ));
        let stop = async {
            stop.await;
            tracing::info!("draining");
        };
        let (greeting, workers) = (Some(self.greeting), Worker::here(handler));
        let cut = server::serve(
            self.listener,
            greeting,
            listener::LIMITS,
            workers,
            self.connections,
            stop,
        )
        .await;
        watching.abort();
        tracing::info!(cut, "stopped");
    }
}
