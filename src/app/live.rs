//! What requests are served under, and how a changed configuration takes its place.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;

use super::keys::roles;
use super::rooms::{Rooms, registry, settings};
use super::status::Summary;
use super::upstream::{UpstreamPlan, credential_source, mark};
use super::{StartError, listener_tls, now, series};
use crate::auth::{AuthSettings, Authenticator};
use crate::config::Config;
use crate::config::clients::Clients;
use crate::config::limits::Limits;
use crate::config::listen::Listen;
use crate::config::origin::Origin;
use crate::config::upstream as upstream_config;
use crate::keys::KeyService;
use crate::ops::context::Settings;
use crate::ops::listed_sizes::KnownSizes;
use crate::ops::policy::{Caller, RuleBook};
use crate::proxy::access::InFlight;
use crate::proxy::limits::Meters;
use crate::proxy::{Callers, InForce, Proxy, Surroundings};
use crate::server::admin::Draining;
use crate::server::tls::Greeting;
use crate::telemetry;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::{Certificate, Metrics};
use crate::telemetry::recent::Recent;
use crate::telemetry::request_id::RequestIds;
use crate::upstream::Upstream;

/// What all proxies of a process have in common, whatever the configuration.
pub(super) struct Shared {
    in_flight: InFlight,
    meters: Meters,
    pub(super) recent: Arc<Recent>,
    audit: Option<Audit>,
    pub(super) draining: Draining,
    summary: Arc<ArcSwap<Summary>>,
}

impl Shared {
    pub(super) fn new(audit: Option<Audit>, summary: Arc<ArcSwap<Summary>>) -> Self {
        Self {
            in_flight: InFlight::default(),
            meters: Meters::default(),
            recent: Arc::default(),
            audit,
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
            draining: self.draining.clone(),
        })
    }
}

/// Everything that a reload replaces, and what it needs to do so.
pub(super) struct Live {
    pub(super) rooms: Rooms,
    pub(super) tls: Option<Greeting>,
    /// Of what is in use.
    pub(super) origin: Origin,
    upstream_mark: Vec<u8>,
    callers: Arc<Callers>,
    domains: Vec<String>,
    anonymous: Limits,
    shared: Shared,
    proxies: Vec<Arc<Proxy>>,
}

impl Live {
    /// Of a configuration at start.
    pub(super) async fn new(
        config: Config,
        rooms: Rooms,
        tls: Option<Arc<ServerConfig>>,
        shared: Shared,
    ) -> Result<Self, StartError> {
        tell_ends(&rooms.metrics, &config.listen, &config.upstream);
        Ok(Self {
            upstream_mark: mark(&config.upstream),
            callers: callers(config.clients, &config.upstream.region, &rooms.keys).await?,
            domains: config.listen.domains,
            origin: config.origin,
            anonymous: config.limits.anonymous,
            shared,
            proxies: Vec::new(),
            tls: tls.map(Greeting::from),
            rooms,
        })
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
    pub(super) async fn replace(&mut self, config: Config) -> Result<Vec<String>, StartError> {
        let mut waiting = self.origin.fixed_keys_that_differ(&config.origin);
        // Everything that can be refused comes first.
        let tls = match (&self.tls, listener_tls(config.listen.tls.as_ref())?) {
            (Some(current), Some(tls)) => Some((current.clone(), tls)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                waiting.push("listen.tls".to_owned());
                None
            }
        };
        let summary = Summary::of(&config);
        let keys = Arc::clone(&self.rooms.keys);
        let roles = roles(&config.keys);
        let managed = keys.managed_under(&roles)?;
        let own = self.rooms.rules.own().clone();
        let rules = RuleBook::new(&config.rules, &keys, &managed, own)?;
        let upstream = self.other_upstream(&config, &waiting).await?;
        let settings = self.other_settings(&config);
        let registry = (upstream.as_ref())
            .filter(|_| !waiting.iter().any(|key| key == "keys.bucket_keys.registry"))
            .and_then(|(plan, _)| registry(&config, plan));
        let region = &self.rooms.settings.region;
        let callers = callers(config.clients, region, &keys).await?;
        keys.assign(roles)?;

        if let Some((current, tls)) = tls {
            current.replace(tls);
        }
        tell_ends(&self.rooms.metrics, &config.listen, &config.upstream);
        let is_revoked = callers.revokes(&self.callers);
        self.callers = callers;
        self.domains = config.listen.domains;
        self.anonymous = config.limits.anonymous;
        self.rooms.rules = Arc::new(rules);
        self.rooms.settings = settings;
        self.rooms.sizes = KnownSizes::default();
        let has_other_upstream = upstream.is_some();
        if let Some((plan, mark)) = upstream {
            self.rooms.upstream = plan;
            self.upstream_mark = mark;
        }
        if let Some(registry) = registry {
            keys.set_registry(registry);
        }
        self.adopt(has_other_upstream);
        let shown = self.shared.summary.load_full();
        let shown = Summary::clone(&shown).with_live_of(summary);
        self.shared.summary.store(Arc::new(shown));
        if is_revoked {
            // What the client's requests have unwrapped.
            keys.purge_all().await;
        }
        if self.origin.differs_in("log.filter", &config.origin)
            && let Err(error) = telemetry::set_filter(&config.log.filter)
        {
            tracing::warn!(%error, "log.filter was not taken over");
        }
        self.origin = self.origin.with_live_of(&config.origin);
        Ok(waiting)
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

    /// Other connections, if the configuration or its files ask for them. Credentials never go to
    /// an endpoint that they do not belong to: while one waits for a restart, so does the other.
    async fn other_upstream(
        &self,
        config: &Config,
        waiting: &[String],
    ) -> Result<Option<(UpstreamPlan, Vec<u8>)>, StartError> {
        if waiting.iter().any(|key| key.starts_with("upstream.")) {
            return Ok(None);
        }
        let mark = mark(&config.upstream);
        let differs = self.origin.differs_in("upstream", &config.origin);
        if !differs && mark == self.upstream_mark {
            return Ok(None);
        }
        let Rooms {
            upstream, metrics, ..
        } = &self.rooms;
        let plan = UpstreamPlan::new(&config.upstream, metrics, upstream.learnt()).await?;
        Ok(Some((plan, mark)))
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

fn tell_ends(metrics: &Metrics, listen: &Listen, upstream: &upstream_config::Upstream) {
    if let Some(files) = &listen.tls {
        series::tell_end(metrics, Certificate::Listen, &files.certificate);
    }
    if let Some(files) = &upstream.client {
        series::tell_end(metrics, Certificate::UpstreamClient, &files.certificate);
    }
}

async fn callers(
    clients: Clients,
    region: &str,
    keys: &KeyService,
) -> Result<Arc<Callers>, StartError> {
    let mut callers = Vec::with_capacity(clients.len());
    for client in clients.into_clients() {
        let upstream = match &client.upstream_credentials {
            Some(own) => Some(Arc::new(credential_source(own, region).await?)),
            None => None,
        };
        callers.push(Caller::new(client, upstream, keys)?);
    }
    Ok(Arc::new(Callers::new(callers)))
}
