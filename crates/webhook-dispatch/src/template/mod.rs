//! Payload templates: a JSON document in which every string is an `upon` template.
//!
//! The document is parsed as JSON first and each string rendered for itself, so that what comes out is valid JSON
//! whatever a record holds. Keys are literal and keep their order. [`scan`] reads every tag before `upon` does: `upon`
//! recurses without limit and fails on a missing field, so expressions are checked in linear time, bounded, and
//! rewritten into calls of [`functions`], for which a path that leads nowhere is simply empty.

mod dialect;
mod expression;
mod functions;
mod scan;
mod work;

use serde_json::Value;
use webhook_model::{Dialect, Failure, Invalid, InvalidKind, limits};

pub use self::work::Effort;
use self::work::Work;

/// A compiled template. Cheap to render, and the same for all events of a subscription.
#[derive(Debug)]
pub struct Template {
    root: Node,
    dialect: Dialect,
    /// Some strings stand where the receiver reads no markup.
    has_literals: bool,
}

#[derive(Debug)]
enum Node {
    /// JSON text that never changes.
    Literal(String),
    /// A string with tags, and where it stands.
    Text(Leaf),
    /// A string that is one expression ending in `| json`: becomes the value itself.
    Json(Leaf),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

#[derive(Debug)]
struct Leaf {
    pointer: String,
    /// The receiver reads no markup here.
    is_literal: bool,
    template: upon::Template<'static>,
}

/// Why a payload could not be rendered. Says where, and never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("payload_template{pointer}: {message}")]
pub struct RenderError {
    /// [`Failure::Render`] or [`Failure::PayloadTooLarge`].
    pub failure: Failure,
    /// It was too much work for [`Effort::Prompt`], and may not be for [`Effort::Full`].
    pub is_unfinished: bool,
    /// JSON pointer of the string at fault.
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
}

impl Template {
    /// Checks and compiles a template. `host` is the endpoint's, for [`Dialect::Auto`].
    ///
    /// # Errors
    /// [`InvalidKind::Template`] on `payload_template`, with the JSON pointer of the string at fault.
    pub fn compile(source: &Value, dialect: Dialect, host: Option<&str>) -> Result<Self, Invalid> {
        let size = source.to_string().len();
        if size > limits::TEMPLATE_BYTES {
            return Err(invalid(
                "",
                format!("the template has {size} bytes, {} are allowed", limits::TEMPLATE_BYTES),
            ));
        }
        let mut root = compile(source, &mut String::new(), 0)?;
        let dialect = dialect::resolve(dialect, host);
        let has_literals = root.mark_literals(dialect, "", "");
        Ok(Self { root, dialect, has_literals })
    }

    /// Renders the payload for one event, given as its default body. Compact JSON.
    ///
    /// # Errors
    /// The payload is over its limit, or the template does more work than it may.
    pub fn render(&self, event: &Value, effort: Effort) -> Result<String, RenderError> {
        let context = functions::context(event);
        let work = Work::new(effort);
        let escaped = functions::engine(self.dialect, &work);
        let literal = self.has_literals.then(|| functions::engine(Dialect::Plain, &work));
        let engines = Engines { literal: literal.as_ref().unwrap_or(&escaped), escaped: &escaped };
        let mut out = String::new();
        write(&self.root, engines, &context, &mut out).map_err(|error| RenderError {
            is_unfinished: effort == Effort::Prompt && work.is_spent(),
            ..error
        })?;
        Ok(out)
    }
}

/// Both share the work of one payload.
#[derive(Clone, Copy)]
struct Engines<'e> {
    escaped: &'e upon::Engine<'static>,
    literal: &'e upon::Engine<'static>,
}

impl Node {
    /// Marks the strings that stand where no markup is read; returns whether there are any. Items of a list stand where
    /// the list does.
    fn mark_literals(&mut self, dialect: Dialect, under: &str, key: &str) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Text(leaf) | Self::Json(leaf) => {
                leaf.is_literal = dialect != Dialect::Plain && dialect::is_literal(dialect, under, key);
                leaf.is_literal
            }
            Self::List(items) => {
                items.iter_mut().fold(false, |any, item| item.mark_literals(dialect, under, key) | any)
            }
            Self::Object(entries) => entries.iter_mut().fold(false, |any, (name, value)| {
                value.mark_literals(dialect, key, name.trim_matches('"')) | any
            }),
        }
    }
}

