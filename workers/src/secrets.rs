//! Secrets are files: `<directory>/<secret>/<key>`, mounted by the kubelet or kept in a local folder.

use std::path::PathBuf;

/// Where secrets are looked for, in order.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    directories: Vec<PathBuf>,
    /// Whether Kubernetes puts them there.
    mounted: bool,
}

/// A secret value. `Debug` and `Display` never show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No directory has it.
    #[error("secret `{secret}` has no key `{key}`: {remedy}")]
    Missing {
        /// Name of the secret.
        secret: String,
        /// Key within it.
        key: String,
        /// Where the value would be.
        remedy: String,
    },
    /// It is there but cannot be read.
    #[error("secret `{secret}`, key `{key}`: cannot read {path}: {source}")]
    Unreadable {
        /// Name of the secret.
        secret: String,
        /// Key within it.
        key: String,
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Secrets {
    /// Secrets under `directories`, the first that has one wins.
    #[must_use]
    pub fn new(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            directories: directories.into_iter().collect(),
            mounted: false,
        }
    }

    /// Whether Kubernetes puts them there: then nobody can write a file, but the Secret.
    #[must_use]
    pub fn mounted(self, mounted: bool) -> Self {
        Self { mounted, ..self }
    }

    /// The value of `key` in `secret`, without a trailing newline.
    ///
    /// # Errors
    /// A sentence that names the file or the Secret that would hold it, where no directory has it.
    pub fn read(&self, secret: &str, key: &str) -> Result<Secret, SecretError> {
        self.find(secret, key)?.ok_or_else(|| SecretError::Missing {
            secret: secret.to_owned(),
            key: key.to_owned(),
            remedy: self.remedy(secret, key),
        })
    }

    fn remedy(&self, secret: &str, key: &str) -> String {
        if self.mounted {
            return format!("write it into the Secret `{secret}` of the pipeline's namespace");
        }
        let expected = self.directories.first().map_or_else(
            || format!("<secrets>/{secret}/{key}"),
            |d| d.join(secret).join(key).display().to_string(),
        );
        format!("put the value into {expected}")
    }

    /// Like [`read`](Self::read), but `None` where no directory has it.
    ///
    /// # Errors
    /// Where the file is there but cannot be read.
    pub fn find(&self, secret: &str, key: &str) -> Result<Option<Secret>, SecretError> {
        for directory in &self.directories {
            let path = directory.join(secret).join(key);
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    return Ok(Some(Secret(text.trim_end_matches(['\r', '\n']).to_owned())));
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(SecretError::Unreadable {
                        secret: secret.to_owned(),
                        key: key.to_owned(),
                        path: path.display().to_string(),
                        source,
                    });
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_directory_wins_and_a_missing_key_names_its_file() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (d, v) in [(&a, "one\n"), (&b, "two")] {
            std::fs::create_dir(d.path().join("s")).unwrap();
            std::fs::write(d.path().join("s/k"), v).unwrap();
        }
        let secrets = Secrets::new([a.path().to_owned(), b.path().to_owned()]);
        assert_eq!(secrets.read("s", "k").unwrap().expose(), "one");
        assert!(
            secrets
                .read("s", "other")
                .unwrap_err()
                .to_string()
                .ends_with("/s/other")
        );
        let told = secrets.mounted(true).read("s", "other").unwrap_err();
        assert_eq!(
            told.to_string(),
            "secret `s` has no key `other`: write it into the Secret `s` of the pipeline's namespace"
        );
    }

    #[test]
    fn debug_hides_the_value() {
        assert_eq!(format!("{:?}", Secret("hunter2".into())), "Secret(…)");
    }
}
