//! `fusebox plugin new`: a project that builds, is tested, checked and packed by `make`.
//!
//! Everything a project needs lies in this binary. A project is written beside its place and
//! renamed in; nothing that exists is ever overwritten.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use fusebox_loader::generation::sha256_hex;
use fusebox_loader::manifest::is_valid_id;
use serde::Serialize;

use crate::cli::Context;
use crate::failure::Failure;

mod contract {
    //! The header and the sources of the contract, packed by `build.rs`.
    include!(concat!(env!("OUT_DIR"), "/contract.rs"));

    /// The files of the contract crate.
    pub(super) fn files() -> &'static [(&'static str, &'static [u8])] {
        CONTRACT
    }
}

const HEADER: &str = "include/fusebox_plugin.h";
const LONGEST_NAME: usize = 64;

/// Words that are no crate names or no names of a library, whatever the language.
const RESERVED: [&str; 24] = [
    "as",
    "async",
    "await",
    "build",
    "const",
    "core",
    "crate",
    "dist",
    "enum",
    "extern",
    "fn",
    "fusebox-plugin-api",
    "impl",
    "include",
    "loop",
    "match",
    "mod",
    "move",
    "self",
    "src",
    "std",
    "test",
    "type",
    "use",
];

/// Write a new plugin project: it builds, has tests, passes `plugin check` and can be packed
#[derive(Debug, Args)]
#[command(after_help = "\
The project needs nothing of Fusebox but this program: the header, or the sources of the contract
crate, are written into it. Existing files are never overwritten.

Examples:
  fusebox plugin new my-model
  fusebox plugin new my-model --lang c --id org.me.my-model
  fusebox plugin new my-model --lang cpp --out ~/plugins/my-model
  cd my-model && make && make test && make check")]
pub(crate) struct NewArgs {
    /// Name of the project and of its library: lower-case letters, digits and `-`
    name: String,
    /// Language of the plugin
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// Id of the plugin, reverse DNS; com.example.NAME where it is not given
    #[arg(long)]
    id: Option<String>,
    /// Directory to write, which must not exist or be empty; ./NAME where it is not given
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Language {
    Rust,
    C,
    Cpp,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Written {
    path: PathBuf,
    id: String,
    language: Language,
    files: Vec<String>,
    /// SHA-256 of the header that the project was written with.
    header_sha256: String,
}

pub(crate) fn run(args: &NewArgs, context: &Context) -> Result<(), Failure> {
    let id = args
        .id
        .clone()
        .unwrap_or_else(|| format!("com.example.{}", args.name));
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(&args.name));
    let problems = problems(args, &id, &out);
    if !problems.is_empty() {
        return Err(Failure::Usage(problems.join("; ")));
    }
    let files = project(args, &id)?;
    write(&out, &files)?;
    let written = Written {
        path: out,
        id,
        language: args.lang,
        files: files.keys().cloned().collect(),
        header_sha256: sha256_hex(header()),
    };
    context.output.show(&written, || text(&written))
}

fn text(written: &Written) -> String {
    format!(
        "wrote {} in {} ({} files, header sha256 {})\n\nnext:\n  cd {}\n  make\n  make test\n  \
         make check\n  make package\n",
        written.id,
        written.path.display(),
        written.files.len(),
        &written.header_sha256[..16],
        written.path.display()
    )
}

/// Everything that is wrong with what was asked for.
fn problems(args: &NewArgs, id: &str, out: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    let name = &args.name;
    let is_word = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.ends_with('-')
        && !name.contains("--");
    if !is_word || name.len() > LONGEST_NAME {
        problems.push(format!(
            "the name `{name}` must be lower-case letters, digits and single `-`, begin with a \
             letter and have at most {LONGEST_NAME} letters, such as my-model"
        ));
    }
    if RESERVED.contains(&name.as_str()) {
        problems.push(format!(
            "the name `{name}` is taken by the language or the project itself"
        ));
    }
    if !is_valid_id(id) {
        problems.push(format!(
            "the id `{id}` must be reverse DNS such as com.example.my-model"
        ));
    }
    if let Some(problem) = occupied(out) {
        problems.push(problem);
    }
    problems
}

/// Why nothing can be written at `out`.
fn occupied(out: &Path) -> Option<String> {
    if out.is_dir() {
        let is_empty = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
        return (!is_empty).then(|| {
            format!(
                "{} exists and is not empty; name another directory with --out",
                out.display()
            )
        });
    }
    let exists = out.symlink_metadata().is_ok();
    exists.then(|| {
        format!(
            "{} exists and is no directory; name another with --out",
            out.display()
        )
    })
}

fn header() -> &'static [u8] {
    let header = contract::files().iter().find(|(name, _)| *name == HEADER);
    header.map_or(&[], |(_, bytes)| bytes)
}

type Files = BTreeMap<String, Vec<u8>>;

