//! The local cloud's access key, generated on first start.
//!
//! It lies where the key of any other store would: one directory per secret,
//! one file per key, so that a worker reads it as it reads a mounted Secret.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// The region of the local cloud. Requests signed for any other region are
/// accepted too, since a pipeline keeps the region that its file names.
pub const REGION: &str = "us-east-1";

/// Name of the secret, under `<data>/secrets/`.
pub const SECRET_NAME: &str = "stockpipe-local";

const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";

/// An access key of the local cloud. `Debug` never shows the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
}

/// Why the access key could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file or directory could not be read or written.
    #[error("cannot use the access key in {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A key file has no content.
    #[error("{} is empty: remove it, and a new access key is made", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl Credentials {
    /// Reads the access key from `<data>/secrets/stockpipe-local/`, or makes
    /// one (files of mode 0600, each written whole before it has its name).
    ///
    /// # Errors
    /// When a file cannot be read or written, or is empty.
    pub fn load_or_generate(data_dir: &Path) -> Result<Self, CredentialsError> {
        let dir = data_dir.join("secrets").join(SECRET_NAME);
        let id = dir.join(ACCESS_KEY_ID);
        let secret = dir.join(SECRET_ACCESS_KEY);
        if let (Some(access_key_id), Some(secret_access_key)) = (read(&id)?, read(&secret)?) {
            return Ok(Self {
                access_key_id,
                secret_access_key,
            });
        }
        // Half a key is of no use to anyone: both halves are made anew.
        let made = Self::generate();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|source| CredentialsError::Io {
                path: dir.clone(),
                source,
            })?;
        write(&secret, &made.secret_access_key)?;
        write(&id, &made.access_key_id)?;
        Ok(made)
    }

    /// Makes a new access key, in the shape of AWS's: 20 and 40 characters.
    pub fn generate() -> Self {
        Self {
            access_key_id: format!(
                "SPLOCAL{}",
                random_text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 13)
            ),
            secret_access_key: random_text(
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
                40,
            ),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// `length` characters of `alphabet`, whose length divides 256, so that all
/// are equally likely. The bytes are the system's random ones, by way of
/// random UUIDs without the two bytes that are not all random.
fn random_text(alphabet: &[u8], length: usize) -> String {
    std::iter::repeat_with(Uuid::new_v4)
        .flat_map(|id| {
            let bytes = id.into_bytes().into_iter().enumerate();
            bytes.filter(|(at, _)| *at != 6 && *at != 8)
        })
        .map(|(_, byte)| char::from(alphabet[usize::from(byte) % alphabet.len()]))
        .take(length)
        .collect()
}

fn read(path: &Path) -> Result<Option<String>, CredentialsError> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Err(CredentialsError::Empty {
            path: path.to_owned(),
        }),
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CredentialsError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

fn write(path: &Path, text: &str) -> Result<(), CredentialsError> {
    let partial = path.with_extension("partial");
    let attempt = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    attempt().map_err(|source| CredentialsError::Io {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn first_start_makes_a_key_that_only_its_owner_can_read() {
        let data = tempfile::tempdir().unwrap();
        let made = Credentials::load_or_generate(data.path()).unwrap();
        assert_eq!(made.access_key_id.len(), 20);
        assert_eq!(made.secret_access_key.len(), 40);
        for name in [ACCESS_KEY_ID, SECRET_ACCESS_KEY] {
            let path = data.path().join("secrets").join(SECRET_NAME).join(name);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn second_start_reads_the_same_key() {
        let data = tempfile::tempdir().unwrap();
        let first = Credentials::load_or_generate(data.path()).unwrap();
        assert_eq!(first, Credentials::load_or_generate(data.path()).unwrap());
        assert_ne!(first, Credentials::generate());
    }

    #[test]
    fn key_files_may_end_in_a_newline() {
        let data = tempfile::tempdir().unwrap();
        let dir = data.path().join("secrets").join(SECRET_NAME);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(ACCESS_KEY_ID), "AKID\n").unwrap();
        fs::write(dir.join(SECRET_ACCESS_KEY), "secret\n").unwrap();
        let read = Credentials::load_or_generate(data.path()).unwrap();
        assert_eq!(read.access_key_id, "AKID");
        assert_eq!(read.secret_access_key, "secret");
    }

    #[test]
    fn unwritable_data_directory_is_named_in_one_sentence() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("not-a-directory");
        fs::write(&file, "").unwrap();
        let error = Credentials::load_or_generate(&file)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("not-a-directory/secrets/stockpipe-local"),
            "{error}"
        );
    }

    #[test]
    fn debug_hides_the_secret() {
        let made = Credentials::generate();
        let text = format!("{made:?}");
        assert!(text.contains(&made.access_key_id));
        assert!(!text.contains(&made.secret_access_key));
    }
}
