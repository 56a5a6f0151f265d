//! What is known is not asked again, and what is asked is counted.

use std::sync::atomic::AtomicBool;

use visionthink_judge::{Judge, JudgeEndpoint, Prices, Task, Variant};
use visionthink_reward::Accuracy;
use visionthink_reward::judge::{Question, VerdictReading};

use crate::server::{Answer, Server};
use crate::{QUESTION, endpoint};

#[test]
fn a_verdict_is_known_after_a_restart() {
    let server = Server::saying("Score: 0");
    let folder = tempfile::tempdir().unwrap();
    for run in 0..3 {
        let mut judge = Judge::open(endpoint(&server), Some(folder.path())).unwrap();
        let judgement = judge.judge(&QUESTION).unwrap();
        assert_eq!(judgement.accuracy, Accuracy::Wrong);
        assert_eq!(judgement.reply.as_deref(), Some("Score: 0"));
        assert_eq!((judgement.cached, judge.counts().cache_hits), (run > 0, u64::from(run > 0)));
        let mut told = 0;
        let tasks = [Task { id: "a", question: QUESTION }];
        let never = AtomicBool::new(false);
        judge
            .judge_all(&tasks, &never, &mut |judged| {
                told += usize::from(judged.judgement.cached);
                Ok(())
            })
            .unwrap();
        assert_eq!(told, 1);
    }
    assert_eq!(server.calls(), 1);
}

#[test]
fn another_model_reading_or_prediction_is_another_question() {
    let server = Server::saying("Score: 1");
    let folder = tempfile::tempdir().unwrap();
    let other_model = JudgeEndpoint { model: "other".to_owned(), ..endpoint(&server) };
    let lenient = JudgeEndpoint { variant: Variant::Judge { reading: VerdictReading::AnyOne }, ..endpoint(&server) };
    for endpoint in [endpoint(&server), other_model, lenient] {
        let mut judge = Judge::open(endpoint, Some(folder.path())).unwrap();
        judge.judge(&QUESTION).unwrap();
        judge.judge(&Question { prediction: "three", ..QUESTION }).unwrap();
    }
    assert_eq!(server.calls(), 6);
}

#[test]
fn what_could_not_be_judged_is_asked_again_next_time() {
    let server = Server::start(|nth, _| Answer::says(if nth < 3 { "no idea" } else { "Score: 1" }));
    let folder = tempfile::tempdir().unwrap();
    for expected in [Accuracy::Unjudged, Accuracy::Correct, Accuracy::Correct] {
        let mut judge = Judge::open(endpoint(&server), Some(folder.path())).unwrap();
        assert_eq!(judge.judge(&QUESTION).unwrap().accuracy, expected);
    }
    assert_eq!(server.calls(), 4);
}

#[test]
fn every_call_is_counted_and_priced() {
    let server = Server::start(|nth, _| match nth {
        0 => Answer::says("hm"),
        1 => Answer::raw("500 Internal Server Error", ""),
        2 => Answer::says("Score: 1"),
        _ => Answer::says("no idea"),
    });
    let mut judge = Judge::open(endpoint(&server), None).unwrap();
    judge.judge(&QUESTION).unwrap();
    judge.judge(&QUESTION).unwrap();
    let counts = judge.counts();
    assert_eq!((counts.questions, counts.requests, counts.retries, counts.unjudged), (2, 6, 4, 1));
    assert_eq!((counts.usage.prompt_tokens, counts.usage.completion_tokens), (500, 25));
    let cost = counts.cost(&Prices { prompt: 2.5, completion: 10.0 });
    assert!((cost - 0.0015).abs() < 1e-12, "{cost}");
}
