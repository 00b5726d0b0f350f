//! The file under concurrent writers, crashes and reloads.

use std::fs;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn beside(path: &Path, name: &str) -> PathBuf {
    path.with_file_name(name)
}

#[test]
fn only_creating_commands_make_a_file() {
    let scratch = Scratch::new();
    let refused = update(&scratch.path, WhenMissing::Refuse, |_| Ok(()));
    assert!(matches!(
        refused,
        Err(UpdateError::File(KeyringError::Missing(_)))
    ));
    let folder = scratch.path.parent().unwrap();
    assert_eq!(
        fs::read_dir(folder).unwrap().count(),
        0,
        "not even a lock is left"
    );

    scratch.update(|keyring| keyring.create(new_key("a"), Material::generate().unwrap(), NOW));
    assert_eq!(mode(&scratch.path), 0o600);
    assert!(!beside(&scratch.path, "keyring.json.previous").exists());
}

#[test]
fn the_previous_keyring_is_kept_except_what_was_destroyed() {
    let scratch = Scratch::new();
    let previous = beside(&scratch.path, "keyring.json.previous");
    let create = || Material::generate().unwrap();
    scratch.update(|keyring| keyring.create(new_key("a"), create(), NOW));
    let first = fs::read(&scratch.path).unwrap();
    scratch.update(|keyring| keyring.rotate("a", create(), NOW));
    assert_eq!(fs::read(&previous).unwrap(), first);
    assert_eq!(mode(&previous), 0o600);
    Keyring::load(&previous).unwrap();

    let second = fs::read(&scratch.path).unwrap();
    scratch.update(|keyring| keyring.change("a", Some(2), Change::Enable { force: false }));
    assert_eq!(
        fs::read(&scratch.path).unwrap(),
        second,
        "nothing to do, nothing written"
    );
    assert_eq!(fs::read(&previous).unwrap(), first);

    scratch.update(|keyring| keyring.change("a", Some(1), Change::Destroy));
    let after = fs::read_to_string(&scratch.path).unwrap();
    assert_eq!(fs::read_to_string(&previous).unwrap(), after);
    assert_eq!(after.matches("\"material\"").count(), 1);
}

#[test]
fn a_refused_change_leaves_the_file_alone() {
    let scratch = Scratch::with(&example());
    let before = fs::read(&scratch.path).unwrap();
    let refused = update(&scratch.path, WhenMissing::Create, |keyring| {
        keyring.change("default", Some(3), Change::Destroy)
    });
    assert!(matches!(
        refused,
        Err(UpdateError::Edit(EditError::ActiveAlone(3)))
    ));
    assert_eq!(fs::read(&scratch.path).unwrap(), before);
}

#[test]
fn a_broken_file_is_never_overwritten() {
    let scratch = Scratch::new();
    write(&scratch.path, "{");
    let create =
        |keyring: &mut Keyring| keyring.create(new_key("a"), Material::generate().unwrap(), NOW);
    let refused = update(&scratch.path, WhenMissing::Create, create);
    assert!(matches!(
        refused,
        Err(UpdateError::File(KeyringError::Content { .. }))
    ));
    assert_eq!(fs::read(&scratch.path).unwrap(), b"{");
}

#[test]
fn what_a_crashed_writer_left_is_ignored_and_removed() {
    let scratch = Scratch::with(&example());
    let temporary = beside(&scratch.path, ".keyring.json.tmp");
    write(&temporary, "{\"format\":\"s3seal-keyring\",\"versi");
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644)).unwrap();

    let provider = LocalProvider::open(&scratch.path).unwrap();
    assert!(!reload(&provider));
    scratch.update(|keyring| keyring.rotate("default", Material::generate().unwrap(), NOW));
    assert!(!temporary.exists());
    assert_eq!(mode(&scratch.path), 0o600);
    assert_eq!(
        Keyring::load(&scratch.path)
            .unwrap()
            .find("default")
            .unwrap()
            .active(),
        Some(4)
    );
}

#[test]
fn writers_take_turns() {
    let scratch = Scratch::new();
    let (threads, rotations) = (8, 5);
    scratch.update(|keyring| keyring.create(new_key("shared"), Material::generate().unwrap(), NOW));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let scratch = &scratch;
            scope.spawn(move || {
                let own = new_key(&format!("own-{thread}"));
                scratch.update(|keyring| keyring.create(own, Material::generate().unwrap(), NOW));
                for _ in 0..rotations {
                    let material = Material::generate().unwrap();
                    scratch.update(|keyring| keyring.rotate("shared", material, NOW));
                    Keyring::load(&scratch.path).unwrap();
                }
            });
        }
    });
    let keyring = Keyring::load(&scratch.path).unwrap();
    assert_eq!(keyring.keys().len(), 1 + threads);
    let shared = keyring.find("shared").unwrap();
    assert_eq!(shared.versions().len(), 1 + threads * rotations);
    assert_eq!(
        shared.active(),
        shared.versions().last().map(Version::number)
    );
}

#[test]
fn a_link_to_a_keyring_stays_a_link() {
    let scratch = Scratch::with(&example());
    let link = beside(&scratch.path, "link.json");
    std::os::unix::fs::symlink(&scratch.path, &link).unwrap();
    let rotate =
        |keyring: &mut Keyring| keyring.rotate("default", Material::generate().unwrap(), NOW);
    update(&link, WhenMissing::Refuse, rotate).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(
        Keyring::load(&scratch.path)
            .unwrap()
            .find("default")
            .unwrap()
            .active(),
        Some(4)
    );
}

#[test]
fn a_change_by_root_leaves_the_file_to_its_owner() {
    use std::os::unix::fs::{MetadataExt, chown};

    let scratch = Scratch::with(&example());
    if chown(&scratch.path, Some(4711), Some(4712)).is_err() {
        return; // only root can give files away
    }
    scratch.update(|keyring| keyring.rotate("default", Material::generate().unwrap(), NOW));
    for path in [
        &scratch.path,
        &beside(&scratch.path, "keyring.json.previous"),
    ] {
        let metadata = fs::metadata(path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (4711, 4712));
    }
}

#[tokio::test]
async fn a_broken_reload_keeps_the_old_keyring_until_it_is_mended() {
    let scratch = Scratch::with(&example());
    let provider = LocalProvider::open(&scratch.path).unwrap();
    assert!(!reload(&provider));

    write(&scratch.path, "{}");
    for _ in 0..2 {
        assert!(provider.read_if_changed().is_err());
        assert_eq!(provider.describe("default").await.unwrap().version, 3);
    }
    fs::remove_file(&scratch.path).unwrap();
    assert!(provider.read_if_changed().is_err());
    assert_eq!(provider.describe("default").await.unwrap().version, 3);

    write(&scratch.path, &example().to_string());
    scratch.update(|keyring| keyring.rotate("default", Material::generate().unwrap(), NOW));
    assert!(reload(&provider));
    assert!(!reload(&provider));
    assert_eq!(provider.describe("default").await.unwrap().version, 4);
}
