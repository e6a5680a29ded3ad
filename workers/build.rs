//! The page is embedded from `dashboard/dist`: build again when it changes.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../dashboard/dist");
}
