//! What counts as delivered, where a subscription asks for more than a 2xx status line: some receivers return 200 and say
//! in the body that they did not take it, or show a page to log in.

use serde_json::{Map, Value, json};

use crate::{Invalid, json as strict};

/// A JSON pointer.
const POINTER_BYTES: usize = 1024;
/// The value at it, as compact JSON.
const VALUE_BYTES: usize = 4096;

/// A condition on the body of a 2xx answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Success {
    not_html: bool,
    pointer: Option<String>,
    equals: Option<Value>,
}

impl Success {
    /// Reads `{"not_html": true}`, `{"pointer": "/ok", "equals": true}`, or both in one. Null is no condition. Without
    /// `equals` a value other than null must be there; without `pointer` the whole answer is compared.
    ///
    /// # Errors
    /// On `success`: what was expected.
    pub fn parse(value: &Value) -> Result<Option<Self>, Invalid> {
        let refused = |message: &str| Err(Invalid::params("success", message));
        let map = match value {
            Value::Null => return Ok(None),
            Value::Object(map) => map,
            _ => {
                return refused(
                    "expected null, or an object such as {\"pointer\": \"/ok\", \"equals\": true}",
                );
            }
        };
        if let Some(unknown) =
            map.keys().find(|key| !matches!(key.as_str(), "not_html" | "pointer" | "equals"))
        {
            return refused(&format!(
                "there is no field `{unknown}`; known are not_html, pointer and equals"
            ));
        }
        let not_html = match map.get("not_html") {
            None | Some(Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(_) => return refused("not_html: expected true or false"),
        };
        let pointer = match map.get("pointer") {
            None => None,
            Some(Value::String(text)) if text.len() <= POINTER_BYTES && is_pointer(text) => {
                Some(text.clone())
            }
            Some(_) => {
                return refused("pointer: expected a JSON pointer (RFC 6901) such as /ok or /result/0/id");
            }
        };
        let equals = map.get("equals").cloned();
        if equals.as_ref().is_some_and(|value| value.to_string().len() > VALUE_BYTES) {
            return refused(&format!("equals: expected at most {VALUE_BYTES} bytes"));
        }
        if !not_html && pointer.is_none() && equals.is_none() {
            return refused("expected not_html: true, or pointer and equals");
        }
        Ok(Some(Self { not_html, pointer, equals }))
    }

    /// As it was given.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        if self.not_html {
            map.insert("not_html".to_owned(), json!(true));
        }
        map.extend(self.pointer.as_ref().map(|pointer| ("pointer".to_owned(), json!(pointer))));
        map.extend(self.equals.clone().map(|value| ("equals".to_owned(), value)));
        Value::Object(map)
    }

    /// Why a 2xx answer is none, to follow "the endpoint answered 200, but". Repeats nothing of the answer.
    pub(crate) fn objection(&self, is_html: bool, body: &str, truncated: bool) -> Option<String> {
        if self.not_html && (is_html || begins_as_html(body)) {
            return Some("with a page of HTML, which this subscription does not take for success".to_owned());
        }
        let (place, wanted) = match (&self.pointer, &self.equals) {
            (None, None) => return None,
            (pointer, wanted) => (pointer.as_deref().unwrap_or(""), wanted.as_ref()),
        };
        let Ok(answer) = serde_json::from_str::<Value>(body) else {
            // A receiver such as Slack returns the bare word ok.
            let is_it = place.is_empty() && wanted.is_some_and(|wanted| wanted.as_str() == Some(body.trim()));
            return (!is_it).then(|| match truncated {
                true => "its answer is not whole, so it cannot be read as JSON".to_owned(),
                false => "its answer is not JSON, which this subscription expects".to_owned(),
            });
        };
        let whole = if place.is_empty() {
            "the answer".to_owned()
        } else {
            format!("the value at {place} of its answer")
        };
        match (answer.pointer(place), wanted) {
            (None | Some(Value::Null), None) | (None, Some(_)) => Some(format!("{whole} is missing")),
            (Some(_), None) => None,
            (Some(found), Some(wanted)) if strict::same(found, wanted) => None,
            (Some(_), Some(_)) => Some(format!("{whole} is not what this subscription takes for success")),
        }
    }
}

