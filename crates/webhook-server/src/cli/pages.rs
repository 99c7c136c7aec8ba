//! `completions` and `man`: made from the same description of the command line that reads it.

use std::io::Write;

use anyhow::Result;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::{Cli, output};

#[derive(Debug, Args)]
pub struct CompletionOptions {
    /// For which shell
    shell: Shell,
}

/// Prints the script.
pub fn completions(options: &CompletionOptions) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "mcp-webhookd", &mut script);
    Ok(output::stdout().write_all(&script)?)
}

/// Prints one page with every command.
pub fn manual() -> Result<()> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    let manual = clap_mangen::Man::new(command.clone()).section("8");
    manual.render_title(&mut page)?;
    manual.render_name_section(&mut page)?;
    manual.render_synopsis_section(&mut page)?;
    manual.render_description_section(&mut page)?;
    manual.render_options_section(&mut page)?;
    writeln!(page, ".SH COMMANDS")?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        describe(sub, "", &mut page)?;
    }
    manual.render_extra_section(&mut page)?;
    manual.render_version_section(&mut page)?;
    Ok(output::stdout().write_all(&page)?)
}

fn describe(command: &Command, path: &str, page: &mut Vec<u8>) -> Result<()> {
    let name = format!("{path}{}", command.get_name());
    let subs: Vec<&Command> = command.get_subcommands().filter(|sub| sub.get_name() != "help").collect();
    if subs.is_empty() {
        writeln!(page, ".SS {}", name.replace('-', "\\-"))?;
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(page, "{}.", about.replace('-', "\\-"))?;
        for argument in command.get_arguments().filter(|a| !a.is_global_set() && a.get_id() != "help") {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            writeln!(page, ".TP\n\\fB{}\\fR\n{}", shown(argument), help.replace('-', "\\-"))?;
        }
    }
    subs.iter().try_for_each(|sub| describe(sub, &format!("{name} "), page))
}

fn shown(argument: &clap::Arg) -> String {
    let text = match argument.get_long() {
        Some(long) if argument.get_action().takes_values() => {
            let values = argument.get_value_names().map(|names| names.join(" ")).unwrap_or_default();
            format!("--{long} {values}")
        }
        Some(long) => format!("--{long}"),
        None => argument.get_id().as_str().to_uppercase(),
    };
    text.replace('-', "\\-")
}
