//! Reads the expression inside a tag and writes it as nested calls of [`functions`](super::functions).

use super::functions::{CALLABLE, NAMES};

/// Brackets and calls inside one another.
const DEPTH: usize = 8;
/// Filters behind one another.
const FILTERS: usize = 12;

/// What is wrong, in words that follow the string's place.
pub(super) type Result<T> = std::result::Result<T, String>;

/// What an emitted expression ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Escaped,
    Raw,
    Json,
}

/// An open block, and the names that it brings.
pub(super) struct Block {
    pub word: &'static str,
    pub names: Vec<String>,
    pub branches: usize,
    pub had_else: bool,
    /// Of a loop: where in the output the number of tags inside it belongs, and how many there were before.
    pub tags_at: Option<(usize, usize)>,
}

/// As much of a text as a message may quote.
pub(super) fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name and the steps behind it, dotted; also keywords.
    Path(String),
    /// A literal as `upon` writes it: string or number.
    Literal(String),
    /// One of `| : , ( ) [ ]`
    Mark(char),
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string(rest)?,
            '0'..='9' | '-' => rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '.')).unwrap_or(rest.len()),
            'a'..='z' | 'A'..='Z' | '_' | '.' | '?' => {
                let length = rest
                    .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '?')))
                    .unwrap_or(rest.len());
                tokens.push(Token::Path(path(&rest[..length])?));
                rest = rest[length..].trim_start();
                continue;
            }
            '|' | ':' | ',' | '(' | ')' | '[' | ']' => {
                tokens.push(Token::Mark(first));
                rest = rest[1..].trim_start();
                continue;
            }
            other => return Err(format!("has {other:?} in an expression, which means nothing there")),
        };
        let literal = &rest[..length];
        let is_number = || literal.parse::<i64>().is_ok() || literal.parse::<f64>().is_ok_and(f64::is_finite);
        if first != '"' && (!is_number() || literal.ends_with('.')) {
            return Err(format!("has {} in an expression, which is not a number", short(literal)));
        }
        tokens.push(Token::Literal(literal.to_owned()));
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// The length of a string literal with its quotes. `upon` knows these escapes and no others.
fn string(text: &str) -> Result<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            'r' | 'n' | 't' | '\\' | '"' if escaped => escaped = false,
            _ if escaped => {
                return Err(format!(
                    "has the escape \\{c} in a text; there are \\n, \\r, \\t, \\\\ and \\\""
                ));
            }
            '\\' => escaped = true,
            '"' => return Ok(at + 1),
            _ => {}
        }
    }
    Err("has a text whose quotes are not closed".to_owned())
}

/// `a.b`, `a?.b` and `.a.b` are the same here: a path that leads nowhere is empty.
fn path(text: &str) -> Result<String> {
    let plain = text.replace("?.", ".");
    let plain = plain.strip_prefix('.').unwrap_or(&plain);
    let is_step = |step: &str| !step.is_empty() && !step.contains('?');
    let named = plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if named && plain.split('.').all(is_step) {
        Ok(plain.to_owned())
    } else {
        Err(format!("has a path {} that is none", short(text)))
    }
}

/// Reads an expression and writes it as nested calls.
pub(super) struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    blocks: &'a [Block],
    /// It ends in `raw`, so nothing of it will be escaped.
    is_raw: bool,
}

impl<'a> Parser<'a> {
    /// A reader of these tokens, inside these blocks.
    pub fn new(tokens: &'a [Token], blocks: &'a [Block]) -> Self {
        Self { tokens, at: 0, blocks, is_raw: false }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn eat(&mut self, mark: char) -> bool {
        let found = self.peek() == Some(&Token::Mark(mark));
        self.at += usize::from(found);
        found
    }

    /// Nothing may follow.
    pub fn end(&self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(token) => Err(format!("has {} where an expression should end", show(token))),
        }
    }

    /// A value, its filters, and at the very end perhaps `raw` or `json`.
    pub fn emitted(&mut self) -> Result<(String, Ending)> {
        let ending = match self.tokens {
            [.., Token::Mark('|'), Token::Path(last)] if last == "raw" => Ending::Raw,
            [.., Token::Mark('|'), Token::Path(last)] if last == "json" => Ending::Json,
            _ => Ending::Escaped,
        };
        if ending != Ending::Escaped {
            self.tokens = &self.tokens[..self.tokens.len() - 2];
        }
        self.is_raw = ending == Ending::Raw;
        Ok((self.piped(0)?, ending))
    }

