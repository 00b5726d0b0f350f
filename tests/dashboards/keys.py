"""The keys: providers, how they answer, and how often they have to be asked."""
from model import RED, YELLOW, Dashboard, Panel, Query, Row

LOOKUPS = (
    "(sum(rate(s3seal_key_cache_hits_total{selector}[$__rate_interval]))"
    " + sum(rate(s3seal_key_cache_misses_total{selector}[$__rate_interval])))"
)
HITS = "sum(rate(s3seal_key_cache_hits_total{selector}[$__rate_interval])) / " + LOOKUPS

DASHBOARD = Dashboard(
    "s3seal-keys",
    "s3seal / Keys and KMS",
    "Key providers and the cache of unwrapped keys. Without its key no object opens, and nothing new is written.",
    [
        Row(
            "At a glance",
            [
                Panel(
                    "Providers left alone",
                    "After outages in a row a provider is left alone for a moment. Repair it: it is found again within 15 seconds.",
                    [Query("sum(s3seal_key_breakers_open{selector})")],
                    kind="stat", width=6, height=4, limits=[(1, RED)],
                ),
                Panel(
                    "Look-ups that hit",
                    "Low with a remote provider: each miss is a call. Use bucket keys, or a larger keys.cache.max_entries.",
                    [Query(HITS)],
                    unit="percentunit", kind="stat", width=6, height=4, base="blue",
                ),
                Panel(
                    "Keys used beyond their time, 1 h",
                    "keys.cache.serve_stale_seconds bridges an outage. A key that was revoked meanwhile still opens objects: to revoke it "
                    "now, POST /keys/purge.",
                    [Query("sum(increase(s3seal_key_cache_stale_total{selector}[1h]))")],
                    kind="stat", width=6, height=4, limits=[(0.5, YELLOW)],
                ),
                Panel(
                    "Keyring files not taken over, 1 h",
                    "A changed keyring is broken, sealed with another passphrase, or names a key that another one has. The log says which. "
                    "Restore the file before any process restarts.",
                    [Query("sum(increase(s3seal_keyring_reload_failures_total{selector}[1h]))")],
                    kind="stat", width=6, height=4, limits=[(0.5, RED)],
                ),
            ],
        ),
        Row(
            "Providers",
            [
                Panel(
                    "Calls by provider",
                    "A remote provider has a price and a limit for each. Rising with reads: the cache does not help.",
                    [
                        Query(
                            "sum by (provider, call) (rate(s3seal_key_requests_total{selector}[$__rate_interval])) > 0",
                            "{{provider}} {{call}}",
                        )
                    ],
                    unit="reqps", stacked=True,
                ),
                Panel(
                    "Calls that fail, by outcome",
                    "timeout, unavailable: the provider is away, or its login ended. throttled: raise its limit, or use bucket keys. denied: "
                    "rights were taken away. disabled, destroyed, not_found: a key was, and objects still need it. context_mismatch, "
                    "malformed: a stored object was tampered with, see integrity.",
                    [
                        Query(
                            'sum by (provider, outcome) (rate(s3seal_key_requests_total{selector,outcome!="ok"}[$__rate_interval]))',
                            "{{provider}} {{outcome}}",
                        )
                    ],
                    unit="reqps", stacked=True, limits=[(0.1, RED)],
                ),
                Panel(
                    "Share of calls that fail",
                    "At 5 % for five minutes somebody is woken up. Taken from the recording rules.",
                    [Query("max by (provider) (job_provider:s3seal_key_failures:ratio_rate5m{selector})", "{{provider}}")],
                    unit="percentunit", maximum=1, limits=[(0.05, RED)],
                ),
                Panel(
                    "Duration of calls, p99",
                    "Calls are given up after 5 seconds. A keyring takes microseconds, a token or a service milliseconds.",
                    [
                        Query(
                            "histogram_quantile(0.99, sum by (provider, call, le) (rate(s3seal_key_seconds_bucket{selector}[$__rate_interval])))",
                            "{{provider}} {{call}}",
                        )
                    ],
                    unit="s", width=12, limits=[(1, RED)],
                ),
                Panel(
                    "Duration of calls",
                    "Two bands: the network got slow for some. One that moves: the provider is slow.",
                    [
                        Query(
                            "sum by (le) (increase(s3seal_key_seconds_bucket{selector}[$__rate_interval]))",
                            "{{le}}", heatmap=True,
                        )
                    ],
                    unit="s", kind="heatmap", width=12,
                ),
                Panel(
                    "Providers left alone, by instance",
                    "All instances: the provider. One: its network, its token or its login.",
                    [
                        Query(
                            "sum by (provider, instance) (s3seal_key_breakers_open{selector})",
                            "{{provider}} {{instance}}",
                        )
                    ],
                    width=24, limits=[(1, RED)],
                ),
            ],
        ),
        Row(
            "Cache of unwrapped keys",
            [
                Panel(
                    "Look-ups",
                    "Misses are calls of a provider. stale are those that found an outdated key while the provider was away.",
                    [
                        Query("sum(rate(s3seal_key_cache_hits_total{selector}[$__rate_interval]))", "hits"),
                        Query("sum(rate(s3seal_key_cache_misses_total{selector}[$__rate_interval]))", "misses"),
                        Query("sum(rate(s3seal_key_cache_stale_total{selector}[$__rate_interval]))", "stale"),
                    ],
                    unit="ops",
                ),
                Panel(
                    "Share of look-ups that hit",
                    "Falls after a restart, a purge and a change of the keyring, and comes back. Low for long: more keys are in use than "
                    "keys.cache.max_entries, or each object has a wrap of its own.",
                    [Query(HITS, "hits")],
                    unit="percentunit", maximum=1,
                ),
                Panel(
                    "Keys in the cache, by instance",
                    "At keys.cache.max_entries keys are forgotten before their time.",
                    [Query("s3seal_key_cache_entries{selector}", "{{instance}}")],
                ),
            ],
        ),
    ],
)
