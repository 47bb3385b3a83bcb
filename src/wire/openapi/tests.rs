use std::collections::BTreeSet;

use super::*;
use crate::{asyncapi, codes::ErrorCode, sample};

/// Collects the pointers of all `$ref`s of a document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                found.insert(reference.clone());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    for document in [document(), asyncapi::document()] {
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for reference in &found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        for (kind, components) in document["components"].as_object().unwrap() {
            for name in components.as_object().unwrap().keys().filter(|_| kind != "securitySchemes") {
                assert!(found.contains(&format!("#/components/{kind}/{name}")), "{kind} {name} is not used");
            }
        }
    }
}

/// The document has exactly the routes of the contract.
#[test]
fn every_route_of_the_contract_is_described() {
    let routes: BTreeSet<_> = document()["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    let contract = "post /v1/tickets|post /v1/messages|get /v1/entries|get /v1/threads|get /v1/threads/{thread_id}/entries|\
        get /v1/threads/{thread_id}/runs|patch /v1/threads/{thread_id}|delete /v1/threads/{thread_id}|delete /v1/log|get /v1/calls|\
        get /v1/runs/{run_id}|post /v1/runs/{run_id}/cancel|post /v1/runs/{run_id}/calls/{call_id}|get /v1/stream|get /v1/export|get /v1/ws|get /ws|\
        get /v1/agents|get /livez|get /readyz|get /metrics|get /openapi.json|get /asyncapi.json|get /schema/{frame}.json|\
        post /dev/login|post /agui|get /agui/info|post /agui/agent/{agent_name}/run|post /agui/agent/{agent_name}/connect|\
        post /agui/agent/{agent_name}/stop/{thread_id}";
    assert_eq!(routes, contract.split('|').map(str::to_owned).collect());
}

#[test]
fn every_operation_declares_its_path_parameters_and_responses() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for operation in methods.as_object().unwrap().values() {
            assert!(ids.insert(operation["operationId"].to_string()), "{path} shares its id");
            let declared: BTreeSet<_> = operation["parameters"]
                .as_array()
                .unwrap()
                .iter()
                .map(|p| document.pointer(&p["$ref"].as_str().unwrap()[1..]).unwrap())
                .filter(|p| p["in"] == "path")
                .map(|p| p["name"].as_str().unwrap())
                .collect();
            let in_path: BTreeSet<_> =
                path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
            assert_eq!(declared, in_path, "{path}");
            let bearer = operation.get("security").is_none();
            let is_socket = [SOCKET, LEGACY_SOCKET].contains(&path.as_str());
            assert_eq!(bearer, needs_credential(path) && !is_socket, "{path}");
            assert_eq!(operation["deprecated"] == true, path == LEGACY_SOCKET, "{path}");
            let responses = operation["responses"].as_object().unwrap();
            assert_eq!(needs_credential(path), responses.contains_key("401"), "{path} without a credential");
            assert_eq!(operation.get("requestBody").is_some(), responses.contains_key("415"), "{path}");
        }
    }
}

#[test]
fn every_error_of_http_has_a_response() {
    let document = document();
    for code in ErrorCode::ALL {
        let status = Problem::new(code, "x").status;
        assert!(
            document["components"]["responses"].get(status.to_string()).is_some(),
            "{code:?} is {status}"
        );
    }
}

#[test]
fn every_schema_of_the_document_is_valid() {
    for (name, schema) in document()["components"]["schemas"].as_object().unwrap() {
        jsonschema::draft202012::meta::validate(schema).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

fn fits(name: &str, value: &Value) {
    let mut schema = document()["components"]["schemas"][name].clone();
    schema["components"] = document()["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(value).map(|e| e.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new(), "{name}: {value}");
    for key in value.as_object().unwrap().keys() {
        let mut less = value.clone();
        less.as_object_mut().unwrap().remove(key);
        assert!(!validator.is_valid(&less), "{name} without {key}");
    }
}

#[test]
fn bodies_fit_their_schemas() {
    let ann = sample::ann();
    let lines: Vec<_> = sample::one_of_each()
        .iter()
        .map(|entry| {
            let mut out = bytes::BytesMut::new();
            crate::entry::encode(&ann, entry, &mut out);
            out
        })
        .collect();
    let epoch = quintet_kernel::ids::Epoch(uuid::Uuid::from_u128(7));
    let offset = quintet_kernel::ids::Offset;
    for count in [0, 1, lines.len()] {
        let mut body = bytes::BytesMut::new();
        let page = EntriesPage { epoch, after: offset(0), head: offset(9), gap: None };
        let end = EntriesPageEnd { next_after: Some(offset(7)) };
        page.encode(lines[..count].iter().map(|line| &line[..]), end, &mut body);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["entries"].as_array().unwrap().len(), count);
        fits("EntriesPage", &body);
        let mut body = bytes::BytesMut::new();
        let gap = Some(quintet_kernel::connection::Gap { from: offset(1), to: offset(2) });
        let page = EntriesPageBefore { epoch, before: offset(9), head: offset(9), gap };
        let end = EntriesPageBeforeEnd { next_before: None };
        page.encode(lines[..count].iter().map(|line| &line[..]), end, &mut body);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["entries"].as_array().unwrap().len(), count);
        fits("EntriesPageBefore", &body);
    }
    let runs: Value = serde_json::from_str(&crate::doc::threads::runs()).unwrap();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1);
    fits("RunsPage", &runs);
    fits("ThreadRun", &runs["runs"][0]);
    let header = ExportHeader {
        epoch,
        user_id: sample::ann(),
        trimmed: offset(0),
        head: offset(9),
        exported_at: quintet_kernel::ids::Timestamp(1),
    };
    let written = serde_json::to_value(&header).unwrap();
    assert_eq!(written["type"], "export");
    fits("ExportHeader", &written);
    fits("ExportGap", &serde_json::to_value(ExportGap { from: offset(1), to: offset(2) }).unwrap());
    fits("ExportEnd", &serde_json::to_value(ExportEnd { entries: 9 }).unwrap());
    let problem = Problem::new(ErrorCode::NotFound, "no such run");
    let body: Value = serde_json::from_str(&problem.encode()).unwrap();
    assert_eq!(
        body,
        json!({"type": "about:blank", "title": "Not Found", "status": 404, "detail": "no such run", "code": "not_found"})
    );
    fits("Problem", &body);
    assert_eq!(problem.with_status(403).title, "Forbidden");
    fits(
        "RunInfo",
        &json!({
            "run_id": "01a1ee56-5e01-7c3d-8e4f-0123456789ab", "thread_id": "t", "message_id": "m", "agent_name": "a",
            "state": "waiting", "status": null, "accepted_offset": 1, "started_offset": null, "completed_offset": null,
            "accepted_at": 7, "parent": 0, "merged_into": null,
        }),
    );
}

#[test]
fn documents_are_unchanged() {
    let paths = document()["paths"].clone();
    insta::assert_snapshot!("openapi_paths", serde_json::to_string_pretty(&paths).unwrap());
    let channels = asyncapi::document();
    let channels = json!({"channels": channels["channels"], "operations": channels["operations"]});
    insta::assert_snapshot!("asyncapi_channels", serde_json::to_string_pretty(&channels).unwrap());
}