    /// A value and its filters, inside so many brackets.
    pub fn piped(&mut self, depth: usize) -> Result<String> {
        let mut call = self.value(depth)?;
        let mut filters = 0;
        while self.eat('|') {
            filters += 1;
            if filters > FILTERS {
                return Err(format!("has more than {FILTERS} filters behind one another"));
            }
            let Some(Token::Path(name)) = self.peek().cloned() else {
                return Err("has a | without a filter".to_owned());
            };
            self.at += 1;
            let mut arguments = vec![call];
            if self.eat(':') {
                arguments.push(self.value(depth)?);
                while self.eat(',') {
                    arguments.push(self.value(depth)?);
                }
            }
            call = self.callable(&name, &arguments)?;
        }
        Ok(call)
    }

    /// A truncated text has the length that is asked for when it arrives, so behind whatever escapes it.
    fn callable(&self, name: &str, arguments: &[String]) -> Result<String> {
        let call = callable(name, arguments)?;
        Ok(if self.is_raw && name == "truncate" { call.replacen("truncate", "cut", 1) } else { call })
    }

    fn value(&mut self, depth: usize) -> Result<String> {
        if depth == DEPTH {
            return Err(format!("has brackets more than {DEPTH} deep"));
        }
        let Some(token) = self.peek().cloned() else {
            return Err("has an expression that ends too early".to_owned());
        };
        self.at += 1;
        match token {
            Token::Literal(literal) => Ok(literal),
            Token::Path(name) if self.eat('(') => {
                let arguments = self.list(')', depth)?;
                self.callable(&name, &arguments)
            }
            Token::Path(path) => self.path(&path),
            Token::Mark('(') => {
                let inside = self.piped(depth + 1)?;
                if self.eat(')') { Ok(inside) } else { Err("has a ( that is not closed".to_owned()) }
            }
            Token::Mark('[') => {
                let items: Vec<String> =
                    self.list(']', depth)?.iter().map(|item| format!("item({item})")).collect();
                Ok(format!("([{}])", items.join(", ")))
            }
            Token::Mark(mark) => Err(format!("has {mark:?} where a value should be")),
        }
    }

    fn list(&mut self, close: char, depth: usize) -> Result<Vec<String>> {
        let mut items = Vec::new();
        if self.eat(close) {
            return Ok(items);
        }
        loop {
            items.push(self.piped(depth + 1)?);
            if self.eat(close) {
                return Ok(items);
            }
            if !self.eat(',') {
                return Err(format!("has a bracket that is not closed with {close}"));
            }
        }
    }

    fn path(&self, path: &str) -> Result<String> {
        if path == "true" || path == "false" {
            return Ok(path.to_owned());
        }
        let (name, steps) = path.split_once('.').map_or((path, None), |(name, steps)| (name, Some(steps)));
        let in_loop = self.blocks.iter().any(|block| block.word == "for");
        if name == "loop" && in_loop && matches!(steps, Some("index" | "first" | "last")) {
            return Ok(path.to_owned());
        }
        let is_local = self.blocks.iter().any(|block| block.names.iter().any(|n| n == name));
        if !is_local && !NAMES.contains(&name) {
            return Err(format!(
                "names {}, which does not exist; there are {}",
                short(name),
                NAMES.join(", ")
            ));
        }
        Ok(match (steps, is_local) {
            (None, false) => name.to_owned(),
            (None, true) => format!("local({name})"),
            (Some(steps), false) => format!("at({name}, \"{steps}\")"),
            (Some(steps), true) => format!("of({name}, \"{steps}\")"),
        })
    }
}

fn callable(name: &str, arguments: &[String]) -> Result<String> {
    if name == "raw" || name == "json" {
        return Err(format!(
            "has {name} inside an expression; it comes last, as in {{{{ record.name | {name} }}}}"
        ));
    }
    let Some((_, wanted)) = CALLABLE.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = CALLABLE.iter().map(|(known, _)| *known).collect();
        return Err(format!(
            "calls {}, which does not exist; there are {}, raw and json",
            short(name),
            known.join(", ")
        ));
    };
    let given = arguments.len().checked_sub(1);
    if !given.is_some_and(|given| wanted.contains(&given)) {
        return Err(format!("gives {name} {} values, it takes {}", arguments.len(), wanted.start() + 1));
    }
    Ok(format!("{name}({})", arguments.join(", ")))
}

fn show(token: &Token) -> String {
    match token {
        Token::Path(text) | Token::Literal(text) => short(text),
        Token::Mark(mark) => mark.to_string(),
    }
}