/// Empty, or steps that each begin with a slash; `~` stands only before 0 and 1.
fn is_pointer(text: &str) -> bool {
    let escapes = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    (text.is_empty() || text.starts_with('/')) && escapes && !text.contains('\0')
}

fn begins_as_html(body: &str) -> bool {
    let start = body.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let begins = |tag: &str| start.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag));
    begins("<!doctype html") || begins("<html") || begins("<head") || begins("<body")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_read_and_given_back_or_refused_with_its_field() {
        for good in [
            json!({"not_html": true}),
            json!({"pointer": "/ok", "equals": true}),
            json!({"not_html": true, "pointer": "/a~1b/0", "equals": null}),
            json!({"pointer": "/id"}),
            json!({"equals": "ok"}),
        ] {
            assert_eq!(Success::parse(&good).unwrap().unwrap().to_value(), good);
        }
        assert_eq!(Success::parse(&Value::Null), Ok(None));
        for (bad, says) in [
            (json!([]), "expected null"),
            (json!({}), "not_html: true"),
            (json!({"not_html": false}), "not_html: true"),
            (json!({"not_html": "yes"}), "not_html"),
            (json!({"pointer": "ok", "equals": true}), "pointer"),
            (json!({"pointer": "/~2"}), "pointer"),
            (json!({"pointer": 1}), "pointer"),
            (json!({"pointer": "/x", "equal": 1}), "`equal`"),
            (json!({"equals": "x".repeat(5000)}), "equals"),
        ] {
            let error = Success::parse(&bad).unwrap_err();
            assert_eq!(error.field, "success");
            assert!(error.message.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn an_answer_meets_it_or_not() {
        #[track_caller]
        fn check(condition: Value, is_html: bool, body: &str, met: bool) {
            let condition = Success::parse(&condition).unwrap().unwrap();
            let objection = condition.objection(is_html, body, false);
            assert_eq!(objection.is_none(), met, "{body}: {objection:?}");
        }
        let ok = json!({"pointer": "/ok", "equals": true});
        check(ok.clone(), false, r#"{"ok": true}"#, true);
        check(ok.clone(), false, r#"{"ok": false}"#, false);
        check(ok.clone(), false, r#"{"ok": "true"}"#, false);
        check(ok.clone(), false, r#"{"error": "no"}"#, false);
        check(ok.clone(), false, "", false);
        check(ok, false, "ok", false);
        check(json!({"pointer": "/n", "equals": 1}), false, r#"{"n": 1.0}"#, true);
        check(json!({"pointer": "/n", "equals": null}), false, r#"{"n": null}"#, true);
        check(json!({"pointer": "/n", "equals": null}), false, "{}", false);
        check(json!({"pointer": "/a~1b/0/id"}), false, r#"{"a/b": [{"id": 0}]}"#, true);
        check(json!({"pointer": "/id"}), false, r#"{"id": null}"#, false);
        check(json!({"equals": "ok"}), false, "ok\n", true);
        check(json!({"equals": "ok"}), false, "\"ok\"", true);
        check(json!({"equals": "ok"}), false, "okay", false);
        check(json!({"equals": {"a": 1}}), false, r#"{"a": 1}"#, true);
        let page = json!({"not_html": true});
        check(page.clone(), true, "anything", false);
        check(page.clone(), false, "\u{feff}\n <!DOCTYPE html><p>Log in", false);
        check(page.clone(), false, "<HTML>", false);
        check(page.clone(), false, "{\"html\": \"<html>\"}", true);
        check(page, false, "", true);
        check(json!({"not_html": true, "pointer": "/ok"}), true, r#"{"ok": 1}"#, false);
    }

    #[test]
    fn an_answer_that_was_cut_says_so_and_repeats_nothing() {
        let condition = Success::parse(&json!({"pointer": "/ok"})).unwrap().unwrap();
        let objection = condition.objection(false, r#"{"secret": "#, true).unwrap();
        assert!(objection.contains("not whole") && !objection.contains("secret"));
    }
}
