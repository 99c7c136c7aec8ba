//! Reads the tags of one string: checks them in linear time and rewrites their expressions.
//!
//! `upon` sees nothing but what is written here: names that exist, calls that exist, bounded nesting.

use super::expression::{Block, Ending, Parser, Result, Token, short, tokens};

/// Blocks inside one another.
const BLOCKS: usize = 8;
/// Loops inside one another.
const LOOPS: usize = 2;
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
        let mut parser = Parser::new(&tokens, &self.blocks);
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
        let mut parser = Parser::new(&tokens[usize::from(negated)..], &self.blocks);
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
        let mut parser = Parser::new(sequence, &self.blocks);
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
        let mut parser = Parser::new(value, &self.blocks);
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
