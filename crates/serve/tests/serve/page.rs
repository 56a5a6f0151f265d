//! The page at `/`, as a person uses it.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use visionthink_serve::ServeConfig;
use visionthink_serve::routes::AppState;

#[cfg(unix)]
use crate::chromium::Browser;
use crate::stub::{Act, Stub};
use crate::{ask, config, get, picture, question, server};

const DIRECT: &str = "<think>plain to see</think>\n<answer> no </answer>";

/// A gateway that knows what images cost.
async fn gateway(acts: impl IntoIterator<Item = Act>) -> (Stub, ServeConfig, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let settings = r#"{"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2, "min_pixels": 784}"#;
    fs_err::write(folder.path().join("preprocessor_config.json"), settings).unwrap();
    let stub = Stub::start(acts).await;
    let mut config = config(&[&stub]);
    config.processor = Some(folder.path().to_owned());
    (stub, config, folder)
}

/// Serves until the test ends.
async fn serve(state: Arc<AppState>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(visionthink_serve::serve(listener, state, std::future::pending()));
    url
}

/// Paths in quotes, `"/page/…"` or `"./…"`.
fn named(text: &str) -> Vec<String> {
    let quoted = text.split('"').skip(1).step_by(2);
    let paths = quoted.filter_map(|path| match path.strip_prefix("./") {
        Some(name) => Some(format!("/page/{name}")),
        None => path.starts_with("/page/").then(|| path.to_owned()),
    });
    paths.collect()
}

