//! The layers of the house: which room may look into which, and that the pure rooms are pure.
//!
//! Reads the sources as text. Code for tests, comments and doc links are no dependencies.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

/// Every room, lowest layer first, and the rooms that it may use.
#[rustfmt::skip] // one room, one line
const ROOMS: &[(&str, &str)] = &[
    ("secret", ""),
    ("s3", "secret"),
    ("keys::types", "secret"),
    ("keys::wrap", "keys::types secret"),
    ("keys::policy", "keys::types secret"),
    ("format", "keys::types secret"),
    ("s3ec", "keys::types secret"),
    ("auth", "s3 secret"),
    // What was configured, as data; the rooms above import their own part of it.
    ("config", "keys::types s3ec secret"),
    // A leaf: it is handed in, and knows nobody. Keys report to a trait instead.
    ("telemetry", "config::log config::traces"),
    ("aws", "config::upstream secret"),
    ("keys", "aws config::keys format keys::policy keys::types keys::wrap secret"),
    ("body", "auth format s3 telemetry"),
    ("upstream", "aws body config::upstream s3 secret telemetry"),
    ("error", "auth body format keys keys::policy keys::types keys::wrap s3 s3ec upstream"),
    ("ops", "auth body config::clients config::place config::rules error format keys keys::policy keys::types \
             keys::wrap s3 s3ec secret telemetry upstream"),
    ("bulk", "body config::rules error format keys keys::policy keys::types keys::wrap s3 secret \
              telemetry upstream"),
    // Sockets, and nothing of S3: what handles a request is a trait.
    ("server", "config::listen telemetry"),
    // What pods get is decided without a socket, and knows nothing of S3.
    ("webhook::profile", ""),
    ("webhook::pod", ""),
    ("webhook::patch", "webhook::pod webhook::profile"),
    ("webhook::review", "webhook::patch webhook::pod webhook::profile"),
    ("webhook", "config::listen server telemetry webhook::profile webhook::review"),
    ("proxy", "auth body config::clients config::glob config::limits error format ops s3 secret server telemetry"),
];

/// The top of the house, which puts the rooms together.
const COMPOSITION: &[&str] = &["app", "cli", "dev", "lib", "main", "manual"];

/// No runtime, no socket, no clock, no chance: they get all of it as arguments.
const PURE: &[&str] = &[
    "secret",
    "s3",
    "format",
    "s3ec",
    "auth",
    "keys::types",
    "keys::wrap",
    "keys::policy",
    "webhook::profile",
    "webhook::pod",
    "webhook::patch",
    "webhook::review",
];

const IMPURE_NAMES: &[&str] = &[
    "tokio",
    "hyper",
    "hyper_util",
    "reqwest",
    "getrandom",
    "rand",
];
const CLOCK_CALLS: &[&str] = &["::now(", "::now_utc(", "::now_local(", ".elapsed("];

