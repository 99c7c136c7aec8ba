//! How a value is escaped for its receiver, so that a record's text can neither ring everybody nor forge a link.

use webhook_model::Dialect;

/// [`Dialect::Auto`] by the endpoint's host.
pub(super) fn resolve(dialect: Dialect, host: Option<&str>) -> Dialect {
    let Dialect::Auto = dialect else { return dialect };
    let host = host.unwrap_or_default().trim_end_matches('.');
    let under =
        |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    match () {
        () if under("slack.com") || under("slack-gov.com") => Dialect::Slack,
        () if under("discord.com") || under("discordapp.com") => Dialect::Discord,
        () if under("webhook.office.com") || under("logic.azure.com") || under("api.powerplatform.com") => {
            Dialect::Teams
        }
        () if host == "chat.googleapis.com" => Dialect::GoogleChat,
        () => Dialect::Plain,
    }
}

/// Breaks a sequence that a receiver knows, and is not seen.
const BREAK: char = '\u{200b}';
/// What Slack takes for everybody behind an `@`, where a message says `link_names` or `parse`.
const EVERYBODY: &[&str] = &["channel", "here", "everyone", "group"];

/// What one character can become at most, in characters: `&amp;`.
pub(super) const LONGEST: usize = 5;

/// Keys whose strings a receiver does not read as markup, so that escapes would be seen, or lead elsewhere: addresses, and
/// names that are shown as they are. `under` is the key above.
pub(super) fn is_literal(dialect: Dialect, under: &str, key: &str) -> bool {
    let is_address = ["url", "uri", "href", "title_link", "author_link", "author_icon", "footer_icon"]
        .contains(&key)
        || key.ends_with("_url")
        || key.ends_with("Url")
        || key.ends_with("Image")
        || (key == "image" && dialect == Dialect::Teams);
    let is_name = match dialect {
        Dialect::Discord => {
            matches!((under, key), ("author", "name") | ("footer", "text"))
                || matches!(key, "username" | "timestamp")
        }
        Dialect::Slack => key == "username",
        _ => false,
    };
    is_address || is_name
}

/// `text` as the receiver must get it to show it as it is.
pub(super) fn escape(dialect: Dialect, text: &str) -> String {
    let escape: fn(char, Around<'_>, &mut String) = match dialect {
        Dialect::Auto | Dialect::Plain => return text.to_owned(),
        Dialect::Slack => slack,
        Dialect::Discord => discord,
        Dialect::Teams => teams,
        Dialect::GoogleChat => google_chat,
    };
    let text: String = text.chars().filter(|c| !turns_text_around(*c)).collect();
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut before = None;
    for (at, c) in text.char_indices() {
        escape(c, Around { before, after: &text[at + c.len_utf8()..] }, &mut out);
        before = Some(c);
    }
    out
}

/// What stands beside a character.
struct Around<'a> {
    before: Option<char>,
    after: &'a str,
}

/// Marks with which the text around them, a link's too, is shown in another order than it is written.
fn turns_text_around(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Slack: control sequences live in angle brackets (`<!channel>`, `<@U1>`, `<url|text>`); in `markdown` blocks a link
/// is `[text](url)` or `[text]: url`.
fn slack(c: char, around: Around<'_>, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '@' if around.before.is_none_or(|c| !c.is_alphanumeric()) && names_everybody(around.after) => {
            out.extend(['@', BREAK]);
        }
        ']' if around.after.is_empty() || around.after.starts_with(['(', '[', ':']) => {
            out.extend([']', BREAK])
        }
        other => out.push(other),
    }
}

/// At its end a value is taken for the beginning of whatever comes behind it.
fn names_everybody(after: &str) -> bool {
    let begins = |word: &&str| after.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    after.is_empty() || EVERYBODY.iter().any(begins)
}

