//! What is generated from the code is in the repository, so that it can be read and packed without building anything; here
//! it is held against what the code says. `SVCOPS_BLESS=1 cargo test --test generated` writes it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on should say so at once"
)]

mod man;
mod reference;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// Holds a folder against the files that should be in it; with `SVCOPS_BLESS` it is made so.
fn hold(folder: &str, wanted: &BTreeMap<String, String>) {
    let folder = root().join(folder);
    if std::env::var_os("SVCOPS_BLESS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in wanted {
            fs::write(folder.join(name), text).unwrap();
        }
    }
    let differs =
        |(name, text): &(&String, &String)| fs::read_to_string(folder.join(name)).ok().as_ref() != Some(*text);
    let stale: Vec<&String> = wanted.iter().filter(differs).map(|(name, _)| name).collect();
    assert!(
        stale.is_empty(),
        "not what the code says now: {stale:?} in {}; `SVCOPS_BLESS=1 cargo test --test generated` writes them",
        folder.display()
    );
}

/// The names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
