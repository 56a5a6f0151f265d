//! `visionthink report`: a run of an evaluation reported again, or two compared.

use visionthink_eval::run::{Changes, RunRecords, markdown};

use crate::args::ReportArguments;
use crate::evaluation::write_reports;
use crate::output;

pub(crate) fn run(arguments: &ReportArguments) -> anyhow::Result<()> {
    if let [first, second] = arguments.runs.as_slice() {
        let changes = Changes::between(&RunRecords::read(first)?, &RunRecords::read(second)?)?;
        if arguments.json {
            return output::json(&changes);
        }
        output::line(changes.markdown().trim_end())?;
        return Ok(());
    }
    for folder in &arguments.runs {
        let (run, summary) = write_reports(folder)?;
        if arguments.json {
            output::json(&summary)?;
        } else {
            output::line(&markdown(&run.run, &summary))?;
            output::line(&format!("report: {}", folder.join("report.html").display()))?;
        }
    }
    Ok(())
}
