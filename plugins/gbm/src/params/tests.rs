//! Settings: what is refused, and what the libraries are told.

use super::*;

fn given<'a>(task: &'a Task, features: &'a [String]) -> Circumstances<'a> {
    Circumstances {
        task,
        level: None,
        decay: None,
        features,
        seed: 7,
        threads: 3,
    }
}

fn direction() -> Task {
    let classes = ["down", "flat", "up"].map(str::to_owned).to_vec();
    Task::Classification { classes }
}

#[test]
fn an_unknown_key_names_the_nearest_and_every_problem_is_listed() {
    let config = Config::new()
        .with("num_leafs", 5)
        .with("learning_rate", 7.0);
    let error = Params::resolve(&config).unwrap_err();
    assert!(
        error.message().contains("did you mean `num_leaves`"),
        "{error}"
    );
    assert!(error.message().contains("`learning_rate` is 7"), "{error}");
}

#[test]
fn every_default_fits_its_own_bounds_and_is_either_passed_on_or_ours() {
    let ours = [
        "rounds",
        "early_stopping_rounds",
        "checkpoint_rounds",
        "predict_threads",
        "class_weight",
        "label",
        "booster",
        "grow_policy",
        "monotone_increasing",
        "monotone_decreasing",
        "categorical",
        "metric",
        "return_label",
        "metric_position",
        "metric_cost_bps",
        "update",
        "update_rounds",
        "update_most_rounds",
        "refit_decay_rate",
        EVALUATOR,
        TRAINING_CURVE,
        MISSING,
    ];
    for spec in specs() {
        assert_eq!(spec.problem_with(&spec.default), None);
        let name = spec.name.as_str();
        assert_ne!(PASSED_ON.contains(&name), ours.contains(&name), "{name}");
    }
    assert_eq!(specs().len(), PASSED_ON.len() + ours.len());
}

#[test]
fn the_text_names_objective_seed_and_threads() {
    let config = Config::new()
        .with("lambda_l1", 1e-5)
        .with("learning_rate", 1);
    let params = Params::resolve(&config).unwrap();
    let text = params.lightgbm_text(given(&direction(), &[])).unwrap();
    let text = text.to_str().unwrap();
    for part in [
        "objective=multiclass",
        "num_class=3",
        "seed=7",
        "num_threads=3",
    ] {
        assert!(
            text.split(' ').any(|word| word == part),
            "{part} not in {text}"
        );
    }
    assert!(text.contains("lambda_l1=1e-5"), "{text}");
    assert!(
        text.contains("deterministic=true force_row_wise=true"),
        "{text}"
    );
}

#[test]
fn quantiles_are_learned_level_by_level_and_wrong_levels_are_refused() {
    let of = |levels: &[f64]| Task::Quantiles {
        levels: levels.to_vec(),
    };
    for booster in [Booster::LightGbm, Booster::XgBoost] {
        assert!(check_task(booster, &of(&[0.1, 0.5, 0.9])).is_ok());
        for wrong in [&[][..], &[0.0, 0.5], &[0.5, 1.0], &[0.9, 0.1], &[0.5, 0.5]] {
            let error = check_task(booster, &of(wrong)).unwrap_err();
            assert_eq!(error.status(), Status::Config, "{error}");
            assert!(error.message().contains("ascending"), "{error}");
        }
    }
    let task = of(&[0.1, 0.00005]);
    let level = Some(0.00005);
    let given = Circumstances {
        level,
        ..given(&task, &[])
    };
    let params = Params::resolve(&Config::new()).unwrap();
    let text = params.lightgbm_text(given).unwrap();
    let text = text.to_str().unwrap();
    assert!(
        text.starts_with("objective=quantile metric=quantile alpha=5e-5 "),
        "{text}"
    );
}

#[test]
fn categorical_columns_are_found_by_name_and_have_no_order() {
    let names = ["hour", "rsi", "weekday"].map(str::to_owned);
    let config = Config::new().with("categorical", "weekday; hour;");
    let params = Params::resolve(&config).unwrap();
    assert_eq!(params.categorical(&names).unwrap(), [true, false, true]);
    let task = direction();
    let text = params.lightgbm_text(given(&task, &names)).unwrap();
    let text = text.to_str().unwrap();
    assert!(text.contains(" categorical_feature=0,2 "), "{text}");
    let wrong = config
        .with("categorical", "day; hour")
        .with("monotone_increasing", "hour; width");
    let error = Params::resolve(&wrong)
        .unwrap()
        .check_columns(&names)
        .unwrap_err();
    for part in ["`day`", "`width`", "names `hour`, which is categorical"] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
}

#[test]
fn an_update_takes_the_settings_of_the_fit_and_its_own_rule() {
    let fitted = Config::new()
        .with("learning_rate", 0.3)
        .with("update", "refit");
    let stored = Params::resolve(&fitted).unwrap().to_json();
    assert!(!stored.contains_key("update"));
    let config = Config::new()
        .with("learning_rate", 0.1)
        .with("update_rounds", 3);
    let params = Params::resolve(&config).unwrap();
    let params = params.of_artifact(&stored).unwrap();
    let rounds = UpdateRule::Continue {
        rounds: 3,
        most: 2_000,
    };
    assert_eq!(params.update().unwrap(), rounds);
    assert_eq!(params.to_json()["learning_rate"], 0.3);
}

#[test]
fn what_a_library_does_not_have_is_refused_all_at_once() {
    let config = Config::new()
        .with("booster", "xgboost")
        .with("min_data_in_leaf", 7)
        .with("bagging_freq", 3)
        .with("extra_trees", true);
    let error = Params::resolve(&config).unwrap_err();
    for key in ["min_data_in_leaf", "bagging_freq", "extra_trees"] {
        assert!(error.message().contains(&format!("`{key}`")), "{error}");
    }
    let error = Params::resolve(&Config::new().with("grow_policy", "depthwise")).unwrap_err();
    assert!(
        error.message().contains("LightGBM does not have"),
        "{error}"
    );
}

#[test]
fn monotone_columns_are_found_by_name_and_wrong_names_are_all_listed() {
    let names = ["macd(12, 26)", "rsi", "adx"].map(str::to_owned);
    let config = Config::new()
        .with("monotone_increasing", "macd(12, 26)")
        .with("monotone_decreasing", "adx ; ");
    let params = Params::resolve(&config).unwrap();
    let text = params.lightgbm_text(given(&direction(), &names)).unwrap();
    let text = text.to_str().unwrap();
    assert!(text.contains("monotone_constraints=1,0,-1 "), "{text}");
    let wrong = Config::new()
        .with("monotone_increasing", "rsi; volume")
        .with("monotone_decreasing", "rsi; width");
    let error = Params::resolve(&wrong)
        .unwrap()
        .check_columns(&names)
        .unwrap_err();
    for part in ["`volume`", "`width`", "`rsi` is in both"] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
}

#[test]
fn large_seeds_stay_distinct_in_their_high_bits() {
    assert_eq!(fold_seed(41), 41);
    assert_ne!(fold_seed(41), fold_seed(41 | 1 << 40));
    assert!(fold_seed(u64::MAX) < 1 << 31);
}
