//! The judge against a server on this machine that does what a script says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, the functions it calls too")]

mod calls;
mod cost;
mod file;
mod injection;
mod many;
mod secrets;
mod server;

use visionthink_judge::{EndpointKind, JudgeEndpoint};
use visionthink_reward::judge::Question;

use server::Server;

const QUESTION: Question<'_> = Question { question: "How many boats?", ground_truth: "2", prediction: "two" };

/// A judge of this server with hardly any patience: a few milliseconds where a real one waits for seconds.
fn endpoint(server: &Server) -> JudgeEndpoint {
    JudgeEndpoint {
        failure_wait_secs: 0.002,
        rate_limit_wait_secs: 0.003,
        timeout_secs: 20.0,
        max_wait_secs: 30.0,
        max_unreachable: 100,
        ..JudgeEndpoint::new(EndpointKind::OpenAi, server.url(), "gpt-4o")
    }
}
