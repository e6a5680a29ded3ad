//! Python clients from the environment that `scripts/setup real` makes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Folder of this crate's Python programs.
#[must_use]
pub fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache")
        });
    base.join("stockpipe")
}

/// `<cache>/<kind>/<first 12 hex digits of the SHA-256 of `file`>`, as `scripts/setup` names it.
///
/// # Panics
/// Where `scripts/setup real` has not made it.
#[must_use]
pub fn prepared(kind: &str, file: &Path) -> PathBuf {
    let output = Command::new("sha256sum")
        .arg(file)
        .output()
        .expect("sha256sum runs");
    let digest = String::from_utf8_lossy(&output.stdout);
    let path = cache().join(kind).join(&digest[..12]);
    assert!(
        path.join("ready").exists(),
        "{} is missing: run `make test-real`, which makes it",
        path.display()
    );
    path
}

/// The interpreter with our pinned packages.
#[must_use]
pub fn interpreter() -> PathBuf {
    interpreter_with("requirements.txt")
}

/// The interpreter with the packages that a requirements file of ours pins.
fn interpreter_with(requirements: &str) -> PathBuf {
    prepared("venv", &programs().join(requirements)).join("bin/python")
}

/// A command on one of our programs, with the given key.
#[must_use]
pub fn command(program: &str, key: &(String, String)) -> Command {
    command_with("requirements.txt", program, key)
}

/// As [`command`], with the packages of another requirements file.
#[must_use]
pub fn command_with(requirements: &str, program: &str, key: &(String, String)) -> Command {
    let mut command = Command::new(interpreter_with(requirements));
    command
        .arg(programs().join(program))
        .env("AWS_ACCESS_KEY_ID", &key.0)
        .env("AWS_SECRET_ACCESS_KEY", &key.1)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Both outputs as text.
#[must_use]
pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
