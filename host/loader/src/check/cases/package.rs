//! Level 1: the files, without running anything.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fusebox_plugin_api::abi::{ENTRY_SYMBOL, MODEL_ID};

use super::files;
use crate::check::elf::Facts;
use crate::check::{Case, Finding, HOLDS, Stop, Target, hold, skip};
use crate::discover::{Discovered, SignatureBytes};
use crate::elf;
use crate::manifest::{MANIFEST_FILE, Manifest, name_problems};
use crate::trust::TrustPolicy;

/// Largest file of a package.
const MAX_FILE_BYTES: u64 = 2 << 30;

pub(super) const CASES: &[Case] = &[
    files(
        "package-in-its-place",
        "a package lies in <id>/<version>/ and offers models",
        package_in_its_place,
    ),
    files(
        "digests-match",
        "every file has the digest that the manifest states",
        digests_match,
    ),
    files("signature", "the package carries a signature", signature),
    files(
        "library-for-this-machine",
        "the library is a shared object for this machine, with an entry and a note",
        library_for_this_machine,
    ),
    files(
        "id-and-version",
        "id and version in the note are such as a host takes",
        id_and_version,
    ),
    files(
        "note-equals-manifest",
        "the note inside the library states what the manifest states",
        note_equals_manifest,
    ),
    files(
        "one-exported-symbol",
        "the library exports its entry and nothing else",
        one_exported_symbol,
    ),
    files(
        "no-unique-symbols",
        "no symbol is unique in the process, so two generations share nothing",
        no_unique_symbols,
    ),
    files(
        "no-static-tls",
        "thread-locals do not use the small space that is never given back",
        no_static_tls,
    ),
    files(
        "bind-now",
        "every symbol is bound at loading, not in the first call",
        bind_now,
    ),
    files(
        "no-foreign-search-path",
        "libraries are looked for inside the package or where the system keeps them",
        no_foreign_search_path,
    ),
    files(
        "no-executable-stack",
        "the stack stays data",
        no_executable_stack,
    ),
    files(
        "no-text-relocations",
        "the code is not rewritten at loading",
        no_text_relocations,
    ),
    files(
        "needed-libraries-found",
        "the libraries it needs are there",
        needed_libraries_found,
    ),
];

fn bytes(target: &Target) -> Result<Vec<u8>, Stop> {
    let library = &target.library;
    Ok(fs::read(library).map_err(|error| format!("cannot read {}: {error}", library.display()))?)
}

fn facts(target: &Target) -> Result<Facts, Stop> {
    Ok(Facts::read(&bytes(target)?)?)
}

fn manifest(target: &Target) -> Result<(&Manifest, &Discovered), Stop> {
    match (target.manifest(), &target.package) {
        (Some(manifest), Some(package)) => Ok((manifest, package)),
        _ => skip("a bare library has no manifest; pack it to check this too"),
    }
}

fn package_in_its_place(target: &Target) -> Finding {
    let (manifest, package) = manifest(target)?;
    hold(manifest.kind.iter().any(|kind| kind == MODEL_ID), || {
        format!("`kind` in {MANIFEST_FILE} does not name {MODEL_ID}, which every plugin offers")
    })?;
    let absolute = fs::canonicalize(&package.path).unwrap_or_else(|_| package.path.clone());
    let mut names = absolute.iter().rev().map(|name| name.to_string_lossy());
    let (version, id) = (
        names.next().unwrap_or_default(),
        names.next().unwrap_or_default(),
    );
    hold(
        version == manifest.version.as_str() && id == manifest.id.as_str(),
        || {
            format!(
                "it lies in {id}/{version}, but it is {} {}; a host looks for it in {0}/{1}",
                manifest.id, manifest.version
            )
        },
    )?;
    HOLDS
}

fn digests_match(target: &Target) -> Finding {
    let (manifest, package) = manifest(target)?;
    let digests = manifest.digests();
    let wrong: Vec<String> = digests
        .keys()
        .filter_map(|path| package.read_file(path, MAX_FILE_BYTES).err())
        .map(|error| error.to_string())
        .collect();
    hold(wrong.is_empty(), || wrong.join("; "))?;
    Ok(Some(format!("{} files", digests.len())))
}

/// Who is trusted is the operator's, not the kit's: here a signature must be one, and be readable.
fn signature(target: &Target) -> Finding {
    let (_, package) = manifest(target)?;
    if *package.signature() == SignatureBytes::Absent {
        return skip("unsigned: it runs only where the operator allows unsigned plugins");
    }
    let unix_s = 0;
    let decision = TrustPolicy::trusting().judge(package, unix_s);
    let decision = decision.map_err(|error| Stop::Fail(error.to_string()))?;
    let key = decision
        .key_id
        .map(|key| key.to_string())
        .unwrap_or_default();
    Ok(Some(format!(
        "signed by key {key}; `fusebox plugin verify` says whether it is trusted"
    )))
}

fn library_for_this_machine(target: &Target) -> Finding {
    let inspected = elf::inspect(&bytes(target)?, &target.library);
    inspected
        .map(|_| None)
        .map_err(|error| Stop::Fail(error.to_string()))
}

fn id_and_version(target: &Target) -> Finding {
    let note = elf::inspect(&bytes(target)?, &target.library)
        .map_err(|error| Stop::Fail(error.to_string()))?;
    let problems = name_problems(&note.id, &note.version);
    hold(problems.is_empty(), || problems.join("; "))?;
    HOLDS
}

