//! `rpc.discover`: what can be called, as an OpenRPC document made from the table of methods and its types.

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value, json};

use crate::{Access, Api, ErrorKind, Method, field::Object};

/// What a caller may call.
pub fn document<S: Api>(version: &str, is_admin: bool) -> Object {
    let mut describer = Describer::new();
    let visible = S::methods().filter(|method| is_admin || method.access != Access::Admin);
    let methods: Vec<Value> = visible.map(|method| describer.describe(method)).collect();
    let document = json!({
        "openrpc": "1.3.2",
        "info": {"title": "mcp-webhookd", "version": version},
        "methods": methods,
        "components": {"schemas": describer.components()},
    });
    Object(if let Value::Object(map) = document { map } else { Map::new() })
}

/// Parameters are described as they are read, results as they are written.
struct Describer {
    params: SchemaGenerator,
    results: SchemaGenerator,
}

impl Describer {
    fn new() -> Self {
        let settings = || {
            let mut settings = SchemaSettings::draft2020_12();
            settings.definitions_path = "/components/schemas".into();
            settings.with_transform(RecursiveTransform(plain))
        };
        let params = settings().for_deserialize().into_generator();
        Self { params, results: settings().for_serialize().into_generator() }
    }

    fn describe<S>(&mut self, method: &Method<S>) -> Value {
        let params = self.params_of(method);
        let required = params["required"].as_array().cloned().unwrap_or_default();
        let param = |(name, schema): (&String, &Value)| json!({"name": name, "required": required.contains(&json!(name)), "schema": schema});
        let properties = params["properties"].as_object();
        let errors: Vec<Value> = ErrorKind::ALL
            .iter()
            .map(|kind| json!({"code": kind.code(), "message": kind.as_str()}))
            .collect();
        json!({
            "name": method.name,
            "summary": method.summary,
            "paramStructure": "by-name",
            "params": properties.into_iter().flatten().map(param).collect::<Vec<_>>(),
            "result": {"name": "result", "schema": self.result_of(method)},
            "errors": errors,
        })
    }

    /// The object itself, also where it is one of the components.
    fn params_of<S>(&mut self, method: &Method<S>) -> Value {
        let found = (method.params)(&mut self.params);
        let noun = found.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
        let noun = noun.and_then(|name| self.params.definitions().get(name)).cloned();
        let noun = noun.and_then(|noun| Schema::try_from(noun).ok());
        finished(&mut self.params, noun.unwrap_or(found))
    }

    fn result_of<S>(&mut self, method: &Method<S>) -> Value {
        let found = (method.result)(&mut self.results);
        finished(&mut self.results, found)
    }

    fn components(&mut self) -> Map<String, Value> {
        let mut all = self.params.take_definitions(true);
        all.extend(self.results.take_definitions(true));
        all
    }
}

fn finished(generator: &mut SchemaGenerator, mut schema: Schema) -> Value {
    for transform in generator.transforms_mut() {
        transform.transform(&mut schema);
    }
    schema.to_value()
}

/// One way of writing for each thing: null is another choice, an object says what it requires, no format but those that
/// the contract knows, and no words that are for readers of the source.
fn plain(schema: &mut Schema) {
    if schema.as_bool() == Some(false) {
        return;
    }
    let map = schema.ensure_object();
    map.remove("description");
    if !matches!(map.get("format").and_then(Value::as_str), Some("uuid" | "date-time")) {
        map.remove("format");
    }
    if map.get("additionalProperties") == Some(&json!(false)) {
        map.entry("properties").or_insert_with(|| json!({}));
        map.entry("required").or_insert_with(|| json!([]));
        map.shift_remove("additionalProperties");
        map.insert("additionalProperties".to_owned(), json!(false));
    }
    let Some(Value::Array(types)) = map.get_mut("type") else { return };
    types.retain(|kind| kind != "null");
    if let [only] = types.as_slice() {
        let only = only.clone();
        map.insert("type".to_owned(), only);
    }
    let inner = std::mem::take(map);
    map.insert("anyOf".to_owned(), json!([inner, {"type": "null"}]));
}
