//! From a method's name to its result.

use jsonrpsee::types::{ErrorCode, ErrorObjectOwned};
use webhook_api::{Access, Api, Caller, Json, Method};

use super::{error::RpcError, fence, service::Service};

/// The method of this name.
pub fn method(name: &str) -> Option<&'static Method<Service>> {
    Service::methods().find(|method| method.name == name)
}

/// Calls a method with its parameters' text.
///
/// # Errors
/// Whatever is wrong with the call.
pub async fn answer(
    service: &Service,
    method: &'static Method<Service>,
    text: &str,
    caller: &Caller,
) -> Result<Json<()>, ErrorObjectOwned> {
    match method.access {
        Access::Admin if !caller.is_admin => return Err(ErrorCode::MethodNotFound.into()),
        Access::Fenced if !caller.is_admin => fence::check(&service.log, caller.database.as_deref())?,
        _ => {}
    }
    (method.call)(service, caller, text).await.map_err(|error| RpcError(error).into())
}

#[cfg(test)]
mod tests {
    use webhook_api::openrpc;

    use super::*;

    fn document(is_admin: bool) -> serde_json::Value {
        openrpc::document::<Service>("1", is_admin).0.into()
    }

    #[test]
    fn the_addons_token_does_not_see_the_administration() {
        assert_eq!(document(true)["methods"].as_array().unwrap().len(), Service::methods().count());
        assert!(!document(false).to_string().contains("admin."));
    }

    #[test]
    fn every_name_is_one_methods() {
        let names: std::collections::BTreeSet<_> = Service::methods().map(|method| method.name).collect();
        assert_eq!(names.len(), Service::methods().count());
        assert!(names.iter().all(|name| method(name).is_some_and(|found| found.name == *name)));
    }

    #[test]
    fn every_reference_leads_to_a_component() {
        let document = document(true);
        for part in document.to_string().split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }
}
