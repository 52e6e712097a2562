//! The description says what the routes do, and nothing else.

use std::collections::BTreeSet;

use super::*;
use crate::api::routes::ROUTES;

fn description() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

/// What a `$ref` stands for.
fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let Some(reference) = value["$ref"].as_str() else { return value };
    document.pointer(reference.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{reference}"))
}

/// Check that paths and parameters are the same in both, and which of them repeat.
#[test]
fn routes() {
    let document = description();
    let described: BTreeSet<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let routed: BTreeSet<&str> = ROUTES.iter().map(|route| route.path).chain(["/openapi.json", "/status"]).collect();
    assert_eq!(described, routed);
    for route in ROUTES {
        let operation = &document["paths"][route.path]["get"];
        let parameters = operation["parameters"].as_array().unwrap().iter().map(|one| resolved(&document, one));
        let (in_path, in_query): (Vec<&Value>, Vec<&Value>) = parameters.partition(|one| one["in"] == "path");
        let described: Vec<(&str, bool)> =
            in_query.iter().map(|one| (one["name"].as_str().unwrap(), one["schema"]["type"] == "array")).collect();
        let routed: Vec<(&str, bool)> = route.parameters.iter().map(|one| (one.name, one.repeats)).collect();
        assert_eq!(described, routed, "{}", route.path);
        for one in in_path {
            assert!(route.path.contains(&format!("{{{}}}", one["name"].as_str().unwrap())), "{}", route.path);
        }
        for status in ["200", "400", "401", "403", "500", "503"] {
            assert!(operation["responses"][status].is_object(), "{} {status}", route.path);
        }
    }
}

/// Check that everything that is referred to is there.
#[test]
fn references() {
    fn walk(document: &Value, value: &Value) {
        match value {
            Value::Object(map) => {
                resolved(document, value);
                map.values().for_each(|value| walk(document, value));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(document, value)),
            _ => {}
        }
    }
    let document = description();
    walk(&document, &document);
}

/// Check that every answer has just the keys that are described, at the top and in lists of objects.
#[tokio::test]
async fn answers() {
    let (_dir, queries) = kept();
    let router = router(queries, Settings::default());
    let document = description();
    for route in ROUTES.iter().filter(|route| !route.path.contains('{') && route.path != "/export") {
        let takes = |name: &str| route.parameters.iter().any(|one| one.name == name);
        let mut query = if takes("from") { WINDOW.to_owned() } else { String::new() };
        if takes("name") {
            query += "&name=GET%20%2F";
        }
        if takes("base_from") {
            query += "&base_from=1795770060&base_to=1795770120";
        }
        let answer = json(&router, &format!("{}?{query}", route.path)).await;
        let schema = &document["paths"][route.path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        fits(&document, schema, &answer, route.path);
    }
}

fn fits(document: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = resolved(document, schema);
    match value {
        Value::Object(map) if schema["properties"].is_object() => {
            let described: BTreeSet<&str> =
                schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            let found: BTreeSet<&str> = map.keys().map(String::as_str).collect();
            // Some come only if they are asked for.
            let always = schema["required"].as_array().map(|all| all.iter().filter_map(Value::as_str).collect());
            let always: BTreeSet<&str> = always.unwrap_or_else(|| described.clone());
            assert!(always.is_subset(&found) && found.is_subset(&described), "{at}: {found:?}, not {described:?}");
            for (key, value) in map {
                fits(document, &schema["properties"][key], value, &format!("{at}.{key}"));
            }
        }
        Value::Array(list) if schema["items"].is_object() => {
            list.iter().for_each(|value| fits(document, &schema["items"], value, &format!("{at}[]")));
        }
        _ => {
            let name = match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(number) if number.is_u64() || number.is_i64() => "integer",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            let kinds = &schema["type"];
            let is = |name: &str| {
                kinds == name || kinds.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == name))
            };
            assert!(is(name) || (name == "integer" && is("number")), "{at}: {name} is no {kinds}");
        }
    }
}
