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

#[test]
fn every_example_is_a_pipeline() {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "examples"]
        .iter()
        .collect();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the examples") {
        let path = entry.expect("an example").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        let name = path.display().to_string();
        // What the commands fill in.
        let text = text.replace("START", "2026-11-20");
        stockpipe_crds::Pipeline::from_yaml(&text, &name).unwrap_or_else(|error| panic!("{error}"));
        count += 1;
    }
    assert!(count >= 3, "{count}");
}
