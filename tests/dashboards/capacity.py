"""How much room is left, by pod."""
from model import RED, YELLOW, Dashboard, Panel, Query, Row

OURS = " and on (namespace, job, instance) s3seal_build_info"
POD = "{{pod}} {{instance}}"


def share(used, limit):
    return f"max({used}{{selector_pod}} / {limit}{{selector_pod}})"


DASHBOARD = Dashboard(
    "s3seal-capacity",
    "s3seal / Capacity",
    "CPU, memory, file descriptors, connections and throughput, by pod: what runs out first?",
    [
        Row(
            "At a glance",
            [
                Panel(
                    "Connections, fullest listener",
                    "More connections than listen.max_connections wait. Add replicas, or raise the limit if memory and descriptors allow it.",
                    [Query(share("s3seal_connections", "s3seal_connections_max"))],
                    unit="percentunit", kind="stat", width=6, height=4, limits=[(0.6, YELLOW), (0.8, RED)],
                ),
                Panel(
                    "File descriptors, fullest process",
                    "A connection takes one, and one more upstream. Raise the limit of the process (ulimit -n, LimitNOFILE).",
                    [Query("max(process_open_fds{selector_pod} / process_max_fds{selector_pod}" + OURS + ")")],
                    unit="percentunit", kind="stat", width=6, height=4, limits=[(0.6, YELLOW), (0.8, RED)],
                ),
                Panel(
                    "Chunk memory, fullest half",
                    "Requests with large parts wait at 100 %, and get 503 SlowDown after 15 seconds. Raise crypto.chunk_memory_mib.",
                    [Query(share("s3seal_chunk_memory_bytes", "s3seal_chunk_memory_max_bytes"))],
                    unit="percentunit", kind="stat", width=6, height=4, limits=[(0.7, YELLOW), (0.9, RED)],
                ),
                Panel(
                    "Versions",
                    "More than one for long: a rollout is stuck.",
                    [Query("count(count by (version) (s3seal_build_info{selector_pod}))")],
                    kind="stat", width=6, height=4, limits=[(2, YELLOW)],
                ),
            ],
        ),
        Row(
            "Process",
            [
                Panel(
                    "CPU",
                    "Cores in use. A process has a thread for each CPU that it may use: at that number it is full. Add replicas.",
                    [Query("rate(process_cpu_seconds_total{selector_pod}[$__rate_interval])" + OURS, POD)],
                    width=12,
                ),
                Panel(
                    "Resident memory",
                    "Grows with connections and large parts, not with objects. Growing without end under even load: please report it.",
                    [Query("process_resident_memory_bytes{selector_pod}" + OURS, POD)],
                    unit="bytes", width=12,
                ),
                Panel(
                    "File descriptors",
                    "Beside connections of clients and to the upstream there are a few dozen. A staircase that never goes down: please report it.",
                    [
                        Query("process_open_fds{selector_pod}" + OURS, "open " + POD),
                        Query("process_max_fds{selector_pod}" + OURS, "limit " + POD),
                    ],
                ),
                Panel(
                    "Threads",
                    "One for each CPU, a few beside, and some more while files are read or keys are made.",
                    [Query("process_threads{selector_pod}" + OURS, POD)],
                ),
                Panel(
                    "Running since",
                    "A saw: the process keeps restarting. Look at the reason of its last end, memory limit first.",
                    [Query("time() - (process_start_time_seconds{selector_pod}" + OURS + ")", POD)],
                    unit="s",
                ),
            ],
        ),
        Row(
            "Connections and memory for chunks",
            [
                Panel(
                    "Connections",
                    "Unevenly spread: a load balancer that counts connections, not requests, or clients that keep theirs for ever.",
                    [Query("sum by (pod, instance, listener) (s3seal_connections{selector_pod})", "{{listener}} " + POD)],
                ),
                Panel(
                    "Requests in flight",
                    "Far more than connections: HTTP/2. Rising while throughput stands still: the upstream hangs.",
                    [Query("s3seal_requests_in_flight{selector_pod}", POD)],
                ),
                Panel(
                    "Memory for large chunks",
                    "open for what is read, seal for what is written; each has a half of crypto.chunk_memory_mib. At the top, requests wait.",
                    [
                        Query("s3seal_chunk_memory_bytes{selector_pod}", "{{use}} " + POD),
                        Query("max by (use) (s3seal_chunk_memory_max_bytes{selector_pod})", "limit {{use}}"),
                    ],
                    unit="bytes",
                ),
            ],
        ),
        Row(
            "Throughput",
            [
                Panel(
                    "Requests",
                    "One pod with more than its share is the one to look at first.",
                    [
                        Query(
                            "sum by (pod, instance) (rate(s3seal_requests_total{selector_pod}[$__rate_interval]))",
                            POD,
                        )
                    ],
                    unit="reqps",
                ),
                Panel(
                    "Body bytes to and from clients",
                    "Compare with what the network of a node can do.",
                    [
                        Query(
                            'sum by (pod, instance) (rate(s3seal_bytes_total{selector_pod,direction=~"client_.*"}[$__rate_interval]))',
                            POD,
                        )
                    ],
                    unit="Bps",
                ),
                Panel(
                    "Body bytes for each second of a core",
                    "What a core carries. Falls where requests are small, and where TLS is on both sides. Falling without such a reason: "
                    "compare versions, and whether the CPU has AES instructions.",
                    [
                        Query(
                            'sum by (pod, instance) (rate(s3seal_bytes_total{selector_pod,direction=~"client_.*"}[$__rate_interval]))'
                            " / sum by (pod, instance) (rate(process_cpu_seconds_total{selector_pod}[$__rate_interval])" + OURS + ")",
                            POD,
                        )
                    ],
                    unit="Bps",
                ),
            ],
        ),
    ],
    per_pod=True,
)
