//! How keys are shown: tables for people, JSON for scripts, never material.

use std::io::{self, Write};

use data_encoding::HEXLOWER;
use serde::Serialize;

use crate::keys::local::{Key, Keyring, Origin, State, Version};

/// All keys of a keyring, one a line.
pub(super) fn list(keyring: &Keyring, json: bool, output: &mut dyn Write) -> io::Result<()> {
    if json {
        let keys = keyring.keys().iter().map(KeyView::of).collect();
        let sealed = keyring.is_sealed();
        return print_json(&ListView { sealed, keys }, output);
    }
    let rows = keyring.keys().iter().map(|key| {
        let active = key
            .active()
            .map_or_else(|| "-".to_owned(), |version| version.to_string());
        let state = key.state().name().to_owned();
        let versions = key.versions().len().to_string();
        [
            key.id().to_owned(),
            state,
            active,
            versions,
            key.aliases().join(","),
        ]
    });
    let head = ["ID", "STATE", "ACTIVE", "VERSIONS", "ALIASES"];
    print_table(head, &rows.collect::<Vec<_>>(), output)?;
    if keyring.is_sealed() {
        writeln!(output, "\nThe material is sealed by a passphrase.")?;
    }
    Ok(())
}

/// One key with its versions.
pub(super) fn key(key: &Key, json: bool, output: &mut dyn Write) -> io::Result<()> {
    if json {
        return print_json(&KeyView::of(key), output);
    }
    writeln!(output, "id           {}", key.id())?;
    writeln!(output, "aliases      {}", key.aliases().join(","))?;
    writeln!(output, "description  {}", key.description().escape_debug())?;
    writeln!(output, "created      {}", key.created())?;
    writeln!(output, "state        {}", key.state().name())?;
    writeln!(output)?;
    let rows = key.versions().iter().map(|version| {
        let active = key.active() == Some(version.number());
        let check = version.check().map(|check| HEXLOWER.encode(&check));
        [
            version.number().to_string(),
            version.state().name().to_owned(),
            if active { "active" } else { "" }.to_owned(),
            version.created().to_owned(),
            check.unwrap_or_default(),
        ]
    });
    let head = ["VERSION", "STATE", "", "CREATED", "CHECK"];
    print_table(head, &rows.collect::<Vec<_>>(), output)
}

#[derive(Serialize)]
struct ListView<'a> {
    sealed: bool,
    keys: Vec<KeyView<'a>>,
}

/// A key as `--json` shows it: the keyring's own fields without the material.
#[derive(Serialize)]
struct KeyView<'a> {
    id: &'a str,
    aliases: &'a [String],
    description: &'a str,
    created: &'a str,
    state: State,
    active: Option<u32>,
    versions: Vec<VersionView<'a>>,
}

#[derive(Serialize)]
struct VersionView<'a> {
    version: u32,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<String>,
    created: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
}

impl<'a> KeyView<'a> {
    fn of(key: &'a Key) -> Self {
        Self {
            id: key.id(),
            aliases: key.aliases(),
            description: key.description(),
            created: key.created(),
            state: key.state(),
            active: key.active(),
            versions: key.versions().iter().map(VersionView::of).collect(),
        }
    }
}

impl<'a> VersionView<'a> {
    fn of(version: &'a Version) -> Self {
        Self {
            version: version.number(),
            state: version.state(),
            check: version.check().map(|check| HEXLOWER.encode(&check)),
            created: version.created(),
            origin: version.origin(),
        }
    }
}

fn print_json(value: &impl Serialize, output: &mut dyn Write) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    writeln!(output, "{text}")
}

fn print_table<const N: usize>(
    head: [&str; N],
    rows: &[[String; N]],
    output: &mut dyn Write,
) -> io::Result<()> {
    let mut widths = head.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let head = head.map(str::to_owned);
    for row in std::iter::once(&head).chain(rows) {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        writeln!(output, "{}", line.trim_end())?;
    }
    Ok(())
}
