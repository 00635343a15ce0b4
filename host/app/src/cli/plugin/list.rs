//! `fusebox plugin list`: which plugins there are.

use clap::Args;
use fusebox_loader::trust::Decision;

use crate::cli::{Context, EngineArgs, engine_settings};
use crate::failure::Failure;
use crate::output::table;
use crate::wiring::{self, PluginState, Standing};

/// List the plugins that are found: what each may do, and which one is live
#[derive(Debug, Args)]
#[command(after_help = "\
A plugin that is broken, or that the operator's policy refuses, is shown with its reason and is no
failure of this command. The column `now` tells from the state directory which version is live or
waits as a standby, in which model, what is pinned, and what is kept out; `--json` has the reasons
in full.

Examples:
  fusebox plugin list
  fusebox plugin list --plugin-dir ~/plugins --json")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    engine: EngineArgs,
}

pub(crate) fn run(args: &ListArgs, context: &Context) -> Result<(), Failure> {
    let settings = engine_settings(&args.engine, context)?;
    let plugins = wiring::plugins_now(&settings, &settings.trust.policy()?)?;
    context.output.show(&plugins, || text(&plugins, &settings))
}

fn text(plugins: &[PluginState], settings: &wiring::EngineSettings) -> String {
    if plugins.is_empty() {
        let dirs: Vec<String> = settings
            .plugin_dirs
            .iter()
            .map(|dir| dir.display().to_string())
            .collect();
        return format!(
            "no plugins in {}; `make build` installs those of this project\n",
            dirs.join(", ")
        );
    }
    let titles = [
        "id",
        "version",
        "kinds",
        "ABI",
        "tier",
        "trust",
        "state",
        "now",
        "digest or reason",
    ];
    let mut table = table(&titles);
    let dash = || "-".to_owned();
    for plugin in plugins {
        let short = |digest: &String| digest.chars().take(16).collect::<String>();
        table.add_row([
            plugin.id.clone(),
            plugin.version.clone(),
            plugin.kinds.join(", "),
            plugin.abi.clone().unwrap_or_else(dash),
            plugin.tier.map_or_else(dash, |tier| tier.to_string()),
            plugin.trust.as_ref().map_or_else(dash, Decision::signer),
            plugin.state.word().to_owned(),
            now(plugin),
            plugin
                .reason
                .clone()
                .or_else(|| plugin.digest.as_ref().map(short))
                .unwrap_or_else(dash),
        ]);
    }
    table.to_string()
}

fn now(plugin: &PluginState) -> String {
    let standings: Vec<String> = plugin.standing.iter().map(Standing::words).collect();
    match standings.is_empty() {
        true => "-".to_owned(),
        false => standings.join("; "),
    }
}
