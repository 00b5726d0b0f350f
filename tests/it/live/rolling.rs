//! Nobody notices a restart, a rotated key or another certificate.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use s3seal::app;
use s3seal::keys::local::{Material, WhenMissing, update};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::reloads;
use crate::support::client::Client;
use crate::support::upstream::Embedded;
use crate::support::{APP, Options, Proxy};

/// As many requests as a run may take time for.
fn requests() -> usize {
    let is_slow = std::env::var("S3SEAL_SLOW").is_ok();
    if is_slow { 20_000 } else { 2_000 }
}

#[derive(Clone, Copy)]
struct Backend {
    address: SocketAddr,
    admin: SocketAddr,
    is_ready: bool,
}

/// Passes connections on to backends that say they are ready, one after the other.
struct Balancer {
    address: SocketAddr,
    backends: Arc<Mutex<Vec<Backend>>>,
    _tasks: JoinSet<()>,
}

impl Balancer {
    async fn start(proxies: [&Proxy; 2]) -> Self {
        let backends = Arc::new(Mutex::new(proxies.map(backend).to_vec()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&backends);
        tasks.spawn(async move {
            for turn in 0.. {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(pass_on(client, Arc::clone(&shared), turn));
            }
        });
        let shared = Arc::clone(&backends);
        tasks.spawn(async move {
            loop {
                let asked = shared.lock().unwrap().clone();
                for backend in asked {
                    let is_ready = is_ready(backend.admin).await;
                    let mut all = shared.lock().unwrap();
                    for other in all.iter_mut().filter(|it| it.admin == backend.admin) {
                        other.is_ready = is_ready;
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Self {
            address,
            backends,
            _tasks: tasks,
        }
    }

    fn replace(&self, index: usize, proxy: &Proxy) {
        self.backends.lock().unwrap()[index] = backend(proxy);
    }
}

fn backend(proxy: &Proxy) -> Backend {
    Backend {
        address: proxy.address,
        admin: proxy.admin,
        is_ready: true,
    }
}

async fn is_ready(admin: SocketAddr) -> bool {
    let client = Client::new(admin, APP);
    let asked = client.unsigned("GET", "/readyz").try_send().await;
    asked.is_ok_and(|answer| answer.status == 200)
}

async fn pass_on(mut client: TcpStream, backends: Arc<Mutex<Vec<Backend>>>, turn: usize) {
    let ready: Vec<_> = {
        let all = backends.lock().unwrap();
        all.iter().copied().filter(|it| it.is_ready).collect()
    };
    for offset in 0..ready.len() {
        let to = ready[(turn + offset) % ready.len()].address;
        if let Ok(mut server) = TcpStream::connect(to).await {
            let _ = copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}

/// Clients that write and read until they have sent what they should, or more if `until` is
/// not reached by then. Returns how many requests there were, and what failed.
async fn load(clients: Vec<Client>, is_over: &Arc<AtomicUsize>) -> (usize, Vec<String>) {
    let mut workers = JoinSet::new();
    let sent = Arc::new(AtomicUsize::new(0));
    for (number, client) in clients.into_iter().enumerate() {
        let (sent, is_over) = (Arc::clone(&sent), Arc::clone(is_over));
        workers.spawn(async move {
            let mut failed = Vec::new();
            for turn in 0.. {
                let is_enough = sent.load(Ordering::Relaxed) >= requests();
                if is_enough && is_over.load(Ordering::Relaxed) > 0 {
                    break;
                }
                let (key, text) = (format!("/bucket/{number}"), format!("{number} {turn}"));
                let put = client
                    .draft("PUT", &key)
                    .body(text.clone())
                    .try_send()
                    .await;
                let get = client.draft("GET", &key).try_send().await;
                sent.fetch_add(2, Ordering::Relaxed);
                match (put, get) {
                    (Ok(put), Ok(get)) if put.status == 200 && get.body == text => {}
                    other => failed.push(format!("{other:?}")),
                }
                // So that the load lasts as long as what happens meanwhile.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            failed
        });
    }
    let failed = workers.join_all().await.concat();
    (sent.load(Ordering::Relaxed), failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn p146_a_rolling_restart_fails_no_request() {
    let client = |address, _: &Proxy| Client::new(address, APP).keeping();
    let sent = rolling_restart(false, client).await;
    println!("{sent} requests over four restarts, none failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn p146_a_rolling_restart_fails_no_request_over_http2() {
    let client = |address, proxy: &Proxy| {
        Client::over_tls(address, APP, &proxy.certificate()).keeping_http2()
    };
    let sent = rolling_restart(true, client).await;
    println!("{sent} requests over four restarts, none failed");
}

/// Returns how many requests there were: none failed.
async fn rolling_restart(tls: bool, client: impl Fn(SocketAddr, &Proxy) -> Client) -> usize {
    let upstream = Embedded::start().await;
    let options = || Options {
        listen: "drain_notice_seconds = 1".to_owned(),
        tls,
        ..Options::default()
    };
    let mut first = Proxy::start(upstream.address, options()).await;
    let mut second = Proxy::start_beside(&first, upstream.address, options()).await;
    let balancer = Balancer::start([&first, &second]).await;
    let clients: Vec<_> = (0..8).map(|_| client(balancer.address, &first)).collect();
    let is_over = Arc::new(AtomicUsize::new(0));
    let loading = tokio::spawn({
        let is_over = Arc::clone(&is_over);
        async move { load(clients, &is_over).await }
    });
    for _ in 0..2 {
        let new = Proxy::start_beside(&second, upstream.address, options()).await;
        first.stop().await;
        balancer.replace(0, &new);
        first = new;
        let new = Proxy::start_beside(&first, upstream.address, options()).await;
        second.stop().await;
        balancer.replace(1, &new);
        second = new;
    }
    is_over.store(1, Ordering::Relaxed);
    let (sent, failed) = loading.await.unwrap();
    assert_none(sent, &failed);
    sent
}

fn assert_none(sent: usize, failed: &[String]) {
    let first = failed.first();
    assert!(failed.is_empty(), "{} of {sent}: {first:?}", failed.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn p142_rotated_keys_and_certificates_fail_no_request() {
    let upstream = Embedded::start().await;
    let options = Options {
        tls: true,
        ..Options::default()
    };
    let proxy = Proxy::start(upstream.address, options).await;
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let both = std::fs::read_to_string(proxy.certificate()).unwrap() + &made.cert.pem();
    proxy.write("both.pem", &both);
    let trusted = proxy.folder().join("both.pem");
    let client = Client::over_tls(proxy.address, APP, &trusted);
    let clients: Vec<_> = (0..8).map(|_| client.clone().keeping()).collect();
    let is_over = Arc::new(AtomicUsize::new(0));
    let loading = tokio::spawn({
        let is_over = Arc::clone(&is_over);
        async move { load(clients, &is_over).await }
    });
    for _ in 0..3 {
        let material = Material::generate().unwrap();
        update(&proxy.keyring(), WhenMissing::Refuse, |keyring| {
            keyring.rotate("default", material, app::now())
        })
        .unwrap();
        tokio::time::sleep(Duration::from_millis(1_200)).await;
    }
    proxy.write("tls.key", &made.signing_key.serialize_pem());
    proxy.write("tls.crt", &made.cert.pem());
    reloads(&proxy, 1, 0).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    is_over.store(1, Ordering::Relaxed);
    let (sent, failed) = loading.await.unwrap();
    assert_none(sent, &failed);
    println!("{sent} requests over three rotations, none failed");
}
