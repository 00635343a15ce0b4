//! The house's shape, held by a test: who may import whom, how long files and functions may be,
//! and which files may contain `unsafe`.
//!
//! When a limit here is in the way, split the file by domain step; do not raise the limit.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot read the tree must stop"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::Visit;

const MAX_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 70;
const MAX_PARAMETERS: usize = 5;
const MAX_COLUMNS: usize = 100;

/// The arrows: each crate of ours and the crates of ours that it may depend on. `fusebox-tests`
/// may import anything, and nothing may import it.
const ARROWS: [(&str, &[&str]); 8] = [
    ("fusebox-plugin-api", &[]),
    ("fusebox-engine", &["fusebox-plugin-api"]),
    ("fusebox-loader", &["fusebox-plugin-api"]),
    (
        "fusebox-services",
        &["fusebox-engine", "fusebox-loader", "fusebox-plugin-api"],
    ),
    (
        "fusebox",
        &[
            "fusebox-engine",
            "fusebox-loader",
            "fusebox-plugin-api",
            "fusebox-services",
        ],
    ),
    ("fusebox-gbm", &["fusebox-onnx-proto", "fusebox-plugin-api"]),
    ("fusebox-onnx-proto", &[]),
    (
        "fusebox-onnx",
        &["fusebox-onnx-proto", "fusebox-plugin-api"],
    ),
];

