//! What requests are served under, and how a changed configuration takes its place.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ClientConfig;
use tokio::time::timeout;

use super::keys::roles;
use super::rooms::{Rooms, registry, settings};
use super::status::Summary;
use super::upstream::{UpstreamPlan, mark, upstream_tls};
use super::{StartError, listener_tls, now, series};
use crate::auth::{AuthSettings, Authenticator};
use crate::config::Config;
use crate::config::clients::Clients;
use crate::config::keys::RegistryPlace;
use crate::config::limits::Limits;
use crate::config::origin::Origin;
use crate::config::upstream::{self as upstream_config, Credentials};
use crate::keys::KeyService;
use crate::keys::bucket_keys::registry::RegistryStore;
use crate::ops::context::Settings;
use crate::ops::listed_sizes::KnownSizes;
use crate::ops::policy::{Caller, RuleBook};
use crate::proxy::access::InFlight;
use crate::proxy::limits::Meters;
use crate::proxy::{Callers, InForce, Proxy, Surroundings};
use crate::server::admin::Draining;
use crate::server::tls::{Greeting, Terms};
use crate::telemetry;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::Certificate;
use crate::telemetry::recent::Recent;
use crate::telemetry::request_id::RequestIds;
use crate::telemetry::traces::Traces;
use crate::upstream::Upstream;
use crate::upstream::credentials::CredentialSource;

/// What all proxies of a process have in common, whatever the configuration.
pub(super) struct Shared {
    in_flight: InFlight,
    meters: Meters,
    pub(super) recent: Arc<Recent>,
    audit: Option<Audit>,
    traces: Option<Traces>,
    pub(super) draining: Draining,
    summary: Arc<ArcSwap<Summary>>,
}

impl Shared {
    pub(super) fn new(
        audit: Option<Audit>,
        traces: Option<Traces>,
        summary: Arc<ArcSwap<Summary>>,
    ) -> Self {
        Self {
            in_flight: InFlight::default(),
            meters: Meters::default(),
            recent: Arc::default(),
            audit,
            traces,
            draining: Draining::default(),
            summary,
        }
    }

    fn surroundings(&self) -> Result<Surroundings, StartError> {
        Ok(Surroundings {
            clock: now,
            ids: RequestIds::from_os()?,
            in_flight: self.in_flight.clone(),
            meters: self.meters.clone(),
            recent: Arc::clone(&self.recent),
            audit: self.audit.clone(),
            traces: self.traces.clone(),
            draining: self.draining.clone(),
        })
    }
}

/// A configuration and the files that it names, as they were read: everything that asks a disk.
pub(super) struct Fresh {
    pub(super) config: Config,
    tls: Option<Terms>,
    upstream_tls: ClientConfig,
    /// Of what lies in other files than the configuration's own.
    upstream_mark: Vec<u8>,
    ends: Ends,
}

/// When certificates end, in unix seconds.
#[derive(Clone, Copy)]
struct Ends {
    listen: Option<i64>,
    upstream_client: Option<i64>,
}

impl Fresh {
    /// Blocks.
    pub(super) fn read(config: Config) -> Result<Self, StartError> {
        let (listen, upstream) = (&config.listen.tls, &config.upstream.client);
        let listen = listen.as_ref().map(|files| &files.certificate);
        let upstream = upstream.as_ref().map(|files| &files.certificate);
        Ok(Self {
            tls: listener_tls(config.listen.tls.as_ref())?,
            upstream_tls: upstream_tls(&config.upstream)?,
            upstream_mark: mark(&config.upstream),
            ends: Ends {
                listen: listen.and_then(|file| series::end_of(file)),
                upstream_client: upstream.and_then(|file| series::end_of(file)),
            },
            config,
        })
    }
}

/// Everything that a reload replaces, and what it needs to do so.
pub(super) struct Live {
    pub(super) rooms: Rooms,
    pub(super) tls: Option<Greeting>,
    /// Of what is in use.
    pub(super) origin: Origin,
    place: Place,
    registry: Option<RegistryPlace>,
    upstream_mark: Vec<u8>,
    callers: Arc<Callers>,
    domains: Vec<String>,
    anonymous: Limits,
    shared: Shared,
    proxies: Vec<Arc<Proxy>>,
}

/// Where the real S3 is. Rules and credentials are written for one.
#[derive(PartialEq, Eq)]
struct Place {
    endpoint: upstream_config::Endpoint,
    region: String,
    addressing: upstream_config::Addressing,
}

