//! Memory of this process, as Linux counts it.

/// Forgets the peak so far, so that the next reading is the peak of what lies between.
pub(crate) fn forget_peak() {
    // Not permitted everywhere; the peak then includes what came before, which only makes it larger.
    let _ = fs_err::write("/proc/self/clear_refs", "5");
}

/// Largest resident size in bytes since the start or the last [`forget_peak`]; `None` where there is no `/proc`.
pub(crate) fn peak_bytes() -> Option<u64> {
    field("VmHWM:")
}

/// Resident size in bytes.
pub(crate) fn resident_bytes() -> Option<u64> {
    field("VmRSS:")
}

fn field(name: &str) -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}
