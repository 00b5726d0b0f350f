"""Is it well, and if not, on which side? Rate, errors and duration of requests, and of the upstream."""
from model import RED, YELLOW, Dashboard, Panel, Query, Row


def quantiles(metric, *levels):
    return [
        Query(
            f"histogram_quantile({level}, sum by (le) (rate({metric}_bucket{{selector}}[$__rate_interval])))",
            f"p{level * 100:g}",
        )
        for level in levels
    ]


def p99_by_operation(metric):
    return Query(
        f"histogram_quantile(0.99, sum by (operation, le) (rate({metric}_bucket{{selector}}[$__rate_interval])))",
        "{{operation}}",
    )


ERRORS = (
    'sum(rate(s3seal_requests_total{selector,status_class="5xx"}[$__rate_interval]))'
    " / sum(rate(s3seal_requests_total{selector}[$__rate_interval]))"
)

DASHBOARD = Dashboard(
    "s3seal-overview",
    "s3seal / Overview",
    "Is it well, and if not, on which side: clients, keys, upstream or the proxy itself?",
    [
        Row(
            "At a glance",
            [
                Panel(
                    "Requests",
                    "Requests answered a second. Nothing at all: look whether clients reach the proxy, then at the upstream.",
                    [Query("sum(rate(s3seal_requests_total{selector}[$__rate_interval]))")],
                    unit="reqps", kind="stat", width=4, height=4,
                ),
                Panel(
                    "Answered with 5xx",
                    "The objective is 0.1 % over 30 days. Upstream errors beside it: the upstream. Key failures: the keys. Neither: "
                    "the log has the reason of each request. 501 counts here, too: a client asks for what is not supported.",
                    [Query(ERRORS)],
                    unit="percentunit", kind="stat", width=4, height=4, limits=[(0.001, YELLOW), (0.0144, RED)],
                ),
                Panel(
                    "First byte, p99",
                    "Of all operations. Compare with the upstream's time below: the difference is ours.",
                    quantiles("s3seal_first_byte_seconds", 0.99),
                    unit="s", kind="stat", width=4, height=4, limits=[(1, YELLOW), (5, RED)],
                ),
                Panel(
                    "Integrity failures, 24 h",
                    "Never normal. Save the stored object and its metadata before anything overwrites them, then follow the runbook.",
                    [Query("sum(increase(s3seal_integrity_failures_total{selector}[24h]))")],
                    unit="short", kind="stat", width=4, height=4, limits=[(0.5, RED)], link="s3seal-security",
                ),
                Panel(
                    "Calls of key providers that fail",
                    "Writes need the provider, and so do reads whose key is not cached. Look at the keys dashboard for which and why.",
                    [
                        Query(
                            'sum(rate(s3seal_key_requests_total{selector,outcome!~"ok|context_mismatch|malformed"}[$__rate_interval]))'
                            " / sum(rate(s3seal_key_requests_total{selector}[$__rate_interval]))"
                        )
                    ],
                    unit="percentunit", kind="stat", width=4, height=4, limits=[(0.01, YELLOW), (0.05, RED)], link="s3seal-keys",
                ),
                Panel(
                    "Instances",
                    "Processes that answer on their admin listener. Fewer than were meant to run: look at the platform first, then at "
                    "the last lines of the log. A process that cannot use its configuration or a key says so and ends.",
                    [Query("count(s3seal_build_info{selector})")],
                    unit="short", kind="stat", width=4, height=4, base=RED, limits=[(1, "green")], link="s3seal-capacity",
                ),
            ],
        ),
        Row(
            "Rate, errors, duration",
            [
                Panel(
                    "Rate by operation",
                    "Who does what. An operation that rises tenfold is a client to ask.",
                    [Query("sum by (operation) (rate(s3seal_requests_total{selector}[$__rate_interval]))", "{{operation}}")],
                    unit="reqps", stacked=True,
                ),
                Panel(
                    "Answers by class",
                    "4xx are clients: missing objects, wrong signatures, refused requests. 5xx are the proxy, the keys or the upstream.",
                    [Query("sum by (status_class) (rate(s3seal_requests_total{selector}[$__rate_interval]))", "{{status_class}}")],
                    unit="reqps", stacked=True,
                ),
                Panel(
                    "Share of 5xx by operation",
                    "Only writes fail: look at the keys. Only reads: at the cache of keys and at the upstream. Everything: at the upstream.",
                    [
                        Query(
                            'sum by (operation) (rate(s3seal_requests_total{selector,status_class="5xx"}[$__rate_interval]))'
                            " / sum by (operation) (rate(s3seal_requests_total{selector}[$__rate_interval]))",
                            "{{operation}}",
                        )
                    ],
                    unit="percentunit", limits=[(0.001, RED)],
                ),
                Panel(
                    "First byte",
                    "From a request's head to the first byte of its answer. Two bands are normal: answers with and without a call of a key "
                    "provider. A band that moves up with the upstream's is the upstream.",
                    [
                        Query(
                            "sum by (le) (increase(s3seal_first_byte_seconds_bucket{selector}[$__rate_interval]))",
                            "{{le}}", heatmap=True,
                        )
                    ],
                    unit="s", kind="heatmap", width=12,
                ),
                Panel(
                    "First byte, p99 by operation",
                    "The objective for reads, heads and listings is 99 % within a second. Uploads take as long as their clients send.",
                    [p99_by_operation("s3seal_first_byte_seconds")],
                    unit="s", width=12, limits=[(1, RED)],
                ),
                Panel(
                    "Whole request",
                    "From a request's head to the end of its answer: sizes and the speed of clients count. Slow here and fast above: clients "
                    "that read slowly.",
                    quantiles("s3seal_request_seconds", 0.5, 0.9, 0.99),
                    unit="s",
                ),
                Panel(
                    "In flight",
                    "Requests whose answer is not at its end. Rising while the rate stands still: something hangs, most likely the upstream.",
                    [Query("sum(s3seal_requests_in_flight{selector})", "requests")],
                ),
                Panel(
                    "Error budget, how fast it is used up",
                    "1 uses up the budget of 30 days in 30 days. Above 14.4 somebody is woken up, above 3 it waits for the morning. Taken "
                    "from the recording rules.",
                    [
                        Query("max(job:s3seal_errors:ratio_rate1h{selector}) / 0.001", "5xx, 1 h"),
                        Query("max(job:s3seal_errors:ratio_rate6h{selector}) / 0.001", "5xx, 6 h"),
                        Query("max(job:s3seal_slow:ratio_rate1h{selector}) / 0.01", "slow, 1 h"),
                        Query("max(job:s3seal_slow:ratio_rate6h{selector}) / 0.01", "slow, 6 h"),
                    ],
                    limits=[(3, YELLOW), (14.4, RED)],
                ),
            ],
        ),
        Row(
            "Upstream",
            [
                Panel(
                    "Time to the upstream's answer",
                    "From the start of an upstream request to the head of its response. If this is slow, the storage or the way to it is.",
                    quantiles("s3seal_upstream_seconds", 0.5, 0.9, 0.99),
                    unit="s",
                ),
                Panel(
                    "Upstream errors by kind",
                    "connect, broken, body, timeout: the upstream or the network. refused, credentials, sign: upstream.credentials are not "
                    "accepted or have ended. redirect: the region or the address of a bucket is not the configured one.",
                    [Query("sum by (kind) (rate(s3seal_upstream_errors_total{selector}[$__rate_interval]))", "{{kind}}")],
                    unit="reqps", stacked=True, limits=[(1, RED)],
                ),
                Panel(
                    "Body bytes",
                    "What goes in on one side comes out at the other, a little more on the side of the upstream. A gap that lasts: ranges of "
                    "small objects read whole, or clients that give up.",
                    [Query("sum by (direction) (rate(s3seal_bytes_total{selector}[$__rate_interval]))", "{{direction}}")],
                    unit="Bps",
                ),
            ],
        ),
    ],
)
