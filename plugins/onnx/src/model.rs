//! A model as the host uses it: an ONNX file, checked, in the runtime.

use fusebox_plugin_api::prelude::*;

use crate::contract::{Asked, Contract};
use crate::file::OnnxFile;
use crate::library::{self, Runtime};
use crate::provider::{self, Opened, Provider};
use crate::session::{self, Manner, Running};
use crate::settings::Settings;

/// An ONNX model.
#[derive(Debug)]
pub struct OnnxModel {
    /// `None` after `quiesce`.
    running: Option<Running>,
    info: ModelInfo,
    manner: Manner,
    window: usize,
    columns: usize,
    artifact: Vec<u8>,
}

impl CreateModel for OnnxModel {
    fn create(config: &Config, artifact: &[u8]) -> Result<Self> {
        let settings = Settings::resolve(config)?;
        if config.get_or("probe", false)? {
            return Self::probe(&settings);
        }
        let file = OnnxFile::read(artifact)?;
        let mut problems = Vec::new();
        let asked = Asked::new(&settings, &file, &mut problems);
        let runtime = library::runtime(settings.library.as_deref())?;
        let opened = provider::open(&runtime, &settings, artifact)?;
        Self::of_session(
            opened,
            (&settings, &file, &asked),
            problems,
            (&runtime, artifact),
        )
    }
}

impl OnnxModel {
    fn of_session(
        mut opened: Opened,
        (settings, file, asked): (&Settings, &OnnxFile, &Asked),
        mut problems: Vec<String>,
        (runtime, artifact): (&Runtime, &[u8]),
    ) -> Result<Self> {
        let session = &mut opened.session;
        let ends = (session.inputs(), session.outputs());
        let contract = Contract::find(ends, settings, asked, &mut problems);
        let contract = contract.filter(|_| problems.is_empty());
        let contract = contract.ok_or_else(|| refused(&problems))?;
        let shape = session::try_out(session, &contract)?;
        let rows = contract.fixed_rows.unwrap_or(1);
        let values = shape.iter().product::<i64>() as usize / rows;
        let answers = contract.answers(values, asked, &mut problems);
        let (task, outputs, writing) = answers.ok_or_else(|| refused(&problems))?;
        let mut info = ModelInfo {
            task,
            features: asked.features.clone(),
            columns: Some(contract.columns),
            window: contract.window,
            outputs,
            notes: std::collections::BTreeMap::new(),
        };
        note(&mut info, &opened, (runtime, file));
        let (window, columns) = (contract.window, contract.columns);
        let ends = (opened.session, opened.provider);
        Ok(Self {
            running: Some(Running::new(ends, contract, shape, settings.batch_rows)),
            info,
            manner: Manner {
                missing: settings.missing,
                fill: settings.fill,
                activation: settings.activation,
                writing,
            },
            window,
            columns,
            artifact: artifact.to_vec(),
        })
    }

    /// A model of one number whose notes say which providers work here: `config.probe` asks for
    /// it, and `fusebox doctor` does.
    fn probe(settings: &Settings) -> Result<Self> {
        let runtime = library::runtime(settings.library.as_deref())?;
        let artifact = crate::file::identity();
        let mut outcomes = serde_json::Map::new();
        for provider in settings.providers.iter().copied() {
            let outcome = provider::open_with(&runtime, settings, provider, &artifact);
            let outcome = outcome.map_or_else(|reason| reason, |_| "works".to_owned());
            outcomes.insert(provider.name().to_owned(), outcome.into());
        }
        let settings = Settings {
            providers: vec![Provider::Cpu],
            ..settings.clone()
        };
        let file = OnnxFile::read(&artifact)?;
        let opened = provider::open(&runtime, &settings, &artifact)?;
        let about = (&settings, &file, &Asked::default());
        let mut model = Self::of_session(opened, about, Vec::new(), (&runtime, &artifact))?;
        model
            .info
            .notes
            .insert("probed".to_owned(), outcomes.into());
        Ok(model)
    }
}

/// Everything that does not fit, in one error.
fn refused(problems: &[String]) -> PluginError {
    PluginError::config(format!(
        "the ONNX file does not fit: {}",
        problems.join("; ")
    ))
}

/// What a person wants to know of the model, and a program to count.
fn note(info: &mut ModelInfo, opened: &Opened, (runtime, file): (&Runtime, &OnnxFile)) {
    let mut note = |key: &str, value: serde_json::Value| {
        info.notes.insert(key.to_owned(), value);
    };
    note("onnxruntime", runtime.version.as_str().into());
    note("provider", opened.provider.name().into());
    note(
        "providers_passed_over_total",
        opened.passed_over.len().into(),
    );
    for (provider, reason) in &opened.passed_over {
        note(
            &format!("provider_{}", provider.name()),
            reason.as_str().into(),
        );
    }
    if !file.producer.is_empty() {
        note("producer", file.producer.as_str().into());
    }
    if let Some(opset) = file.opset {
        note("opset", opset.into());
    }
    for key in [
        "library",
        "label",
        "training_rows",
        "iterations",
        "feature_set",
        "source_model",
    ] {
        if let Some(fact) = file.fact(&format!("fusebox.{key}")) {
            note(key, fact.into());
        }
    }
}

impl Model for OnnxModel {
    fn info(&self) -> Result<ModelInfo> {
        Ok(self.info.clone())
    }

    fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        frame.expect(self.columns, self.window, self.info.outputs.len())?;
        let running = self.running.as_mut();
        let running = running.ok_or_else(|| PluginError::state("the model was quiesced"))?;
        running.predict(frame, self.manner)
    }

    /// Makes the buffers and runs them, so that the runtime has laid out its memory.
    fn warmup(&mut self) -> Result<()> {
        match &mut self.running {
            Some(running) => running.warm_up(),
            None => Err(PluginError::state("the model was quiesced")),
        }
    }

    fn save(&self) -> Result<Vec<u8>> {
        Ok(self.artifact.clone())
    }

    /// Ends the session, whose threads the runtime joins.
    fn quiesce(&mut self, _: u64) -> Result<()> {
        self.running = None;
        Ok(())
    }

    fn quantiles(&self) -> Option<&dyn Quantiles> {
        matches!(self.info.task, Task::Quantiles { .. }).then_some(self)
    }

    fn onnx_export(&self) -> Option<&dyn OnnxExport> {
        Some(self)
    }
}

impl Quantiles for OnnxModel {
    fn levels(&self) -> Vec<f64> {
        match &self.info.task {
            Task::Quantiles { levels } => levels.clone(),
            _ => Vec::new(),
        }
    }
}

impl OnnxExport for OnnxModel {
    /// The file itself, where it is old enough.
    fn to_onnx(&self, opset: u32) -> Result<Vec<u8>> {
        let own = OnnxFile::read(&self.artifact)?.opset.unwrap_or(1);
        match own <= i64::from(opset) {
            true => Ok(self.artifact.clone()),
            false => Err(PluginError::unsupported(format!(
                "writing a model of operator set {own} with operator set {opset}"
            ))),
        }
    }
}