#[test]
fn rooms_only_look_down() -> io::Result<()> {
    let mut wrong = Vec::new();
    for source in sources()? {
        let room = source.room();
        if COMPOSITION.contains(&room.as_str()) {
            continue;
        }
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!(
                "{} is in no room of the table",
                source.module.join("::")
            ));
            continue;
        };
        for path in paths(&source.code, &source.module) {
            let used = room_of(&path);
            let own = used == room || room == "config" && used.starts_with("config::");
            if !own && allowed.split_whitespace().all(|room| room != used) {
                wrong.push(format!(
                    "{} uses {}",
                    source.module.join("::"),
                    path.join("::")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn pure_rooms_are_pure() -> io::Result<()> {
    let mut wrong = Vec::new();
    for source in sources()? {
        if !PURE.contains(&source.room().as_str()) {
            continue;
        }
        let names: BTreeSet<_> = source.code.split(|c: char| !is_name(c)).collect();
        let found = IMPURE_NAMES.iter().filter(|name| names.contains(*name));
        let calls = CLOCK_CALLS
            .iter()
            .filter(|call| source.code.contains(*call));
        let found: Vec<_> = found.chain(calls).copied().collect();
        if !found.is_empty() {
            wrong.push(format!(
                "{} names {}",
                source.module.join("::"),
                found.join(", ")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// A rule that sees nothing holds always: what the scanner must find.
#[test]
fn the_scanner_sees_imports() {
    let module = ["keys", "wrap"].map(str::to_owned);
    let seen = |code: &str| -> Vec<String> {
        paths(&without_tests(code), &module)
            .iter()
            .map(|path| room_of(path))
            .collect()
    };
    assert_eq!(
        seen("use crate::{s3::{query::Query, uri}, secret::Secret};"),
        ["s3", "s3", "secret"]
    );
    assert_eq!(
        seen("fn f() -> crate::ops::X { super::super::body::g() }"),
        ["ops", "body"]
    );
    assert_eq!(
        seen("use super::{cache::Cache, types::DataKey};"),
        ["keys", "keys::types"]
    );
    assert_eq!(seen("use crate::config::rules::Rule;"), ["config::rules"]);
    assert_eq!(
        seen("//! see [`crate::format`]\nlet a = 1; // crate::body"),
        [""; 0]
    );
    assert_eq!(
        seen("#[cfg(test)]\nmod tests {\n    use crate::app;\n}\nuse crate::s3;"),
        ["s3"]
    );
    assert_eq!(
        seen("#[cfg(all(test, unix))]\npub mod x;\nuse crate::s3;"),
        ["s3"]
    );
}

/// A source file without its tests and comments.
struct Source {
    module: Vec<String>,
    code: String,
}

impl Source {
    fn room(&self) -> String {
        let room = room_of(&self.module);
        let in_config = room.starts_with("config::");
        if in_config { "config".to_owned() } else { room }
    }
}

fn sources() -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &[],
        &mut sources,
    )?;
    assert!(sources.len() > 20, "the sources were not found");
    Ok(sources)
}

/// Reads the files of a folder; a module that its parent declares for tests only is left out.
fn collect(folder: &Path, module: &[String], sources: &mut Vec<Source>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else {
            continue;
        };
        if TEST_MODULES.contains(&name) {
            continue;
        }
        let child = || [module, &[name.to_owned()]].concat();
        if path.is_dir() {
            collect(&path, &child(), sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(Source {
                module: if name == "mod" {
                    module.to_vec()
                } else {
                    child()
                },
                code: without_tests(&fs::read_to_string(&path)?),
            });
        }
    }
    Ok(())
}

/// Files that only tests see; `only_tests_are_left_out` holds the list.
const TEST_MODULES: &[&str] = &["tests", "test_support", "contract"];

/// The code of a file: no comments, and no items under `#[cfg(test)]`, which end, as rustfmt
/// writes them, at a `;` or at a brace as far left as they began.
fn without_tests(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if is_test_attribute(line) {
            skip_item(&mut lines);
        } else {
            code.push_str(line.split("//").next().unwrap_or_default());
            code.push('\n');
        }
    }
    code
}

fn is_test_attribute(line: &str) -> bool {
    ["#[cfg(test)]", "#[cfg(all(test"]
        .iter()
        .any(|start| line.trim_start().starts_with(start))
}

fn skip_item<'a>(lines: &mut impl Iterator<Item = &'a str>) {
    let Some(first) = lines.find(|line| !line.trim_start().starts_with("#[")) else {
        return;
    };
    let ends_here = |line: &str| line.ends_with(';') || line.ends_with('}');
    if ends_here(first) {
        return;
    }
    let indent = first.len() - first.trim_start().len();
    let closing = format!("{}}}", " ".repeat(indent));
    lines.find(|line| line.starts_with(&closing));
}

/// Every path in the crate that the code names, from the crate's root.
fn paths(code: &str, module: &[String]) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let whole = !code
            .get(..at)
            .is_some_and(|before| before.ends_with(is_name));
        if whole {
            tree(
                code.get(at + "crate::".len()..).unwrap_or_default(),
                &[],
                &mut paths,
            );
        }
    }
    for (at, _) in code.match_indices("super::") {
        let before = code.get(..at).unwrap_or_default();
        if before.ends_with(is_name) || before.ends_with("super::") {
            continue;
        }
        let mut rest = code.get(at..).unwrap_or_default();
        let mut base = module;
        while let Some(after) = rest.strip_prefix("super::") {
            (rest, base) = (
                after,
                base.split_last().map_or(base, |(_, parents)| parents),
            );
        }
        tree(rest, base, &mut paths);
    }
    paths
}

/// Reads a use tree behind its prefix; returns what follows it.
fn tree<'a>(text: &'a str, prefix: &[String], paths: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let after = tree(rest, prefix, paths).trim_start();
            // A renamed import or a macro's pattern: on to the next comma or brace.
            let stop = after.find([',', '}']).unwrap_or(after.len());
            rest = after.get(stop..).unwrap_or_default();
            rest = rest.strip_prefix(',').unwrap_or(rest);
            if rest.is_empty() {
                return rest;
            }
        }
    }
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = [prefix, &[name.to_owned()]].concat();
    match rest.strip_prefix("::") {
        Some(after) if !name.is_empty() => tree(after, &path, paths),
        _ => {
            paths.push(path);
            rest
        }
    }
}

/// The room of a path: its first module, or two of them where the table goes deeper.
fn room_of(path: &[String]) -> String {
    let first = path.first().map_or("", String::as_str);
    let second = path.get(1).map_or("", String::as_str);
    let both = format!("{first}::{second}");
    let is_file = second.starts_with(|c: char| c.is_ascii_lowercase());
    let split = ROOMS.iter().any(|(room, _)| *room == both) || first == "config" && is_file;
    if split { both } else { first.to_owned() }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What is left out by name must be declared for tests only.
#[test]
fn only_tests_are_left_out() -> io::Result<()> {
    for source in sources()? {
        for name in TEST_MODULES {
            let declared = source.code.contains(&format!("mod {name};"));
            assert!(
                !declared,
                "{} has a module {name} that is no test",
                source.module.join("::")
            );
        }
    }
    Ok(())
}