fn note_equals_manifest(target: &Target) -> Finding {
    let (manifest, _) = manifest(target)?;
    let note = elf::inspect(&bytes(target)?, &target.library)
        .map_err(|error| Stop::Fail(error.to_string()))?;
    for (field, noted, stated) in [
        ("abi", &note.abi, &manifest.abi),
        ("id", &note.id, &manifest.id),
        ("version", &note.version, &manifest.version),
    ] {
        hold(noted == stated, || {
            format!("`{field}` is {noted} in the note, {stated} in the manifest; pack it again")
        })?;
    }
    HOLDS
}

fn one_exported_symbol(target: &Target) -> Finding {
    let facts = facts(target)?;
    let others: Vec<&String> = facts
        .exports
        .iter()
        .filter(|name| *name != ENTRY_SYMBOL)
        .collect();
    hold(others.is_empty(), || {
        let (count, listed) = (others.len(), shortened(&others));
        format!(
            "exports {count} more than `{ENTRY_SYMBOL}`: {listed}; compile with \
             -fvisibility=hidden, or give the linker a version script"
        )
    })?;
    hold(!facts.exports.is_empty(), || {
        format!("does not export `{ENTRY_SYMBOL}`")
    })?;
    HOLDS
}

fn shortened(names: &[&String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    let rest = if names.len() > SHOWN { ", ..." } else { "" };
    shown.join(", ") + rest
}

fn no_unique_symbols(target: &Target) -> Finding {
    let facts = facts(target)?;
    hold(facts.unique.is_empty(), || {
        let names: Vec<&String> = facts.unique.iter().collect();
        format!(
            "{} symbols are GNU_UNIQUE: {}; compile with -fno-gnu-unique -fvisibility=hidden",
            names.len(),
            shortened(&names)
        )
    })?;
    HOLDS
}

fn no_static_tls(target: &Target) -> Finding {
    hold(!facts(target)?.has_static_tls, || {
        "uses static thread-local storage (DF_STATIC_TLS), which runs out after some reloads; \
         compile with -fPIC and without -ftls-model=initial-exec"
            .to_owned()
    })?;
    HOLDS
}

fn bind_now(target: &Target) -> Finding {
    hold(facts(target)?.binds_now, || {
        "binds symbols lazily, so the first prediction waits for the linker; link with \
         -Wl,-z,now"
            .to_owned()
    })?;
    HOLDS
}

fn no_foreign_search_path(target: &Target) -> Finding {
    let foreign: Vec<String> = facts(target)?
        .search
        .into_iter()
        .filter(|dir| !is_own_dir(dir))
        .collect();
    hold(foreign.is_empty(), || {
        format!(
            "looks for libraries in {}: a directory of the machine it was built on; remove it, or \
             use $ORIGIN for libraries inside the package",
            foreign.join(", ")
        )
    })?;
    HOLDS
}

fn is_own_dir(dir: &str) -> bool {
    let below = dir
        .strip_prefix("$ORIGIN")
        .or_else(|| dir.strip_prefix("${ORIGIN}"));
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') && !rest.contains(".."))
}

fn no_executable_stack(target: &Target) -> Finding {
    hold(!facts(target)?.has_executable_stack, || {
        "demands an executable stack (nested functions, or assembly without .note.GNU-stack); \
         link with -Wl,-z,noexecstack"
            .to_owned()
    })?;
    HOLDS
}

fn no_text_relocations(target: &Target) -> Finding {
    hold(!facts(target)?.has_text_relocations, || {
        "has relocations in its code; compile everything, also static libraries, with -fPIC"
            .to_owned()
    })?;
    HOLDS
}

fn needed_libraries_found(target: &Target) -> Finding {
    let facts = facts(target)?;
    let mut dirs: Vec<PathBuf> = system_dirs();
    let origin = target.library.parent().unwrap_or(Path::new("."));
    for dir in &facts.search {
        let below = dir
            .strip_prefix("$ORIGIN")
            .or_else(|| dir.strip_prefix("${ORIGIN}"));
        let dir = below.map_or_else(
            || PathBuf::from(dir),
            |rest| origin.join(rest.trim_start_matches('/')),
        );
        dirs.push(dir);
    }
    let is_missing = |name: &&String| !dirs.iter().any(|dir| dir.join(name).exists());
    let missing: Vec<&String> = facts.needed.iter().filter(is_missing).collect();
    hold(missing.is_empty(), || {
        format!(
            "needs {}, which this system does not have; link it statically, put it into the \
             package with a search path of $ORIGIN, or name it in the README",
            shortened(&missing)
        )
    })?;
    Ok(Some(format!("needs {}", facts.needed.join(", "))))
}

/// Where the dynamic linker of this system looks.
fn system_dirs() -> Vec<PathBuf> {
    let mut dirs: BTreeSet<PathBuf> = ["/lib", "/usr/lib", "/lib64", "/usr/lib64"]
        .map(PathBuf::from)
        .into();
    let arch = std::env::consts::ARCH;
    for root in ["/lib", "/usr/lib"] {
        dirs.insert(PathBuf::from(format!("{root}/{arch}-linux-gnu")));
    }
    let mut files = vec![PathBuf::from("/etc/ld.so.conf")];
    let more = fs::read_dir("/etc/ld.so.conf.d").into_iter().flatten();
    files.extend(more.filter_map(Result::ok).map(|entry| entry.path()));
    for text in files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
    {
        dirs.extend(
            text.lines()
                .filter(|line| line.starts_with('/'))
                .map(PathBuf::from),
        );
    }
    dirs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_the_package_are_its_own() {
        for own in ["$ORIGIN", "$ORIGIN/lib", "${ORIGIN}/x"] {
            assert!(is_own_dir(own), "{own}");
        }
        for foreign in ["", "/usr/lib", "lib", "$ORIGIN/../..", "$ORIGINAL"] {
            assert!(!is_own_dir(foreign), "{foreign}");
        }
    }
}
