//! A registry in a folder of files, one per bucket key: for a single host, or a shared volume.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::registry::{RegistryError, RegistryStore};

/// The folder; it is made when the first entry is.
#[derive(Clone, Debug)]
pub struct RegistryFolder(PathBuf);

impl RegistryFolder {
    /// The registry at this path.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let path = self.0.clone();
        let done = tokio::task::spawn_blocking(move || {
            work(&path).map_err(|error| RegistryError::Away(format!("{}: {error}", path.display())))
        });
        done.await
            .map_err(|error| RegistryError::Away(error.to_string()))?
    }
}

#[async_trait]
impl RegistryStore for RegistryFolder {
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, RegistryError> {
        let name = name.to_owned();
        self.blocking(move |folder| match fs::read(folder.join(name)) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn put(&self, name: &str, entry: Vec<u8>) -> Result<(), RegistryError> {
        let name = name.to_owned();
        self.blocking(move |folder| write(folder, &name, &entry))
            .await
    }

    async fn names(&self, folder: &str) -> Result<Vec<String>, RegistryError> {
        let folder = folder.to_owned();
        self.blocking(move |root| match fs::read_dir(root.join(folder)) {
            Ok(entries) => entries
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        })
        .await
    }
}

/// By a new file and a rename: readers see the old entry or the new one.
fn write(root: &Path, name: &str, entry: &[u8]) -> io::Result<()> {
    let path = root.join(name);
    let folder = path.parent().unwrap_or(root);
    fs::create_dir_all(folder)?;
    let (unfinished, mut file) = unfinished_in(folder)?;
    file.write_all(entry)?;
    file.sync_all()?;
    fs::rename(unfinished, &path)?;
    fs::File::open(folder)?.sync_all()
}

fn unfinished_in(folder: &Path) -> io::Result<(PathBuf, fs::File)> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(".unfinished.{}.{number}", std::process::id()));
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?;
    Ok((path, file))
}
