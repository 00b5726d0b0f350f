//! `s3seal dev`: an embedded S3 server on a folder, a keyring, and the proxy in front of it. To try
//! it, not to keep data in.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::app::{self, App};
use crate::cli::CommandError;
use crate::config::{Config, Environment};
use crate::keys::entropy::random_bytes;
use crate::keys::local::{Material, NewKey, WhenMissing, update};

/// Arguments of `dev`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder for everything: stored objects, keyring, credentials
    #[arg(long, value_name = "DIR", default_value = "s3seal-dev")]
    dir: PathBuf,
    /// Where S3 clients connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
}

/// Credentials made on first use, for this folder only.
#[derive(Serialize, Deserialize)]
struct Identities {
    client_id: String,
    client_secret: String,
    upstream_id: String,
    upstream_secret: String,
}

/// Runs until SIGTERM or SIGINT.
pub fn run(args: &Args) -> Result<(), CommandError> {
    let failed = |error: &dyn std::fmt::Display| CommandError::Failed(error.to_string());
    let place = Place::prepare(&args.dir).map_err(|error| failed(&error))?;
    place.make_keys()?;
    let runtime = app::runtime().map_err(|error| failed(&error))?;
    runtime.block_on(async {
        let upstream = start_upstream(&place).await?;
        let config = place.configure(args.listen, upstream)?;
        app::init_log(&config.log).map_err(|error| failed(&error))?;
        let building = Box::pin(App::build(config));
        let app = building.await.map_err(|error| failed(&error))?;
        let address = app.address().map_err(|error| failed(&error))?;
        place.introduce(address).map_err(|error| failed(&error))?;
        app.run(app::shutdown_signal()).await;
        Ok(())
    })
}

/// The folder and what is in it.
struct Place {
    dir: PathBuf,
    identities: Identities,
}

