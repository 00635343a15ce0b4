//! The table of settings in `docs/gradient-boosting.md` is made from what the plugin says of
//! itself: FUSEBOX_UPDATE=1 writes it anew. `fusebox plugin describe` shows the same.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fmt::Write as _;

use fusebox_gbm::GbmLearner;
use fusebox_plugin_api::model::{Learner as _, LearnerInfo};
use fusebox_tests::binary::{command, gbm_plugin_dir, onnx_plugin_dir};
use fusebox_tests::fixtures::project_root;
use serde_json::Value;

const BEGIN: &str = "<!-- settings: made by tests/tests/learner_docs.rs -->\n";
const END: &str = "<!-- end of settings -->\n";

fn table() -> String {
    let mut text = String::from("| setting | default | is | means |\n|---|---|---|---|\n");
    for spec in GbmLearner.describe().unwrap().params {
        let default = match &spec.default {
            Value::String(text) if text.is_empty() => "empty".to_owned(),
            Value::String(text) => format!("`{text}`"),
            other => other.to_string(),
        };
        let (name, domain, doc) = (spec.name, spec.domain, spec.doc);
        writeln!(text, "| `{name}` | {default} | {domain} | {doc} |").unwrap();
    }
    text
}

#[test]
fn the_table_in_the_tree_is_what_the_plugin_says() {
    let path = project_root().join("docs/gradient-boosting.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (stored, tail) = rest.split_once(END).unwrap();
    let made = table();
    if std::env::var_os("FUSEBOX_UPDATE").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{made}{END}{tail}")).unwrap();
        return;
    }
    assert!(
        stored == made,
        "docs/gradient-boosting.md is stale; run this test again with FUSEBOX_UPDATE=1"
    );
}

#[test]
fn describe_shows_every_setting_of_the_plugin_that_is_installed() {
    let dir = tempfile::tempdir().unwrap();
    let describe = |arguments: &[&str]| {
        let mut command = command(dir.path());
        command.args(["plugin", "describe"]).args(arguments);
        for plugins in [gbm_plugin_dir(), onnx_plugin_dir()] {
            command.arg("--plugin-dir").arg(plugins);
        }
        command.output().unwrap()
    };
    let told = describe(&["gbm", "--json"]);
    assert!(told.status.success(), "{told:?}");
    let document: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(document["id"], "ai.fusebox.gbm");
    let learner: LearnerInfo = serde_json::from_value(document["learner"].clone()).unwrap();
    assert_eq!(learner, GbmLearner.describe().unwrap());
    let shown = describe(&["ai.fusebox.gbm"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for words in [
        "evaluator",
        "predict_threads",
        "class_weight",
        "grow_policy",
        "goes on from",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let without = describe(&["onnx"]);
    let words = String::from_utf8(without.stdout).unwrap();
    assert!(words.contains("learns nothing"), "{words}");
    let unknown = describe(&["gmb"]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
    let words = String::from_utf8(unknown.stderr).unwrap();
    assert!(words.contains("gmb"), "{words}");
}
