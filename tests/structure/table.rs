//! The table of layers in `docs/architecture.md`.

/// A row: the folders that `folder` uses, in order.
#[derive(Debug)]
pub struct Row {
    pub layer: u32,
    pub folder: String,
    pub package: String,
    pub uses: Vec<String>,
}

/// Returns the rows whose first cell is a number.
pub fn rows(text: &str) -> Vec<Row> {
    text.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
    let layer = cells.first()?.parse().ok()?;
    let folder = quoted(cells.get(1)?).next()?.trim_end_matches('/').to_owned();
    let package = quoted(cells.get(2)?).next()?.to_owned();
    let mut uses: Vec<String> = quoted(cells.get(4)?).map(str::to_owned).collect();
    uses.sort();
    Some(Row { layer, folder, package, uses })
}

/// Returns the packages of the workspace that `docs/dependencies.md` lists for a package, in order.
pub fn uses_of_ours<'a>(text: &'a str, package: &str) -> Option<Vec<&'a str>> {
    let row = text.lines().find_map(|line| line.strip_prefix(&format!("| `{package}` |")))?;
    let cell = row.split('|').next()?;
    let names = cell.split(',').map(|name| name.split('(').next().unwrap_or(name).trim());
    let mut uses: Vec<&str> = names.filter(|name| *name != "–").collect();
    uses.sort_unstable();
    Some(uses)
}

/// Returns the parts of a text in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn a_row_has_its_layer_folder_and_uses() {
    let rows = rows("| layer | folder |\n| 2 | `wire/` | `quintet-wire` | encodings | `kernel`, `a` |\n");
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].layer, &*rows[0].folder, &rows[0].uses[..]),
        (2, "wire", &["a".into(), "kernel".into()][..])
    );
}
