//! Whole files through [`Config::parse`].

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "tables of cases; figment's kinds of values"
)]

use std::path::Path;
use std::time::Duration;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};

use super::keys::Provider;
use super::rules::Encryption;
use super::upstream::{Addressing, Credentials};
use super::*;
use crate::keys::types::{Binding, Mode};

/// The file of the interface document, word for word.
const INTERFACE: &str = include_str!("tests/interface.toml");
const EXAMPLE: &str = include_str!("../../config/example.toml");

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment = variables.iter().copied().collect();
    Config::parse(text, Path::new("/etc/s3seal/s3seal.toml"), &environment)
}

fn problems(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let error = parse(text, variables).unwrap_err();
    error.problems.iter().map(Problem::to_string).collect()
}

/// [`INTERFACE`] with one replacement, which must apply.
fn with(from: &str, to: &str) -> String {
    assert!(INTERFACE.contains(from), "{from}");
    INTERFACE.replacen(from, to, 1)
}

#[test]
fn the_interface_file_works_as_it_stands() {
    let config = parse(INTERFACE, &[]).unwrap();
    assert_eq!(config.listen.address.to_string(), "127.0.0.1:9000");
    assert_eq!(config.admin.address.to_string(), "127.0.0.1:9001");
    assert_eq!(
        config.upstream.endpoint.authority.as_str(),
        "127.0.0.1:8333"
    );
    assert!(!config.upstream.endpoint.is_https);
    assert_eq!(config.upstream.addressing, Addressing::Path);
    let Credentials::Static(upstream) = &*config.upstream.credentials else {
        panic!("static credentials");
    };
    assert!(upstream.secret_access_key.ct_eq(b"upstream-secret"));
    let client = config.clients.find("APP").unwrap();
    assert!(
        client
            .secret_access_key
            .as_ref()
            .unwrap()
            .ct_eq(b"app-secret")
    );
    assert!(client.may_use_bucket("any") && !client.is_read_only);
    assert_eq!(config.keys.cache.ttl, Duration::from_mins(1));
    let [Provider::Local(local)] = config.keys.providers.as_slice() else {
        panic!("one provider");
    };
    assert_eq!(local.keyring, Path::new("/etc/s3seal/keyring.json"));
    let rule = config.rules.find("bucket", Some("key")).unwrap();
    assert_eq!(rule.encryption, Encryption::NamedKey);
    assert_eq!(rule.binding, Binding::BucketAndKey);
    assert_eq!(rule.key, "default");
    assert_eq!(rule.keys, ["default"]);
    assert_eq!(rule.accept_keys, ["default", "managed"]);
    assert_eq!(
        rule.allow,
        [Mode::NamedKey, Mode::Managed, Mode::CustomerKey]
    );
    assert!(!rule.plaintext_reads.is_allowed() && rule.directory_markers.is_allowed());
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?}", parse(INTERFACE, &[]).unwrap());
    assert!(!shown.contains("app-secret") && !shown.contains("upstream-secret"));
}

#[test]
fn the_example_sets_every_default() {
    let minimal = r#"
        [upstream]
        endpoint = "http://127.0.0.1:8333"
        credentials = { access_key_id = "UPSTREAM", secret_access_key = "upstream-secret" }
        [[clients]]
        access_key_id = "APP"
        secret_access_key = "app-secret"
        [[keys.providers]]
        kind = "local"
        name = "local"
        keyring = "keyring.json"
        [[rules]]
        buckets = ["*"]
        encryption = "named-key"
    "#;
    let defaults = parse(minimal, &[]).unwrap();
    let example = parse(EXAMPLE, &[]).unwrap();
    assert_eq!(format!("{example:?}"), format!("{defaults:?}"));
}

/// The example with its optional keys switched on.
fn full_example() -> Dict {
    let lines = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest,
        Some(_) | None => line,
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    Toml::from_str(&text).unwrap()
}

/// Every table of a value, as the path to it.
fn tables(value: &Value, path: &[String], found: &mut Vec<Vec<String>>) {
    let mut visit = |name: String, inner: &Value| tables(inner, &[path, &[name]].concat(), found);
    match value {
        Value::Dict(_, dict) => {
            for (name, inner) in dict {
                visit(name.clone(), inner);
            }
            found.push(path.to_vec());
        }
        Value::Array(_, items) => {
            for (index, inner) in items.iter().enumerate() {
                visit(index.to_string(), inner);
            }
        }
        _ => {}
    }
}

fn table_at<'v>(value: &'v mut Value, path: &[String]) -> &'v mut Dict {
    let inner = path.iter().fold(value, |value, part| match value {
        Value::Dict(_, dict) => dict.get_mut(part).unwrap(),
        Value::Array(_, items) => &mut items[part.parse::<usize>().unwrap()],
        _ => panic!("no table"),
    });
    let Value::Dict(_, dict) = inner else {
        panic!("no table at {path:?}");
    };
    dict
}

