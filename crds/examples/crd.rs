//! Writes `crds/yaml/` from the types: `cargo run -p stockpipe-crds --example crd`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("yaml")
        .join(stockpipe_crds::schema::CRD_FILE);
    std::fs::write(&file, stockpipe_crds::schema::crd_yaml())?;
    println!("wrote {}", file.display());
    Ok(())
}
