//! Texts, each with the form that it has.

use std::{borrow::Cow, fmt};

use schemars::{Schema, json_schema};
use serde::{Serialize, Serializer};
use serde_json::Value;
use webhook_model::limits;

use super::wire::OnWire;

macro_rules! texts {
    ($($(#[$about:meta])+ $noun:ident: $expected:literal, $fits:expr;)+) => {
        $(
            $(#[$about])+
            #[derive(Clone, PartialEq, Eq)]
            pub struct $noun(pub String);

            impl OnWire for $noun {
                fn expected() -> Cow<'static, str> {
                    $expected.into()
                }

                fn read(value: Value) -> Option<Self> {
                    let fits: fn(&str) -> bool = $fits;
                    let Value::String(text) = value else { return None };
                    fits(&text).then_some(Self(text))
                }

                fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_str(&self.0)
                }

                fn schema() -> Schema {
                    json_schema!({"type": "string"})
                }
            }
        )+
    };
}

texts! {
    /// A name.
    #[derive(Debug)]
    Name: "a text of 1 to 256 bytes", is_name;
    /// A model's technical name.
    #[derive(Debug)]
    ModelName: "a model's name such as sale.order", is_name;
    /// A URL to post to, not looked at yet: for some receivers it is the secret.
    UrlText: "a URL such as https://example.com/hook, or null for none", any;
    /// A signing secret, not looked at yet.
    SecretText: "a text of 16 to 256 characters, or null for none", any;
    /// Behind which event a page of events begins.
    #[derive(Debug)]
    EventsCursor: "the `cursor` of a page, or \"\"", any;
    /// Behind which change a page of the feed begins.
    #[derive(Debug)]
    FeedCursor: "a cursor, \"\" for the beginning", any;
    /// Up to where the caller has read the feed.
    #[derive(Debug)]
    NewestCursor: "the cursor of the newest page, or \"\"", any;
    /// Why a delivery is cancelled.
    #[derive(Debug)]
    CancelReason: "a text of at most 1000 bytes", |text| text.len() <= 1000;
    /// A path on the sidecar's machine.
    #[derive(Debug)]
    FilePath: "a path", any;
    /// Odoo's `database.uuid`.
    #[derive(Debug)]
    DatabaseUuid: "Odoo's database.uuid", |text| is_name(text) && text.bytes().all(|b| b.is_ascii_graphic());
    /// A database's name.
    #[derive(Debug)]
    DatabaseName: "the database's name", |text| is_name(text) && !text.chars().any(char::is_control);
    /// Where a database lives.
    #[derive(Debug)]
    Instance: "where the database lives, 1 to 256 bytes", is_name;
    /// What signs the knock at Odoo.
    WakeSecretText: "16 to 256 visible ASCII characters without spaces, or null for none",
        |text| (16..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    /// Where Odoo is knocked at, not looked at yet.
    #[derive(Debug)]
    WakeUrlText: "a URL or null", any;
}

/// What must not be shown.
macro_rules! hidden {
    ($($noun:ident)+) => {
        $(impl fmt::Debug for $noun {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($noun), "(***)"))
            }
        })+
    };
}

hidden!(UrlText SecretText WakeSecretText);

fn any(_: &str) -> bool {
    true
}

/// Not empty and not over its limit.
fn is_name(text: &str) -> bool {
    (1..=limits::NAME_BYTES).contains(&text.len())
}

/// What a 2xx answer must say besides to count as delivered, not looked at yet; null is no condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition(pub Value);

impl OnWire for Condition {
    fn expected() -> Cow<'static, str> {
        "null, or an object such as {\"pointer\": \"/ok\", \"equals\": true}".into()
    }

    fn read(value: Value) -> Option<Self> {
        matches!(value, Value::Null | Value::Object(_)).then_some(Self(value))
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }

    fn schema() -> Schema {
        json_schema!({"anyOf": [{"type": "object"}, {"type": "null"}]})
    }
}