#[tokio::test]
async fn everything_the_page_loads_comes_from_this_server_and_needs_no_key() {
    let (_stub, mut config, folder) = gateway([Act::Looks]).await;
    let keys = folder.path().join("keys");
    fs_err::write(&keys, "sk-aaaaaaaaaaaaaaaa\n").unwrap();
    config.keys = Some(keys);
    let state = visionthink_serve::state(&config).unwrap();
    let mut paths = vec!["/".to_owned()];
    let mut seen = 0;
    while let Some(path) = paths.get(seen).cloned() {
        seen += 1;
        let reply = get(&state, &path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert!(!reply.text.contains("http://") || path.strip_suffix(".svg").is_some(), "{path} leads elsewhere");
        assert!(!reply.text.contains("https://"), "{path} leads elsewhere");
        paths.extend(named(&reply.text));
        paths.sort();
        paths.dedup();
    }
    assert!(paths.iter().any(|path| path == "/page/recent.js") && paths.iter().any(|path| path == "/page/page.css"));
    assert_eq!(get(&state, "/v1/models").await.status, 401);
    config.server.page = false;
    let state = visionthink_serve::state(&config).unwrap();
    assert_eq!(get(&state, "/").await.status, 404);
}

/// What a stream says of turns.
async fn turns(state: &Arc<AppState>, show: bool) -> Vec<Value> {
    let asked = question(json!({"stream": true, "visionthink": {"show_turns": show}}));
    let reply = ask(state, &asked).await;
    assert_eq!(reply.told(), ("42".to_owned(), "too small\nnow I see".to_owned()));
    let chunks = reply.events().into_iter().filter(|event| event != "[DONE]");
    let chunks = chunks.map(|event| serde_json::from_str::<Value>(&event).unwrap());
    chunks
        .filter(|chunk| chunk["visionthink"].get("turn").is_some())
        .map(|chunk| chunk["visionthink"].clone())
        .collect()
}

#[tokio::test]
async fn a_stream_tells_when_the_full_images_were_asked_for_where_turns_are_to_be_shown() {
    let stub = Stub::start([Act::Looks]).await;
    let state = server(&[&stub]);
    let told = [json!({"turn": 1, "views": ["low"]}), json!({"turn": 2, "views": ["low", "full"]})];
    assert_eq!(turns(&state, true).await, told);
    assert_eq!(turns(&state, false).await, Vec::<Value>::new());
}

/// What a person does with the page, where there is a browser.
#[cfg(unix)]
async fn browse(width: u32, person: impl FnOnce(&mut Browser) + Send + 'static) {
    let done = tokio::task::spawn_blocking(move || {
        let Some(mut browser) = Browser::start(width, 900) else { return };
        person(&mut browser);
        assert_eq!(browser.faults, Vec::<String>::new());
    });
    done.await.unwrap();
}

/// Opens the page and waits until nothing on it moves any more.
#[cfg(unix)]
fn open(browser: &mut Browser, url: &str) {
    browser.open(url);
    browser.wait("document.querySelector('#model')?.textContent === 'seer'");
    browser.wait("document.querySelectorAll('#examples img').length === 6");
    browser.wait("[...document.images].every((image) => image.hidden || image.complete)");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_uploads_an_image_asks_twice_and_sees_both_kinds_of_decision() {
    let (stub, config, folder) = gateway([Act::Says(DIRECT.to_owned()), Act::Looks]).await;
    let url = serve(visionthink_serve::state(&config).unwrap()).await;
    let file = folder.path().join("picture.png");
    fs_err::write(&file, picture(112, 56)).unwrap();
    browse(1200, move |browser| {
        open(browser, &url);
        browser.choose("#file", &file);
        browser.wait("document.querySelector('#preview').naturalWidth === 112");
        browser.click("#question");
        browser.write("Is it blue?");
        browser.press("Enter", 13);
        browser.wait("document.querySelector('.lane[data-state=done][data-decision=direct]')");
        assert_eq!(browser.text(".answer"), "no");
        assert_eq!(browser.text(".look[data-view=low] .thought"), "plain to see");
        assert_eq!(browser.text("#verdict"), "2 image tokens instead of 8.");
        assert_eq!(browser.value("document.querySelectorAll('.look[data-view=full]').length"), 0);

        browser.click("#ask");
        browser.wait("document.querySelector('.lane[data-state=done][data-decision=resize]')");
        assert_eq!(browser.text(".look[data-view=low] .thought"), "too small");
        assert_eq!(browser.text(".look[data-view=low] .call"), "asks for the full image");
        assert_eq!(browser.text(".look[data-view=full] .thought"), "now I see");
        assert_eq!(browser.text(".answer"), "42");
        assert_eq!(browser.text("#verdict"), "It asked: 10 image tokens, where the full image alone costs 8.");
        assert_eq!(browser.value("document.querySelector('.look[data-view=low] img').naturalWidth"), 56);

        let kept = "document.querySelectorAll('#gallery li').length";
        browser.wait(&format!("{kept} === 2"));
        open(browser, &url);
        browser.wait(&format!("{kept} === 2"));
        browser.click("#gallery li:last-child button");
        browser.wait("document.querySelector('#question').value === 'Is it blue?'");
        browser.wait("document.querySelector('#preview').naturalWidth === 112");
        browser.click("#clear");
        browser.wait("document.querySelector('#recent').hidden");
        open(browser, &url);
        assert_eq!(browser.value(kept), 0);
    })
    .await;
    drop(stub);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_model_shows_both_kinds_of_decision_on_the_examples() {
    let url = serve(crate::embedded::micro().await).await;
    browse(1200, move |browser| {
        for (example, decision, answer, sentence) in [
            ("document-11", "direct", "FORM", "4 image tokens instead of 16."),
            ("chart-1", "resize", "8", "It asked: 20 image tokens, where the full image alone costs 16."),
        ] {
            browser.open(&format!("{url}/?example={example}&ask=1"));
            browser.wait(&format!("document.querySelector('.lane[data-state=done][data-decision={decision}]')"));
            assert_eq!(browser.text(".answer"), answer);
            assert_eq!(browser.text("#verdict"), sentence);
            let looks = browser.value("document.querySelectorAll('.look[data-view=full]').length");
            assert_eq!(looks, i32::from(decision == "resize"));
        }
    })
    .await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_compares_an_example_with_the_full_image_on_a_phone() {
    let (stub, config, _folder) = gateway([Act::Says(DIRECT.to_owned())]).await;
    let url = serve(visionthink_serve::state(&config).unwrap()).await;
    browse(375, move |browser| {
        browser.open(&format!("{url}/?example=chart-3&mode=compare&ask=1&theme=dark"));
        browser.wait("document.querySelectorAll('.lane[data-state=done]').length === 2");
        browser.wait("document.querySelector('#verdict').textContent");
        assert_eq!(browser.text("#verdict"), "The same answer: 4 image tokens instead of 16, 75 % fewer.");
        let row = "[...document.querySelectorAll('#counts tbody tr:first-child td')].map((cell) => cell.textContent)";
        assert_eq!(browser.value(row), json!(["4", "16"]));
        let width = browser.value("document.documentElement.scrollWidth").as_u64();
        assert!(width <= Some(375), "the page is {width:?} wide");
        let ground = "getComputedStyle(document.body).backgroundColor";
        let dark = browser.value(ground);
        browser.click("#theme");
        browser.wait(&format!("{ground} !== {dark}"));
    })
    .await;
    drop(stub);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_can_be_used_by_keyboard_says_what_is_missing_and_asks_for_a_key_where_one_is_wanted() {
    let (stub, mut config, folder) = gateway([Act::Status(500, "", "{}"), Act::Looks]).await;
    let keys = folder.path().join("keys");
    fs_err::write(&keys, "sk-aaaaaaaaaaaaaaaa\n").unwrap();
    config.keys = Some(keys);
    let url = serve(visionthink_serve::state(&config).unwrap()).await;
    browse(1200, move |browser| {
        browser.open(&url);
        browser.wait("document.querySelector('#lock')?.hidden === false");
        browser.wait("document.querySelectorAll('#examples button').length === 6");
        let mut stops = Vec::new();
        for _ in 0..7 {
            browser.press("Tab", 9);
            let focus = "document.activeElement.id || document.activeElement.name || document.activeElement.className";
            stops.push(browser.value(focus).as_str().unwrap().to_owned());
        }
        assert_eq!(stops, ["skip", "theme", "file", "question", "mode", "key", "ask"]);
        let names = "[...document.querySelectorAll('input, textarea')].every((e) => e.labels.length > 0)";
        assert_eq!(browser.value(names), true);

        browser.press("Enter", 13);
        browser.wait("document.querySelector('#fault').textContent === 'Choose an image first.'");
        assert_eq!(browser.value("document.activeElement.id"), "file");
        browser.click("[data-id=scene-3]");
        browser.wait("document.querySelector('#preview').naturalWidth === 112");
        browser.click("#key");
        browser.write("sk-wrong-wrong-wrong");
        browser.click("#ask");
        browser.wait("document.querySelector('#fault').textContent === 'The server does not know this API key.'");
        browser.value("document.querySelector('#key').value = ''");
        browser.click("#key");
        browser.write("sk-aaaaaaaaaaaaaaaa");
        browser.press("Tab", 9);
        browser.wait("document.querySelector('#model').textContent === 'seer'");
        browser.click("#ask");
        browser.wait("document.querySelector('.lane[data-state=failed]')");
        assert_eq!(browser.text(".answer"), "The model's server failed.");
        browser.click("#ask");
        browser.wait("document.querySelector('.lane[data-state=done]')");
        assert_eq!(browser.value("localStorage.length"), 0, "the key is kept in this tab alone");
        assert_eq!(browser.text("#status"), "Adaptive: 42. Answered after a second look.");
    })
    .await;
    drop(stub);
}