/// An unknown key makes a table tell all its keys: the example must mention each of them.
#[test]
fn the_example_mentions_every_key() {
    let full = Value::from(full_example());
    let mut paths = Vec::new();
    tables(&full, &[], &mut paths);
    let mut checked = 0;
    for path in paths {
        let mut value = full.clone();
        let mentioned: Vec<_> = table_at(&mut value, &path).keys().cloned().collect();
        table_at(&mut value, &path).insert(UNKNOWN.to_owned(), Value::from(1));
        let known = known_keys(value);
        // Alternatives that cannot stand in one table, each described in a comment.
        let is_alternative = |name: &str| ALTERNATIVES.contains(&name);
        for name in known.iter().filter(|name| !is_alternative(name)) {
            assert!(
                mentioned.iter().any(|key| key == name),
                "{path:?}: {name} is not mentioned"
            );
        }
        checked += known.len();
    }
    assert!(checked > 90, "{checked}");
}

const ALTERNATIVES: [&str; 9] = [
    "dns",
    "env",
    "external_id",
    "file",
    "role_arn",
    "session_name",
    "session_token",
    "sts_endpoint",
    "uri",
];

const UNKNOWN: &str = "###";

fn known_keys(value: Value) -> Vec<String> {
    let environment = Environment::default();
    let mut check = Check::new(
        Path::new("x"),
        &environment,
        std::collections::BTreeMap::new(),
        Files::default(),
    );
    let sections = check.read::<Sections>("", value);
    let error = check
        .finish_with(Marks::default(), |check| {
            sections.and_then(|sections| Config::from_sections(sections, check))
        })
        .unwrap_err();
    let reasons: Vec<_> = error
        .problems
        .iter()
        .filter(|problem| problem.key.ends_with(UNKNOWN))
        .map(|problem| problem.reason.clone())
        .collect();
    let [reason] = reasons.as_slice() else {
        panic!("one unknown key: {:?}", error.problems);
    };
    let (_, known) = reason.split_once("known here: ").unwrap();
    known.split(", ").map(str::to_owned).collect()
}

#[test]
fn unknown_keys_name_file_key_and_closest_key() {
    assert_eq!(
        problems(&with("region =", "regoin ="), &[]),
        ["/etc/s3seal/s3seal.toml: upstream.regoin: unknown key; did you mean \"region\"?"]
    );
    assert_eq!(
        problems(&with("plaintext_reads =", "plaintext_read ="), &[]),
        [
            "/etc/s3seal/s3seal.toml: rules[0].plaintext_read: unknown key; did you mean \"plaintext_reads\"?"
        ]
    );
    assert_eq!(
        problems(&with("[admin]", "[amdin]"), &[]),
        ["/etc/s3seal/s3seal.toml: amdin: unknown key; did you mean \"admin\"?"]
    );
    assert_eq!(
        problems(&with("ttl_seconds =", "ttl ="), &[]),
        ["/etc/s3seal/s3seal.toml: keys.cache.ttl: unknown key; did you mean \"ttl_seconds\"?"]
    );
}

#[test]
fn several_problems_are_reported_together() {
    let text = INTERFACE
        .replace("region =", "regoin =")
        .replace("\"path\"", "\"paht\"")
        .replace("ttl_seconds = 60", "ttl_seconds = \"x\"")
        .replace("\"named-key\"", "7")
        .replace("kind = \"local\"", "kind = \"lokal\"");
    let found = problems(&text, &[]);
    for part in [
        "upstream.regoin: unknown key",
        "upstream.addressing: must be one of \"path\", \"virtual-host\"; did you mean \"path\"?",
        "keys.cache.ttl_seconds: must be a whole number, not a string",
        "rules[0].encryption: must be",
        "keys.providers[0].kind: must be one of \"local\"",
    ] {
        assert_eq!(
            found
                .iter()
                .filter(|problem| problem.contains(part))
                .count(),
            1,
            "{part}: {found:?}"
        );
    }
    assert_eq!(found.len(), 5, "{found:?}");
}

