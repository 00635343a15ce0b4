//! Tells the binary which compiler built it, for the record of a run, and packs what
//! `fusebox plugin new` writes into a project: the header and the sources of the contract crate,
//! as they are in this tree, so that a project needs nothing of it.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::{Table, Value};

const CONTRACT: &str = "../../plugin-api";

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let contract = fs::canonicalize(root.join(CONTRACT))?;
    let workspace = fs::canonicalize(root.join("../../Cargo.toml"))?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo gives no OUT_DIR")?);

    let manifest = out.join("contract-Cargo.toml");
    fs::write(
        &manifest,
        own_manifest(&contract.join("Cargo.toml"), &workspace)?,
    )?;

    let mut files = vec![("Cargo.toml".to_owned(), manifest)];
    for part in ["include", "src", "README.md"] {
        collect(&contract, &contract.join(part), &mut files)?;
    }
    files.sort();
    let mut code = String::from("pub(super) static CONTRACT: &[(&str, &[u8])] = &[\n");
    for (name, path) in &files {
        writeln!(
            code,
            "    ({name:?}, include_bytes!({:?})),",
            path.display().to_string()
        )?;
    }
    code.push_str("];\n");
    fs::write(out.join("contract.rs"), code)?;

    let mut stdout = io::stdout().lock();
    writeln!(
        stdout,
        "cargo::rustc-env=FUSEBOX_RUSTC_VERSION={}",
        compiler()
    )?;
    writeln!(stdout, "cargo::rerun-if-changed=build.rs")?;
    for path in [&contract, &workspace] {
        writeln!(stdout, "cargo::rerun-if-changed={}", path.display())?;
    }
    Ok(())
}

/// The version of the compiler.
fn compiler() -> String {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output().ok();
    let version = output
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok());
    version.as_deref().map_or("not known", str::trim).to_owned()
}

/// The files below `path`, with their names relative to `root`.
fn collect(
    root: &Path,
    path: &Path,
    files: &mut Vec<(String, PathBuf)>,
) -> Result<(), Box<dyn Error>> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(root, &entry?.path(), files)?;
        }
        return Ok(());
    }
    let name = path
        .strip_prefix(root)?
        .to_str()
        .ok_or("a file name is not UTF-8")?;
    files.push((name.to_owned(), path.to_owned()));
    Ok(())
}

/// The contract's manifest with everything that it inherits from the workspace written out.
fn own_manifest(contract: &Path, workspace: &Path) -> Result<String, Box<dyn Error>> {
    let workspace: Table = fs::read_to_string(workspace)?.parse()?;
    let workspace = workspace["workspace"].as_table().ok_or("no [workspace]")?;
    let mut own: Table = fs::read_to_string(contract)?.parse()?;
    for part in ["package", "dependencies"] {
        let shared = workspace[part]
            .as_table()
            .ok_or("a workspace without shared values")?;
        let table = own
            .get_mut(part)
            .and_then(Value::as_table_mut)
            .ok_or("no such table")?;
        for (key, value) in table.iter_mut() {
            let is_true = |flag: &str| value.get(flag).and_then(Value::as_bool) == Some(true);
            if is_true("workspace") && !is_true("optional") {
                *value = shared[key].clone();
            }
        }
    }
    own.remove("lints");
    own.remove("dev-dependencies");
    drop_optional(&mut own);
    Ok(toml::to_string(&own)?)
}

/// Takes optional dependencies out, which are for this tree's own tests. Their features stay known,
/// so that the compiler does not warn of them, and switch nothing on.
fn drop_optional(manifest: &mut Table) {
    if let Some(dependencies) = manifest
        .get_mut("dependencies")
        .and_then(Value::as_table_mut)
    {
        dependencies.retain(|_, one| one.get("optional").and_then(Value::as_bool) != Some(true));
    }
    if let Some(features) = manifest.get_mut("features").and_then(Value::as_table_mut) {
        for enables in features
            .iter_mut()
            .filter_map(|(_, value)| value.as_array_mut())
        {
            enables.retain(|one| !one.as_str().is_some_and(|name| name.starts_with("dep:")));
        }
    }
}
