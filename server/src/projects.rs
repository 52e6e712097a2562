//! Projects and their keys: the one that there is where nobody set up any, and DSNs.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use crate::settings::Project;

/// The file in a store's folder that keeps the key that was made up.
const KEY_FILE: &str = "ingest-key";

/// Project 1, with a key that was made up when it was asked for first; kept in `folder`, so that DSNs stay right.
pub fn generated(folder: &Path) -> io::Result<Project> {
    let path = folder.join(KEY_FILE);
    let key = match fs::read_to_string(&path) {
        Ok(text) if is_key(text.trim()) => text.trim().to_owned(),
        Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "the file does not hold a key")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = uuid::Uuid::new_v4().simple().to_string();
            keep(&key, folder)?;
            key
        }
        Err(error) => return Err(error),
    };
    Ok(Project { id: 1, key, name: "default".to_owned(), items_per_minute: None })
}

/// Whole or not at all: after a crash, or on a full disk, half a key would be in the way of every later start.
fn keep(key: &str, folder: &Path) -> io::Result<()> {
    let new = folder.join(format!("{KEY_FILE}.new"));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(format!("{key}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, folder.join(KEY_FILE))?;
    File::open(folder)?.sync_all()
}

/// 32 hexadecimal digits.
pub fn is_key(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What SDKs are given to send to a server at `address`.
pub fn dsn(project: &Project, address: SocketAddr) -> String {
    format!("http://{}@{address}/{}", project.key, project.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the key stays, is readable by its owner only, and that a broken file is said; that what a crash left half
    /// written is in nobody's way.
    #[test]
    fn made_up_once() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ingest-key.new"), "").unwrap();
        let project = generated(folder.path()).unwrap();
        assert_eq!(generated(folder.path()).unwrap(), project);
        assert_eq!(fs::metadata(folder.path().join(KEY_FILE)).unwrap().mode() & 0o777, 0o600);
        assert!(dsn(&project, ([127, 0, 0, 1], 8000).into()).ends_with("@127.0.0.1:8000/1"));
        fs::write(folder.path().join(KEY_FILE), "x").unwrap();
        assert!(generated(folder.path()).is_err());
    }
}
