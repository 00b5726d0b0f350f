//! Keyrings under a passphrase: what the commands ask, refuse and leave behind.

use std::fs;

use super::*;

const PASSPHRASE: &str = "correct horse battery";
const ANOTHER: &str = "staple of a new horse";

impl Desk {
    /// A file with a passphrase, and the options that name it.
    fn passphrase(&self, option: &str, passphrase: &str) -> String {
        let path = self.folder.path().join(option);
        fs::write(&path, format!("{passphrase}\n")).unwrap();
        format!(" --{option} {}", path.to_str().unwrap())
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }
}

fn refusal(error: &KeyCommandError) -> String {
    crate::app::with_causes(error)
}

#[test]
fn a_sealed_keyring_lives_as_another_with_its_passphrase() {
    let desk = Desk::new();
    let with = desk.passphrase("passphrase-file", PASSPHRASE);
    desk.run(&format!("create default --seal{with}")).unwrap();
    desk.run(&format!("rotate default{with}")).unwrap();
    desk.run(&format!("create managed{with}")).unwrap();
    desk.run(&format!("create third --seal{with}")).unwrap();
    desk.run(&format!("destroy default --version 1 --yes{with}"))
        .unwrap();
    let list = desk.json(&format!("list{with}"));
    assert_eq!(list["sealed"], true);
    assert_eq!(list["keys"].as_array().unwrap().len(), 3);
    assert_eq!(states(&list["keys"][0]), ["destroyed", "enabled"]);
    let typed = desk.run_asking("list", b"", true, &[PASSPHRASE]).unwrap();
    assert!(typed.ends_with("sealed by a passphrase.\n"), "{typed}");
}

#[test]
fn without_the_passphrase_nothing_is_shown_or_changed() {
    let desk = Desk::new();
    let with = desk.passphrase("passphrase-file", PASSPHRASE);
    desk.run(&format!("create default --seal{with}")).unwrap();
    let before = desk.text("keyring.json");
    let wrong = desk.passphrase("passphrase-file", "correct horse bakery");
    for words in [
        "list",
        "describe default",
        "rotate default",
        "create b",
        "unseal",
    ] {
        let error = desk.run(&format!("{words}{wrong}")).unwrap_err();
        assert!(refusal(&error).ends_with("the passphrase is wrong, or the seal was changed"));
        let error = desk.run(words).unwrap_err();
        assert!(refusal(&error).ends_with("it is sealed, and no passphrase is given"));
        assert_eq!(error.exit_code(), 64);
    }
    assert_eq!(desk.text("keyring.json"), before);
    assert!(!desk.folder.path().join("keyring.json.previous").exists());
}

#[test]
fn sealing_leaves_nothing_in_clear_and_unsealing_gives_the_same_keys_back() {
    let desk = Desk::new();
    desk.run("create default").unwrap();
    desk.run("rotate default").unwrap();
    let clear: serde_json::Value = serde_json::from_str(&desk.text("keyring.json")).unwrap();
    let versions = clear["keys"][0]["versions"].as_array().unwrap();
    let materials: Vec<_> = versions
        .iter()
        .map(|version| version["material"].as_str().unwrap())
        .collect();

    let with = desk.passphrase("passphrase-file", PASSPHRASE);
    assert!(desk.run("seal").is_err(), "nobody to ask");
    desk.run(&format!("seal{with}")).unwrap();
    for name in ["keyring.json", "keyring.json.previous"] {
        for material in &materials {
            assert!(!desk.text(name).contains(material), "{name}");
        }
    }
    desk.run(&format!("unseal{with}")).unwrap();
    let again: serde_json::Value = serde_json::from_str(&desk.text("keyring.json")).unwrap();
    assert_eq!(again, clear);
    assert_eq!(desk.run("unseal").unwrap_err().exit_code(), 64);
}

#[test]
fn changing_the_passphrase_takes_the_old_one_and_makes_it_useless() {
    let desk = Desk::new();
    let old = desk.passphrase("passphrase-file", PASSPHRASE);
    let new = desk.passphrase("new-passphrase-file", ANOTHER);
    desk.run(&format!("create default --seal{old}")).unwrap();
    assert_eq!(desk.code(&format!("seal{old}")), 64, "no new one");
    let unknown = format!("seal{new}");
    assert_eq!(desk.code(&unknown), 64, "no old one");
    desk.run(&format!("seal{old}{new}")).unwrap();
    assert_eq!(desk.code(&format!("list{old}")), 64);
    assert_eq!(
        desk.text("keyring.json"),
        desk.text("keyring.json.previous")
    );
    let typed = [ANOTHER, PASSPHRASE, PASSPHRASE];
    desk.run_asking("seal", b"", true, &typed).unwrap();
    desk.run(&format!("list{old}")).unwrap();
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let desk = Desk::new();
    let with = desk.passphrase("passphrase-file", PASSPHRASE);
    let new = desk.passphrase("new-passphrase-file", ANOTHER);
    assert_eq!(desk.code(&format!("create default{with}")), 64, "no --seal");
    assert_eq!(desk.code("create default --seal"), 64, "no passphrase");
    for typed in [
        &[PASSPHRASE, ANOTHER][..],
        &[PASSPHRASE],
        &["short", "short"],
    ] {
        let asked = desk.run_asking("create default --seal", b"", true, typed);
        assert!(asked.is_err(), "{typed:?}");
    }
    assert!(!desk.keyring().exists());
    desk.run("create default").unwrap();
    let before = desk.text("keyring.json");
    for words in [
        format!("list{with}"),
        format!("rotate default{with}"),
        format!("create b --seal{with}"),
        format!("seal{with}{new}"),
        format!("unseal{with}"),
    ] {
        assert_eq!(desk.code(&words), 64, "{words}");
    }
    assert_eq!(desk.text("keyring.json"), before);
}
