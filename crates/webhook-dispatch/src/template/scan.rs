//! Reads the tags of one string: checks them in linear time and rewrites their expressions.
//!
//! `upon` sees nothing but what is written here: names that exist, calls that exist, bounded nesting.

use super::functions::{CALLABLE, NAMES};

/// Brackets and calls inside one another.
const DEPTH: usize = 8;
/// Blocks inside one another.
const BLOCKS: usize = 8;
/// Loops inside one another.
const LOOPS: usize = 2;
/// Filters behind one another.
const FILTERS: usize = 12;
/// `else if` branches of one `if`.
const BRANCHES: usize = 32;

/// A string with tags, ready for `upon`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scanned {
    /// The rewritten template.
    pub source: String,
    /// It is one expression that ends in `| json`, and nothing else.
    pub is_json: bool,
}

type Result<T> = std::result::Result<T, String>;

/// What an emitted expression ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Escaped,
    Raw,
    Json,
}

/// An open block, and the names that it brings.
struct Block {
    word: &'static str,
    names: Vec<String>,
    branches: usize,
    had_else: bool,
    /// Of a loop: where in the output the number of tags inside it belongs, and how many there were before.
    tags_at: Option<(usize, usize)>,
}

/// `None`: the string has no tags and stands for itself.
pub(super) fn scan(text: &str) -> Result<Option<Scanned>> {
    if !["{{", "}}", "{%", "%}", "{#", "#}"].iter().any(|tag| text.contains(tag)) {
        return Ok(None);
    }
    let mut scanner = Scanner { blocks: Vec::new(), out: String::with_capacity(text.len() * 2), tags: 0 };
    let mut rest = text;
    let mut is_json = false;
    while !rest.is_empty() {
        let Some((start, tag)) = next_tag(rest)? else {
            scanner.out.push_str(rest);
            break;
        };
        scanner.out.push_str(&rest[..start]);
        let (inside, after) = split_tag(&rest[start + 2..], tag)?;
        scanner.tags += 1;
        match tag {
            Tag::Expression => {
                let is_whole = start == 0 && rest.len() == text.len() && after.is_empty();
                is_json = scanner.expression(inside, is_whole)? == Ending::Json && is_whole;
            }
            Tag::Block => scanner.block(inside)?,
            Tag::Comment => {}
        }
        rest = after;
    }
    if let Some(open) = scanner.blocks.last() {
        return Err(format!("{{% {0} %}} has no {{% end{0} %}}", open.word));
    }
    Ok(Some(Scanned { source: scanner.out, is_json }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Expression,
    Block,
    Comment,
}

impl Tag {
    fn close(self) -> &'static str {
        match self {
            Self::Expression => "}}",
            Self::Block => "%}",
            Self::Comment => "#}",
        }
    }
}

/// Where the next tag begins. A closing mark without an opening one is an error of the author.
fn next_tag(text: &str) -> Result<Option<(usize, Tag)>> {
    for (at, pair) in text.as_bytes().windows(2).enumerate() {
        match pair {
            b"{{" => return Ok(Some((at, Tag::Expression))),
            b"{%" => return Ok(Some((at, Tag::Block))),
            b"{#" => return Ok(Some((at, Tag::Comment))),
            b"}}" | b"%}" | b"#}" => {
                return Err(format!(
                    "has {} without an opening mark before it",
                    String::from_utf8_lossy(pair)
                ));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// What is inside a tag (without `-` marks) and what comes behind it.
fn split_tag(text: &str, tag: Tag) -> Result<(&str, &str)> {
    let close = tag.close();
    let bytes = text.as_bytes();
    let (mut at, mut quoted) = (0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quoted => at += 1,
            b'"' if tag != Tag::Comment => quoted = !quoted,
            _ if !quoted && bytes[at..].starts_with(close.as_bytes()) => {
                let inside = text[..at].strip_prefix('-').unwrap_or(&text[..at]);
                return Ok((inside.strip_suffix('-').unwrap_or(inside), &text[at + 2..]));
            }
            _ => {}
        }
        at += 1;
    }
    Err(format!("has a tag that is not closed with {close}"))
}

struct Scanner {
    blocks: Vec<Block>,
    out: String,
    /// Tags so far.
    tags: usize,
}

impl Scanner {
    /// `is_whole`: nothing stands beside it, so that it may become a value instead of a text.
    fn expression(&mut self, inside: &str, is_whole: bool) -> Result<Ending> {
        let tokens = tokens(inside)?;
        let mut parser = Parser { tokens: &tokens, at: 0, blocks: &self.blocks };
        let (call, ending) = parser.emitted()?;
        parser.end()?;
        let show = match ending {
            Ending::Escaped => "text",
            Ending::Raw => "raw",
            Ending::Json if is_whole => "json",
            Ending::Json => "json_text",
        };
        self.out.push_str(&format!("{{{{ {call} | {show} }}}}"));
        Ok(ending)
    }

    fn block(&mut self, inside: &str) -> Result<()> {
        let tokens = tokens(inside)?;
        let Some(Token::Path(word)) = tokens.first() else { return Err("has an empty block tag".to_owned()) };
        let rest = &tokens[1..];
        match word.as_str() {
            "if" => {
                let condition = self.condition(rest)?;
                self.open("if", Vec::new(), None)?;
                self.out.push_str(&format!("{{% if {condition} %}}"));
            }
            "else" => self.branch(rest)?,
            "for" => self.begin_loop(rest)?,
            "with" => self.begin_with(rest)?,
            "endif" => self.close("if", rest)?,
            "endfor" => self.close("for", rest)?,
            "endwith" => self.close("with", rest)?,
            "include" => return Err("includes another template, which is not possible".to_owned()),
            other => {
                return Err(format!(
                    "has an unknown block {{% {} %}}; there are if, for and with",
                    short(other)
                ));
            }
        }
        Ok(())
    }

    fn condition(&self, tokens: &[Token]) -> Result<String> {
        let negated = matches!(tokens.first(), Some(Token::Path(word)) if word == "not");
        let mut parser = Parser { tokens: &tokens[usize::from(negated)..], at: 0, blocks: &self.blocks };
        let condition = parser.piped(0)?;
        parser.end()?;
        Ok(if negated { format!("not {condition}") } else { condition })
    }

    fn branch(&mut self, rest: &[Token]) -> Result<()> {
        let condition = match rest {
            [] => None,
            [Token::Path(word), rest @ ..] if word == "if" => Some(self.condition(rest)?),
            _ => return Err("has an else that is neither {% else %} nor {% else if … %}".to_owned()),
        };
        let Some(block) = self.blocks.last_mut().filter(|block| block.word == "if" && !block.had_else) else {
            return Err("has an else that belongs to no if".to_owned());
        };
        block.branches += 1;
        block.had_else = condition.is_none();
        if block.branches > BRANCHES {
            return Err(format!("has more than {BRANCHES} branches in one if"));
        }
        self.out
            .push_str(&condition.map_or_else(|| "{% else %}".to_owned(), |c| format!("{{% else if {c} %}}")));
        Ok(())
    }

    fn begin_loop(&mut self, rest: &[Token]) -> Result<()> {
        let (names, sequence) = match rest {
            [Token::Path(one), Token::Path(word), sequence @ ..] if word == "in" => {
                (vec![one.clone()], sequence)
            }
            [Token::Path(key), Token::Mark(','), Token::Path(value), Token::Path(word), sequence @ ..]
                if word == "in" =>
            {
                (vec![key.clone(), value.clone()], sequence)
            }
            _ => return Err("has a loop that is not {% for item in list %}".to_owned()),
        };
        names.iter().try_for_each(|name| new_name(name))?;
        let mut parser = Parser { tokens: sequence, at: 0, blocks: &self.blocks };
        let sequence = parser.piped(0)?;
        parser.end()?;
        if self.blocks.iter().filter(|block| block.word == "for").count() == LOOPS {
            return Err(format!("has loops more than {LOOPS} deep"));
        }
        let over = if names.len() == 1 { "each" } else { "entries" };
        self.out.push_str(&format!("{{% for {} in {over}({sequence}, ", names.join(", ")));
        let tags_at = (self.out.len(), self.tags);
        self.out.push_str(") %}");
        self.open("for", names, Some(tags_at))
    }

    fn begin_with(&mut self, rest: &[Token]) -> Result<()> {
        let [value @ .., Token::Path(word), Token::Path(name)] = rest else {
            return Err("has a with that is not {% with value as name %}".to_owned());
        };
        if word != "as" {
            return Err("has a with that is not {% with value as name %}".to_owned());
        }
        new_name(name)?;
        let mut parser = Parser { tokens: value, at: 0, blocks: &self.blocks };
        let value = parser.piped(0)?;
        parser.end()?;
        self.out.push_str(&format!("{{% with {value} as {name} %}}"));
        self.open("with", vec![name.clone()], None)
    }

    fn open(
        &mut self,
        word: &'static str,
        names: Vec<String>,
        tags_at: Option<(usize, usize)>,
    ) -> Result<()> {
        if self.blocks.len() == BLOCKS {
            return Err(format!("has blocks more than {BLOCKS} deep"));
        }
        self.blocks.push(Block { word, names, branches: 0, had_else: false, tags_at });
        Ok(())
    }

    fn close(&mut self, word: &'static str, rest: &[Token]) -> Result<()> {
        let block = self.blocks.pop().filter(|block| rest.is_empty() && block.word == word);
        let Some(block) = block else {
            return Err(format!("has an {{% end{word} %}} that closes no {word}"));
        };
        if let Some((at, before)) = block.tags_at {
            self.out.insert_str(at, &(self.tags - before).to_string());
        }
        self.out.push_str(&format!("{{% end{word} %}}"));
        Ok(())
    }
}

/// Words that `upon` reads as its own, so that no variable can have them.
const KEYWORDS: &[&str] = &[
    "if", "not", "else", "endif", "for", "in", "endfor", "with", "as", "endwith", "include", "true", "false",
    "loop",
];

fn new_name(name: &str) -> Result<()> {
    if KEYWORDS.contains(&name) || name.contains('.') {
        return Err(format!("cannot name a variable {}", short(name)));
    }
    Ok(())
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A name and the steps behind it, dotted; also keywords.
    Path(String),
    /// A literal as `upon` writes it: string or number.
    Literal(String),
    /// One of `| : , ( ) [ ]`
    Mark(char),
}

fn tokens(text: &str) -> Result<Vec<Token>> {
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
struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    blocks: &'a [Block],
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn eat(&mut self, mark: char) -> bool {
        let found = self.peek() == Some(&Token::Mark(mark));
        self.at += usize::from(found);
        found
    }

    fn end(&self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(token) => Err(format!("has {} where an expression should end", show(token))),
        }
    }

    /// A value, its filters, and at the very end perhaps `raw` or `json`.
    fn emitted(&mut self) -> Result<(String, Ending)> {
        let ending = match self.tokens {
            [.., Token::Mark('|'), Token::Path(last)] if last == "raw" => Ending::Raw,
            [.., Token::Mark('|'), Token::Path(last)] if last == "json" => Ending::Json,
            _ => Ending::Escaped,
        };
        if ending != Ending::Escaped {
            self.tokens = &self.tokens[..self.tokens.len() - 2];
        }
        Ok((self.piped(0)?, ending))
    }

    fn piped(&mut self, depth: usize) -> Result<String> {
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
            call = callable(&name, &arguments)?;
        }
        Ok(call)
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
                callable(&name, &arguments)
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