impl Place {
    fn prepare(dir: &Path) -> io::Result<Self> {
        let mut private = fs::DirBuilder::new();
        private.recursive(true).mode(0o700).create(dir)?;
        let dir = dir.canonicalize()?;
        private.create(dir.join("data").join(BUCKET))?;
        let file = dir.join("identities.json");
        let identities = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let identities = Identities::random()?;
                write_private(&file, &serde_json::to_string_pretty(&identities)?)?;
                identities
            }
            Err(error) => return Err(error),
        };
        Ok(Self { dir, identities })
    }

    /// A named key and a managed one, on first use.
    fn make_keys(&self) -> Result<(), CommandError> {
        let keyring = self.dir.join("keyring.json");
        if keyring.exists() {
            return Ok(());
        }
        let failed = |error: &dyn std::fmt::Display| CommandError::Failed(error.to_string());
        for (id, description) in [("default", "named key"), ("managed", "managed key")] {
            let key = NewKey {
                id: id.to_owned(),
                aliases: Vec::new(),
                description: description.to_owned(),
            };
            let material = Material::generate().map_err(|error| failed(&error))?;
            update(&keyring, WhenMissing::Create, |keyring| {
                keyring.create(key, material, app::now())
            })
            .map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// Writes the configuration of this run, and loads it like `serve` would.
    fn configure(&self, listen: SocketAddr, upstream: SocketAddr) -> Result<Config, CommandError> {
        let Identities {
            client_id,
            client_secret,
            upstream_id,
            upstream_secret,
        } = &self.identities;
        let text = format!(
            "# Written by `s3seal dev` at every start.\n\
             [listen]\naddress = \"{listen}\"\n\n\
             [admin]\naddress = \"127.0.0.1:0\"\n\n\
             [upstream]\nendpoint = \"http://{upstream}\"\nregion = \"us-east-1\"\n\
             credentials = {{ access_key_id = \"{upstream_id}\", \
             secret_access_key = \"{upstream_secret}\" }}\n\n\
             [[clients]]\naccess_key_id = \"{client_id}\"\n\
             secret_access_key = \"{client_secret}\"\n\n\
             [keys]\ndefault = \"default\"\nmanaged = \"managed\"\n\n\
             [[keys.providers]]\nkind = \"local\"\nname = \"local\"\n\
             keyring = \"keyring.json\"\n\n\
             [[rules]]\nbuckets = [\"*\"]\nencryption = \"named-key\"\n\n\
             [log]\nformat = \"text\"\nfilter = \"warn\"\n"
        );
        let path = self.dir.join("config.toml");
        write_private(&path, &text).map_err(|error| CommandError::Failed(error.to_string()))?;
        Config::load(&path, &Environment::default())
            .map_err(|error| CommandError::Usage(error.to_string()))
    }

    /// Says where everything is and what to try.
    fn introduce(&self, address: SocketAddr) -> io::Result<()> {
        let dir = self.dir.display();
        let Identities {
            client_id,
            client_secret,
            ..
        } = &self.identities;
        write_private(
            &self.dir.join("aws-config"),
            &format!(
                "[default]\nregion = us-east-1\naws_access_key_id = {client_id}\n\
                 aws_secret_access_key = {client_secret}\n\
                 s3 =\n    signature_version = s3v4\n    addressing_style = path\n    \
                 multipart_threshold = 5GB\n"
            ),
        )?;
        let aws = format!("aws --endpoint-url http://{address}");
        writeln!(
            io::stdout().lock(),
            "\ns3seal dev is serving.\n\n  \
             endpoint            http://{address}\n  \
             access key id       {client_id}\n  \
             secret access key   {client_secret}\n  \
             stored objects      {dir}/data (what a storage provider would see)\n  \
             configuration       {dir}/config.toml\n\n\
             Try it in another shell:\n\n  \
             export AWS_CONFIG_FILE={dir}/aws-config\n  \
             {aws} s3 cp README.md s3://{BUCKET}/readme.md\n  \
             {aws} s3 ls s3://{BUCKET}\n  \
             curl \"$({aws} s3 presign s3://{BUCKET}/readme.md)\"\n  \
             {aws} s3 rm s3://{BUCKET}/readme.md\n"
        )
    }
}

impl Identities {
    fn random() -> io::Result<Self> {
        let text = |bytes: &[u8]| data_encoding::BASE32_NOPAD.encode(bytes);
        let id = || {
            random_bytes::<10>()
                .map(|bytes| text(&*bytes))
                .map_err(io::Error::other)
        };
        let secret = || {
            random_bytes::<25>()
                .map(|bytes| text(&*bytes))
                .map_err(io::Error::other)
        };
        Ok(Self {
            client_id: format!("DEV{}", id()?),
            client_secret: secret()?,
            upstream_id: format!("UP{}", id()?),
            upstream_secret: secret()?,
        })
    }
}

/// Starts the embedded S3 server on a free port.
async fn start_upstream(place: &Place) -> Result<SocketAddr, CommandError> {
    let failed = |error: &dyn std::fmt::Display| CommandError::Failed(error.to_string());
    let files = FileSystem::new(place.dir.join("data"))
        .map_err(|error| CommandError::Failed(format!("embedded S3 server: {error:?}")))?;
    let mut service = S3ServiceBuilder::new(files);
    let Identities {
        upstream_id,
        upstream_secret,
        ..
    } = &place.identities;
    service.set_auth(SimpleAuth::from_single(
        upstream_id.as_str(),
        upstream_secret.as_str(),
    ));
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .map_err(|error| failed(&error))?;
    let address = listener.local_addr().map_err(|error| failed(&error))?;
    tokio::spawn(serve_upstream(listener, service.build()));
    Ok(address)
}

async fn serve_upstream(listener: TcpListener, service: S3Service) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "embedded S3 server");
                continue;
            }
        };
        let service = service.clone();
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "embedded S3 server");
            }
        });
    }
}

/// Writes a file that only its owner reads.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// The bucket that is there from the start.
const BUCKET: &str = "demo";
