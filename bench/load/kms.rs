//! Calls of a key provider for distinct objects, with bucket keys and without: what a KMS is paid for.
//! The provider is a real one, OpenBao's Transit engine; the calls are those of s3seal's own metric.

use std::{
    fmt::Write as _,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::Serialize;
use tempfile::TempDir;

use crate::{
    bed::{Bed, BedOptions, Via},
    error::LoadError,
    order::{Check, Order, Work},
    parts::cell,
    s3seal::{Seal, SealOptions},
    service::{LOAD_CORE, Launch, Service, free_address},
};

/// What to count.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct KmsOptions {
    #[command(flatten)]
    seal: SealOptions,
    /// The OpenBao (or Vault) binary
    #[arg(long, value_name = "FILE", default_value = "bao")]
    bao: PathBuf,
    /// Distinct objects, of 1 KiB each
    #[arg(long, default_value_t = 1_000)]
    objects: u32,
    /// How many at once
    #[arg(long, default_value_t = 64)]
    connections: usize,
}

/// All rows.
#[derive(Debug, Serialize)]
pub(crate) struct KmsReport {
    rows: Vec<Calls>,
}

/// Calls over the network.
#[derive(Clone, Copy, Debug, Serialize)]
struct Calls {
    /// Whether a bucket key stands between.
    bucket_keys: bool,
    /// Objects written, and then read by another process.
    objects: u32,
    /// Calls for writing them, those at start not counted.
    puts: u32,
    /// Calls for reading them.
    gets: u32,
}

/// Writes and reads the objects through processes whose caches are empty.
pub(crate) fn kms(options: &KmsOptions) -> Result<KmsReport, LoadError> {
    let scratch = TempDir::with_prefix("s3seal-kms-");
    let scratch = scratch.map_err(LoadError::io("creating a scratch folder"))?;
    let bao = OpenBao::start(&options.bao, scratch.path())?;
    let bed = Bed::start(&BedOptions {
        via: vec![Via::Direct],
        seal: options.seal.clone(),
    })?;
    let rows = [false, true].map(|bucket_keys| {
        let directory = scratch.path().join(format!("bucket-keys-{bucket_keys}"));
        std::fs::create_dir_all(&directory).map_err(LoadError::io("creating a scratch folder"))?;
        let seal = Seal::prepare(&options.seal, bed.address(Via::Direct)?, &directory)?;
        let seal = seal.with_keys(bao.keys(bucket_keys));
        let folder = format!("/store/kms-{bucket_keys}");
        let count = |work| calls(&bed, &seal, &folder, options, work);
        Ok(Calls {
            bucket_keys,
            objects: options.objects,
            puts: count(cell(1_024).work)?,
            gets: count(Work::Get)?,
        })
    });
    let rows = rows.into_iter().collect::<Result<_, LoadError>>()?;
    Ok(KmsReport { rows })
}

/// What one fresh process asks of the provider while it does the work.
fn calls(
    bed: &Bed,
    seal: &Seal,
    folder: &str,
    options: &KmsOptions,
    work: Work,
) -> Result<u32, LoadError> {
    let (service, admin) = seal.start_watched()?;
    let before = provider_calls(admin)?;
    let paths: Vec<_> = (0..options.objects)
        .map(|number| format!("{folder}/{number}"))
        .collect();
    let order = Order {
        target: service.address(),
        process: Some(service.id()),
        work,
        requests: paths.len() as u64,
        paths,
        in_turn: true,
        connections: options.connections,
        ..bed.order(Via::Direct, &cell(1_024), Check::Status)?
    };
    bed.generate(&order)?;
    Ok(provider_calls(admin)? - before)
}

impl KmsReport {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text =
            "KMS calls per 1,000 distinct objects (target with bucket keys: 2, goal 1)\n\n\
            bucket keys   objects   per 1,000 PUTs   per 1,000 GETs\n"
                .to_owned();
        for row in &self.rows {
            let per_thousand = |calls: u32| f64::from(calls) * 1_000.0 / f64::from(row.objects);
            let _ = writeln!(
                text,
                "{:<11} {:>9} {:>16.1} {:>16.1}",
                if row.bucket_keys { "on" } else { "off" },
                row.objects,
                per_thousand(row.puts),
                per_thousand(row.gets),
            );
        }
        text
    }
}

