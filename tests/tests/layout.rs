//! The Rust side of the contract against the shapes of version 1.0, by the layout checker of
//! `abi_stable`: names, order, types, offsets, pointers and what they point to, and the parameters
//! of every slot.
//!
//! The checker calls two types different where their packages are, so `abi.rs` is compiled a second
//! time, as a module of this test with its feature `layout-check`, and not taken from its crate.
//! Nothing but the package differs, and no build outside this test knows of `abi_stable`.
use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use abi_stable::type_layout::TypeLayout;
use fusebox_tests::fixtures::project_root;

#[path = "../../plugin-api/src/abi.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "only the shapes are of interest here, which a private module sees as unused"
)]
mod abi;

#[path = "../fixtures/frozen/v1.0/shapes.rs"]
#[expect(
    unreachable_pub,
    non_camel_case_types,
    reason = "the names are the header's, and the shapes a copy of public ones"
)]
mod frozen;

/// Changes that must not go unnoticed.
#[path = "../fixtures/frozen/broken.rs"]
#[expect(unreachable_pub, reason = "copies of public shapes")]
mod broken;

type Pair = (&'static str, &'static TypeLayout, &'static TypeLayout);

/// Every shape of the contract, in the order of `abi.rs`.
#[rustfmt::skip]
fn pairs() -> Vec<Pair> {
    vec![
        ("fb_instance", frozen::fb_instance::LAYOUT, abi::fb_instance::LAYOUT),
        ("fb_env", frozen::fb_env::LAYOUT, abi::fb_env::LAYOUT),
        ("fb_str", frozen::fb_str::LAYOUT, abi::fb_str::LAYOUT),
        ("fb_buf", frozen::fb_buf::LAYOUT, abi::fb_buf::LAYOUT),
        ("fb_error", frozen::fb_error::LAYOUT, abi::fb_error::LAYOUT),
        ("fb_sink", frozen::fb_sink::LAYOUT, abi::fb_sink::LAYOUT),
        ("ArrowSchema", frozen::ArrowSchema::LAYOUT, abi::ArrowSchema::LAYOUT),
        ("ArrowArray", frozen::ArrowArray::LAYOUT, abi::ArrowArray::LAYOUT),
        ("ArrowArrayStream", frozen::ArrowArrayStream::LAYOUT, abi::ArrowArrayStream::LAYOUT),
        ("fb_host", frozen::fb_host::LAYOUT, abi::fb_host::LAYOUT),
        ("fb_frame", frozen::fb_frame::LAYOUT, abi::fb_frame::LAYOUT),
        ("fb_model_vt", frozen::fb_model_vt::LAYOUT, abi::fb_model_vt::LAYOUT),
        ("fb_space", frozen::fb_space::LAYOUT, abi::fb_space::LAYOUT),
        ("fb_env_spec", frozen::fb_env_spec::LAYOUT, abi::fb_env_spec::LAYOUT),
        ("fb_env_reset", frozen::fb_env_reset::LAYOUT, abi::fb_env_reset::LAYOUT),
        ("fb_env_step", frozen::fb_env_step::LAYOUT, abi::fb_env_step::LAYOUT),
        ("fb_env_vt", frozen::fb_env_vt::LAYOUT, abi::fb_env_vt::LAYOUT),
        ("fb_metric", frozen::fb_metric::LAYOUT, abi::fb_metric::LAYOUT),
        ("fb_progress", frozen::fb_progress::LAYOUT, abi::fb_progress::LAYOUT),
        ("fb_fit_request", frozen::fb_fit_request::LAYOUT, abi::fb_fit_request::LAYOUT),
        ("fb_learner_vt", frozen::fb_learner_vt::LAYOUT, abi::fb_learner_vt::LAYOUT),
        ("fb_explain_vt", frozen::fb_explain_vt::LAYOUT, abi::fb_explain_vt::LAYOUT),
        ("fb_incremental_vt", frozen::fb_incremental_vt::LAYOUT, abi::fb_incremental_vt::LAYOUT),
        ("fb_quantiles_vt", frozen::fb_quantiles_vt::LAYOUT, abi::fb_quantiles_vt::LAYOUT),
        ("fb_onnx_export_vt", frozen::fb_onnx_export_vt::LAYOUT, abi::fb_onnx_export_vt::LAYOUT),
        ("fb_entry", frozen::fb_entry::LAYOUT, abi::fb_entry::LAYOUT),
    ]
}

/// What the checker has to say about `today`, where `frozen` is expected; nothing where they agree.
fn differences(frozen: &'static TypeLayout, today: &'static TypeLayout) -> String {
    match check_layout_compatibility(frozen, today) {
        Ok(()) => String::new(),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn every_shape_is_the_one_of_version_1_0() {
    for (name, frozen, today) in pairs() {
        let found = differences(frozen, today);
        assert!(found.is_empty(), "{name}: {found}");
    }
}

#[test]
fn no_shape_is_left_out() {
    let path = project_root().join("plugin-api/src/abi.rs");
    let file = syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap();
    let declared: Vec<String> = file
        .items
        .iter()
        .filter_map(|item| match item {
            syn::Item::Struct(item) => Some(item.ident.to_string()),
            _ => None,
        })
        .collect();
    let compared: Vec<&str> = pairs().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(declared, compared);
}

#[test]
fn a_change_that_breaks_plugins_is_found() {
    let changed = [
        (
            "moved",
            frozen::fb_sink::LAYOUT,
            broken::moved::fb_sink::LAYOUT,
        ),
        (
            "removed",
            frozen::fb_sink::LAYOUT,
            broken::removed::fb_sink::LAYOUT,
        ),
        (
            "renamed",
            frozen::fb_sink::LAYOUT,
            broken::renamed::fb_sink::LAYOUT,
        ),
        (
            "retyped",
            frozen::fb_metric::LAYOUT,
            broken::retyped::fb_metric::LAYOUT,
        ),
        (
            "repointed",
            frozen::fb_buf::LAYOUT,
            broken::repointed::fb_buf::LAYOUT,
        ),
        (
            "reargued",
            frozen::fb_sink::LAYOUT,
            broken::reargued::fb_sink::LAYOUT,
        ),
        (
            "reslotted",
            frozen::fb_explain_vt::LAYOUT,
            broken::reslotted::fb_explain_vt::LAYOUT,
        ),
    ];
    for (change, frozen, today) in changed {
        assert!(
            !differences(frozen, today).is_empty(),
            "{change} is not found"
        );
    }
}
