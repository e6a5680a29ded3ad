//! Tiers that need more than Rust, or more than a minute.

/// Whether the tier switched on by `variable` runs; says so loudly where it does not.
pub(crate) fn runs(variable: &str, command: &str) -> bool {
    if std::env::var_os(variable).is_some() {
        return true;
    }
    eprintln!("SKIPPED: {variable} is not set; `{command}` runs this test");
    false
}

/// Whether the tests run as root, which some need; a loud skip where they do not.
///
/// # Panics
/// Where `STOCKPIPE_ALL_TIERS` demands them.
pub(crate) fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        assert!(
            std::env::var_os("STOCKPIPE_ALL_TIERS").is_none(),
            "not root, though every tier must run"
        );
        eprintln!("SKIPPED: this test mounts a file system, which needs root");
    }
    is_root
}

/// The folder of real prices, or a loud skip.
///
/// # Panics
/// Where `STOCKPIPE_ALL_TIERS` demands what is not there.
pub(crate) fn prices() -> Option<std::path::PathBuf> {
    let folder = std::env::var_os("STOCKPIPE_PRICES").map(std::path::PathBuf::from);
    if folder.is_none() {
        assert!(
            std::env::var_os("STOCKPIPE_ALL_TIERS").is_none(),
            "STOCKPIPE_PRICES is not set, though every tier must run"
        );
        eprintln!(
            "SKIPPED: STOCKPIPE_PRICES names no folder with sp500-daily.csv.gz and nasdaq-daily.csv.gz"
        );
    }
    folder
}