#[test]
fn missing_keys_are_named() {
    let found = problems(&with("endpoint = \"http://127.0.0.1:8333\"", ""), &[]);
    assert_eq!(
        found,
        ["/etc/s3seal/s3seal.toml: upstream.endpoint: missing"]
    );
    let found = problems("", &[]);
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn syntax_errors_have_a_line_and_keep_secrets() {
    let found = problems(&with("\"app-secret\"", "\"app-secret"), &[]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("/etc/s3seal/s3seal.toml: line 18: "),
        "{found:?}"
    );
    assert!(!found[0].contains("app-secret"), "{found:?}");
}

#[test]
fn a_secret_of_the_wrong_type_is_not_shown() {
    let found = problems(&with("\"app-secret\"", "314159"), &[]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("clients[0].secret_access_key: must be a string"),
        "{found:?}"
    );
    assert!(!found[0].contains("314159"), "{found:?}");
}

#[test]
fn the_environment_overrides_every_kind_of_value() {
    let config = parse(
        INTERFACE,
        &[
            ("S3SEAL_UPSTREAM__ENDPOINT", "https://s3.example.test"),
            ("S3SEAL_UPSTREAM__REGION", "0123"),
            ("S3SEAL_UPSTREAM__CREDENTIALS__SECRET_ACCESS_KEY", "1e5"),
            ("S3SEAL_UPSTREAM__CREDENTIALS__ACCESS_KEY_ID", "2026-01-01"),
            ("S3SEAL_UPSTREAM__EQUAL_PARTS", "false"),
            ("S3SEAL_KEYS__CACHE__TTL_SECONDS", "5"),
            ("S3SEAL_LISTEN__DOMAINS", "[\"S3.example.test\"]"),
            (
                "S3SEAL_RULES",
                "[{ buckets = [\"a\"], encryption = \"off\" }]",
            ),
            ("OTHER", "x"),
        ],
    )
    .unwrap();
    assert!(config.upstream.endpoint.is_https);
    assert_eq!(config.upstream.region, "0123");
    let Credentials::Static(upstream) = &*config.upstream.credentials else {
        panic!("static credentials");
    };
    assert_eq!(upstream.access_key_id, "2026-01-01");
    assert!(upstream.secret_access_key.ct_eq(b"1e5"));
    assert_eq!(config.keys.cache.ttl, Duration::from_secs(5));
    assert_eq!(config.keys.cache.max_entries, 10_000);
    assert_eq!(config.listen.domains, ["s3.example.test"]);
    assert!(config.rules.find("b", None).is_none());
    assert_eq!(
        config.rules.find("a", None).unwrap().encryption,
        Encryption::Off
    );
}

#[test]
fn problems_of_overrides_name_the_variable() {
    let cases = [
        (
            "S3SEAL_UPSTREAM__REGOIN",
            "x",
            "S3SEAL_UPSTREAM__REGOIN: upstream.regoin: unknown key; did you mean \"region\"?",
        ),
        (
            "S3SEAL_UPSTREAM__ENDPOINT",
            "host",
            "S3SEAL_UPSTREAM__ENDPOINT: upstream.endpoint: must be http:// or https://, a host and perhaps a port",
        ),
        (
            "S3SEAL_KEYS__CACHE__TTL_SECONDS",
            "x",
            "S3SEAL_KEYS__CACHE__TTL_SECONDS: keys.cache.ttl_seconds: must be a whole number, not a string",
        ),
        (
            "S3SEAL_UPSTREAM_ENDPOINT",
            "x",
            "S3SEAL_UPSTREAM_ENDPOINT: names no key of the configuration; two underscores separate a table from its key: S3SEAL_UPSTREAM__…",
        ),
        (
            "S3SEAL_LISTEN_PORT",
            "9000",
            "S3SEAL_LISTEN_PORT: names no key of the configuration; two underscores separate a table from its key: S3SEAL_LISTEN__…",
        ),
        (
            "S3SEAL_RULE",
            "[]",
            "S3SEAL_RULE: names no key of the configuration; did you mean S3SEAL_RULES?",
        ),
        (
            "S3SEAL_CLIENTS__0__READ_ONLY",
            "true",
            "S3SEAL_CLIENTS__0__READ_ONLY: arrays are overridden as a whole, in TOML syntax",
        ),
        (
            "S3SEAL_LISTEN__DOMAINS",
            "x",
            "S3SEAL_LISTEN__DOMAINS: listen.domains: must be an array, not a string",
        ),
    ];
    for (variable, value, expected) in cases {
        assert_eq!(problems(INTERFACE, &[(variable, value)]), [expected]);
    }
    let found = problems(INTERFACE, &[("S3SEAL_CLIENTS", "[{ secret = \"hidden\" ]")]);
    assert!(
        found[0].starts_with("S3SEAL_CLIENTS: is not valid TOML: "),
        "{found:?}"
    );
    assert!(!found[0].contains("hidden"), "{found:?}");
}

#[test]
fn variables_of_others_are_left_alone() {
    let text = with("\"app-secret\"", "{ env = \"S3SEAL_APP_SECRET\" }");
    let config = parse(
        &text,
        &[
            ("S3SEAL_APP_SECRET", "from-env"),
            ("S3SEAL_SERVICE_HOST", "10.0.0.1"),
            ("S3SEAL_SERVICE_PORT_METRICS", "9001"),
            ("S3SEAL_PORT", "tcp://10.0.0.1:9000"),
            ("S3SEAL_PORT_9000_TCP_ADDR", "10.0.0.1"),
            ("S3SEAL_WEBHOOK_SERVICE_HOST", "10.0.0.2"),
            ("S3SEAL_WEBHOOK_SERVICE_PORT", "443"),
            ("S3SEAL_WEBHOOK_SERVICE_PORT_WEBHOOK", "443"),
            ("S3SEAL_WEBHOOK_PORT", "tcp://10.0.0.2:443"),
            ("S3SEAL_WEBHOOK_PORT_443_TCP", "tcp://10.0.0.2:443"),
            ("S3SEAL_WEBHOOK_PORT_443_TCP_PROTO", "tcp"),
        ],
    )
    .unwrap();
    assert!(
        config
            .clients
            .find("APP")
            .unwrap()
            .secret_access_key
            .as_ref()
            .unwrap()
            .ct_eq(b"from-env")
    );
    assert_eq!(
        problems(&text, &[]),
        [
            "/etc/s3seal/s3seal.toml: clients[0].secret_access_key: the environment variable S3SEAL_APP_SECRET is not set"
        ]
    );
}

#[test]
fn secrets_come_from_files_next_to_the_configuration() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s3seal.toml");
    let secret = folder.path().join("app.secret");
    let text = with("\"app-secret\"", "{ file = \"app.secret\" }");
    std::fs::write(&file, text).unwrap();
    std::fs::write(&secret, "from-file\n").unwrap();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&file, 0o600);
    mode(&secret, 0o600);
    let config = Config::load(&file, &Environment::default()).unwrap();
    assert!(
        config
            .clients
            .find("APP")
            .unwrap()
            .secret_access_key
            .as_ref()
            .unwrap()
            .ct_eq(b"from-file")
    );
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);

    mode(&file, 0o644);
    mode(&secret, 0o644);
    let config = Config::load(&file, &Environment::default()).unwrap();
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);

    std::fs::write(&secret, "\n").unwrap();
    let error = Config::load(&file, &Environment::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("clients[0].secret_access_key: must not be empty"),
        "{error}"
    );

    let error =
        Config::load(&folder.path().join("none.toml"), &Environment::default()).unwrap_err();
    assert!(
        error.to_string().contains("none.toml: cannot be read"),
        "{error}"
    );
}