/// What takes the place of what is in use, once nothing can be refused any more.
struct Prepared {
    tls: Option<(Greeting, Terms)>,
    upstream: Option<UpstreamPlan>,
    registry: Option<Arc<dyn RegistryStore>>,
    rules: RuleBook,
    callers: Arc<Callers>,
    settings: Settings,
    summary: Summary,
    /// Keys that differ, and wait for a restart.
    waiting: Vec<String>,
}

impl Live {
    /// Of a configuration at start.
    pub(super) async fn new(
        fresh: Fresh,
        rooms: Rooms,
        shared: Shared,
    ) -> Result<Self, StartError> {
        let config = fresh.config;
        let nobody = Callers::new([]);
        let callers = callers(
            config.clients,
            (&config.upstream.region, &rooms.keys),
            &nobody,
        );
        let live = Self {
            callers: callers.await?,
            place: Place::of(&config.upstream),
            registry: config.keys.bucket_keys.registry,
            upstream_mark: fresh.upstream_mark,
            domains: config.listen.domains,
            origin: config.origin,
            anonymous: config.limits.anonymous,
            shared,
            proxies: Vec::new(),
            tls: fresh.tls.map(Greeting::from),
            rooms,
        };
        let metrics = &live.rooms.metrics;
        metrics.certificate_not_after(Certificate::Listen, fresh.ends.listen);
        metrics.certificate_not_after(Certificate::UpstreamClient, fresh.ends.upstream_client);
        Ok(live)
    }

    /// One more proxy: for one thread, with upstream connections of its own.
    pub(super) fn proxy(&mut self) -> Result<Arc<Proxy>, StartError> {
        let surroundings = self.shared.surroundings()?;
        let upstream = Arc::new(self.rooms.upstream.build());
        let proxy = Arc::new(Proxy::new(self.in_force(upstream), surroundings));
        self.proxies.push(Arc::clone(&proxy));
        Ok(proxy)
    }

    /// Takes over another configuration, or nothing of it. Returns the keys that differ, and wait for
    /// a restart.
    pub(super) async fn replace(&mut self, mut fresh: Fresh) -> Result<Vec<String>, StartError> {
        let preparing = timeout(PATIENCE, Box::pin(self.prepare(&mut fresh)));
        let prepared = preparing.await.map_err(|_| StartError::Late)??;
        // The last thing that can be refused.
        self.rooms.keys.assign(roles(&fresh.config.keys))?;
        Ok(Box::pin(self.commit(prepared, fresh)).await)
    }

    /// Makes everything that can be refused; nothing is in use yet.
    async fn prepare(&self, fresh: &mut Fresh) -> Result<Prepared, StartError> {
        let mut waiting = self.origin.fixed_keys_that_differ(&fresh.config.origin);
        self.place.check(&fresh.config.upstream)?;
        let summary = Summary::of(&fresh.config);
        let tls = match (&self.tls, fresh.tls.take()) {
            (Some(current), Some(tls)) => Some((current.clone(), tls)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                waiting.push("listen.tls".to_owned());
                None
            }
        };
        let keys = &self.rooms.keys;
        let roles = roles(&fresh.config.keys);
        let managed = keys.managed_under(&roles)?;
        keys.probe_under(&roles).await?;
        let own = self.rooms.rules.own().clone();
        let rules = RuleBook::new(&fresh.config.rules, keys, &managed, own)?;
        let upstream = self.other_upstream(fresh).await?;
        let checksum = self.rooms.settings.upstream_checksum;
        let registry = |plan| registry(self.registry.as_ref(), plan, checksum);
        let registry = upstream.as_ref().and_then(registry);
        let clients = std::mem::take(&mut fresh.config.clients);
        let callers = callers(clients, (&self.place.region, keys), &self.callers);
        Ok(Prepared {
            callers: callers.await?,
            settings: self.other_settings(&fresh.config),
            tls,
            upstream,
            registry,
            rules,
            summary,
            waiting,
        })
    }

    /// Puts it to use. Nothing here fails.
    async fn commit(&mut self, prepared: Prepared, fresh: Fresh) -> Vec<String> {
        let Fresh { config, ends, .. } = fresh;
        let metrics = &self.rooms.metrics;
        if let Some((current, tls)) = prepared.tls {
            current.replace(tls);
            metrics.certificate_not_after(Certificate::Listen, ends.listen);
        }
        let is_revoked = prepared.callers.revokes(&self.callers);
        self.callers = prepared.callers;
        self.domains.clone_from(&config.listen.domains);
        self.anonymous = config.limits.anonymous;
        self.rooms.rules = Arc::new(prepared.rules);
        self.rooms.settings = prepared.settings;
        self.rooms.sizes = KnownSizes::default();
        let has_other_upstream = prepared.upstream.is_some();
        if let Some(plan) = prepared.upstream {
            metrics.certificate_not_after(Certificate::UpstreamClient, ends.upstream_client);
            self.rooms.upstream = plan;
            self.upstream_mark = fresh.upstream_mark;
        }
        if let Some(registry) = prepared.registry {
            self.rooms.keys.set_registry(registry);
        }
        self.adopt(has_other_upstream);
        if is_revoked {
            // What the client's requests have unwrapped.
            self.rooms.keys.purge_all().await;
        }
        self.tell(&config, prepared.summary, prepared.waiting.len());
        self.origin = self.origin.with_live_of(&config.origin);
        prepared.waiting
    }

