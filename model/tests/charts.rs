//! `docs/model/machines.md` shows the machines as they are.

use std::{env, fs, path::Path};

use quintet_model::charts;

#[test]
fn the_document_shows_the_machines_as_they_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/model/machines.md");
    let drawn = charts::render();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &drawn).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == drawn,
        "docs/model/machines.md does not show the machines: UPDATE_DOCS=1 cargo test -p quintet-model --test charts"
    );
}
