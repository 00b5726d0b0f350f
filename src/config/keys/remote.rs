//! Remote key providers: AWS KMS, Vault or OpenBao Transit, PKCS#11 tokens.

use std::path::PathBuf;
use std::sync::Arc;

use figment::value::Value;
use http::Uri;
use serde::Deserialize;

use super::Provider;
use crate::config::problem::{Bounds, Check};
use crate::config::secret::{SecretPlace, SecretSource};
use crate::config::upstream::{Credentials, CredentialsTable};

/// AWS KMS, or what speaks its protocol.
#[derive(Clone, Debug)]
pub struct AwsKmsProvider {
    /// Name in logs and metrics.
    pub name: String,
    /// Where the keys are, and what requests are signed for.
    pub region: String,
    /// Scheme, host and port where it is not the region's own.
    pub endpoint: Option<Uri>,
    /// Who the proxy is to KMS.
    pub credentials: Arc<Credentials>,
    /// The keys it serves: ids, ARNs, aliases or ARNs of aliases.
    pub keys: Vec<String>,
}

/// The Transit engine of a Vault or OpenBao server.
#[derive(Clone, Debug)]
pub struct TransitProvider {
    /// Name in logs and metrics.
    pub name: String,
    /// Scheme, host and port.
    pub address: Uri,
    /// Where the engine is mounted, `transit` by default.
    pub mount: String,
    /// The namespace all of it is in.
    pub namespace: Option<String>,
    /// How the proxy proves who it is.
    pub auth: TransitAuth,
    /// PEM file of certificate authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// The keys it serves.
    pub keys: Vec<String>,
}

/// How the proxy proves to Vault or OpenBao who it is. What lies in files is read again at every
/// login.
#[derive(Clone, Debug)]
pub enum TransitAuth {
    /// A token that somebody else made.
    Token {
        /// The token.
        token: Arc<SecretPlace>,
    },
    /// A role with a secret id.
    AppRole {
        /// Where the method is mounted, `approle` by default.
        mount: String,
        /// Which role.
        role_id: String,
        /// What proves it.
        secret_id: Arc<SecretPlace>,
    },
    /// The service account of a pod.
    Kubernetes {
        /// Where the method is mounted, `kubernetes` by default.
        mount: String,
        /// Which role.
        role: String,
        /// The service account's token.
        jwt: Arc<SecretPlace>,
    },
}

/// A PKCS#11 token, through its maker's module.
#[derive(Clone, Debug)]
pub struct Pkcs11Provider {
    /// Name in logs and metrics.
    pub name: String,
    /// The module: a shared library.
    pub module: PathBuf,
    /// Which token, where the module has several.
    pub token_label: String,
    /// What the user of the token logs in with. Read again at every login where it lies in a file.
    pub pin: Arc<SecretPlace>,
    /// Sessions with the token, and so calls at a time.
    pub sessions: usize,
    /// The keys it serves: labels of secret keys.
    pub keys: Vec<String>,
}

/// The kinds this file knows.
pub(super) const KINDS: [&str; 3] = ["aws-kms", "transit", "pkcs11"];

/// A provider that was read.
pub(super) struct Checked {
    pub(super) name: String,
    pub(super) ids: Vec<String>,
    /// `None` where something is wrong with it, which is a problem already.
    pub(super) provider: Option<Provider>,
}