#[test]
fn a_local_keyring_may_have_a_passphrase() {
    let line = "keyring = \"keyring.json\"";
    let text = with(
        line,
        &format!("{line}\npassphrase = {{ env = \"SECRET\" }}"),
    );
    // the variable of the commands is no override
    let commands = ("S3SEAL_KEYRING_PASSPHRASE", "another");
    let config = parse(&text, &[("SECRET", "of the keyring"), commands]).unwrap();
    let [Provider::Local(local)] = config.keys.providers.as_slice() else {
        panic!("one provider");
    };
    let passphrase = local.passphrase.as_ref().unwrap().read().unwrap();
    assert!(passphrase.ct_eq(b"of the keyring"));
    assert!(!format!("{config:?}").contains("of the keyring"));
    assert_eq!(
        problems(&text, &[]),
        [
            "/etc/s3seal/s3seal.toml: keys.providers[0].passphrase: the environment variable SECRET is not set"
        ]
    );
}

#[test]
fn open_listeners_need_clients_and_tls() {
    let open = with("127.0.0.1:9000", "0.0.0.0:9000");
    let found = problems(&open, &[]);
    assert!(
        found.len() == 1 && found[0].contains("listen.tls: missing"),
        "{found:?}"
    );
    let plain = [("S3SEAL_LISTEN__ALLOW_PLAIN_HTTP", "true")];
    assert!(parse(&open, &plain).is_ok());
    let tls = [(
        "S3SEAL_LISTEN__TLS",
        "{ certificate = \"a\", private_key = \"b\" }",
    )];
    assert!(parse(&open, &tls).is_ok());

    let nobody = [("S3SEAL_CLIENTS", "[]"), plain[0]];
    let found = problems(&open, &nobody);
    assert!(
        found.len() == 1 && found[0].starts_with("S3SEAL_CLIENTS: clients: missing"),
        "{found:?}"
    );
    assert_eq!(parse(INTERFACE, &nobody).unwrap().warnings.len(), 1);
}

#[test]
fn the_admin_listener_is_never_the_s3_listener() {
    for (s3, admin, is_fine) in [
        ("127.0.0.1:9000", "127.0.0.1:9000", false),
        ("127.0.0.1:9000", "0.0.0.0:9000", false),
        ("[::1]:9000", "127.0.0.1:9000", true),
        ("127.0.0.1:0", "127.0.0.1:0", true),
    ] {
        let variables = [
            ("S3SEAL_LISTEN__ADDRESS", s3),
            ("S3SEAL_ADMIN__ADDRESS", admin),
        ];
        assert_eq!(
            parse(INTERFACE, &variables).is_ok(),
            is_fine,
            "{s3} {admin}"
        );
    }
}

