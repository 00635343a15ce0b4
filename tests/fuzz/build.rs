//! Compiles a real plugin, whose bytes the target `elf_note` takes as its beginning.

use std::path::Path;
use std::process::Command;

fn main() {
    let out = std::env::var_os("OUT_DIR").expect("cargo names the output directory");
    let library = Path::new(&out).join("plugin.so");
    let source = "../fixtures/plugins/ema-c/ema.c";
    println!("cargo::rerun-if-changed={source}");
    let status = Command::new("cc")
        .args([
            "-std=c11",
            "-O2",
            "-s",
            "-shared",
            "-fPIC",
            "-fvisibility=hidden",
        ])
        .args(["-I", "../../plugin-api/include", source, "-o"])
        .arg(&library)
        .status()
        .expect("cc can be started");
    assert!(status.success(), "{source} does not compile");
}