/// Checks the provider at `key`.
pub(super) fn check(kind: &str, key: &str, value: Value, check: &mut Check<'_>) -> Option<Checked> {
    let checked = match kind {
        "aws-kms" => check_aws_kms(key, check.read(key, value)?, check),
        "transit" => check_transit(key, check.read(key, value)?, check),
        _ => check_pkcs11(key, check.read(key, value)?, check),
    };
    if checked.ids.is_empty() {
        check.problem(format!("{key}.keys"), "must not be empty");
    }
    Some(checked)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AwsKmsTable {
    #[serde(rename = "kind")]
    _kind: String,
    name: String,
    region: String,
    endpoint: Option<String>,
    credentials: Option<CredentialsTable>,
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
    namespace: Option<String>,
    auth: Value,
    tls: Option<TlsTable>,
    keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    ca: PathBuf,
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
    sessions: Option<u64>,
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
    mount: Option<String>,
    role_id: String,
    secret_id: SecretSource,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KubernetesAuth {
    #[serde(rename = "method")]
    _method: String,
    mount: Option<String>,
    role: String,
    jwt_file: Option<PathBuf>,
}

fn check_aws_kms(key: &str, table: AwsKmsTable, check: &mut Check<'_>) -> Checked {
    segment(&format!("{key}.region"), &table.region, check);
    let endpoint_key = format!("{key}.endpoint");
    let endpoint = match &table.endpoint {
        Some(text) => url(&endpoint_key, text, check).map(Some),
        None => Some(None),
    };
    for (index, id) in table.keys.iter().enumerate() {
        not_empty(&format!("{key}.keys[{index}]"), id, check);
    }
    let credentials = table.credentials.unwrap_or(CredentialsTable::DefaultChain);
    let credentials = credentials.check(&format!("{key}.credentials"), check);
    let provider = endpoint.zip(credentials).map(|(endpoint, credentials)| {
        Provider::AwsKms(Box::new(AwsKmsProvider {
            name: table.name.clone(),
            region: table.region,
            endpoint,
            credentials: Arc::new(credentials),
            keys: table.keys.clone(),
        }))
    });
    Checked {
        name: table.name,
        ids: table.keys,
        provider,
    }
}

fn check_transit(key: &str, table: TransitTable, check: &mut Check<'_>) -> Checked {
    let address = url(&format!("{key}.address"), &table.address, check);
    let mount = mount(&format!("{key}.mount"), table.mount, "transit", check);
    if let Some(namespace) = &table.namespace {
        path(&format!("{key}.namespace"), namespace, check);
    }
    for (index, id) in table.keys.iter().enumerate() {
        segment(&format!("{key}.keys[{index}]"), id, check);
    }
    let auth = check_auth(&format!("{key}.auth"), table.auth, check);
    let ca = table.tls.map(|tls| check.resolve(&tls.ca));
    let provider = address.zip(auth).map(|(address, auth)| {
        Provider::Transit(Box::new(TransitProvider {
            name: table.name.clone(),
            address,
            mount,
            namespace: table.namespace,
            auth,
            ca,
            keys: table.keys.clone(),
        }))
    });
    Checked {
        name: table.name,
        ids: table.keys,
        provider,
    }
}

fn check_auth(key: &str, auth: Value, check: &mut Check<'_>) -> Option<TransitAuth> {
    let method = auth
        .find_ref("method")
        .and_then(|method| method.as_str().map(str::to_owned));
    let mount_key = format!("{key}.mount");
    match method.as_deref() {
        Some("token") => {
            let auth: TokenAuth = check.read(key, auth)?;
            let token = Arc::new(auth.token.place(&format!("{key}.token"), check)?);
            Some(TransitAuth::Token { token })
        }
        Some("approle") => {
            let auth: AppRoleAuth = check.read(key, auth)?;
            not_empty(&format!("{key}.role_id"), &auth.role_id, check);
            let secret_id = auth.secret_id.place(&format!("{key}.secret_id"), check)?;
            Some(TransitAuth::AppRole {
                mount: mount(&mount_key, auth.mount, "approle", check),
                role_id: auth.role_id,
                secret_id: Arc::new(secret_id),
            })
        }
        Some("kubernetes") => {
            let auth: KubernetesAuth = check.read(key, auth)?;
            not_empty(&format!("{key}.role"), &auth.role, check);
            let file = auth.jwt_file.unwrap_or_else(|| SERVICE_ACCOUNT.into());
            let jwt = SecretSource::file(file).place(&format!("{key}.jwt_file"), check)?;
            Some(TransitAuth::Kubernetes {
                mount: mount(&mount_key, auth.mount, "kubernetes", check),
                role: auth.role,
                jwt: Arc::new(jwt),
            })
        }
        Some(_) | None => {
            check.problem(
                format!("{key}.method"),
                "must be one of \"token\", \"approle\", \"kubernetes\"",
            );
            None
        }
    }
}

fn check_pkcs11(key: &str, table: Pkcs11Table, check: &mut Check<'_>) -> Checked {
    if table.module.as_os_str().is_empty() {
        check.problem(format!("{key}.module"), "must not be empty");
    }
    not_empty(&format!("{key}.token_label"), &table.token_label, check);
    for (index, id) in table.keys.iter().enumerate() {
        label(&format!("{key}.keys[{index}]"), id, check);
    }
    let sessions = check.count(&format!("{key}.sessions"), table.sessions, &SESSIONS);
    let module = check.resolve(&table.module);
    let pin = table.pin.place(&format!("{key}.pin"), check);
    let provider = pin.map(|pin| {
        Provider::Pkcs11(Box::new(Pkcs11Provider {
            name: table.name.clone(),
            module,
            token_label: table.token_label,
            pin: Arc::new(pin),
            sessions,
            keys: table.keys.clone(),
        }))
    });
    Checked {
        name: table.name,
        ids: table.keys,
        provider,
    }
}

/// What stands in a header as it is: clients see the names of keys.
fn label(key: &str, text: &str, check: &mut Check<'_>) {
    let is_fine = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    let has_room = (1..=LABEL_LEN_MAX).contains(&text.len());
    if !has_room || text.trim() != text || !text.bytes().all(is_fine) {
        let reason = format!(
            "must be 1 to {LABEL_LEN_MAX} printable ASCII characters, without spaces around them"
        );
        check.problem(key, reason);
    }
}

fn not_empty(key: &str, text: &str, check: &mut Check<'_>) {
    if text.is_empty() {
        check.problem(key, "must not be empty");
    }
}

/// Scheme, host and port and nothing else.
fn url(key: &str, text: &str, check: &mut Check<'_>) -> Option<Uri> {
    let parsed = text.parse::<Uri>().ok();
    let is_fine = |uri: &Uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
    };
    let found = parsed.filter(is_fine);
    if found.is_none() {
        check.problem(key, "must be an http:// or https:// URL without a path");
    }
    found
}

/// Where something is mounted, without slashes around it.
fn mount(key: &str, given: Option<String>, usual: &str, check: &mut Check<'_>) -> String {
    let mount = given.unwrap_or_else(|| usual.to_owned());
    path(key, &mount, check);
    mount.trim_matches('/').to_owned()
}

fn path(key: &str, text: &str, check: &mut Check<'_>) {
    for part in text.trim_matches('/').split('/') {
        segment(key, part, check);
    }
}

/// What stands in a URL as it is.
fn segment(key: &str, text: &str, check: &mut Check<'_>) {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.is_empty() || text.starts_with('.') || !text.bytes().all(is_fine) {
        check.problem(
            key,
            "must be letters, digits, dashes, dots and underscores, and not begin with a dot",
        );
    }
}

/// Ids are in every envelope, whose room is 2,048 bytes of metadata.
const LABEL_LEN_MAX: usize = 128;

/// Each is a thread, which waits most of the time; tokens allow few sessions.
const SESSIONS: Bounds = Bounds {
    min: 1,
    max: 64,
    default: 4,
};

/// Where Kubernetes mounts a pod's token.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
