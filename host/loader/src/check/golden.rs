//! The known answers of a package, as a case: the same check that a host makes before it promotes.

use fusebox_plugin_api::import::ImportedPlugin;

use super::{Bench, Finding, Stop};
use crate::discover::Discovered;
use crate::live::golden::{self, GoldenSet, MAX_GOLDEN_BYTES};
use crate::manifest::Golden;

pub(super) fn compare(bench: &Bench<'_>, package: &Discovered, stated: &Golden) -> Finding {
    let set = read(package, stated)?;
    let plugin: ImportedPlugin = bench.map()?.import()?;
    let config = set
        .golden
        .config_or(&bench.settings.config)
        .map_err(|e| e.to_string())?;
    let artifact = set.artifact.as_deref().unwrap_or(&bench.settings.artifact);
    let model = plugin.create_model(&config, artifact);
    let mut model = model.map_err(|error| format!("create for the golden frames: {error}"))?;
    golden::check(&mut model, &set).map_err(|rejection| Stop::Fail(rejection.message))?;
    let (frames, ulp) = (set.golden.frames.len(), set.tolerance_ulp);
    Ok(Some(format!(
        "{frames} frames, {ulp} units in the last place allowed"
    )))
}

fn read(package: &Discovered, stated: &Golden) -> Result<GoldenSet, Stop> {
    let file = |path: &str| {
        let read = package.read_file(path, MAX_GOLDEN_BYTES);
        read.map(|(bytes, _)| bytes)
            .map_err(|error| error.to_string())
    };
    let text = String::from_utf8(file(&stated.vectors)?)
        .map_err(|_| format!("{} is not UTF-8", stated.vectors))?;
    let golden = golden::Golden::parse(&text)?;
    // The artifact lies beside the vectors.
    let dir = stated
        .vectors
        .rsplit_once('/')
        .map_or(String::new(), |(dir, _)| format!("{dir}/"));
    let artifact = match &golden.artifact {
        None => None,
        Some(name) => Some(file(&format!("{dir}{name}"))?),
    };
    let tolerance_ulp = stated.tolerance_ulp;
    Ok(GoldenSet {
        golden,
        artifact,
        tolerance_ulp,
    })
}
