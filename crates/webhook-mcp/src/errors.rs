//! Errors that say which parameter, what was expected, and show an example: a model corrects its call by them.

use rmcp::model::{CallToolResult, ContentBlock, JsonObject};
use serde_json::{Value, json};

use crate::odoo::Trouble;

/// One mistake in the arguments of a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    parameter: String,
    expected: String,
    example: Option<Value>,
}

impl Mistake {
    /// What serde says, told by the tool's schema. `without` tells whether the error is another when a parameter is
    /// left out: then it was this one's.
    pub(crate) fn of(
        error: &str,
        arguments: &JsonObject,
        schema: &JsonObject,
        without: impl Fn(&str) -> String,
    ) -> Self {
        let quoted = error.split('`').nth(1).unwrap_or_default();
        if error.starts_with("unknown field") {
            let names: Vec<&String> = properties(schema).map(|all| all.keys().collect()).unwrap_or_default();
            let names = names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            let expected = format!("there is no such parameter; expected some of {names}");
            return Self { parameter: quoted.to_owned(), expected, example: None };
        }
        let culprit = arguments.keys().find(|name| without(name) != error);
        let parameter = match error.starts_with("missing field") {
            true => quoted.to_owned(),
            false => culprit.cloned().unwrap_or_else(|| "arguments".to_owned()),
        };
        let property = properties(schema).and_then(|all| all.get(&parameter));
        let meaning = property.and_then(|one| one["description"].as_str()).unwrap_or("see the tool's schema");
        let missing =
            if error.starts_with("missing field") { "it is missing; expected: " } else { "expected: " };
        let example = property.map(|one| one["examples"][0].clone()).filter(|example| !example.is_null());
        Self { parameter, expected: format!("{missing}{}", meaning.replace('\n', " ")), example }
    }

    /// The same for a message of Odoo's that begins with the parameter's name.
    fn of_message(message: &str) -> Option<Self> {
        let (parameter, rest) = message.split_once(": ")?;
        let is_name = parameter.len() <= 40 && parameter.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let (expected, example) = match rest.split_once(" Example: ") {
            Some((expected, example)) => (expected, Some(json!(example.trim_end_matches('.')))),
            None => (rest, None),
        };
        is_name.then(|| Self { parameter: parameter.to_owned(), expected: expected.to_owned(), example })
    }

    fn message(&self) -> String {
        let example = self.example.as_ref().map(|example| format!(" Example: {example}")).unwrap_or_default();
        format!("{}: {}{example}", self.parameter, self.expected)
    }

    pub(crate) fn into_result(self) -> CallToolResult {
        let message = self.message();
        result("refused", &message, Some(&self))
    }
}

/// What a model reads of a call that failed.
pub(crate) fn of_trouble(trouble: &Trouble) -> CallToolResult {
    let message = trouble.to_string();
    let mistake = match trouble {
        Trouble::Refused(message) => Mistake::of_message(message),
        _ => None,
    };
    result(trouble.word(), &message, mistake.as_ref())
}

fn result(kind: &str, message: &str, mistake: Option<&Mistake>) -> CallToolResult {
    let mut error = json!({"kind": kind, "message": message});
    if let Some(Mistake { parameter, expected, example }) = mistake {
        error["parameter"] = json!(parameter);
        error["expected"] = json!(expected);
        error["example"] = example.clone().unwrap_or_default();
    }
    let mut result = CallToolResult::error(vec![ContentBlock::text(message)]);
    result.structured_content = Some(json!({"error": error}));
    result
}

fn properties(schema: &JsonObject) -> Option<&JsonObject> {
    schema.get("properties")?.as_object()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_odoo_is_taken_apart() {
        let mistake = Mistake::of_message("event_type: expected one of a, b. Example: 'write'.").unwrap();
        assert_eq!(mistake.parameter, "event_type");
        assert_eq!(mistake.expected, "expected one of a, b.");
        assert_eq!(mistake.example, Some(json!("'write'")));
        assert_eq!(Mistake::of_message("You may not: never"), None);
    }
}
