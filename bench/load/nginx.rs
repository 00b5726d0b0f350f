//! nginx as the yardstick: a plain pass-through with 64 KiB buffers, one process.

use std::{fs, net::SocketAddr, path::Path};

use crate::{
    error::LoadError,
    service::{Launch, PROXY_CORE, Service, free_address},
};

/// Starts nginx in front of `origin`, with its files in `directory`.
pub(crate) fn start(origin: SocketAddr, directory: &Path) -> Result<Service, LoadError> {
    let directory = directory.join("nginx");
    fs::create_dir_all(&directory).map_err(LoadError::io("creating nginx's folder"))?;
    let address = free_address()?;
    let text = TEMPLATE
        .replace("@DIR@", &directory.display().to_string())
        .replace("@ORIGIN@", &origin.to_string())
        .replace("@LISTEN@", &address.to_string());
    let file = directory.join("nginx.conf");
    fs::write(&file, text).map_err(LoadError::io("writing nginx's configuration"))?;
    let file = file.display().to_string();
    let prefix = directory.display().to_string();
    let launch = Launch {
        name: "nginx",
        program: Path::new("nginx"),
        arguments: &["-p", &prefix, "-c", &file],
        core: PROXY_CORE,
        directory: &directory,
    };
    Service::start(launch, address)
}

const TEMPLATE: &str = include_str!("nginx-64k.conf");