/// The files of a project.
fn project(args: &NewArgs, id: &str) -> Result<Files, Failure> {
    let ident = args.name.replace('-', "_");
    let mut values = BTreeMap::from([
        ("name", args.name.clone()),
        ("ident", ident.clone()),
        ("id", id.to_owned()),
        ("pack", PACK.to_owned()),
    ]);
    let mut files = Files::new();
    match args.lang {
        Language::Rust => add_rust(&mut files, &mut values),
        Language::C => add_c(&mut files, &mut values, &ident, &C),
        Language::Cpp => add_c(&mut files, &mut values, &ident, &CPP),
    }
    add(
        &mut files,
        "README.md",
        include_str!("../../../templates/README.md.tmpl"),
    );
    add(
        &mut files,
        ".gitignore",
        include_str!("../../../templates/gitignore.tmpl"),
    );
    fill(&mut files, &values)?;
    add_contract(&mut files, args.lang);
    Ok(files)
}

/// The command of `make package`.
const PACK: &str = concat!(
    "$(FUSEBOX) plugin pack $(LIBRARY) --out dist --replace ",
    "$(PACK_FLAGS) $(if $(KEY),--key $(KEY))"
);

fn add(files: &mut Files, name: &str, text: &str) {
    files.insert(name.to_owned(), text.as_bytes().to_vec());
}

fn add_rust(files: &mut Files, values: &mut BTreeMap<&'static str, String>) {
    add(
        files,
        "Cargo.toml",
        include_str!("../../../templates/rust/Cargo.toml.tmpl"),
    );
    add(
        files,
        "Makefile",
        include_str!("../../../templates/rust/Makefile.tmpl"),
    );
    add(
        files,
        "src/lib.rs",
        include_str!("../../../templates/rust/lib.rs.tmpl"),
    );
    values.extend([
        ("language", "Rust".to_owned()),
        ("needs", "Rust 1.90 or newer (rustup)".to_owned()),
        ("version_place", "`Cargo.toml`".to_owned()),
        (
            "contract_place",
            "`fusebox-plugin-api/include/fusebox_plugin.h`".to_owned(),
        ),
        (
            "files",
            "| `src/lib.rs` | the model, `export_plugin!`, and its tests |\n\
             | `Cargo.toml`, `Makefile` | the build |\n\
             | `fusebox-plugin-api/` | the sources of the contract crate, with their SHA-256 in \
             `SHA256SUMS` (`sha256sum -c`); do not change them |"
                .to_owned(),
        ),
        (
            "rules",
            "- A panic costs the instance, not the host, as long as `panic = \"unwind\"` stays."
                .to_owned(),
        ),
    ]);
}

/// What differs between C and C++.
struct CFamily {
    language: &'static str,
    needs: &'static str,
    end: &'static str,
    makefile: &'static str,
    source: &'static str,
    test: &'static str,
    rules: &'static str,
}

const C: CFamily = CFamily {
    language: "C11",
    needs: "a C compiler (`cc`)",
    end: "c",
    makefile: include_str!("../../../templates/c/Makefile.tmpl"),
    source: include_str!("../../../templates/c/plugin.c.tmpl"),
    test: include_str!("../../../templates/c/test.c.tmpl"),
    rules: "- Fill the error buffer only where `FB_HAS(err, fb_error, message)` says it has room.",
};

const CPP: CFamily = CFamily {
    language: "C++17",
    needs: "a C++17 compiler (`c++`)",
    end: "cpp",
    makefile: include_str!("../../../templates/cpp/Makefile.tmpl"),
    source: include_str!("../../../templates/cpp/plugin.cpp.tmpl"),
    test: include_str!("../../../templates/cpp/test.cpp.tmpl"),
    rules: "- No exception may leave a function that the host calls: keep each body in `guarded`.",
};

fn add_c(
    files: &mut Files,
    values: &mut BTreeMap<&'static str, String>,
    ident: &str,
    family: &CFamily,
) {
    let end = family.end;
    add(files, "Makefile", family.makefile);
    add(
        files,
        "exports.map",
        include_str!("../../../templates/exports.map.tmpl"),
    );
    add(files, &format!("src/{ident}.{end}"), family.source);
    add(files, &format!("tests/test_{ident}.{end}"), family.test);
    values.extend([
        ("language", family.language.to_owned()),
        ("needs", family.needs.to_owned()),
        (
            "version_place",
            format!("`PLUGIN_VERSION` of `src/{ident}.{end}`"),
        ),
        ("contract_place", "`include/fusebox_plugin.h`".to_owned()),
        (
            "files",
            format!(
                "| `src/{ident}.{end}` | the model, its tables and the entry |\n\
                 | `tests/test_{ident}.{end}` | its tests |\n\
                 | `Makefile`, `exports.map` | the build, and the one symbol it exports |\n\
                 | `include/fusebox_plugin.h` | the contract, with its SHA-256 in \
                 `include/SHA256SUMS` (`sha256sum -c`); do not change it |"
            ),
        ),
        ("rules", family.rules.to_owned()),
    ]);
}