/// Discord: Markdown, masked links, and mentions. The break behind `@` keeps `@everyone` from ringing.
fn discord(c: char, _: Around<'_>, out: &mut String) {
    match c {
        '@' => out.extend(['@', BREAK]),
        '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '>' | '[' | ']' | '(' | ')' | '#' => out.extend(['\\', c]),
        other => out.push(other),
    }
}

/// Teams: Markdown of cards, HTML of messages.
fn teams(c: char, _: Around<'_>, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '\\' | '*' | '_' | '~' | '`' | '[' | ']' | '(' | ')' | '#' => out.extend(['\\', c]),
        other => out.push(other),
    }
}

/// Google Chat: control sequences live in angle brackets (`<users/all>`, `<url|text>`) and have no escape of their own, so
/// they are broken; in cards the text is HTML, for which a break serves as well. Marks of `*bold*` keep to themselves.
fn google_chat(c: char, _: Around<'_>, out: &mut String) {
    match c {
        '<' | '*' | '_' | '~' | '`' => out.extend([c, BREAK]),
        '&' => out.extend(['&', BREAK]),
        other => out.push(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_goes_by_the_host_and_not_by_a_look_alike() {
        #[track_caller]
        fn check(host: &str, expected: Dialect) {
            assert_eq!(resolve(Dialect::Auto, Some(host)), expected, "{host}");
        }
        check("hooks.slack.com", Dialect::Slack);
        check("slack.com.", Dialect::Slack);
        check("notslack.com", Dialect::Plain);
        check("slack.com.example.org", Dialect::Plain);
        check("discord.com", Dialect::Discord);
        check("acme.webhook.office.com", Dialect::Teams);
        check("prod-01.westeurope.logic.azure.com", Dialect::Teams);
        check("chat.googleapis.com", Dialect::GoogleChat);
        check("googleapis.com", Dialect::Plain);
        check("example.com", Dialect::Plain);
        assert_eq!(resolve(Dialect::Auto, None), Dialect::Plain);
        assert_eq!(resolve(Dialect::Slack, Some("example.com")), Dialect::Slack);
    }

    #[test]
    fn nothing_rings_and_no_link_is_forged() {
        #[track_caller]
        fn check(dialect: Dialect, text: &str, expected: &str) {
            assert_eq!(escape(dialect, text), expected);
        }
        check(Dialect::Slack, "<!channel> R&D <http://x|y>", "&lt;!channel&gt; R&amp;D &lt;http://x|y&gt;");
        check(
            Dialect::Discord,
            "@everyone [a](http://x) <@1>",
            "@\u{200b}everyone \\[a\\]\\(http://x\\) \\<@\u{200b}1\\>",
        );
        check(Dialect::Teams, "[a](http://x) <at>", "\\[a\\]\\(http://x\\) &lt;at&gt;");
        check(Dialect::GoogleChat, "<users/all> &lt;a", "<\u{200b}users/all> &\u{200b}lt;a");
        check(Dialect::Plain, "<!channel> \u{202e}", "<!channel> \u{202e}");
        for name in ["@channel", "@Here now", "(@EVERYONE)", "\n@group", "ask @"] {
            let broken = name.replace('@', "@\u{200b}");
            check(Dialect::Slack, name, &broken);
        }
        check(Dialect::Slack, "me@here.example, @anna, [INV/1] x", "me@here.example, @anna, [INV/1] x");
        check(
            Dialect::Slack,
            "[a](b) [a][b] [a]: b [a]",
            "[a]\u{200b}(b) [a]\u{200b}[b] [a]\u{200b}: b [a]\u{200b}",
        );
    }

    #[test]
    fn marks_that_turn_text_around_hide_nothing() {
        for dialect in [Dialect::Slack, Dialect::Discord, Dialect::Teams, Dialect::GoogleChat] {
            assert_eq!(escape(dialect, "a\u{202e}b\u{2066}c\u{2069}"), "abc");
        }
        // They do not stand between what belongs together, either.
        assert_eq!(escape(Dialect::Slack, "[a]\u{202e}(b) @\u{2066}here"), "[a]\u{200b}(b) @\u{200b}here");
    }
}
