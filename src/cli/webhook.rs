//! `s3seal webhook`: gives pods of Kubernetes the sidecar that they ask for.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::CommandError;
use crate::app;
use crate::config::listen::{ClientCertificates, TlsFiles};
use crate::config::log::{Log, LogFormat};
use crate::webhook::{Settings, StartError, Webhook};

/// Arguments of `webhook`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the API server connects; HTTPS only
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// The certificate chain, PEM; read again when it changes
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Its private key, PEM; read again when it changes
    #[arg(long, value_name = "FILE")]
    private_key: PathBuf,
    /// The folder of the profiles, NAME.json each; read again when it changes
    #[arg(long, value_name = "DIR")]
    templates: PathBuf,
    /// Who signs the certificate that the API server has to present, PEM
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// What is logged; `debug` tells why connections end
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log_filter: String,
}

/// Serves until SIGTERM or SIGINT, then drains.
pub fn run(args: Args) -> Result<(), CommandError> {
    let log = Log {
        format: LogFormat::Json,
        filter: args.log_filter,
    };
    app::init_log(&log).map_err(|error| CommandError::Usage(error.to_string()))?;
    let settings = Settings {
        address: args.listen,
        certificate: TlsFiles {
            certificate: args.certificate,
            private_key: args.private_key,
            clients: args.client_ca.map(|ca| ClientCertificates {
                ca,
                are_required: true,
            }),
        },
        templates: args.templates,
    };
    app::runtime()
        .map_err(|error| CommandError::Failed(format!("runtime: {error}")))?
        .block_on(serve(settings))
}

async fn serve(settings: Settings) -> Result<(), CommandError> {
    let webhook = Webhook::start(settings).await.map_err(|error| {
        let text = error.to_string();
        match error {
            StartError::Bind { .. } | StartError::Counter(_) => CommandError::Failed(text),
            StartError::Templates(_) | StartError::Tls(_) => CommandError::Usage(text),
        }
    })?;
    webhook.run(app::shutdown_signal()).await;
    Ok(())
}
