//! What commands print: tables for people, JSON for programs. Colour only on a terminal.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use webhook_api::Wire;
use webhook_model::Millis;

/// Standard output; styles are left out where it is not a terminal, or `NO_COLOR` is set.
pub fn stdout() -> impl Write {
    anstream::stdout()
}

/// Whether the reader of a pipe went away.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A value as indented JSON.
pub fn json(value: &impl Serialize) -> Result<()> {
    Ok(writeln!(stdout(), "{}", escaped(&serde_json::to_string_pretty(value)?))?)
}

/// A value as one line of JSON.
pub fn json_line(value: &impl Serialize) -> Result<()> {
    Ok(writeln!(stdout(), "{}", escaped(&serde_json::to_string(value)?))?)
}

/// A JSON text that means the same and steers no terminal: JSON itself asks only that some controls be escaped.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) && c != '\n' {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a character does something to its reader's screen, or to the order and the look of what stands beside it,
/// instead of being seen: controls (C0 and C1), line and paragraph separators, and Unicode's invisible format characters.
/// The two joiners stay: words and pictures are made with them.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Good is green, bad is red, waiting is yellow.
pub fn style(word: &str) -> Style {
    let colour = match word {
        "success" | "ok" | "valid" | "active" => AnsiColor::Green,
        "failed" | "FAIL" | "INVALID" | "inactive" => AnsiColor::Red,
        "pending" | "warn" | "paused" | "absent" => AnsiColor::Yellow,
        _ => return Style::new(),
    };
    colour.on_default()
}

/// A word in its colour, filled up to `width`.
pub fn coloured(word: &str, width: usize) -> String {
    let style = style(word);
    format!("{style}{word}{style:#}{:fill$}", "", fill = width.saturating_sub(word.chars().count()))
}

/// How far something with a known end is; seen on a terminal only.
pub fn progress(all: u64, unit: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(&format!(
        "{{wide_bar}} {{human_pos}}/{{human_len}} {unit}, {{eta}} left"
    ));
    ProgressBar::new(all).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// How far something without a known end is; seen on a terminal only.
pub fn spinner(unit: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(&format!("{{spinner}} {{human_pos}} {unit}, {{elapsed}}"));
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

/// That something without any measure goes on; seen on a terminal only.
pub fn waiting(doing: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}");
    let bar =
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.set_message(doing);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Text from elsewhere: what could steer a terminal is shown, not obeyed.
pub fn clean(text: &str) -> String {
    let shown = |c: char| if steers(c) && c != '\n' { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// A value in a line of its own, or in a row.
pub fn cell(value: impl Display) -> String {
    clean(&value.to_string()).replace('\n', " ")
}

/// The same of what may not be there: a dash.
pub fn cell_or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), cell)
}

/// Columns under their heads; where there are no rows, that sentence, beside the output.
pub fn table(heads: &[&str], rows: &[Vec<String>], none: &str) -> Result<()> {
    if rows.is_empty() {
        eprintln!("mcp-webhookd: {none}");
        return Ok(());
    }
    let width = |index: usize| {
        let cells = rows.iter().map(|row| row[index].chars().count());
        cells.chain([heads[index].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut out = stdout();
    let bold = Style::new().bold();
    for (head, width) in heads.iter().zip(&widths) {
        write!(out, "{bold}{head}{bold:#}{:fill$}  ", "", fill = width - head.len())?;
    }
    writeln!(out)?;
    for row in rows {
        for (cell, width) in row.iter().zip(&widths) {
            write!(out, "{}  ", coloured(cell, *width))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// `2026-11-23T10:15:00.123Z` without what nobody reads in a table.
pub fn time(at: Option<Wire<Millis>>) -> String {
    at.map_or_else(|| "-".to_owned(), |Wire(at)| at.to_string()[..19].replace('T', " "))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_an_endpoint_answers_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\nc");
        assert_eq!(cell("a\nb"), "a b");
        for c in (0..=0x10_ffff).filter_map(char::from_u32).filter(|c| steers(*c)) {
            let text = format!("a{c}b");
            let shown = [clean(&text), cell(&text), escaped(&Value::from(text.clone()).to_string())];
            assert!(c == '\n' || shown.iter().all(|shown| !shown.contains(c)), "{c:?}: {shown:?}");
            assert_eq!(serde_json::from_str::<Value>(&shown[2]).unwrap(), Value::from(text), "the same JSON");
        }
        for c in ['\u{9b}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{e0041}', '\u{7f}'] {
            assert!(steers(c), "{c:?}");
        }
        for text in ["Zürich", "Склад", "می‌خواهم", "👩‍👧", "日本"] {
            assert_eq!((clean(text), escaped(text)), (text.to_owned(), text.to_owned()));
        }
    }
}