/// A development server with one Transit key; ends when dropped.
struct OpenBao {
    service: Service,
}

impl OpenBao {
    fn start(program: &Path, directory: &Path) -> Result<Self, LoadError> {
        let address = free_address()?;
        let listen = format!("-dev-listen-address={address}");
        let token = format!("-dev-root-token-id={TOKEN}");
        let launch = Launch {
            name: "openbao",
            program,
            arguments: &["server", "-dev", &token, &listen],
            core: LOAD_CORE,
            directory,
        };
        let service = Service::start(launch, address)?;
        let bao = Self { service };
        bao.post("/v1/sys/mounts/transit", r#"{"type":"transit"}"#)?;
        bao.post("/v1/transit/keys/bench", r#"{"derived":true}"#)?;
        Ok(bao)
    }

    /// Repeated while the server unseals itself.
    fn post(&self, path: &str, body: &str) -> Result<(), LoadError> {
        let started = Instant::now();
        loop {
            let answer = exchange(
                self.service.address(),
                &format!(
                    "POST {path} HTTP/1.1\r\nHost: bao\r\nX-Vault-Token: {TOKEN}\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                ),
            )?;
            if answer.starts_with("HTTP/1.1 20") {
                return Ok(());
            }
            if started.elapsed() > START_LIMIT {
                let target = format!("OpenBao {path}");
                return Err(LoadError::Answer {
                    target,
                    reason: answer,
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn keys(&self, bucket_keys: bool) -> String {
        let address = self.service.address();
        format!(
            r#"[keys]
default = "bench"
managed = "managed"

[keys.bucket_keys]
enabled = {bucket_keys}

[[keys.providers]]
kind = "local"
name = "local"
keyring = "keyring.json"

[[keys.providers]]
kind = "transit"
name = "bao"
address = "http://{address}"
auth = {{ method = "token", token = "{TOKEN}" }}
keys = ["bench"]
"#
        )
    }
}

/// Calls of the provider so far, from `/metrics`: wraps, unwraps and fresh keys, readiness left out.
fn provider_calls(admin: SocketAddr) -> Result<u32, LoadError> {
    let request = "GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n";
    let text = exchange(admin, request)?;
    let lines = text
        .lines()
        .filter(|line| line.starts_with("s3seal_key_requests_total{"));
    let lines = lines.filter(|line| line.contains(r#"provider="transit""#));
    // Names are looked up in memory; whether the provider is there is asked on its own.
    let asks = ["generate", "wrap", "unwrap"].map(|call| format!(r#"call="{call}""#));
    let lines = lines.filter(|line| asks.iter().any(|call| line.contains(call)));
    let values = lines.map(|line| line.rsplit(' ').next()?.parse::<u32>().ok());
    values
        .sum::<Option<u32>>()
        .ok_or_else(|| LoadError::Answer {
            target: "/metrics".to_owned(),
            reason: text,
        })
}

/// One request, one answer, as text.
fn exchange(address: SocketAddr, request: &str) -> Result<String, LoadError> {
    let failed = || LoadError::io(format!("asking {address}"));
    let mut stream = connect(address).map_err(failed())?;
    let limit = Some(START_LIMIT);
    stream.set_read_timeout(limit).map_err(failed())?;
    stream.write_all(request.as_bytes()).map_err(failed())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed())?;
    Ok(answer)
}

/// The metrics have a listener of their own, which is bound a moment after that for requests.
fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let started = Instant::now();
    loop {
        let connected = TcpStream::connect(address);
        if connected.is_ok() || started.elapsed() > START_LIMIT {
            return connected;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

const TOKEN: &str = "bench-root";
const START_LIMIT: Duration = Duration::from_secs(20);
