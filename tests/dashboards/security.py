"""What should never happen, and what should not go on happening."""
from model import RED, YELLOW, Dashboard, Panel, Query, Row

DAY = 86400

DASHBOARD = Dashboard(
    "s3seal-security",
    "s3seal / Integrity and security",
    "Stored objects that are not what was written, refused clients, plaintext, and what comes to its end.",
    [
        Row(
            "At a glance",
            [
                Panel(
                    "Integrity failures, 24 h",
                    "Never normal. Save the stored object and its metadata, then follow the runbook: the kind says what to look for.",
                    [Query('sum(increase(s3seal_integrity_failures_total{selector,kind!="plaintext"}[24h]))')],
                    kind="stat", width=4, height=4, limits=[(0.5, RED)],
                ),
                Panel(
                    "Unencrypted objects refused, 24 h",
                    "Somebody writes past the proxy, or a bucket is not migrated. Find the writer; adopt the bucket with `s3seal encrypt`.",
                    [Query('sum(increase(s3seal_integrity_failures_total{selector,kind="plaintext"}[24h]))')],
                    kind="stat", width=4, height=4, limits=[(0.5, YELLOW)],
                ),
                Panel(
                    "Plaintext served, 24 h",
                    "Objects that were never encrypted, as plaintext_reads = \"allow\" lets it. Meant only while a bucket is being migrated.",
                    [Query("sum(increase(s3seal_plaintext_reads_total{selector}[24h]))")],
                    kind="stat", width=4, height=4, limits=[(0.5, YELLOW)],
                ),
                Panel(
                    "First certificate ends in",
                    "Renew it: changed files are taken over by themselves, see the runbook. Empty without TLS.",
                    [Query("min(s3seal_certificate_not_after_seconds{selector} - time())")],
                    unit="s", kind="stat", width=4, height=4, base=RED, limits=[(3 * DAY, YELLOW), (14 * DAY, "green")],
                ),
                Panel(
                    "Instances with stale files",
                    "A changed file could not be taken over, and what was read before is in use. The log names file and reason. Repair it "
                    "before the process restarts.",
                    [Query("sum(s3seal_config_stale{selector})")],
                    kind="stat", width=4, height=4, limits=[(1, RED)],
                ),
                Panel(
                    "Requests refused for their sender, 1 h",
                    "Rising: look at the reasons below. A few now and then are clients that make mistakes.",
                    [Query("sum(increase(s3seal_auth_failures_total{selector}[1h]))")],
                    kind="stat", width=4, height=4, limits=[(100, YELLOW)],
                ),
            ],
        ),
        Row(
            "Stored objects",
            [
                Panel(
                    "Integrity failures by kind",
                    "header, metadata, body, size: changed, damaged or cut. unwrap: moved to another place, or another envelope. policy: a key "
                    "that nobody accepted. plaintext: not encrypted at all.",
                    [Query("sum by (kind) (increase(s3seal_integrity_failures_total{selector}[$__rate_interval]))", "{{kind}}")],
                    width=12, stacked=True, limits=[(0.5, RED)],
                ),
                Panel(
                    "Reads of what the proxy did not write",
                    "plaintext and the objects of the Amazon S3 Encryption Client. At the end of a migration both stand still; then set the "
                    "rules back.",
                    [
                        Query("sum(rate(s3seal_plaintext_reads_total{selector}[$__rate_interval]))", "plaintext"),
                        Query("sum(rate(s3seal_s3_encryption_client_reads_total{selector}[$__rate_interval]))", "S3 Encryption Client"),
                    ],
                    unit="reqps", width=12,
                ),
            ],
        ),
        Row(
            "Clients",
            [
                Panel(
                    "Refused for their sender, by reason",
                    "signature, unknown_access_key: an old secret, or somebody trying. skew: a clock. expired: presigned URLs that are too "
                    "old. region, malformed, unsupported: a client that is set up wrongly. The log has the request ids.",
                    [Query("sum by (reason) (rate(s3seal_auth_failures_total{selector}[$__rate_interval]))", "{{reason}}")],
                    unit="reqps", stacked=True, limits=[(1, RED)],
                ),
                Panel(
                    "Refused for a limit of the client, by limit",
                    "A client exceeds what it may. Ask it to slow down, or raise its limit if the proxy has room.",
                    [Query("sum by (reason) (rate(s3seal_limited_requests_total{selector}[$__rate_interval]))", "{{reason}}")],
                    unit="reqps", stacked=True,
                ),
                Panel(
                    "Connections that ended before a request",
                    "handshake: a client that does not trust the certificate, speaks plain HTTP, or only looks whether somebody listens. "
                    "accept: out of file descriptors.",
                    [
                        Query(
                            "sum by (listener, reason) (rate(s3seal_connections_refused_total{selector}[$__rate_interval]))",
                            "{{listener}} {{reason}}",
                        )
                    ],
                    unit="ops",
                ),
            ],
        ),
        Row(
            "What comes to its end",
            [
                Panel(
                    "Time left of certificates",
                    "Below two weeks a warning, below three days an alarm. A line that does not jump up after a renewal: the file was not "
                    "taken over.",
                    [
                        Query(
                            "min by (certificate, instance) (s3seal_certificate_not_after_seconds{selector} - time())",
                            "{{certificate}} {{instance}}",
                        )
                    ],
                    unit="s", base=RED, limits=[(3 * DAY, YELLOW), (14 * DAY, "green")],
                ),
                Panel(
                    "Files taken over",
                    "Certificates and configuration that changed. failed: the log names file and reason.",
                    [
                        Query(
                            "sum by (outcome) (increase(s3seal_config_reloads_total{selector}[$__rate_interval]))",
                            "{{outcome}}",
                        )
                    ],
                ),
                Panel(
                    "Keyring files not taken over",
                    "Tried again every second until the file is repaired. Until then a change of keys is not in force.",
                    [Query("sum(rate(s3seal_keyring_reload_failures_total{selector}[$__rate_interval]))", "attempts")],
                    unit="ops", limits=[(0.01, RED)],
                ),
            ],
        ),
    ],
)
