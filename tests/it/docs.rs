//! The example configuration is one: it loads, and so does every key it only mentions.

use std::path::Path;

use s3seal::config::{Config, Environment};
use tempfile::TempDir;

const EXAMPLE: &str = include_str!("../../config/example.toml");

#[test]
fn the_example_configuration_loads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/example.toml");
    let config = Config::load(&path, &Environment::default()).unwrap();
    // Only what a checkout cannot help: everybody may read it.
    let unexpected = config.warnings.iter().map(ToString::to_string);
    let unexpected = unexpected.filter(|warning| !warning.contains("chmod 600"));
    assert_eq!(unexpected.collect::<Vec<_>>(), [""; 0]);
}

/// A key that is commented out because it has no default is still a key.
#[test]
fn every_key_that_the_example_mentions_exists() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("example.toml");
    let mentioned: Vec<&str> = EXAMPLE
        .lines()
        .filter(|line| is_mentioned_key(line))
        .collect();
    assert!(mentioned.len() > 5, "{mentioned:?}");
    for line in mentioned {
        let example = EXAMPLE.replace(&format!("\n{line}\n"), &format!("\n{}\n", &line[1..]));
        std::fs::write(&path, example).unwrap();
        if let Err(error) = Config::load(&path, &Environment::default()) {
            let error = error.to_string();
            // Files that are not there, and what this version lacks, are no unknown keys.
            assert!(!error.contains("unknown"), "{line}: {error}");
        }
    }
}

/// `#key = value`, outside of a table that is commented out as a whole.
fn is_mentioned_key(line: &str) -> bool {
    const OF_PROVIDERS: [&str; 11] = [
        "kind",
        "name",
        "address",
        "mount",
        "auth",
        "keys",
        "region",
        "endpoint",
        "module",
        "token_label",
        "pin",
    ];
    let Some(setting) = line.strip_prefix('#') else {
        return false;
    };
    let Some((key, _)) = setting.split_once(" = ") else {
        return false;
    };
    let is_name = key
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_name && !OF_PROVIDERS.contains(&key)
}
