//! `rpc.discover` describes what the parser accepts, no more and no less: every field of every method is tried with what
//! its description allows and with what it does not. Results are as described because both come from one type.

mod common;

use common::{Operator, SUBSCRIPTION};
use serde_json::{Map, Value, json};

/// One value of each kind that there is.
fn kinds() -> [Value; 11] {
    [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(1.5),
        json!("text"),
        json!(SUBSCRIPTION),
        json!("2026-11-23T10:15:00Z"),
        json!([]),
        json!({}),
    ]
}

/// What a description is: its reference followed, and whether null is allowed.
fn resolved<'d>(schema: &'d Value, document: &'d Value) -> (&'d Value, bool) {
    if let Some(choices) = schema["anyOf"].as_array() {
        return (resolved(&choices[0], document).0, true);
    }
    let target = schema["$ref"].as_str().and_then(|name| document.pointer(name.trim_start_matches('#')));
    (target.unwrap_or(schema), false)
}

/// Values that a description allows.
fn allowed(name: &str, schema: &Value, document: &Value) -> Vec<Value> {
    let (schema, may_be_null) = resolved(schema, document);
    let null = may_be_null.then_some(json!(null));
    if name == "success" {
        return vec![json!({"not_html": true}), json!(null)];
    }
    let texts = |word: &str| vec![json!(word)];
    let values = match (schema["type"].as_str(), schema["format"].as_str()) {
        _ if schema["enum"].is_array() => schema["enum"].as_array().unwrap().clone(),
        (None, _) => kinds().to_vec(),
        (_, Some("uuid")) => texts(SUBSCRIPTION),
        (_, Some("date-time")) => texts("2026-11-23T10:15:00Z"),
        (Some("boolean"), _) => vec![json!(true), json!(false)],
        (Some("integer"), _) => match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
            (None, None) => vec![json!(-1), json!(1)],
            (least, most) => least.into_iter().chain(most).map(Value::from).collect(),
        },
        (Some("array"), _) => vec![json!([])],
        (Some("object"), _) => vec![json!({})],
        // Texts with a form that the schema has no word for.
        _ => match name {
            // A place in a list, or a cursor of the feed.
            "seen" => texts("17"),
            "after" => texts(if may_be_null { "1.1" } else { "" }),
            "url" => texts("http://127.0.0.1:9/"),
            "wake_secret" => texts("0123456789abcdef"),
            "wake_url" => texts("http://127.0.0.1:9/mcp_webhook/wake"),
            _ => texts("text"),
        },
    };
    values.into_iter().chain(null).collect()
}

/// Values that a description does not allow: other kinds, and what is just out of bounds.
fn forbidden(schema: &Value, document: &Value) -> Vec<Value> {
    let (schema, may_be_null) = resolved(schema, document);
    let bounds = [(schema["minimum"].as_i64(), -1), (schema["maximum"].as_i64(), 1)];
    let beyond = bounds.iter().filter_map(|(bound, step)| bound.map(|bound| json!(bound + step)));
    let fits = |value: &Value| match schema["type"].as_str() {
        _ if value.is_null() => may_be_null || schema.get("type").is_none(),
        None => true,
        // Which texts fit a word, an id or a time is tried as well: none of those above is a word.
        Some("string") => match schema["format"].as_str() {
            _ if schema["enum"].is_array() => false,
            Some("uuid") => value == SUBSCRIPTION,
            Some("date-time") => value == "2026-11-23T10:15:00Z",
            _ => value.is_string(),
        },
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64(),
        Some("array") => value.is_array(),
        _ => value.is_object(),
    };
    kinds().into_iter().filter(|value| !fits(value)).chain(beyond).collect()
}

/// A field of what is tried: name, whether it must be there, its description.
type Field = (String, bool, Value);

/// Hands an object in; the error, where there is one.
type Call<'a> = dyn Fn(&Map<String, Value>) -> Option<Value> + 'a;

/// An object that a method takes, and how it is handed in.
struct Tried<'a> {
    title: String,
    fields: Vec<Field>,
    document: &'a Value,
    /// The error that the call, or the item in it, ends with.
    call: Box<Call<'a>>,
}