fn invalid(pointer: &str, message: impl Into<String>) -> Invalid {
    Invalid::new(InvalidKind::Template, "payload_template", message).at(pointer)
}

/// One engine compiles all templates; what an expression may call is decided by the scan and bound when rendering.
fn compile(source: &Value, pointer: &mut String, depth: usize) -> Result<Node, Invalid> {
    if depth > limits::JSON_DEPTH {
        return Err(invalid(pointer, format!("is nested deeper than {} levels", limits::JSON_DEPTH)));
    }
    match source {
        Value::String(text) => compile_text(text, pointer),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items
                .map(|(at, item)| within(pointer, &at.to_string(), |p| compile(item, p, depth + 1)))
                .collect::<Result<_, _>>()
                .map(Node::List)
        }
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| {
                let node = within(pointer, key, |p| compile(value, p, depth + 1))?;
                Ok((Value::String(key.clone()).to_string(), node))
            })
            .collect::<Result<_, _>>()
            .map(Node::Object),
        literal => Ok(Node::Literal(literal.to_string())),
    }
}

/// Appends a step to the JSON pointer (RFC 6901) for as long as `inside` runs.
fn within<T>(pointer: &mut String, step: &str, inside: impl FnOnce(&mut String) -> T) -> T {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
    let result = inside(pointer);
    pointer.truncate(length);
    result
}

fn compile_text(text: &str, pointer: &str) -> Result<Node, Invalid> {
    let Some(scanned) = scan::scan(text).map_err(|message| invalid(pointer, message))? else {
        return Ok(Node::Literal(Value::String(text.to_owned()).to_string()));
    };
    let template = upon::Engine::new()
        .compile(scanned.source)
        .map_err(|error| invalid(pointer, format!("is not a template: {error}")))?;
    let leaf = Leaf { pointer: pointer.to_owned(), is_literal: false, template };
    Ok(if scanned.is_json { Node::Json(leaf) } else { Node::Text(leaf) })
}

fn write(
    node: &Node,
    engines: Engines<'_>,
    context: &upon::Value,
    out: &mut String,
) -> Result<(), RenderError> {
    match node {
        Node::Literal(text) => out.push_str(text),
        Node::Json(leaf) => out.push_str(&render(leaf, engines, context, out.len())?),
        Node::Text(leaf) => {
            let text = render(leaf, engines, context, out.len())?;
            out.push_str(&Value::String(text).to_string());
        }
        Node::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, engines, context, out)?;
            }
            out.push(']');
        }
        Node::Object(entries) => {
            out.push('{');
            for (at, (key, value)) in entries.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(key);
                out.push(':');
                write(value, engines, context, out)?;
            }
            out.push('}');
        }
    }
    if out.len() > limits::PAYLOAD_BYTES { Err(too_large("")) } else { Ok(()) }
}

fn too_large(pointer: &str) -> RenderError {
    RenderError {
        failure: Failure::PayloadTooLarge,
        is_unfinished: false,
        pointer: pointer.to_owned(),
        message: format!("the payload is larger than {} bytes", limits::PAYLOAD_BYTES),
    }
}

fn render(
    leaf: &Leaf,
    engines: Engines<'_>,
    context: &upon::Value,
    so_far: usize,
) -> Result<String, RenderError> {
    let engine = if leaf.is_literal { engines.literal } else { engines.escaped };
    let mut writer = Capped { bytes: Vec::new(), room: limits::PAYLOAD_BYTES.saturating_sub(so_far) };
    let rendered = leaf.template.render_from(engine, context).to_writer(&mut writer);
    if rendered.is_ok() {
        return Ok(String::from_utf8_lossy(&writer.bytes).into_owned());
    }
    if writer.room == 0 {
        return Err(too_large(&leaf.pointer));
    }
    Err(RenderError {
        failure: Failure::Render,
        is_unfinished: false,
        pointer: leaf.pointer.clone(),
        message: "the template does too much work for one payload; loop over fewer items".to_owned(),
    })
}

/// Takes no more than fits; `room` is 0 once something did not.
struct Capped {
    bytes: Vec<u8>,
    room: usize,
}

impl std::io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() > self.room {
            self.room = 0;
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        self.room -= bytes.len();
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
