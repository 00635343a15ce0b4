//! What `[execution]` wants of the venue's records: finer bars, funding rates, order books.

use std::path::PathBuf;

use fusebox_engine::types::TimeFrame;
use fusebox_services::data::{DataRequest, RecordsRequest};

use super::Check;
use crate::config::raw::{RawData, RawExecution, RawSlippage, RawSource};

impl Check<'_> {
    pub(super) fn records(
        &mut self,
        (data, execution): (&RawData, &RawExecution),
        request: Option<&DataRequest>,
    ) -> RecordsRequest {
        if execution.funding.is_some() && execution.funding_file.is_some() {
            self.report(
                "execution.funding_file",
                "is set beside a constant rate, `execution.funding`; leave one of them out",
            );
        }
        RecordsRequest {
            fine: self.fine_time_frame(data, execution, request.map(|one| one.time_frame)),
            funding: execution.funding_file.as_ref().map(PathBuf::from),
            books: match &execution.slippage {
                RawSlippage::Book {
                    file, max_age_ms, ..
                } => Some((PathBuf::from(file), *max_age_ms)),
                _ => None,
            },
        }
    }

    fn fine_time_frame(
        &mut self,
        data: &RawData,
        execution: &RawExecution,
        coarse: Option<TimeFrame>,
    ) -> Option<TimeFrame> {
        let key = "execution.fine_time_frame";
        let fine: TimeFrame = self.parsed_if_set(key, execution.fine_time_frame.as_ref())?;
        if data.source == RawSource::Simulated {
            self.report(
                key,
                "is set, but the simulated market has no finer bars; leave it out",
            );
        }
        let coarse = coarse?;
        if fine >= coarse || coarse.nanos() % fine.nanos() != 0 {
            self.report(
                key,
                format!(
                    "is {fine}, which does not divide `data.time_frame` ({coarse}) into shorter \
                     bars; take one that does, such as 1m"
                ),
            );
        }
        Some(fine)
    }
}
