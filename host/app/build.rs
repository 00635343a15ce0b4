//! Tells the binary which compiler built it, for the record of a run.

use std::process::Command;

fn main() {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output().ok();
    let version = output
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok());
    let version = version.as_deref().map_or("not known", str::trim);
    println!("cargo:rustc-env=FUSEBOX_RUSTC_VERSION={version}");
    println!("cargo:rerun-if-changed=build.rs");
}