#[test]
fn a_pkcs11_token_is_a_key_provider() {
    let token = |extra: &str| {
        format!(
            "[{{ kind = \"pkcs11\", name = \"hsm\", module = \"hsm.so\", token_label = \"t\", {extra} }}]"
        )
    };
    let variable = "S3SEAL_KEYS__PROVIDERS";
    let fine = token("pin = \"a secret PIN\", keys = [\"k\"]");
    let config = parse(INTERFACE, &[(variable, &fine)]).unwrap();
    let [Provider::Pkcs11(found)] = config.keys.providers.as_slice() else {
        panic!("{:?}", config.keys.providers);
    };
    assert_eq!((found.name.as_str(), found.sessions), ("hsm", 4));
    assert!(found.module.is_absolute() && found.module.ends_with("hsm.so"));
    assert!(!format!("{found:?}").contains("a secret PIN"));

    for (extra, key) in [
        ("pin = \"\", keys = [\"k\"]", "pin"),
        ("pin = \"1\", keys = []", "keys"),
        ("pin = \"1\", keys = [\"a\", \"b \"]", "keys[1]"),
        ("pin = \"1\", keys = [\"\"]", "keys[0]"),
        ("pin = \"1\", keys = [\"k\"], sessions = 0", "sessions"),
        ("pin = \"1\", keys = [\"k\"], sessions = 65", "sessions"),
    ] {
        let found = problems(INTERFACE, &[(variable, &token(extra))]);
        assert_eq!(found.len(), 1, "{found:?}");
        let start = format!("{variable}: keys.providers[0].{key}: ");
        assert!(found[0].starts_with(&start), "{found:?}");
    }
}

#[test]
fn stale_keys_are_off_bounded_and_need_a_cache() {
    let variable = "S3SEAL_KEYS__CACHE__SERVE_STALE_SECONDS";
    let stale = |overrides: &[(&str, &str)]| parse(INTERFACE, overrides).unwrap().keys.cache;
    assert_eq!(stale(&[]).serve_stale, Duration::ZERO);
    let day = stale(&[(variable, "86400")]);
    assert_eq!(day.serve_stale, Duration::from_hours(24));
    let ttl = ("S3SEAL_KEYS__CACHE__TTL_SECONDS", "0");
    for overrides in [&[(variable, "86401")][..], &[(variable, "1"), ttl]] {
        let found = problems(INTERFACE, overrides);
        assert_eq!(found.len(), 1, "{found:?}");
        let start = format!("{variable}: keys.cache.serve_stale_seconds: ");
        assert!(found[0].starts_with(&start), "{found:?}");
    }
}

