//! `rpc.discover`: what can be called, as an OpenRPC document made from the table of methods.

use serde_json::{Value, json};

use super::{
    Answer, Caller, Params, Service,
    error::Kind,
    fields::Fields,
    methods::{Access, METHODS, Method},
    schema,
};

/// `rpc.discover`: what this caller may call.
pub async fn discover(service: &Service, caller: &Caller, params: Params<'_>) -> Answer {
    Fields::parse(params)?.finish()?;
    Ok(document(service.version, caller.is_admin).into())
}

fn document(version: &str, is_admin: bool) -> Value {
    let visible = METHODS.iter().filter(|method| is_admin || method.access != Access::Admin);
    let methods: Vec<Value> = visible.map(describe).collect();
    json!({
        "openrpc": "1.3.2",
        "info": {"title": "mcp-webhookd", "version": version},
        "methods": methods,
        "components": {"schemas": schema::components()},
    })
}

fn describe(method: &Method) -> Value {
    let param = |(name, required, kind): (&str, bool, &str)| json!({"name": name, "required": required, "schema": schema::schema(kind)});
    let params: Vec<Value> = schema::fields(method.params).map(param).collect();
    let errors: Vec<Value> =
        Kind::ALL.iter().map(|kind| json!({"code": kind.code(), "message": kind.as_str()})).collect();
    json!({
        "name": method.name,
        "summary": method.summary,
        "paramStructure": "by-name",
        "params": params,
        "result": {"name": "result", "schema": schema::schema(method.result)},
        "errors": errors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addons_token_does_not_see_the_administration() {
        assert_eq!(document("1", true)["methods"].as_array().unwrap().len(), METHODS.len());
        assert!(!document("1", false).to_string().contains("admin."));
    }
}