impl Tried<'_> {
    /// The required fields, but one.
    fn base(&self, without: &str) -> Map<String, Value> {
        let needed = self.fields.iter().filter(|(name, is_needed, _)| *is_needed && name != without);
        let value =
            |(name, _, schema): &Field| (name.clone(), allowed(name, schema, self.document).remove(0));
        needed.map(value).collect()
    }

    /// Whether the parser refuses the field itself: its presence, absence or type. What else may be wrong with a value
    /// (a URL, a secret, a cursor of another log) has kinds of its own.
    fn refuses(&self, name: &str, value: Option<&Value>) -> bool {
        let mut given = self.base(name);
        given.extend(value.map(|value| (name.to_owned(), value.clone())));
        let Some(error) = (self.call)(&given) else { return false };
        let (message, kind) = (error["message"].as_str().unwrap_or_default(), &error["data"]["kind"]);
        let refused = kind == "invalid_params" && message.contains(name) || kind.is_null();
        // The wording of the one reader that takes lists as text, and says nothing of fields.
        refused || message.contains("could not be read")
    }

    fn hold(&self) {
        let title = &self.title;
        (self.call)(&self.base(""));
        for (name, is_needed, schema) in &self.fields {
            assert_eq!(self.refuses(name, None), *is_needed, "{title}: {name} is left out");
            for value in allowed(name, schema, self.document) {
                assert!(
                    !self.refuses(name, Some(&value)),
                    "{title}: {name} is {value}: {:?}",
                    (self.call)(&{
                        let mut given = self.base(name);
                        given.insert(name.clone(), value.clone());
                        given
                    })
                );
            }
            for value in forbidden(schema, self.document) {
                assert!(self.refuses(name, Some(&value)), "{title}: {name} is {value}");
            }
        }
        assert!(self.refuses("nonsense", Some(&json!(1))), "{title}: nobody described it");
    }
}

/// What a method answers. A panic ends as an internal error.
fn answer_of(operator: &Operator, token: &str, method: &str, params: Value) -> Value {
    let (status, answer) = operator.call(token, method, params);
    assert!(status == 200 && answer["code"] != -32603, "{method}: {status} {answer}");
    answer
}

fn error_of(answer: Value) -> Option<Value> {
    answer.get("code").is_some().then_some(answer)
}

/// The parameters of each method.
fn methods<'a>(operator: &'a Operator, document: &'a Value) -> impl Iterator<Item = Tried<'a>> {
    let token = operator.token("admin_token");
    document["methods"].as_array().unwrap().iter().map(move |method| {
        let name = method["name"].as_str().unwrap();
        let field = |param: &Value| {
            let name = param["name"].as_str().unwrap().to_owned();
            (name, param["required"] == true, param["schema"].clone())
        };
        let token = token.clone();
        let folder = operator.folder.path();
        let call = move |given: &Map<String, Value>| {
            let mut given = given.clone();
            // Of these two one must be there, which a description has no word for.
            if name == "delivery.redeliver_many" && !given.contains_key("since") {
                given.entry("event_ids").or_insert(json!([SUBSCRIPTION]));
            }
            if let Some(file) = given.get_mut("file").filter(|file| file.is_string()) {
                let copy = folder.join("copy");
                let _ = std::fs::remove_file(&copy);
                *file = json!(copy);
            }
            error_of(answer_of(operator, &token, name, json!(given)))
        };
        Tried {
            title: name.to_owned(),
            fields: method["params"].as_array().unwrap().iter().map(field).collect(),
            document,
            call: Box::new(call),
        }
    })
}

/// An object inside the parameters, handed in by `wrap`; its error is found at a JSON pointer of the answer.
fn inner<'a>(
    operator: &'a Operator,
    document: &'a Value,
    noun: &str,
    method: &'a str,
    wrap: impl Fn(Value) -> Value + 'a,
    place: &'a str,
) -> Tried<'a> {
    let schema = &document["components"]["schemas"][noun];
    let needed = schema["required"].as_array().unwrap();
    let field =
        |(name, schema): (&String, &Value)| (name.clone(), needed.contains(&json!(name)), schema.clone());
    let token = operator.token("admin_token");
    let call = move |given: &Map<String, Value>| {
        let answer = answer_of(operator, &token, method, wrap(json!(given)));
        answer.pointer(place).cloned().and_then(error_of)
    };
    Tried {
        title: format!("{noun} in {method}"),
        fields: schema["properties"].as_object().unwrap().iter().map(field).collect(),
        document,
        call: Box::new(call),
    }
}

#[test]
fn the_parser_accepts_what_is_described_and_nothing_else() {
    let operator = Operator::with_sidecar();
    let document = operator.call(&operator.token("admin_token"), "rpc.discover", json!({})).1;
    let subscription = json!({"id": SUBSCRIPTION, "model": "sale.order", "url": "http://127.0.0.1:9/"});
    let subscribed =
        || operator.call(&operator.token("admin_token"), "subscription.create", subscription.clone());
    for tried in methods(&operator, &document) {
        subscribed();
        tried.hold();
    }
    let (event, preview) = (
        |event: Value| json!({"subscription_id": SUBSCRIPTION, "event": event}),
        |event: Value| json!({"payload_template": null, "event": event}),
    );
    inner(&operator, &document, "Event", "event.submit", |e| json!({"events": [e]}), "/results/0/error")
        .hold();
    inner(&operator, &document, "SampleEvent", "template.preview", preview, "").hold();
    let sync = |entry: Value| json!({"subscriptions": [entry]});
    inner(&operator, &document, "NewSubscription", "subscription.sync", sync, "/errors/0/error").hold();
    subscribed();
    inner(&operator, &document, "SampleEvent", "delivery.test", event, "").hold();
}