#[test]
fn what_this_version_cannot_do_is_refused() {
    let rule = |extra: &str| format!("[{{ buckets = [\"*\"], encryption = \"off\", {extra} }}]");
    let cases = [(
        "S3SEAL_UPSTREAM__EQUAL_PARTS",
        "true".to_owned(),
        "upstream.equal_parts",
    )];
    for (variable, value, key) in cases {
        let found = problems(INTERFACE, &[(variable, &value)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with(&format!("{variable}: {key}: ")),
            "{found:?}"
        );
        assert!(
            found[0].ends_with("is not available in this version"),
            "{found:?}"
        );
    }
    assert!(
        parse(
            INTERFACE,
            &[("S3SEAL_RULES", &rule("range_layout = \"walk\""))]
        )
        .is_ok()
    );
}

#[test]
fn contradictions_are_refused() {
    let client = "{ access_key_id = \"A\", secret_access_key = \"s\"";
    let cases = [
        ("S3SEAL_CLIENTS", format!("[{client} }}, {client} }}]"), "clients[1].access_key_id: another client"),
        ("S3SEAL_CLIENTS", format!("[{client}, keys = [\"managed\"] }}]"), "client A: keys must not list the managed key"),
        ("S3SEAL_CLIENTS", format!("[{client}, buckets = [\"[a]\"] }}]"), "clients[0].buckets[0]: must be a bucket name"),
        ("S3SEAL_CLIENTS", "[{ access_key_id = \"a/b\", secret_access_key = \"s\" }]".to_owned(), "clients[0].access_key_id: must be"),
        ("S3SEAL_KEYS__MANAGED", "default".to_owned(), "keys.managed: must differ"),
        ("S3SEAL_KEYS__PROVIDERS", "[{ kind = \"local\", name = \"a\", keyring = \"x\" }, { kind = \"local\", name = \"a\", keyring = \"y\" }]".to_owned(), "keys.providers[1].name: another provider"),
        ("S3SEAL_KEYS__CACHE__TTL_SECONDS", "301".to_owned(), "keys.cache.ttl_seconds: must be between 0 and 300"),
        ("S3SEAL_RULES", "[{ buckets = [\"*\"], encryption = \"named-key\", key = \"managed\" }]".to_owned(), "rules[0].key: must not be the managed key"),
        ("S3SEAL_RULES", "[{ buckets = [], encryption = \"off\" }]".to_owned(), "rules[0].buckets: must not be empty"),
        ("S3SEAL_UPSTREAM__TLS", "{ ca = \"ca.pem\" }".to_owned(), "upstream.tls: has no use"),
        ("S3SEAL_LOG__FILTER", "s3seal=loud".to_owned(), "log.filter: "),
    ];
    for (variable, value, expected) in cases {
        let found = problems(INTERFACE, &[(variable, &value)]);
        assert!(
            found.iter().any(|problem| problem.contains(expected)),
            "{expected}: {found:?}"
        );
        assert!(
            found.iter().all(|problem| problem.starts_with(variable)),
            "{found:?}"
        );
    }
}

#[test]
fn a_client_of_a_certificate_needs_no_secret() {
    const TLS: &str = "{ certificate = \"a\", private_key = \"b\", client_ca = \"c\" }";
    let found = |client: &str| {
        let client = format!("[{{ access_key_id = \"A\"{client} }}]");
        let parsed = parse(
            INTERFACE,
            &[("S3SEAL_CLIENTS", &client), ("S3SEAL_LISTEN__TLS", TLS)],
        );
        let problems = parsed.err().map(|error| error.problems);
        let problems = problems.iter().flatten().map(Problem::to_string);
        problems.collect::<Vec<_>>()
    };
    let is_of_secret = |problem: &String| problem.contains("clients[0].secret_access_key: missing");
    let certificate = ", certificate = { subject_cn = \"a\" }";
    assert!(
        !found(certificate).iter().any(is_of_secret),
        "{:?}",
        found(certificate)
    );
    assert!(found("").iter().any(is_of_secret), "{:?}", found(""));
}

#[test]
fn transit_providers_are_checked() {
    let transit = |extra: &str| {
        format!(
            "[{{ kind = \"local\", name = \"l\", keyring = \"k.json\" }}, \
             {{ kind = \"transit\", name = \"bao\", {extra} }}]"
        )
    };
    let token = "auth = { method = \"token\", token = \"t\" }";
    let fine = format!("address = \"https://bao.example.test:8200\", keys = [\"k\"], {token}");
    let cases = [
        (fine.as_str(), None),
        (
            "address = \"bao\", keys = [\"k\"], auth = { method = \"token\", token = \"t\" }",
            Some("address: must be"),
        ),
        (
            "address = \"http://b/v1\", keys = [\"k\"], auth = { method = \"token\", token = \"t\" }",
            Some("address: must be"),
        ),
        (
            "address = \"http://b\", keys = [], auth = { method = \"token\", token = \"t\" }",
            Some("keys: must not be empty"),
        ),
        (
            "address = \"http://b\", keys = [\"../sys\"], auth = { method = \"token\", token = \"t\" }",
            Some("keys[0]: must be"),
        ),
        (
            "address = \"http://b\", mount = \"a//b\", keys = [\"k\"], auth = { method = \"token\", token = \"t\" }",
            Some("mount: must be"),
        ),
        (
            "address = \"http://b\", keys = [\"k\"], auth = { method = \"ldap\" }",
            Some("auth.method: must be"),
        ),
        (
            "address = \"http://b\", keys = [\"k\"], auth = { method = \"token\", token = { env = \"ABSENT\" } }",
            Some("auth.token: the environment"),
        ),
        (
            "address = \"http://b\", keys = [\"k\"], auth = { method = \"kubernetes\", role = \"r\", jwt_file = \"absent\" }",
            Some("auth.jwt_file: "),
        ),
        (
            "address = \"http://b\", keys = [\"k\"], auth = { method = \"approle\", role_id = \"\", secret_id = \"s\" }",
            Some("auth.role_id: must not"),
        ),
    ];
    for (extra, expected) in cases {
        let variables = [("S3SEAL_KEYS__PROVIDERS", transit(extra))];
        let variables = variables
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let Some(expected) = expected else {
            assert!(parse(INTERFACE, &variables).is_ok(), "{extra}");
            continue;
        };
        let found = problems(INTERFACE, &variables);
        let wanted = format!("keys.providers[1].{expected}");
        assert!(
            found.iter().any(|problem| problem.contains(&wanted)),
            "{wanted}: {found:?}"
        );
    }
}

#[test]
fn roles_are_checked() {
    let with = |own: &str| {
        let pair = "{ access_key_id = \"UPSTREAM\", secret_access_key = \"upstream-secret\" }";
        assert!(INTERFACE.contains(pair));
        INTERFACE.replace(pair, own)
    };
    let parsed = |own: &str| parse(&with(own), &[]).map(|config| config.upstream.credentials);
    let pair = "access_key_id = \"A\", secret_access_key = \"hunter2\"";
    let role = "role_arn = \"arn:aws:iam::1:role/r\"";
    let alone = parsed(&format!("{{ {role} }}")).unwrap();
    let Credentials::Role(alone) = &*alone else {
        panic!("{alone:?}");
    };
    assert_eq!(alone.session_name, "s3seal");
    assert!(alone.assumed_by.is_none());
    let by = format!("{{ {role}, {pair}, sts_endpoint = \"http://127.0.0.1:1\" }}");
    let by = parsed(&by).unwrap();
    assert!(matches!(&*by, Credentials::Role(role) if role.assumed_by.is_some()));
    for (own, expected) in [
        ("external_id = \"x\"".to_owned(), "role_arn: missing"),
        (
            "access_key_id = \"A\"".to_owned(),
            "secret_access_key: missing",
        ),
        (
            format!("{role}, session_token = \"t\""),
            "access_key_id: missing",
        ),
        ("role_arn = \"r\"".to_owned(), "role_arn: must be"),
        (
            format!("{role}, session_name = \"a b\""),
            "session_name: must be",
        ),
        (
            format!("{role}, sts_endpoint = \"sts\""),
            "sts_endpoint: must be",
        ),
        (
            format!("{role}, sts_endpoint = \"http://sts.example\""),
            "sts_endpoint: must be https",
        ),
    ] {
        let own = format!("{{ {own} }}");
        let found = problems(&with(&own), &[]);
        let wanted = format!("upstream.credentials.{expected}");
        let is_found = found.iter().any(|problem| problem.contains(&wanted));
        assert!(is_found, "{wanted}: {found:?}");
    }
}

#[test]
fn aws_kms_providers_are_checked() {
    let parsed = |extra: &str| {
        let text =
            format!("[{{ kind = \"aws-kms\", name = \"kms\", keys = [\"alias/k\"], {extra} }}]");
        let variables = [("S3SEAL_KEYS__PROVIDERS", text)];
        let variables = variables.each_ref().map(|(name, text)| (*name, &**text));
        parse(INTERFACE, &variables).map(|mut config| config.keys.providers.remove(0))
    };
    let pair = "{ access_key_id = \"A\", secret_access_key = \"hunter2\" }";
    for extra in [
        "region = \"eu-central-1\"".to_owned(),
        "region = \"r\", credentials = \"default-chain\"".to_owned(),
        format!("region = \"r\", endpoint = \"http://127.0.0.1:1\", credentials = {pair}"),
    ] {
        let provider = parsed(&extra).unwrap();
        assert!(matches!(provider, Provider::AwsKms(_)), "{provider:?}");
        assert!(!format!("{provider:?}").contains("hunter2"), "{provider:?}");
    }
    for (extra, expected) in [
        ("region = \"\"", "region: must be"),
        ("region = \"a.b/c\"", "region: must be"),
        ("region = \"r\", endpoint = \"kms\"", "endpoint: must be"),
        (
            "region = \"r\", credentials = \"instance\"",
            "credentials: ",
        ),
        (
            "region = \"r\", credentials = { access_key_id = \"A\", secret_access_key = { env = \"ABSENT\" } }",
            "credentials.secret_access_key: the environment",
        ),
    ] {
        let found = parsed(extra).unwrap_err().to_string();
        assert!(
            found.contains(&format!("keys.providers[0].{expected}")),
            "{found}"
        );
    }
    let text = "[{ kind = \"aws-kms\", name = \"kms\", region = \"r\", keys = [\"\"] }]";
    let found = problems(INTERFACE, &[("S3SEAL_KEYS__PROVIDERS", text)]);
    let is_named = |problem: &String| problem.contains("keys[0]: must not be empty");
    assert!(found.iter().any(is_named), "{found:?}");
}

#[test]
fn key_ids_are_unique_over_all_providers() {
    let text = "[{ kind = \"aws-kms\", name = \"a\", region = \"r\", keys = [\"k\"] }, \
                { kind = \"aws-kms\", name = \"b\", region = \"r\", keys = [\"j\", \"k\"] }]";
    let found = problems(INTERFACE, &[("S3SEAL_KEYS__PROVIDERS", text)]);
    assert!(
        found.iter().any(|problem| problem
            .ends_with("keys.providers[1].keys[1]: keys.providers[0].keys[0] serves the same key")),
        "{found:?}"
    );
}

#[test]
fn the_first_matching_rule_wins() {
    let rules = r#"[
        { buckets = ["logs-*"], prefix = "raw/", encryption = "off" },
        { buckets = ["logs-*", "old?"], encryption = "managed", logical_bucket = "prod" },
        { buckets = ["secret"], encryption = "deny" },
    ]"#;
    let config = parse(INTERFACE, &[("S3SEAL_RULES", rules)]).unwrap();
    let find = |bucket, key| config.rules.find(bucket, key).map(|rule| rule.encryption);
    assert_eq!(find("logs-1", Some("raw/x")), Some(Encryption::Off));
    assert_eq!(find("logs-1", Some("raw")), Some(Encryption::Managed));
    assert_eq!(find("logs-1", None), Some(Encryption::Managed));
    assert_eq!(find("old1", Some("raw/x")), Some(Encryption::Managed));
    assert_eq!(find("secret", None), Some(Encryption::Deny));
    assert_eq!(find("other", Some("x")), None);
    let managed = config.rules.find("old1", None).unwrap();
    assert_eq!(managed.logical_bucket("old1"), "prod");
    assert_eq!(managed.accept_keys, ["default", "managed"]);
    let off = config.rules.find("logs-1", Some("raw/")).unwrap();
    assert!(off.allow.is_empty() && off.logical_bucket("logs-1") == "logs-1");
}

