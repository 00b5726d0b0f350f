//! The commands as functions: what they write, print, refuse and never show.

use std::collections::VecDeque;

use clap::Parser;
use data_encoding::BASE64;
use tempfile::TempDir;

use super::*;
use crate::secret::Secret;

mod seals;

#[derive(Debug, Parser)]
#[command(name = "key")]
struct Cli {
    #[command(flatten)]
    args: KeyArgs,
}

struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn keyring(&self) -> PathBuf {
        self.folder.path().join("keyring.json")
    }

    fn run_with(
        &self,
        words: &str,
        input: &[u8],
        interactive: bool,
    ) -> Result<String, KeyCommandError> {
        self.run_asking(words, input, interactive, &[])
    }

    /// Runs `key WORDS --keyring FILE` for somebody who types these passphrases.
    fn run_asking(
        &self,
        words: &str,
        input: &[u8],
        interactive: bool,
        passphrases: &[&str],
    ) -> Result<String, KeyCommandError> {
        let mut answers: VecDeque<&str> = passphrases.iter().copied().collect();
        let keyring = self.keyring();
        let words = ["key"].into_iter().chain(words.split_whitespace());
        let cli = words.chain(["--keyring", keyring.to_str().unwrap()]);
        let mut output = Vec::new();
        let mut io = KeyIo {
            input: &mut &*input,
            output: &mut output,
            interactive,
            passphrases: Passphrases {
                variable: None,
                ask: &mut |_| {
                    Ok(answers
                        .pop_front()
                        .map(|answer| Secret::new(answer.to_owned())))
                },
            },
            now: OffsetDateTime::UNIX_EPOCH,
        };
        run(&Cli::parse_from(cli).args, &mut io)?;
        Ok(String::from_utf8(output).unwrap())
    }

    fn run(&self, words: &str) -> Result<String, KeyCommandError> {
        self.run_with(words, b"", false)
    }

    fn json(&self, words: &str) -> serde_json::Value {
        serde_json::from_str(&self.run(&format!("{words} --json")).unwrap()).unwrap()
    }

    fn code(&self, words: &str) -> u8 {
        self.run(words).unwrap_err().exit_code()
    }
}

fn states(key: &serde_json::Value) -> Vec<&str> {
    let versions = key["versions"].as_array().unwrap();
    versions
        .iter()
        .map(|version| version["state"].as_str().unwrap())
        .collect()
}

#[test]
fn the_command_line_is_well_formed() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
    for words in [
        "",
        "create --keyring f",
        "create id",
        "describe --keyring f",
        "create --keyring f id --version 1",
        "disable --keyring f id --version 0",
        "import --keyring f id",
        "list --keyring f id",
    ] {
        let words = ["key"].into_iter().chain(words.split_whitespace());
        assert!(Cli::try_parse_from(words).is_err());
    }
}

#[test]
fn a_key_lives_from_create_to_destroy() {
    let desk = Desk::new();
    let key = desk.json("create default --alias alias/app --alias b --description note");
    assert_eq!(key["id"], "default");
    assert_eq!(key["aliases"], serde_json::json!(["alias/app", "b"]));
    assert_eq!(key["created"], "1970-01-01T00:00:00Z");
    assert_eq!((&key["active"], states(&key)), (&1.into(), vec!["enabled"]));
    assert_eq!(key["versions"][0]["origin"], "generated");

    let key = desk.json("rotate alias/app");
    assert_eq!(
        (&key["active"], states(&key)),
        (&2.into(), vec!["decrypt-only", "enabled"])
    );
    let key = desk.json("disable default");
    assert_eq!(
        (&key["active"], states(&key)),
        (&serde_json::Value::Null, vec!["disabled"; 2])
    );
    let key = desk.json("enable default");
    assert_eq!(
        (&key["active"], states(&key)),
        (&2.into(), vec!["decrypt-only", "enabled"])
    );
    assert_eq!(
        states(&desk.json("retire default --version 1")),
        ["retired", "enabled"]
    );
    assert_eq!(desk.code("enable default --version 1"), 1);
    let key = desk.json("enable default --version 1 --force");
    assert_eq!(states(&key), ["decrypt-only", "enabled"]);
    let key = desk.json("destroy default --version 1 --yes");
    assert_eq!(states(&key), ["destroyed", "enabled"]);
    assert_eq!(key["versions"][0].get("check"), None);
    assert_eq!(desk.json("destroy default --yes")["state"], "destroyed");
    assert_eq!(desk.json("list")["keys"][0], desk.json("describe b"));
}

