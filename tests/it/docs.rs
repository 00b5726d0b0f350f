//! The example configuration is one: it loads, and so does every key it only mentions. The manual's
//! table of attacks names the tests that carry them out.

use std::collections::BTreeSet;
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
    let uncommented = without_commented_tables();
    let mentioned: Vec<&str> = uncommented
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

/// `#key = value`.
fn is_mentioned_key(line: &str) -> bool {
    let Some(setting) = line.strip_prefix('#') else {
        return false;
    };
    let Some((key, _)) = setting.split_once(" = ") else {
        return false;
    };
    key.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// The example without the tables that are commented out as a whole.
fn without_commented_tables() -> String {
    let paragraphs = EXAMPLE.split("\n\n");
    let kept: Vec<_> = paragraphs.filter(|text| !text.contains("\n#[[")).collect();
    kept.join("\n\n")
}

const THREAT_MODEL: &str = include_str!("../../src/manual/threat_model.md");

#[test]
fn the_attacks_of_the_manual_are_tests_and_all_of_them() {
    let (_, table) = THREAT_MODEL.split_once("\n## Attacks, and").unwrap();
    let table = table.split("\n## ").next().unwrap();
    let cells = table.lines().filter(|line| line.starts_with("| "));
    let cells = cells.skip(1).map(|line| line.split(" | ").nth(2).unwrap());
    let named: BTreeSet<&str> = cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    for name in &named {
        let (module, test) = name.rsplit_once("::").unwrap();
        let file = tests.join(module.replace("::", "/")).with_extension("rs");
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains(&format!("async fn {test}()")), "no {name}");
    }
    for entry in std::fs::read_dir(tests.join("attacks")).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for test in text.split("#[tokio::test]\nasync fn ").skip(1) {
            let name = format!("attacks::{module}::{}", test.split('(').next().unwrap());
            assert!(named.contains(&*name), "the manual has no {name}");
        }
    }
}
