//! What a method is, and the macro that makes a namespace of one table.

use std::{fmt, pin::Pin};

use schemars::{Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Json, Room};

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever has a token.
    Open,
    /// Those that speak for the attached database, and the administration.
    Fenced,
    /// The administration alone; to others the method does not exist.
    Admin,
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The sidecar's own commands; they are not fenced.
    pub is_admin: bool,
    /// The header `X-Odoo-Database`.
    pub database: Option<String>,
}

/// What implements the namespaces.
pub trait Serve: Sized + Send + Sync + 'static {
    /// Why a call fails, as the implementation knows it.
    type Error: Into<Error> + Send;
}

/// The parameters of a method, which name it: what a client hands in, and the type of what comes back.
pub trait Call: Serialize {
    /// The method's name.
    const METHOD: &'static str;
    /// What it returns.
    type Result: Serialize + DeserializeOwned;
}

/// A call under way: the JSON text of its result, or an error.
pub type Called<'a, T = Json<()>> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A method, as `S` implements it.
pub struct Method<S> {
    /// Its name.
    pub name: &'static str,
    /// Who may call it.
    pub access: Access,
    /// How large its parameters may be.
    pub room: Room,
    /// It is not in the first version of the interface: `system.info` names it among its features.
    pub is_feature: bool,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// The object that it takes.
    pub params: fn(&mut SchemaGenerator) -> Schema,
    /// What it returns.
    pub result: fn(&mut SchemaGenerator) -> Schema,
    /// Reads the parameters, carries the call out, and writes the result.
    pub call: for<'a> fn(&'a S, &'a Caller, &'a str) -> Called<'a>,
}

impl<S> fmt::Debug for Method<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Method")
            .field("name", &self.name)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// Makes a namespace of its table. An entry is
///
/// ```text
/// /// What it does, in a sentence.
/// "delivery.get": Open, WORDS, get(GetDelivery) -> Attempts;
/// ```
///
/// that is its name, who may call it, how large its parameters may be (a constant of [`room`](crate::room)), the handler,
/// and the types of its parameters and its result; a method beyond the first version ends in `, feature`. A server that
/// lacks the handler does not compile.
macro_rules! methods {
    ($(#[$about:meta])* trait $namespace:ident {
        $(#[doc = $summary:literal] $name:literal: $access:ident, $room:ident, $handler:ident($params:ty) -> $result:ty $(, $feature:ident)?;)+
    }) => {
        $(#[$about])*
        pub trait $namespace: $crate::Serve {
            $(
                #[doc = $summary]
                fn $handler(
                    &self,
                    caller: &$crate::Caller,
                    params: $params,
                ) -> impl Future<Output = Result<$result, Self::Error>> + Send;
            )+

            /// The methods of this namespace.
            const METHODS: &'static [$crate::Method<Self>] = &[$(
                $crate::Method {
                    name: $name,
                    access: $crate::Access::$access,
                    room: $crate::room::$room,
                    is_feature: matches!(&[$(stringify!($feature))?] as &[&str], [_]),
                    summary: $summary.trim_ascii(),
                    params: |generator| <$params as schemars::JsonSchema>::json_schema(generator),
                    result: |generator| generator.subschema_for::<$result>(),
                    call: |service, caller, text| Box::pin(async move {
                        let params: $params = $crate::room::$room.read(text)?;
                        let result = Self::$handler(service, caller, params).await.map_err(Into::into)?;
                        Ok($crate::Json::of(&result).cast())
                    }),
                },
            )+];
        }

        $(impl $crate::Call for $params {
            const METHOD: &'static str = $name;
            type Result = $result;
        })+
    };
}

pub(crate) use methods;
