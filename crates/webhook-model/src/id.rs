//! Identifiers. Both are UUIDs that the caller makes; they are stored and shown in lower case.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// A string that is not a UUID in the hyphenated form of RFC 9562.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a UUID such as 0190c1de-7b5a-7c3e-9b0a-1f6d2c3b4a59")]
pub struct NotAnId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// The 128 bits, as the log keys them.
            pub fn as_u128(self) -> u128 {
                self.0.as_u128()
            }

            /// The id with these 128 bits.
            pub fn from_u128(bits: u128) -> Self {
                Self(Uuid::from_u128(bits))
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                // `Uuid` also reads braces, URNs and bare hex; ids are compared as text by others, so one spelling only.
                if text.len() != 36 {
                    return Err(NotAnId);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| NotAnId)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id! {
    /// Who wants which events, and where to: the id of a subscription.
    SubscriptionId
}
id! {
    /// The id of an event, and so of its delivery; the endpoint sees it as `webhook-id`.
    EventId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_in_lower_case_and_one_spelling() {
        let id: EventId = "0190C1DE-7B5A-7C3E-9B0A-1F6D2C3B4A59".parse().unwrap();
        assert_eq!(id.to_string(), "0190c1de-7b5a-7c3e-9b0a-1f6d2c3b4a59");
        for other in [
            "",
            "0190c1de7b5a7c3e9b0a1f6d2c3b4a59",
            "{0190c1de-7b5a-7c3e-9b0a-1f6d2c3b4a59}",
            "x190c1de-7b5a-7c3e-9b0a-1f6d2c3b4a59",
        ] {
            assert_eq!(other.parse::<EventId>(), Err(NotAnId), "{other}");
        }
        assert_eq!(EventId::from_u128(id.as_u128()), id);
    }
}
