//! The program under test: the release binary with a generated configuration and keyring.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    error::LoadError,
    service::{Launch, PROXY_CORE, Service, free_address},
    sign::{self, ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Unsigned},
};

/// What the command line says about s3seal.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SealOptions {
    /// The s3seal binary; by default the one cargo built along with this runner
    #[arg(long, value_name = "FILE", default_value = option_env!("CARGO_BIN_EXE_s3seal"))]
    s3seal: Option<PathBuf>,
    /// What s3seal adds to its uploads (`upstream.checksum`)
    #[arg(long, value_enum, default_value = "crc64nvme")]
    checksum: Checksum,
    /// What s3seal logs (`log.filter`); as little as nginx, which writes no access log here
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log: String,
}

/// How s3seal is run.
#[derive(Clone, Debug)]
pub(crate) struct Seal {
    program: PathBuf,
    checksum: Checksum,
    log: String,
    origin: SocketAddr,
    directory: PathBuf,
    keys: String,
}

/// What s3seal adds to an upload: `upstream.checksum`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Checksum {
    /// The default: a CRC64NVME trailer over the ciphertext.
    Crc64nvme,
    /// Nothing, for servers that know no `x-amz-checksum-*`.
    None,
}

impl Seal {
    /// Makes the keyring that every instance of this run uses.
    pub(crate) fn prepare(
        options: &SealOptions,
        origin: SocketAddr,
        directory: &Path,
    ) -> Result<Self, LoadError> {
        let program = options.s3seal.clone().ok_or_else(|| {
            let hint = "name the binary with --s3seal, or leave it out with --via";
            LoadError::Usage(hint.to_owned())
        })?;
        let seal = Self {
            program,
            checksum: options.checksum,
            log: options.log.clone(),
            origin,
            directory: directory.join("s3seal"),
            keys: LOCAL_KEYS.to_owned(),
        };
        fs::create_dir_all(&seal.directory).map_err(LoadError::io("creating s3seal's folder"))?;
        for key in ["default", "managed"] {
            seal.create_key(key)?;
        }
        Ok(seal)
    }

    /// With other tables `keys` than the local keyring's.
    pub(crate) fn with_keys(self, keys: String) -> Self {
        Self { keys, ..self }
    }

    /// Starts an instance and waits until it takes connections.
    pub(crate) fn start(&self) -> Result<Service, LoadError> {
        self.start_watched().map(|(service, _)| service)
    }

    /// The same, with the address of its metrics.
    pub(crate) fn start_watched(&self) -> Result<(Service, SocketAddr), LoadError> {
        self.launch(Service::start)
    }

    /// Starts an instance and measures until it answered its first GET, of `path`.
    pub(crate) fn time_start(&self, path: &str) -> Result<Duration, LoadError> {
        let started = Instant::now();
        let (mut service, _) = self.launch(Service::spawn)?;
        loop {
            service.check()?;
            if first_answer(service.address(), path).is_some_and(|status| status == 200) {
                return Ok(started.elapsed());
            }
            if started.elapsed() > START_LIMIT {
                let target = "s3seal: the first answer".to_owned();
                return Err(LoadError::Stalled {
                    target,
                    seconds: START_LIMIT.as_secs(),
                });
            }
            thread::sleep(Duration::from_micros(200));
        }
    }

    fn launch(
        &self,
        start: impl FnOnce(Launch<'_>, SocketAddr) -> Result<Service, LoadError>,
    ) -> Result<(Service, SocketAddr), LoadError> {
        let (listen, admin) = (free_address()?, free_address()?);
        let file = self.directory.join("s3seal.toml");
        fs::write(&file, self.configuration(listen, admin))
            .map_err(LoadError::io("writing s3seal's configuration"))?;
        let file = file.display().to_string();
        let launch = Launch {
            name: "s3seal",
            program: &self.program,
            arguments: &["serve", "--config", &file],
            core: PROXY_CORE,
            directory: &self.directory,
        };
        Ok((start(launch, listen)?, admin))
    }

    fn create_key(&self, key: &str) -> Result<(), LoadError> {
        let mut command = Command::new(&self.program);
        command.args(["key", "create", "--keyring", "keyring.json", key]);
        let output = command
            .current_dir(&self.directory)
            .output()
            .map_err(|source| {
                let hint = "build it, or name another with --s3seal";
                LoadError::Missing {
                    program: self.program.clone(),
                    hint,
                    source,
                }
            })?;
        if output.status.success() {
            return Ok(());
        }
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(LoadError::Died {
            name: "s3seal key create",
            status: output.status.to_string(),
            log,
        })
    }

    fn configuration(&self, listen: SocketAddr, admin: SocketAddr) -> String {
        let (origin, checksum, log) = (self.origin, self.checksum.name(), &self.log);
        let keys = &self.keys;
        format!(
            r#"[listen]
address = "{listen}"

[admin]
address = "{admin}"

[upstream]
endpoint = "http://{origin}"
region = "{REGION}"
addressing = "path"
credentials = {{ access_key_id = "BENCHUPSTREAM", secret_access_key = "bench-upstream-secret" }}
checksum = "{checksum}"

[[clients]]
access_key_id = "{ACCESS_KEY_ID}"
secret_access_key = "{SECRET_ACCESS_KEY}"

{keys}
[[rules]]
buckets = ["*"]
encryption = "named-key"

[log]
filter = "{log}"
"#
        )
    }
}

impl Checksum {
    fn name(self) -> &'static str {
        match self {
            Self::Crc64nvme => "crc64nvme",
            Self::None => "none",
        }
    }
}

/// The status of a signed GET, if there is an answer.
fn first_answer(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(START_LIMIT)).ok()?;
    let request = Unsigned {
        method: "GET",
        host: address,
        target: path,
        sha256: None,
        length: None,
    };
    let head = sign::head(request).ok()? + "\r\n";
    stream.write_all(head.as_bytes()).ok()?;
    let mut status_line = [0; 12];
    stream.read_exact(&mut status_line).ok()?;
    str::from_utf8(&status_line)
        .ok()?
        .strip_prefix("HTTP/1.1 ")?
        .parse()
        .ok()
}

const LOCAL_KEYS: &str = r#"[keys]
default = "default"
managed = "managed"

[[keys.providers]]
kind = "local"
name = "local"
keyring = "keyring.json"
"#;

/// A hundred times what a start may take.
const START_LIMIT: Duration = Duration::from_secs(10);
