//! `clients/words` holds the words of the models as they are, for the tests of the clients.

use std::{env, fs, path::Path};

use quintet_model::words;
use serde_json::Value;

#[test]
fn the_words_for_clients_are_those_of_the_models() {
    for (name, value) in [("deliveries", words::deliveries()), ("logs", words::logs())] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap()
            .join(format!("clients/words/{name}.json"));
        let generated = lines(&value);
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &generated).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == generated,
            "clients/words/{name}.json is not that of the models: UPDATE_DOCS=1 cargo test -p quintet-model --test words"
        );
    }
}

/// One line for each member of a top-level list, so that changes can be read.
fn lines(value: &Value) -> String {
    let fields = value.as_object().unwrap().iter().map(|(name, list)| {
        let rows: Vec<String> = list.as_array().unwrap().iter().map(Value::to_string).collect();
        format!("\"{name}\":[\n{}\n]", rows.join(",\n"))
    });
    format!("{{{}}}\n", fields.collect::<Vec<_>>().join(",\n"))
}