#[test]
fn tables_show_states_and_the_active_version() {
    let desk = Desk::new();
    desk.run("create default --alias alias/app").unwrap();
    desk.run("create managed").unwrap();
    desk.run("disable managed").unwrap();
    let list = "ID       STATE     ACTIVE  VERSIONS  ALIASES\n\
                default  enabled   1       1         alias/app\n\
                managed  disabled  -       1\n";
    assert_eq!(desk.run("list").unwrap(), list);
    let shown = desk.run("rotate default").unwrap();
    assert!(
        shown.starts_with("id           default\naliases      alias/app\n"),
        "{shown}"
    );
    assert!(
        shown.contains("\n2        enabled       active  1970-01-01T00:00:00Z  "),
        "{shown}"
    );
}

#[test]
fn imported_material_is_raw_or_base64_from_a_file_or_standard_input() {
    let raw: [u8; 32] = *b" !\"#$%&'()*+,-./0123456789:;<=>?";
    let text = format!("  {}\n", BASE64.encode(&raw));
    let desk = Desk::new();
    let file = desk.folder.path().join("material");
    std::fs::write(&file, raw).unwrap();
    desk.run(&format!(
        "import a --version 3 --material {}",
        file.display()
    ))
    .unwrap();
    desk.run_with("import b --material -", text.as_bytes(), false)
        .unwrap();
    desk.run_with("import b --material -", &raw, false).unwrap();
    let list = desk.json("list");
    let (a, b) = (&list["keys"][0], &list["keys"][1]);
    assert_eq!((&a["active"], &b["active"]), (&3.into(), &2.into()));
    assert_eq!(a["versions"][0]["origin"], "imported");
    for version in b["versions"].as_array().unwrap() {
        assert_eq!(version["check"], a["versions"][0]["check"]);
    }

    let hex = data_encoding::HEXLOWER.encode(&raw);
    let long = "A".repeat(300);
    for bad in [
        &raw[..31],
        b"",
        &[0; 32],
        hex.as_bytes(),
        long.as_bytes(),
        b"AAAA",
        &[raw.as_slice(), b"\n"].concat(),
    ] {
        let refused = desk
            .run_with("import c --material -", bad, false)
            .unwrap_err();
        assert_eq!(refused.exit_code(), 64, "{refused}");
    }
    assert_eq!(desk.code("import c --material /nonexistent/material"), 1);
    assert_eq!(desk.json("list")["keys"].as_array().unwrap().len(), 2);
}

#[test]
fn no_output_shows_material() {
    let raw: [u8; 32] = *b" !\"#$%&'()*+,-./0123456789:;<=>?";
    let desk = Desk::new();
    let mut shown = String::new();
    for json in ["", " --json"] {
        let import = format!("import k{json} --material -");
        shown += &desk.run_with(&import, &raw, false).unwrap();
        for words in ["list", "describe k", "rotate k", "disable k", "enable k"] {
            shown += &desk.run(&format!("{words}{json}")).unwrap();
        }
    }
    for form in crate::keys::test_support::shown_forms(&raw) {
        assert!(
            !shown
                .as_bytes()
                .windows(form.len())
                .any(|window| window == form)
        );
    }
    assert!(!shown.contains("material"));
}

#[test]
fn destroying_asks_on_a_terminal_only_and_wants_the_id() {
    let desk = Desk::new();
    desk.run("create default").unwrap();
    desk.run("rotate default").unwrap();
    for answer in ["", "\n", "y\n", "yes\n", "Default\n", "default2\n"] {
        let words = "destroy default --version 1";
        let refused = desk.run_with(words, answer.as_bytes(), true).unwrap_err();
        assert_eq!(
            (refused.to_string().as_str(), refused.exit_code()),
            ("nothing was destroyed", 1)
        );
    }
    assert_eq!(
        states(&desk.json("describe default")),
        ["decrypt-only", "enabled"]
    );
    let asked = desk
        .run_with("destroy default --version 1", b"default\n", true)
        .unwrap();
    assert!(asked.starts_with("Version 1 of key default will be erased."));
    let silent = desk.run_with("destroy default --yes", b"", true).unwrap();
    assert!(silent.starts_with("id "));
    desk.run("create scripted").unwrap();
    desk.run("destroy scripted").unwrap();
}

#[test]
fn exit_codes_tell_usage_from_failure() {
    let desk = Desk::new();
    for words in [
        "list",
        "describe default",
        "rotate default",
        "enable x",
        "disable x",
        "retire x",
        "destroy x",
    ] {
        assert_eq!(desk.code(words), 64, "no keyring: {words}");
    }
    desk.run("create default").unwrap();
    assert_eq!(desk.code("create default"), 64);
    assert_eq!(desk.code("create a,b"), 64);
    assert_eq!(desk.code("describe x"), 1);
    assert_eq!(desk.code("rotate x"), 1);
    assert_eq!(desk.code("disable default --version 1"), 1);
    assert_eq!(desk.code("disable default --version 9"), 1);
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(desk.keyring(), permissions).unwrap();
    for words in ["list", "describe default", "rotate default", "create x"] {
        assert_eq!(desk.code(words), 64, "{words}");
    }
}
