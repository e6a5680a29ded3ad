//! Small files that are replaced as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Replaces `path` with `contents`: after a crash a reader finds the old file or the new
/// one, never a part of either. The file and its directory are synced before this returns.
///
/// # Errors
/// What the file system answered; the old file is then still in place.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let directory = path
        .parent()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a file needs a directory"))?;
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a file needs a name"))?;
    let staged = directory.join(format!(".{}.new", name.to_string_lossy()));
    let mut file = File::create(&staged)?;
    file.write_all(contents)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&staged, path)?;
    sync_directory(directory)
}

/// Replaces `path` with `value` as indented JSON, in the manner of [`replace`].
pub(crate) fn replace_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    replace(path, &serde_json::to_vec_pretty(value)?)
}

/// Reads the JSON in `path`; `None` where there is no such file.
///
/// # Errors
/// What the file system answered, or `InvalidData` for text that is not this JSON.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the creation, renaming and removal of files in `directory` durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_holds_the_new_contents_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.json");
        replace_json(&path, &1).unwrap();
        replace_json(&path, &2).unwrap();
        assert_eq!(read_json::<i32>(&path).unwrap(), Some(2));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_file_is_none_and_a_broken_one_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.json");
        assert_eq!(read_json::<i32>(&path).unwrap(), None);
        fs::write(&path, "{").unwrap();
        assert!(read_json::<i32>(&path).is_err());
    }
}
