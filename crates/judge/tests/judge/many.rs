//! Many questions: how many at once, in which order, and when it ends early.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use visionthink_judge::{Ended, Judge, JudgeEndpoint, JudgeError, Task};
use visionthink_reward::Accuracy;
use visionthink_reward::judge::Question;

use crate::server::{Answer, Server};
use crate::{QUESTION, endpoint};

/// Predictions `0`, `1`, `2`, …, each a question of its own.
fn predictions(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

fn tasks(predictions: &[String]) -> Vec<Task<'_>> {
    predictions.iter().map(|text| Task { id: text, question: Question { prediction: text, ..QUESTION } }).collect()
}

fn never() -> AtomicBool {
    AtomicBool::new(false)
}

#[test]
fn no_more_calls_are_open_than_allowed() {
    let server = Server::start(|_, _| {
        thread::sleep(Duration::from_millis(50));
        Answer::says("Score: 1")
    });
    let mut judge = Judge::open(JudgeEndpoint { concurrency: 3, ..endpoint(&server) }, None).unwrap();
    let texts = predictions(15);
    let mut seen = Vec::new();
    let ended = judge.judge_all(&tasks(&texts), &never(), &mut |judged| {
        assert_eq!(judged.judgement.accuracy, Accuracy::Correct);
        assert_eq!((judged.done, judged.total), (seen.len() + 1, 15));
        assert_eq!(judged.counts.questions, judged.done as u64);
        seen.push(judged.id.to_owned());
        Ok(())
    });
    assert_eq!(ended.unwrap(), Ended::Complete);
    assert_eq!((server.most_at_once(), server.calls()), (3, 15));
    seen.sort_by_key(|id| id.parse::<usize>().unwrap());
    assert_eq!(seen, texts);
}

#[test]
fn whoever_is_through_first_is_told_first() {
    let server = Server::start(|_, request| {
        if request.prediction() == "0" {
            thread::sleep(Duration::from_millis(600));
        }
        Answer::says(if request.prediction() == "2" { "Score: 1" } else { "Score: 0" })
    });
    let mut judge = Judge::open(JudgeEndpoint { concurrency: 2, ..endpoint(&server) }, None).unwrap();
    let texts = predictions(4);
    let mut seen = Vec::new();
    judge
        .judge_all(&tasks(&texts), &never(), &mut |judged| {
            seen.push((judged.index, judged.judgement.accuracy));
            Ok(())
        })
        .unwrap();
    let (right, wrong) = (Accuracy::Correct, Accuracy::Wrong);
    assert_eq!(seen, [(1, wrong), (2, right), (3, wrong), (0, wrong)]);
}

