//! `template.*`: what a template would make of an event.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use webhook_model::Dialect;

use crate::{Given, Wire, event::SampleEvent};

use crate::method::methods;

methods! {
    /// What a template would make of an event.
    trait Templates {
        /// Renders a template without sending anything.
        "template.preview": Open, SAMPLE, preview(PreviewTemplate) -> Preview;
    }
}

/// `template.preview`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewTemplate {
    /// A JSON document whose strings are templates; null is the default body.
    pub payload_template: Wire<Value>,
    /// Of what.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub event: Given<SampleEvent>,
    /// How values are escaped inside the template's strings.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub dialect: Given<Wire<Dialect>>,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct Preview {
    /// The exact body.
    pub payload: String,
}