/// A bare upload id does not say whether its upload is sealed.
#[test]
fn nothing_is_encrypted_on_request_where_everything_else_is_not() {
    let rules = r#"[{ buckets = ["*"], encryption = "off", allow = ["named-key"] }]"#;
    let found = problems(INTERFACE, &[("S3SEAL_RULES", rules)]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("rules[0].allow: must be empty"),
        "{found:?}"
    );
    let rules = r#"[{ buckets = ["*"], encryption = "off", allow = [] }]"#;
    assert!(parse(INTERFACE, &[("S3SEAL_RULES", rules)]).is_ok());
}

#[test]
fn rules_that_do_not_do_what_they_seem_to_are_warned_about() {
    let rules = r#"[
        { buckets = ["*"], encryption = "named-key", accept_keys = ["old"] },
        { buckets = ["a"], encryption = "off" },
    ]"#;
    let config = parse(INTERFACE, &[("S3SEAL_RULES", rules)]).unwrap();
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
}

#[test]
fn traces_need_an_endpoint_and_what_goes_there_is_checked() {
    let traces = |lines: &str| format!("{INTERFACE}\n[traces]\n{lines}\n");
    let off = parse(&traces("sample_ratio = 1\ntrust_parent = true"), &[]);
    assert!(off.unwrap().traces.is_none());
    let headers = "headers = [{ name = \"authorization\", value = \"collector-token\" }]";
    let on = traces(&format!("endpoint = \"https://otel.example\"\n{headers}"));
    let config = parse(&on, &[("S3SEAL_TRACES__SAMPLE_RATIO", "0.25")]).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert!(!format!("{config:?}").contains("collector-token"));
    let found = config.traces.unwrap();
    assert_eq!(found.url.to_string(), "https://otel.example/v1/traces");
    assert!((found.sample_ratio - 0.25).abs() < f64::EPSILON && !found.trusts_parent);
    assert_eq!(found.service_name, "s3seal");
    assert_eq!(found.headers[0].0, "authorization");
    let plain = traces(&format!("endpoint = \"http://otel.example\"\n{headers}"));
    assert_eq!(parse(&plain, &[]).unwrap().warnings.len(), 1);
    for (lines, problem) in [
        (
            "endpoint = \"otel.example\"",
            "traces.endpoint: must be http:// or https://",
        ),
        (headers, "traces.headers: needs traces.endpoint"),
        (
            "tls = { ca = \"ca.pem\" }",
            "traces.tls: needs traces.endpoint",
        ),
        (
            "endpoint = \"http://[::1]\"\ntls = { ca = \"ca.pem\" }",
            "traces.tls: has no use",
        ),
        (
            "sample_ratio = 1.5",
            "traces.sample_ratio: must be between 0 and 1",
        ),
        (
            "sample_ratio = nan",
            "traces.sample_ratio: must be between 0 and 1",
        ),
        ("service_name = \"\"", "traces.service_name: must have"),
        (
            "sample_rate = 1",
            "traces.sample_rate: unknown key; did you mean \"sample_ratio\"?",
        ),
        (
            "endpoint = \"http://[::1]\"\nheaders = [{ name = \"Host\", value = \"x\" }]",
            "traces.headers[0].name: must be the name",
        ),
        (
            "endpoint = \"http://[::1]\"\nheaders = [{ name = \"a\", value = \"b\\nc\" }]",
            "traces.headers[0].value: must be the value",
        ),
        (
            "endpoint = \"http://[::1]\"\nheaders = [{ name = \"a\", value = { file = \"none\" } }]",
            "traces.headers[0].value: /etc/s3seal/none",
        ),
    ] {
        let found = problems(&traces(lines), &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(problem), "{lines}: {found:?}");
    }
}
