//! The examples to run the server by are about this server.

use std::path::{Path, PathBuf};

use visionthink_serve::ServeConfig;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/deploy").join(name)
}

/// The number behind `key=` in the unit.
fn number(unit: &str, key: &str) -> f64 {
    let value = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no `{key}`")).parse().unwrap()
}

#[test]
fn a_server_run_as_a_service_has_keys_the_files_it_needs_and_the_time_to_drain() {
    let config = ServeConfig::from_file(&example("serve.toml")).unwrap();
    assert!(config.keys.is_some(), "it listens to everybody");
    let unit = fs_err::read_to_string(example("visionthink.service")).unwrap();
    assert!(number(&unit, "TimeoutStopSec") > config.server.drain_timeout_secs);
    assert!(number(&unit, "LimitNOFILE") > 2.0 * config.server.max_connections as f64);
    // Wrong usage, which a run file that cannot be read is too, ends with this status.
    assert_eq!(number(&unit, "RestartPreventExitStatus"), 2.0);
}