/// The only files that may contain `unsafe`, each with what it needs it for.
const UNSAFE_FILES: &[(&str, &str)] = &[
    (
        "host/app/src/process.rs",
        "sets the environment before any thread exists",
    ),
    (
        "host/loader/src/backend/dylib.rs",
        "maps a shared library and calls its entry",
    ),
    (
        "host/loader/src/worker/jail.rs",
        "closes the descriptors that a worker inherited",
    ),
    (
        "host/loader/src/worker/ring.rs",
        "maps memory that host and worker share",
    ),
    (
        "host/loader/src/check/lent.rs",
        "what the kit lends to a plugin, with pieces missing on purpose",
    ),
    (
        "host/loader/src/check/memory.rs",
        "maps pages that nobody may touch around what a plugin is lent",
    ),
    (
        "host/loader/src/check/raw.rs",
        "calls a plugin through its bare tables, in odd ways on purpose",
    ),
    (
        "host/loader/src/check/trap.rs",
        "sets breakpoints in the C library and handles their signals",
    ),
    ("plugin-api/src/abi.rs", "the C shapes"),
    ("plugin-api/src/arrow/export.rs", "Arrow C data, outgoing"),
    ("plugin-api/src/arrow/import.rs", "Arrow C data, incoming"),
    (
        "plugin-api/src/export/lent.rs",
        "what the host lends to a plugin, seen from the plugin",
    ),
    (
        "plugin-api/src/export/mod.rs",
        "the entry and the exported symbol",
    ),
    (
        "plugin-api/src/export/thunks.rs",
        "thunks from the C tables to the author's traits",
    ),
    (
        "plugin-api/src/import/lend.rs",
        "what the host lends to a plugin, seen from the host",
    ),
    (
        "plugin-api/src/import/mod.rs",
        "proxies from the author's traits to the C tables",
    ),
    ("plugin-api/src/import/model.rs", "the proxy of a model"),
    (
        "plugin-api/src/lending.rs",
        "text, bytes and errors on their way across the C line",
    ),
    ("plugins/gbm/src/lightgbm/ffi.rs", "the LightGBM C API"),
    (
        "plugins/gbm/src/lightgbm/ffi/booster.rs",
        "the boosters of the LightGBM C API",
    ),
    ("plugins/gbm/src/xgboost/ffi.rs", "the XGBoost C API"),
    (
        "plugins/gbm/src/xgboost/ffi/booster.rs",
        "the boosters of the XGBoost C API",
    ),
    (
        "plugins/onnx/src/binding.rs",
        "runs a session of ONNX Runtime over buffers that were bound",
    ),
    (
        "plugins/onnx/src/version.rs",
        "asks a library of ONNX Runtime for its version",
    ),
    (
        "tests/benches/fusebox/c_table.rs",
        "calls a bare table, to measure what the proxy adds",
    ),
    (
        "tests/fuzz/fuzz_targets/hostile_table.rs",
        "a plugin's C tables, made of noise",
    ),
    (
        "tests/tests/contract.rs",
        "moves Arrow structs between two implementations",
    ),
    (
        "tests/tests/gbm_memory.rs",
        "an allocator that counts, to see that a fit copies no matrix",
    ),
    (
        "tests/tests/onnx_memory.rs",
        "an allocator that counts, to see that a prediction takes no memory",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// Every Rust file of the workspace, with its path relative to the root.
fn rust_files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for top in ["plugin-api", "host", "plugins", "tests"] {
        collect(&root().join(top), &mut found);
    }
    found.sort();
    assert!(
        found.len() > 20,
        "the walk found only {} files",
        found.len()
    );
    found
}

fn collect(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(&path, found);
            }
        } else if name.ends_with(".rs") {
            let relative = path
                .strip_prefix(root())
                .unwrap()
                .to_string_lossy()
                .into_owned();
            found.push((relative, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

fn is_test_file(path: &str) -> bool {
    let in_test_folder = path.starts_with("tests/") || path.contains("/tests/");
    in_test_folder || path.contains("/benches/") || path.ends_with("/tests.rs")
}

fn is_test_item(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = match &attribute.meta {
            syn::Meta::List(list) => list.tokens.to_string(),
            _ => String::new(),
        };
        attribute.path().is_ident("test") || attribute.path().is_ident("cfg") && text == "test"
    })
}

fn parse(path: &str, text: &str) -> syn::File {
    syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn crates_import_only_along_the_arrows() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for manifest in manifests(&root()) {
        let text = std::fs::read_to_string(&manifest).unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap();
        let Some(name) = table
            .get("package")
            .and_then(|package| package["name"].as_str())
        else {
            continue;
        };
        if name == "fusebox-tests" {
            continue;
        }
        let Some(targets) = allowed.get(name) else {
            wrong.push(format!("{name}: not in the list of arrows"));
            continue;
        };
        seen.insert(name.to_owned());
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = table.get(section).and_then(toml::Value::as_table) else {
                continue;
            };
            for dependency in dependencies.keys().filter(|key| key.starts_with("fusebox")) {
                if !targets.contains(&dependency.as_str()) {
                    wrong.push(format!("{name} -> {dependency} ({section})"));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "forbidden arrows");
    assert_eq!(
        seen.len(),
        ARROWS.len(),
        "crates without a manifest: {seen:?}"
    );
}

/// The manifests of the workspace's members.
fn manifests(root: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    let members = table["workspace"]["members"].as_array().unwrap();
    members
        .iter()
        .map(|member| root.join(member.as_str().unwrap()).join("Cargo.toml"))
        .collect()
}

#[test]
fn the_engine_sees_only_the_schema_and_environment_of_the_contract() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files() {
        if !path.starts_with("host/engine/src/") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for part in line.split("fusebox_plugin_api::").skip(1) {
                if !part.starts_with("schema") && !part.starts_with("env") {
                    wrong.push(format!("{path}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn features_know_nothing_of_labels() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files() {
        let from_features = path.starts_with("host/engine/src/features/");
        if from_features && (text.contains("crate::labels") || text.contains("super::labels")) {
            wrong.push(path);
        }
    }
    assert_eq!(
        wrong,
        Vec::<String>::new(),
        "a feature that imports labels can look ahead"
    );
}

#[test]
fn the_engine_stays_pure() {
    let forbidden = [
        "std::fs",
        "std::net",
        "std::thread",
        "std::process",
        "async fn",
        "std::env",
    ];
    let mut wrong = Vec::new();
    for (path, text) in rust_files() {
        if !path.starts_with("host/engine/src/") {
            continue;
        }
        let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        for word in forbidden.iter().filter(|word| code.contains(**word)) {
            wrong.push(format!("{path}: {word}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn unsafe_stands_only_in_the_named_files() {
    let allowed: BTreeSet<&str> = UNSAFE_FILES.iter().map(|(path, _)| *path).collect();
    let found: BTreeSet<String> = rust_files()
        .into_iter()
        .filter(|(path, _)| !path.starts_with("tests/fixtures/"))
        .filter(|(path, text)| {
            let tokens: TokenStream = text
                .parse()
                .unwrap_or_else(|error| panic!("{path}: {error}"));
            has_unsafe(tokens)
        })
        .map(|(path, _)| path)
        .collect();
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(
        found, allowed,
        "the list in this test must name exactly the files with unsafe"
    );
}

fn has_unsafe(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "unsafe",
        TokenTree::Group(group) => has_unsafe(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

#[test]
fn files_are_short_enough_to_read() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files() {
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > MAX_COLUMNS {
                wrong.push(format!("{path}:{}: over {MAX_COLUMNS} columns", number + 1));
            }
        }
        if is_test_file(&path) {
            continue;
        }
        let lines = text.lines().count() - test_lines(&parse(&path, &text));
        if lines > MAX_FILE_LINES {
            wrong.push(format!("{path}: {lines} lines without tests"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Lines taken by items that exist in tests only.
fn test_lines(file: &syn::File) -> usize {
    let span = |item: &syn::Item| match item {
        syn::Item::Mod(module) if is_test_item(&module.attrs) => Some(module.span()),
        syn::Item::Fn(function) if is_test_item(&function.attrs) => Some(function.span()),
        _ => None,
    };
    file.items.iter().filter_map(span).map(lines_of).sum()
}

fn lines_of(span: Span) -> usize {
    span.end().line - span.start().line + 1
}

#[test]
fn functions_are_short_and_take_few_parameters() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files() {
        if is_test_file(&path) {
            continue;
        }
        let mut finder = LongFunctions {
            path: &path,
            wrong: Vec::new(),
        };
        finder.visit_file(&parse(&path, &text));
        wrong.append(&mut finder.wrong);
    }
    assert_eq!(wrong, Vec::<String>::new());
}

struct LongFunctions<'a> {
    path: &'a str,
    wrong: Vec<String>,
}

impl LongFunctions<'_> {
    fn check(&mut self, signature: &syn::Signature, body: Span) {
        let parameters = signature
            .inputs
            .iter()
            .filter(|input| matches!(input, syn::FnArg::Typed(_)))
            .count();
        let name = &signature.ident;
        let lines = lines_of(body);
        // A slot of the C table has the parameters that the header gives it.
        let is_slot = signature.abi.is_some();
        if parameters > MAX_PARAMETERS && !is_slot {
            self.wrong.push(format!(
                "{}: {name} takes {parameters} parameters",
                self.path
            ));
        }
        if lines > MAX_FUNCTION_LINES {
            self.wrong
                .push(format!("{}: {name} has {lines} lines", self.path));
        }
    }
}

impl<'ast> Visit<'ast> for LongFunctions<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test_item(&module.attrs) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.check(&function.sig, function.block.span());
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.check(&function.sig, function.block.span());
        syn::visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.check(&function.sig, block.span());
        }
        syn::visit::visit_trait_item_fn(self, function);
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    let dependencies = table["workspace"]["dependencies"].as_table().unwrap();
    let missing: Vec<&String> = dependencies
        .keys()
        .filter(|name| !name.starts_with("fusebox-"))
        .filter(|name| !page.contains(&format!("| `{name}`")))
        .collect();
    assert_eq!(
        missing,
        Vec::<&String>::new(),
        "give the reason in ARCHITECTURE.md"
    );
    for manifest in manifests(&root()) {
        let text = std::fs::read_to_string(&manifest).unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(own) = table.get(section).and_then(toml::Value::as_table) else {
                continue;
            };
            for name in own.keys() {
                assert!(
                    dependencies.contains_key(name),
                    "{}: {name} must come from [workspace.dependencies]",
                    manifest.display()
                );
            }
        }
    }
}

#[test]
fn allowances_are_few_and_have_reasons() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files() {
        if path == "tests/tests/architecture.rs" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let place = format!("{path}:{}", number + 1);
            if line.contains("#[ignore") {
                wrong.push(format!("{place}: a test that does not run"));
            }
            if line.contains("todo!(") || line.contains("unimplemented!(") {
                wrong.push(format!("{place}: unfinished"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
