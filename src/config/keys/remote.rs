//! Remote key providers: read and checked, then refused until a version brings them.

use std::path::PathBuf;

use figment::value::Value;
use serde::Deserialize;

use crate::config::problem::Check;
use crate::config::secret::SecretSource;

/// The kinds this file knows.
pub(super) const KINDS: [&str; 3] = ["aws-kms", "transit", "pkcs11"];

/// Checks the provider at `key` and returns its name and key ids.
pub(super) fn check(
    kind: &str,
    key: &str,
    value: Value,
    check: &mut Check<'_>,
) -> Option<(String, Vec<String>)> {
    let (name, ids) = match kind {
        "aws-kms" => check_aws_kms(key, check.read(key, value)?, check),
        "transit" => check_transit(key, check.read(key, value)?, check),
        _ => check_pkcs11(key, check.read(key, value)?, check),
    };
    if ids.is_empty() {
        check.problem(format!("{key}.keys"), "must not be empty");
    }
    Some((name, ids))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AwsKmsTable {
    #[serde(rename = "kind")]
    _kind: String,
    name: String,
    region: String,
    endpoint: Option<String>,
    keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransitTable {
    #[serde(rename = "kind")]
    _kind: String,
    name: String,
    address: String,
    mount: Option<String>,
    auth: Value,
    keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pkcs11Table {
    #[serde(rename = "kind")]
    _kind: String,
    name: String,
    module: PathBuf,
    token_label: String,
    pin: SecretSource,
    keys: Vec<String>,
}

/// `auth` of a transit provider, by method.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenAuth {
    #[serde(rename = "method")]
    _method: String,
    token: SecretSource,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppRoleAuth {
    #[serde(rename = "method")]
    _method: String,
    role_id: String,
    secret_id: SecretSource,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KubernetesAuth {
    #[serde(rename = "method")]
    _method: String,
    role: String,
    jwt_file: Option<PathBuf>,
}

fn check_aws_kms(key: &str, table: AwsKmsTable, check: &mut Check<'_>) -> (String, Vec<String>) {
    not_empty(&format!("{key}.region"), &table.region, check);
    if let Some(endpoint) = &table.endpoint {
        url(&format!("{key}.endpoint"), endpoint, check);
    }
    (table.name, table.keys)
}

fn check_transit(key: &str, table: TransitTable, check: &mut Check<'_>) -> (String, Vec<String>) {
    url(&format!("{key}.address"), &table.address, check);
    let mount = table.mount.as_deref().unwrap_or("transit");
    not_empty(&format!("{key}.mount"), mount, check);
    check_auth(&format!("{key}.auth"), table.auth, check);
    (table.name, table.keys)
}

fn check_auth(key: &str, auth: Value, check: &mut Check<'_>) {
    let method = auth
        .find_ref("method")
        .and_then(|method| method.as_str().map(str::to_owned));
    match method.as_deref() {
        Some("token") => {
            if let Some(auth) = check.read::<TokenAuth>(key, auth) {
                auth.token.fetch(&format!("{key}.token"), check);
            }
        }
        Some("approle") => {
            if let Some(auth) = check.read::<AppRoleAuth>(key, auth) {
                not_empty(&format!("{key}.role_id"), &auth.role_id, check);
                auth.secret_id.fetch(&format!("{key}.secret_id"), check);
            }
        }
        Some("kubernetes") => {
            if let Some(auth) = check.read::<KubernetesAuth>(key, auth) {
                not_empty(&format!("{key}.role"), &auth.role, check);
                if auth
                    .jwt_file
                    .is_some_and(|path| path.as_os_str().is_empty())
                {
                    check.problem(format!("{key}.jwt_file"), "must not be empty");
                }
            }
        }
        Some(_) | None => check.problem(
            format!("{key}.method"),
            "must be one of \"token\", \"approle\", \"kubernetes\"",
        ),
    }
}

fn check_pkcs11(key: &str, table: Pkcs11Table, check: &mut Check<'_>) -> (String, Vec<String>) {
    if table.module.as_os_str().is_empty() {
        check.problem(format!("{key}.module"), "must not be empty");
    }
    not_empty(&format!("{key}.token_label"), &table.token_label, check);
    table.pin.fetch(&format!("{key}.pin"), check);
    (table.name, table.keys)
}

fn not_empty(key: &str, text: &str, check: &mut Check<'_>) {
    if text.is_empty() {
        check.problem(key, "must not be empty");
    }
}

fn url(key: &str, text: &str, check: &mut Check<'_>) {
    let parsed = text.parse::<http::Uri>().ok();
    let scheme = parsed.as_ref().and_then(http::Uri::scheme_str);
    if !matches!(scheme, Some("http" | "https")) {
        check.problem(key, "must be an http:// or https:// URL");
    }
}
