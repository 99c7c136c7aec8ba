//! What commands print: tables for people, JSON for programs. Colour only on a terminal.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// Standard output; styles are left out where it is not a terminal, or `NO_COLOR` is set.
pub fn stdout() -> impl Write {
    anstream::stdout()
}

/// Whether the reader of a pipe went away.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A value as indented JSON.
pub fn json(value: &Value) -> Result<()> {
    Ok(writeln!(stdout(), "{value:#}")?)
}

/// A value as one line of JSON.
pub fn json_line(value: &Value) -> Result<()> {
    Ok(writeln!(stdout(), "{value}")?)
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
    let shown = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// A field of an answer as text: strings bare, null as a dash.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => clean(text).replace('\n', " "),
        other => other.to_string(),
    }
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
pub fn time(value: &Value) -> String {
    value.as_str().map_or_else(|| "-".to_owned(), |text| text.get(..19).unwrap_or(text).replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_endpoint_answers_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\nc");
        assert_eq!(cell(&Value::String("a\nb".to_owned())), "a b");
    }
}
