"""Terraform with its state in S3: made, read, changed, kept apart by workspaces. The release is an old one, whose options have
other names than those of today; what it asks of S3 are the same requests but for the lock file."""
import functools
import json

import pytest

import bodies
from harness import Tools

BACKEND = """
terraform {
  backend "s3" {
    bucket = "%s"
    key = "prod/terraform.tfstate"
    region = "us-east-1"
    endpoint = "%s"
    force_path_style = true
    skip_credentials_validation = true
    skip_get_ec2_platforms = true
    skip_metadata_api_check = true
    skip_region_validation = true
    skip_requesting_account_id = true
  }
}
"""


@pytest.fixture
def terraform(seaweedfs, tmp_path):
    env = {"CHECKPOINT_DISABLE": "1", "TF_INPUT": "0", "TF_IN_AUTOMATION": "1"}
    if seaweedfs.tls:
        env["SSL_CERT_FILE"] = str(seaweedfs.ca)
    return functools.partial(Tools(seaweedfs, tmp_path).run, "terraform", env=env)


def test_state_is_kept_and_workspaces_are_apart(terraform, seaweedfs, fresh_bucket, tmp_path):
    def write(value):
        output = 'output "text" {\n  value = "%s"\n}\n' % value
        (tmp_path / "main.tf").write_text(BACKEND % (fresh_bucket, seaweedfs.url) + output)

    secret = bodies.MARKER.decode()
    write(f"{secret} one")
    terraform("init")
    terraform("apply", "-auto-approve")
    assert terraform("output", "text").stdout.strip() == f"{secret} one"
    write(f"{secret} two")
    terraform("apply", "-auto-approve")
    state = json.loads(terraform("state", "pull").stdout)
    assert state["modules"][0]["outputs"]["text"]["value"] == f"{secret} two"

    terraform("workspace", "new", "other")
    write("another")
    terraform("apply", "-auto-approve")
    listed = terraform("workspace", "list").stdout
    assert {line.strip("* ") for line in listed.splitlines() if line.strip()} == {"default", "other"}
    terraform("workspace", "select", "default")
    assert terraform("output", "text").stdout.strip() == f"{secret} two"
    keys = {entry["Key"] for entry in seaweedfs.boto().list_objects_v2(Bucket=fresh_bucket)["Contents"]}
    assert keys == {"prod/terraform.tfstate", "env:/other/prod/terraform.tfstate"}
