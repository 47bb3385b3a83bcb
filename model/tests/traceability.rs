//! Every rule has a place in every column, or a reason, and the document equals the tree.

use std::{env, fs, path::Path};

use quintet_model::traceability;

#[test]
fn the_document_is_what_the_tree_says_and_has_no_gap() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let table = traceability::whole(root).unwrap();
    let path = root.join("docs/model/traceability.md");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, table.render()).unwrap();
    }
    let gaps = table.gaps();
    assert!(gaps.is_empty(), "{} gaps:\n{}", gaps.len(), gaps.join("\n"));
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == table.render(),
        "docs/model/traceability.md is not what the tree says: UPDATE_DOCS=1 cargo test -p quintet-model --test traceability"
    );
}
