//! The folder of the profiles: one `NAME.json` each.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::profile::{Profile, ProfileError, Profiles};

/// Why the folder, or a profile in it, cannot be used: the operator's to repair.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TemplatesError {
    /// There is no profile.
    #[error("{}: holds no NAME.json", .path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// A name that no pod could ask for.
    #[error(
        "{}: a profile's name has 1 to {MAX_NAME} letters, digits, dots, dashes and underscores, \
         and is not \"true\" or \"false\"",
        .path.display()
    )]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// A file that is no profile.
    #[error("{}: {source}", .path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ProfileError,
    },
    /// A file or the folder cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file beyond the limit.
    #[error("{}: larger than {} MiB", .path.display(), MAX_FILE >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Files beyond the limit.
    #[error("{}: holds more than {MAX_FILES} profiles", .path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
}

/// Reads every profile. Names that begin with a dot, and all that do not end in `.json`, are passed
/// over. Links are followed: Kubernetes mounts a `ConfigMap` as links into a folder `..data`.
pub fn read(folder: &Path) -> Result<Profiles, TemplatesError> {
    let at_folder = |source| TemplatesError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut profiles = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(at_folder)? {
        let name = entry.map_err(at_folder)?.file_name();
        let path = folder.join(&name);
        let name = name.to_string_lossy();
        let Some(name) = name
            .strip_suffix(".json")
            .filter(|_| !name.starts_with('.'))
        else {
            continue;
        };
        if !is_name(name) {
            return Err(TemplatesError::Name { path });
        }
        if profiles.len() == MAX_FILES {
            let path = folder.to_owned();
            return Err(TemplatesError::TooMany { path });
        }
        profiles.insert(name.to_owned(), read_profile(&path)?);
    }
    if profiles.is_empty() {
        let path = folder.to_owned();
        return Err(TemplatesError::Empty { path });
    }
    Ok(Profiles::new(profiles))
}

fn read_profile(path: &Path) -> Result<Profile, TemplatesError> {
    let text = read_bounded(path).map_err(|source| TemplatesError::Read {
        path: path.to_owned(),
        source,
    })?;
    let text = text.ok_or_else(|| TemplatesError::TooLarge {
        path: path.to_owned(),
    })?;
    Profile::parse(&text).map_err(|source| TemplatesError::Profile {
        path: path.to_owned(),
        source,
    })
}

/// The content of a file; `None` if it is larger than the limit.
fn read_bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    // Opening a pipe would wait for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    let mut text = Vec::new();
    File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut text)?;
    Ok((text.len() as u64 <= MAX_FILE).then_some(text))
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(is_allowed)
        // What an annotation says for yes and no.
        && !["true", "false"].contains(&name)
}

/// In bytes: what Kubernetes keeps in a `ConfigMap`.
const MAX_FILE: u64 = 1 << 20;
/// More than anybody can tell apart; all of them are read every few seconds.
const MAX_FILES: usize = 100;
/// A label of DNS.
const MAX_NAME: usize = 63;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    const PROFILE: &str = r#"{"initContainers":[{"name":"s3seal"}]}"#;

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = TempDir::new().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn refusal(folder: &TempDir) -> String {
        let error = read(folder.path()).err().unwrap().to_string();
        error.replace(&folder.path().display().to_string(), "DIR")
    }

    #[test]
    fn a_mounted_config_map_is_read_through_its_links() {
        let folder = folder(&[("README", "none"), (".draft.json", "none")]);
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("..2026_1")).unwrap();
        fs::write(at("..2026_1/default.json"), PROFILE).unwrap();
        fs::write(at("..2026_1/team-b.json"), PROFILE).unwrap();
        symlink("..2026_1", at("..data")).unwrap();
        symlink("..data/default.json", at("default.json")).unwrap();
        symlink("..data/team-b.json", at("team-b.json")).unwrap();
        assert_eq!(read(folder.path()).ok().unwrap().names(), "default, team-b");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        assert_eq!(
            refusal(&folder(&[("a.yaml", PROFILE)])),
            "DIR: holds no NAME.json"
        );
        let torn = folder(&[("a.json", PROFILE), ("b.json", "{")]);
        assert!(refusal(&torn).starts_with("DIR/b.json: not JSON: "));
        for name in ["true.json", "a b.json", &format!("{}.json", "a".repeat(64))] {
            let said = refusal(&folder(&[(name, PROFILE)]));
            assert!(said.contains("a profile's name has"), "{said}");
        }
        let none = folder(&[]);
        symlink("nowhere", none.path().join("a.json")).unwrap();
        assert!(refusal(&none).starts_with("DIR/a.json: No such file"));
        let deep = folder(&[]);
        fs::create_dir(deep.path().join("a.json")).unwrap();
        assert_eq!(refusal(&deep), "DIR/a.json: not a file");
    }

    #[test]
    fn sizes_are_limited() {
        let padded = |len: usize| format!("{PROFILE}{}", " ".repeat(len - PROFILE.len()));
        let fits = folder(&[("a.json", &padded(1 << 20))]);
        assert!(read(fits.path()).is_ok());
        let large = folder(&[("a.json", &padded((1 << 20) + 1))]);
        assert_eq!(refusal(&large), "DIR/a.json: larger than 1 MiB");
        let names: Vec<_> = (0..101).map(|number| format!("{number}.json")).collect();
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), PROFILE)).collect();
        assert!(read(folder(&files[1..]).path()).is_ok());
        assert_eq!(
            refusal(&folder(&files)),
            "DIR: holds more than 100 profiles"
        );
    }
}
