//! A headless Chromium, driven over DevTools' pipe: what a person would do, and what they would see.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The machine that runs this may be busy with much else.
const PATIENCE: Duration = Duration::from_mins(1);
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<Value>,
    calls: u64,
    /// What the page's console says of faults.
    pub(crate) faults: Vec<String>,
    _profile: TempDir,
}

/// Where `VISIONTHINK_CHROMIUM` says, else on the path.
fn program() -> Option<PathBuf> {
    if let Some(path) = env::var_os("VISIONTHINK_CHROMIUM") {
        return Some(path.into());
    }
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).flat_map(|folder| NAMES.map(|name| folder.join(name))).find(|path| path.is_file())
}

impl Browser {
    /// Nothing where there is no Chromium, which is said.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    pub(crate) fn start(width: u32, height: u32) -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("skipped: no Chromium on the path; `VISIONTHINK_CHROMIUM` may name one");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        // DevTools reads from descriptor 3 and writes to 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"])
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Self { child, to, from, session: None, calls: 0, faults: Vec::new(), _profile: profile };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = Some(attached["sessionId"].clone());
        for domain in ["Page", "Runtime", "Log", "DOM"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        browser.call("Emulation.setDeviceMetricsOverride", screen);
        Some(browser)
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.clone();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut bytes = Vec::new();
            self.from.read_until(0, &mut bytes).unwrap();
            assert_eq!(bytes.pop(), Some(0), "Chromium has ended");
            let heard: Value = serde_json::from_slice(&bytes).unwrap();
            if heard["id"] == self.calls {
                assert!(heard.get("error").is_none(), "{method}: {heard}");
                return heard["result"].clone();
            }
            self.hear(&heard);
        }
    }

    fn hear(&mut self, event: &Value) {
        let entry = &event["params"]["entry"];
        // A refusal of the API is no fault of the page.
        let is_fault = entry["level"] == "error" && entry["source"] != "network";
        if event["method"] == "Runtime.exceptionThrown" || (event["method"] == "Log.entryAdded" && is_fault) {
            self.faults.push(event["params"].to_string());
        }
    }

    pub(crate) fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({"url": url}));
    }

    /// The value of a JavaScript expression.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        self.call("Runtime.evaluate", asked)["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn wait(&mut self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(&format!("Boolean({expression})")) != true {
            assert!(Instant::now() < deadline, "never `{expression}`: {}", self.value("document.body?.innerText"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The text of the only element that a selector finds.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let found = self.value(&format!("[...document.querySelectorAll('{selector}')].map((e) => e.textContent)"));
        assert_eq!(found.as_array().map(Vec::len), Some(1), "`{selector}`: {found}");
        found[0].as_str().unwrap().to_owned()
    }

    pub(crate) fn click(&mut self, selector: &str) {
        let place = format!(
            "(() => {{ const e = document.querySelector('{selector}'); e.scrollIntoView({{block: 'center', behavior: 'instant'}}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        );
        let heard = format!(
            "(() => {{ window.clicked = false; const hear = () => {{ window.clicked = true; }}; \
             document.querySelector('{selector}').addEventListener('click', hear, {{once: true, capture: true}}); }})()"
        );
        self.value(&heard);
        let deadline = Instant::now() + PATIENCE;
        // The page may still move: a click on where something was is made again.
        while self.value("window.clicked") != true {
            assert!(Instant::now() < deadline, "`{selector}` never hears a click");
            let before = self.value(&place);
            std::thread::sleep(Duration::from_millis(50));
            let now = self.value(&place);
            if now != before {
                continue;
            }
            for kind in ["mousePressed", "mouseReleased"] {
                let button = json!({"type": kind, "x": now[0], "y": now[1], "button": "left", "clickCount": 1});
                self.call("Input.dispatchMouseEvent", button);
            }
        }
    }

    /// Into whatever has the focus.
    pub(crate) fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    pub(crate) fn press(&mut self, key: &str, code: u32) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let stroke = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
            self.call("Input.dispatchKeyEvent", stroke);
        }
    }

    /// What a file dialogue does.
    pub(crate) fn choose(&mut self, selector: &str, file: &Path) {
        let document = self.call("DOM.getDocument", json!({}));
        let asked = json!({"nodeId": document["root"]["nodeId"], "selector": selector});
        let input = self.call("DOM.querySelector", asked);
        self.call("DOM.setFileInputFiles", json!({"nodeId": input["nodeId"], "files": [file]}));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
