//! The generated definition in `crds/yaml/` is what the types say, and small.

use std::path::PathBuf;

use stockpipe_crds::schema::{CRD_FILE, MAX_CRD_BYTES, crd_yaml};

fn file() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "yaml", CRD_FILE]
        .iter()
        .collect()
}

#[test]
fn the_definition_in_the_repository_is_what_the_types_say() {
    let kept = std::fs::read_to_string(file()).unwrap_or_default();
    assert!(
        kept == crd_yaml(),
        "{} is stale; write it anew with: cargo run -p stockpipe-crds --example crd",
        file().display()
    );
}

#[test]
fn the_definition_stays_small() {
    let bytes = crd_yaml().len();
    assert!(bytes < MAX_CRD_BYTES, "{bytes} bytes");
}

#[test]
fn a_pipeline_with_every_field_is_taken() {
    let example = include_str!("everything.yaml");
    stockpipe_crds::Pipeline::from_yaml(example, "everything.yaml")
        .unwrap_or_else(|error| panic!("{error}"));
}