    /// Shows what is in force to whoever watches.
    fn tell(&self, config: &Config, summary: Summary, waiting: usize) {
        self.rooms.metrics.config_waiting(waiting);
        let shown = self.shared.summary.load_full();
        let shown = Summary::clone(&shown).with_live_of(summary);
        self.shared.summary.store(Arc::new(shown));
        if self.origin.differs_in("log.filter", &config.origin)
            && let Err(error) = telemetry::set_filter(&config.log.filter)
        {
            tracing::warn!(%error, "log.filter was not taken over");
        }
    }

    fn adopt(&self, has_other_upstream: bool) {
        for proxy in &self.proxies {
            let upstream = if has_other_upstream {
                Arc::new(self.rooms.upstream.build())
            } else {
                Arc::clone(&proxy.in_force().cx.upstream)
            };
            proxy.adopt(self.in_force(upstream));
        }
    }

    /// Other connections, if the configuration or its files ask for them.
    async fn other_upstream(&self, fresh: &Fresh) -> Result<Option<UpstreamPlan>, StartError> {
        let config = &fresh.config;
        let differs = self.origin.differs_in("upstream", &config.origin);
        if !differs && fresh.upstream_mark == self.upstream_mark {
            return Ok(None);
        }
        let tls = fresh.upstream_tls.clone();
        let plan = self.rooms.upstream.followed_by(&config.upstream, tls);
        plan.await.map(Some)
    }

    fn other_settings(&self, config: &Config) -> Settings {
        let Settings {
            lists_by_head,
            etag_style,
            managed_key,
            bucket_keys,
            ..
        } = settings(config);
        Settings {
            lists_by_head,
            etag_style,
            managed_key,
            bucket_keys,
            ..self.rooms.settings.clone()
        }
    }

    fn in_force(&self, upstream: Arc<Upstream>) -> InForce {
        let cx = self.rooms.cx_over(upstream);
        let authenticator = Authenticator::new(AuthSettings {
            region: cx.settings.region.clone(),
        });
        InForce {
            cx: Arc::new(cx),
            callers: Arc::clone(&self.callers),
            authenticator,
            domains: self.domains.clone(),
            anonymous: self.anonymous,
        }
    }
}

impl Place {
    fn of(config: &upstream_config::Upstream) -> Self {
        Self {
            endpoint: config.endpoint.clone(),
            region: config.region.clone(),
            addressing: config.addressing,
        }
    }

    /// Refuses a configuration for another place: its credentials must not be shown here, nor its rules
    /// say what may lie here in plaintext.
    fn check(&self, config: &upstream_config::Upstream) -> Result<(), StartError> {
        if *self == Self::of(config) {
            Ok(())
        } else {
            Err(StartError::OtherUpstream)
        }
    }
}

/// For credentials to be fetched and new keys to be tested.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who may call. Credentials that `before` has are gone on with: asking for them again can fail, and who
/// is to be shut out does not wait for that.
async fn callers(
    clients: Clients,
    (region, keys): (&str, &KeyService),
    before: &Callers,
) -> Result<Arc<Callers>, StartError> {
    let mut callers = Vec::with_capacity(clients.len());
    for client in clients.into_clients() {
        let known = before.get(&client.access_key_id);
        let upstream = match &client.upstream_credentials {
            None => None,
            Some(own) => {
                let same = known.and_then(|known| source_of(known, own));
                let id = &client.access_key_id;
                Some(if let Some(same) = same {
                    same
                } else {
                    Arc::new(CredentialSource::of_client(id, own, region).await?)
                })
            }
        };
        callers.push(Caller::new(client, upstream, keys)?);
    }
    Ok(Arc::new(Callers::new(callers)))
}

/// What signs upstream for a caller, if that is with these credentials.
fn source_of(caller: &Caller, credentials: &Credentials) -> Option<Arc<CredentialSource>> {
    let own = caller.client.upstream_credentials.as_ref()?;
    let source = caller.upstream.clone()?;
    own.is_same(credentials).then_some(source)
}