#[test]
fn the_same_question_is_asked_once_for_all_who_ask() {
    let server = Server::saying("Score: 1");
    let mut judge = Judge::open(endpoint(&server), None).unwrap();
    let task = Task { id: "a", question: QUESTION };
    let tasks = [task, Task { id: "b", ..task }, Task { id: "c", ..task }];
    let mut seen = Vec::new();
    judge
        .judge_all(&tasks, &never(), &mut |judged| {
            seen.push((judged.id.to_owned(), judged.judgement.cached));
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, [("a".to_owned(), false), ("b".to_owned(), true), ("c".to_owned(), true)]);
    assert_eq!((server.calls(), judge.counts().cache_hits, judge.counts().usage.prompt_tokens), (1, 2, 100));
}

#[test]
fn an_unreachable_judge_stops_everything_soon() {
    let endpoint = JudgeEndpoint { max_unreachable: 4, concurrency: 2, ..endpoint(&Server::absent()) };
    let mut judge = Judge::open(endpoint.clone(), None).unwrap();
    let texts = predictions(200);
    let mut told = 0;
    let error = judge
        .judge_all(&tasks(&texts), &never(), &mut |judged| {
            assert_eq!(judged.judgement.accuracy, Accuracy::Unjudged);
            told += 1;
            Ok(())
        })
        .unwrap_err();
    let JudgeError::Unreachable { url, calls: 4..=5, .. } = &error else { panic!("{error}") };
    assert_eq!(*url, endpoint.url);
    let shown = error.to_string();
    assert!(shown.contains("calls in a row; the last one: no connection: "), "{shown}");
    assert!(told <= 2, "{told}");
    assert!(judge.counts().requests <= 5, "{:?}", judge.counts());
}

#[test]
fn a_judge_that_refuses_everybody_stops_everything_soon() {
    let server = Server::start(|_, _| Answer::raw("401 Unauthorized", r#"{"error": {"message": "who are you"}}"#));
    let endpoint = JudgeEndpoint { max_unreachable: 3, concurrency: 1, ..endpoint(&server) };
    let mut judge = Judge::open(endpoint, None).unwrap();
    let error = judge.judge_all(&tasks(&predictions(50)), &never(), &mut |_| Ok(())).unwrap_err();
    let expected = format!(
        "`{}` served none of 3 calls in a row; the last one: the server refuses the request (401): who are you",
        server.url()
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(server.calls(), 3);
}

#[test]
fn single_refusals_stop_nobody() {
    let server =
        Server::start(
            |nth, _| {
                if nth % 2 == 0 { Answer::raw("400 Bad Request", "filtered") } else { Answer::says("Score: 1") }
            },
        );
    let endpoint = JudgeEndpoint { max_unreachable: 2, concurrency: 1, ..endpoint(&server) };
    let mut judge = Judge::open(endpoint, None).unwrap();
    let ended = judge.judge_all(&tasks(&predictions(10)), &never(), &mut |_| Ok(())).unwrap();
    assert_eq!((ended, judge.counts().unjudged, server.calls()), (Ended::Complete, 5, 10));
}

#[test]
fn a_server_that_comes_back_is_asked_again() {
    let server =
        Server::start(|nth, _| if nth < 3 { Answer::raw("403 Forbidden", "later") } else { Answer::says("Score: 1") });
    let endpoint = JudgeEndpoint { max_unreachable: 3, concurrency: 1, ..endpoint(&server) };
    let mut judge = Judge::open(endpoint, None).unwrap();
    let texts = predictions(5);
    assert!(judge.judge_all(&tasks(&texts), &never(), &mut |_| Ok(())).is_err());
    assert_eq!(judge.judge_all(&tasks(&texts), &never(), &mut |_| Ok(())).unwrap(), Ended::Complete);
}

#[test]
fn calling_off_ends_waits_and_asks_nobody_else() {
    let server =
        Server::start(|nth, _| if nth == 0 { Answer::says("Score: 1") } else { Answer::later("retry-after: 3000") });
    let endpoint = JudgeEndpoint { concurrency: 1, max_wait_secs: 4000.0, ..endpoint(&server) };
    let mut judge = Judge::open(endpoint, None).unwrap();
    let cancel = never();
    let mut told = 0;
    let ended = thread::scope(|scope| {
        scope.spawn(|| {
            while server.calls() < 2 {
                thread::sleep(Duration::from_millis(5));
            }
            cancel.store(true, Ordering::Relaxed);
        });
        judge.judge_all(&tasks(&predictions(9)), &cancel, &mut |_| {
            told += 1;
            Ok(())
        })
    });
    assert_eq!((ended.unwrap(), told, server.calls()), (Ended::Cancelled, 1, 2));
    assert_eq!((judge.counts().questions, judge.counts().requests, judge.counts().unjudged), (1, 2, 0));
}

#[test]
fn an_error_of_whoever_listens_ends_the_judging() {
    let server = Server::saying("Score: 1");
    let mut judge = Judge::open(JudgeEndpoint { concurrency: 2, ..endpoint(&server) }, None).unwrap();
    let full = || JudgeError::from(std::io::Error::from(std::io::ErrorKind::StorageFull));
    let error = judge.judge_all(&tasks(&predictions(100)), &never(), &mut |_| Err(full())).unwrap_err();
    assert!(matches!(error, JudgeError::Io(_)), "{error}");
    assert!(server.calls() < 50, "{}", server.calls());
}
