//! `fusebox completions`: completion scripts for shells.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Context};
use crate::failure::Failure;

/// Print the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fusebox completions bash > ~/.local/share/bash-completion/completions/fusebox
  fusebox completions zsh > ~/.zfunc/_fusebox
  fusebox completions fish > ~/.config/fish/completions/fusebox.fish")]
pub(super) struct CompletionsArgs {
    /// Shell to write for
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, context: &Context) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "fusebox", &mut script);
    let document = serde_json::json!({
        "shell": args.shell.to_string(),
        "script": String::from_utf8_lossy(&script),
    });
    context
        .output
        .show(&document, || String::from_utf8_lossy(&script).into_owned())
}
