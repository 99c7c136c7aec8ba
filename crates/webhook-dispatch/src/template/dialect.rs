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
        () => Dialect::Plain,
    }
}

/// `text` as the receiver must get it to show it as it is.
pub(super) fn escape(dialect: Dialect, text: &str) -> String {
    match dialect {
        Dialect::Auto | Dialect::Plain => text.to_owned(),
        Dialect::Slack => each(text, slack),
        Dialect::Discord => each(text, discord),
        Dialect::Teams => each(text, teams),
    }
}

fn each(text: &str, escape: impl Fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| escape(c, &mut out));
    out
}

/// Slack: control sequences live in angle brackets (`<!channel>`, `<@U1>`, `<url|text>`).
fn slack(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        other => out.push(other),
    }
}

/// Discord: Markdown, masked links, and mentions. A zero-width space behind `@` keeps `@everyone` from ringing.
fn discord(c: char, out: &mut String) {
    match c {
        '@' => out.push_str("@\u{200b}"),
        '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '>' | '[' | ']' | '(' | ')' | '#' => out.extend(['\\', c]),
        other => out.push(other),
    }
}

/// Teams: Markdown of cards, HTML of messages.
fn teams(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '\\' | '*' | '_' | '~' | '`' | '[' | ']' | '(' | ')' | '#' => out.extend(['\\', c]),
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
        check(Dialect::Plain, "<!channel>", "<!channel>");
    }
}