/// Puts the values into the templates.
fn fill(files: &mut Files, values: &BTreeMap<&'static str, String>) -> Result<(), Failure> {
    for (name, bytes) in files.iter_mut() {
        let mut text = String::from_utf8(std::mem::take(bytes)).map_err(anyhow::Error::from)?;
        for (key, value) in values {
            text = text.replace(&format!("{{{{{key}}}}}"), value);
        }
        if let Some((_, rest)) = text.split_once("{{") {
            let left: String = rest.chars().take(20).collect();
            return Err(anyhow!("the template of {name} has no value for {left}").into());
        }
        *bytes = text.into_bytes();
    }
    Ok(())
}

/// The contract, with the digests of its files.
fn add_contract(files: &mut Files, language: Language) {
    let (dir, is_wanted): (&str, fn(&str) -> bool) = match language {
        Language::Rust => ("fusebox-plugin-api", |_| true),
        Language::C | Language::Cpp => ("include", |name| name == HEADER),
    };
    let mut sums = String::new();
    for (name, bytes) in contract::files().iter().filter(|(name, _)| is_wanted(name)) {
        let name = if dir == "include" {
            name.trim_start_matches("include/")
        } else {
            name
        };
        sums.push_str(&format!("{}  {name}\n", sha256_hex(bytes)));
        files.insert(format!("{dir}/{name}"), bytes.to_vec());
    }
    files.insert(format!("{dir}/SHA256SUMS"), sums.into_bytes());
}

/// Writes the files beside `out` and renames them in.
fn write(out: &Path, files: &Files) -> Result<(), Failure> {
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let partial = tempfile::Builder::new()
        .prefix(".fusebox-new-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot write into {}", parent.display()))?;
    for (name, bytes) in files {
        let path = partial.path().join(name);
        let dir = path.parent().unwrap_or(partial.path());
        fs::create_dir_all(dir)
            .and_then(|()| fs::write(&path, bytes))
            .with_context(|| format!("cannot write {name}"))?;
    }
    open_to_readers(partial.path()).context("cannot set the rights of the project")?;
    // A rename onto an empty directory takes its place; onto anything else it fails.
    fs::rename(partial.path(), out)
        .with_context(|| format!("cannot put the project at {}", out.display()))?;
    // The directory has moved, so there is nothing left to remove.
    let _ = partial.keep();
    Ok(())
}

/// A temporary directory is for its owner alone; a project has the usual rights.
fn open_to_readers(dir: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(name: &str, lang: Language) -> NewArgs {
        NewArgs {
            name: name.to_owned(),
            lang,
            id: None,
            out: None,
        }
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mine"), b"").unwrap();
        let found = problems(&args("My_Model", Language::C), "nodots", dir.path());
        assert_eq!(found.len(), 3, "{found:?}");
        for bad in ["", "1a", "a_b", "a--b", "a-", "fn", "test", &"a".repeat(65)] {
            let out = dir.path().join("free");
            assert!(
                !problems(&args(bad, Language::Rust), "a.b", &out).is_empty(),
                "{bad}"
            );
        }
    }

    #[test]
    fn every_language_has_a_project_with_its_contract() {
        for (lang, file) in [
            (Language::Rust, "fusebox-plugin-api/src/lib.rs"),
            (Language::C, "include/fusebox_plugin.h"),
            (Language::Cpp, "include/fusebox_plugin.h"),
        ] {
            let files = project(&args("my-model", lang), "com.example.my-model").unwrap();
            assert!(files.contains_key(file), "{lang:?}: {:?}", files.keys());
            assert!(!header().is_empty());
            let makefile = String::from_utf8(files["Makefile"].clone()).unwrap();
            assert!(makefile.contains("build/libmy_model.so"), "{makefile}");
        }
    }

    #[test]
    fn the_manifest_of_the_contract_stands_alone() {
        let (_, bytes) = contract::files()
            .iter()
            .find(|(name, _)| *name == "Cargo.toml")
            .unwrap();
        let text = std::str::from_utf8(bytes).unwrap();
        assert!(!text.contains("workspace"), "{text}");
        let needed = toml::from_str::<toml::Table>(text).unwrap();
        let needed = needed["package"]["rust-version"].as_str().unwrap();
        let (mut files, mut values) = (Files::default(), BTreeMap::new());
        add_rust(&mut files, &mut values);
        assert_eq!(values["needs"], format!("Rust {needed} or newer (rustup)"));
        assert!(
            text.contains("[dependencies.serde]") || text.contains("serde ="),
            "{text}"
        );
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("project");
        let files = Files::from([("a/b".to_owned(), b"1".to_vec())]);
        write(&out, &files).unwrap();
        assert_eq!(fs::read(out.join("a/b")).unwrap(), b"1");
        assert!(occupied(&out).is_some());
        assert!(write(&out, &files).is_err());
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }
}
