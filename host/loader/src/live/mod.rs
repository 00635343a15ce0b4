//! Models that stay live while their code and their weights are replaced.
//!
//! ```text
//! seen -> settled -> verified -> scanned -> probed -> mapped -> created -> restored -> warmed
//!      -> golden-checked -> shadow -> promoted -> probation -> retired -> quiesced -> destroyed
//! any failure -> rejected, kept out until its digest changes; the live generation never stopped
//! ```
//!
//! | file | step |
//! |---|---|
//! | `owner` | the thread that predicts: swaps, goes back, between two events |
//! | `supervisor`, `controller` | everything else: watches, decides, prepares, retires |
//! | `reload` | one reload, step by step |
//! | `origin`, `golden`, `candidate`, `shadow` | what a generation has to go through |
//! | `history`, `tap`, `link` | what passes between the two sides |
//! | `catalog`, `choose`, `watch`, `files` | what lies there, and which of it is wanted |
//! | `model_package` | weights, apart from code |
//! | `sidecar` | model files with a few lines beside them become model packages |
//! | `rows` | what a host says of its rows; scaling between it and the code |
//! | `control`, `audit`, `status` | what an operator says, reads and sees |
//! | `leaks` | what stays mapped |
//!
//! The side that predicts never waits for the other, never takes memory and never destroys
//! anything. Nothing here looks at what a prediction means.

pub mod audit;
mod candidate;
pub mod catalog;
pub mod choose;
pub mod control;
mod controller;
pub mod facts;
pub mod files;
pub mod golden;
pub mod history;
pub mod leaks;
mod link;
pub mod model_package;
pub mod origin;
mod owner;
pub mod policy;
mod probation;
mod reaper;
pub mod reload;
pub mod rows;
mod shadow;
mod sidecar;
pub mod state;
pub mod status;
pub mod store;
mod supervisor;
mod tap;
#[cfg(test)]
mod tests;
mod watch;

pub use audit::{AuditEvent, AuditLog, Occasion, What};
pub use controller::StartError;
pub use facts::{Generation, Instance, StateMode, WeightsFacts};
pub use leaks::{LeakFigures, LeakLimits, Leaks};
pub use model_package::{
    AuditState, MODEL_FILE, ModelPackageError, ModelPackageSpec, PackedAudit, TrainedBars,
    write_model_package,
};
pub use origin::{FileOrigin, Library, Origin, Prober, Step, Trial, Verification, WorkerProber};
pub use owner::{Answered, LiveError, LiveModel};
pub use policy::{ModelSource, ModelSpec, ProbationPolicy, SwapPolicy, VersionPolicy};
pub use rows::{Companions, Dressing, RowContract, RowTransform};
pub use shadow::ShadowReport;
pub use sidecar::files_without_sidecar;
pub use state::{Reason, Rejection, State};
pub use status::{GenerationStatus, ModelStatus, SystemStatus};
pub use supervisor::{Supervisor, SupervisorError, SupervisorOptions};
