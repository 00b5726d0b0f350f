"""Where commands of the manual run: a folder, a proxy, and programs in front of those that would need a cluster."""
import os
import pathlib
import re
import subprocess
import sys

import harness

# A rule for moves: old and new keys, and what is not sealed yet.
RULE = 'accept_keys = ["default", "managed", "new"]\nplaintext_reads = "allow"'
# `serve` does not end by itself: it is ended once it is ready.
SERVE = """
[ "$1" = serve ] || exec "{binary}" "$@"
"{binary}" "$@" & server=$!
trap 'kill $server' EXIT
admin=$(sed -n '/^\\[admin\\]/,/^\\[/s/^address = "\\([^"]*\\)".*/\\1/p' "$3")
for _ in $(seq 100); do curl -fsS -o /dev/null "http://$admin/readyz" 2>/dev/null && break; sleep 0.1; done
curl -fsS -o /dev/null "http://$admin/readyz"
trap - EXIT; kill -TERM $server; wait $server
"""


class Sandbox:
    """A folder with a proxy's configuration and keyring, and what the commands expect to find."""

    def __init__(self, folder, upstream, helm, kubectl):
        self.folder, self.upstream, self.helm, self.kubectl = folder, upstream, helm, kubectl
        for name in ("default", "managed", "new"):
            self.s3seal("key", "create", "--keyring", "keyring.json", name)
        rules = harness.DEFAULT_RULES.replace('plaintext_reads = "deny"', RULE)
        self.proxy = harness.S3Seal(folder, upstream, "s3seal", rules=rules)
        # Sizes of what is not sealed yet, as the manual says.
        text = self.proxy.config.read_text().replace("\n[[clients]]", 'list_sizes = "head"\n\n[[clients]]', 1)
        self.proxy.config.write_text(text)
        for path in ("dir", "mnt", "bin"):
            (folder / path).mkdir()
        (folder / "file").write_bytes(b"a file\n")
        (folder / "dir/file").write_bytes(b"another file\n")
        self.shims()
        self.endpoint = self.proxy.endpoint

    def s3seal(self, *args):
        return harness.s3seal(*args, cwd=self.folder).stdout.decode()

    def shims(self):
        """Programs in front of the real ones: what they would do to a cluster is only rendered."""
        template = (
            '[ "$1" = install ] || exit 64\nshift\n'
            f'exec "{self.helm}" template --kube-version 1.36.0 "$@"'
        )
        # `rollout`, `label` and the like need an object to look at; `create` does not.
        kubectl = (
            'case " $* " in\n'
            f'*" create "*) exec "{self.kubectl}" "$@" --dry-run=client -o name;;\n'
            '*" label namespace "*) shift 3\n'
            "  printf 'apiVersion: v1\\nkind: Namespace\\nmetadata: {name: team-a}\\n' |\n"
            f'  exec "{self.kubectl}" label --local -o name -f - "$@";;\n'
            "*) echo \"not known here: $*\" >&2; exit 64;;\nesac"
        )
        for name, text in {"helm": template, "kubectl": kubectl, "s3seal": SERVE.format(binary=harness.binary())}.items():
            shim = self.folder / "bin" / name
            shim.write_text(f"#!/usr/bin/env bash\nset -euo pipefail\n{text}\n")
            shim.chmod(0o755)

    def text(self, block, whole):
        """The block with the addresses and credentials of this sandbox. A `whole` configuration gets free addresses."""
        listen, admin = (harness.free_address(), harness.free_address()) if whole else (self.proxy.address, self.proxy.admin)
        account = f'access_key_id = "{self.upstream.access_key}", secret_access_key = "{self.upstream.secret_key}"'
        replaced = {
            "https://s3seal.example": f"http://{listen}",
            "127.0.0.1:9000": listen,
            "127.0.0.1:9001": admin,
            "http://127.0.0.1:8333": self.upstream.url,
            'access_key_id = "UPSTREAM", secret_access_key = "upstream-secret"': account,
        }
        text = block.text
        for old, new in replaced.items():
            text = text.replace(old, new)
        return text if block.page.startswith("charts/") else re.sub(r"\bapp-secret\b", harness.CLIENT_SECRET, text)

    def run(self, block):
        path = f"{self.folder / 'bin'}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = self.endpoint.environment(self.folder) | {
            "PATH": path, "RCLONE_CONFIG": str(self.folder / "rclone.conf"), "AWS_DEFAULT_REGION": harness.REGION,
            "AWS_ACCESS_KEY": harness.CLIENT_KEY, "AWS_SECRET_KEY": harness.CLIENT_SECRET, "KUBECONFIG": "/dev/null",
        }
        if block.page.startswith(("charts/", "README")):
            (self.folder / "keyring.json").unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.text(block, False)], cwd=self.folder, env=environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
        )
        assert done.returncode == 0, f"{block}\n{block.text}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout
