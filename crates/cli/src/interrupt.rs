//! Ctrl-C: the first one asks for an orderly end, the second does not wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::progress;

/// Sets `stop` at the first Ctrl-C and says `told`; ends the program at the second.
pub(crate) fn stop_on_ctrl_c(stop: Arc<AtomicBool>, told: &'static str) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || {
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        progress::tell(told);
    })
}
