//! A real Chromium, spoken to in WebDriver.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use reqwest::{Client, Method};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::PATIENCE;

pub const ENTER: &str = "\u{E007}";
pub const ARROW_UP: &str = "\u{E013}";
pub const ESCAPE: &str = "\u{E00C}";
const TAB: &str = "\u{E004}";
pub const SHIFT: &str = "\u{E008}";

/// Where pictures go, for people to look at.
const PICTURES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/pictures");

/// One browser window with a profile of its own. Dropping it closes the browser.
pub struct Window {
    http: Client,
    address: String,
    session: String,
    driver: Child,
    _profile: tempfile::TempDir,
}

impl Window {
    /// Opens a window of 1280 by 800 pixels.
    pub async fn open() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let (driver, port) = drive();
        let address = format!("127.0.0.1:{port}");
        let http = Client::new();
        let options = json!({ "binary": which(&named("CHROMIUM", "chromium")), "args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            format!("--user-data-dir={}", profile.path().display()),
        ]});
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let answer = http
            .post(format!("http://{address}/session"))
            .json(&json!({ "capabilities": { "alwaysMatch": wanted } }))
            .send()
            .await
            .unwrap();
        let answer: Value = answer.json().await.unwrap();
        let session =
            answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no window: {answer}")).into();
        let window = Self { http, address, session, driver, _profile: profile };
        window.resize(1280, 800, false).await;
        window
    }

    /// Sets the size in CSS pixels and the preferred colours; nothing moves.
    pub async fn resize(&self, width: u32, height: u32, dark: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        self.prefer(dark, "prefers-contrast", "no-preference").await;
    }

    /// Sets the preferred colours and one more preference; nothing moves.
    pub async fn prefer(&self, dark: bool, name: &str, value: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" } },
            { "name": "prefers-reduced-motion", "value": "reduce" },
            { "name": name, "value": value },
        ]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Lets the page have only a part of the processor: a fourth of it is what Lighthouse takes for a phone.
    pub async fn slow_down(&self, times: u32) {
        self.devtools("Emulation.setCPUThrottlingRate", json!({ "rate": times })).await;
    }

    /// From the next page on, no script runs.
    pub async fn without_scripts(&self) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    }

    pub async fn goto(&self, url: &str) {
        self.call(Method::POST, "url", json!({ "url": url })).await.unwrap();
    }

    pub async fn reload(&self) {
        self.call(Method::POST, "refresh", json!({})).await.unwrap();
    }

    pub async fn back(&self) {
        self.call(Method::POST, "back", json!({})).await.unwrap();
    }

    /// The value of an expression in the page.
    pub async fn eval<T: DeserializeOwned>(&self, expression: &str) -> T {
        let body = json!({ "script": format!("return {expression}"), "args": [] });
        let value = self.call(Method::POST, "execute/sync", body).await;
        let value = value.unwrap_or_else(|error| panic!("{expression}: {error}"));
        serde_json::from_value(value).unwrap()
    }

    /// Runs a script in the page.
    pub async fn run(&self, script: &str) {
        let body = json!({ "script": script, "args": [] });
        self.call(Method::POST, "execute/sync", body).await.unwrap();
    }

    /// What a promise in the page brings.
    pub async fn promised<T: DeserializeOwned>(&self, promise: &str) -> T {
        let script =
            format!("const [done] = arguments; ({promise}).then(done, error => done(String(error)))");
        let value = self.call(Method::POST, "execute/async", json!({ "script": script, "args": [] })).await;
        serde_json::from_value(value.unwrap()).unwrap()
    }

    /// Waits until an expression is true; it is looked at in each frame, also across navigations.
    pub async fn until(&self, expression: &str) {
        const LOOK: &str = "const [done] = arguments; const end = performance.now() + 2000; \
            (function look() { if (CONDITION) done(true); else if (performance.now() > end) done(false); \
            else requestAnimationFrame(look); })()";
        let body = json!({ "script": LOOK.replace("CONDITION", expression), "args": [] });
        let start = Instant::now();
        // An error here means that the page went away, or is not built yet.
        while self.call(Method::POST, "execute/async", body.clone()).await != Ok(json!(true)) {
            if start.elapsed() > PATIENCE {
                self.picture("timeout").await;
                panic!(
                    "never true: {expression}\n{}",
                    self.eval::<String>("document.body.innerText.slice(-800)").await
                );
            }
        }
    }

    /// Waits for an element and clicks into its middle, as a person would.
    pub async fn click(&self, selector: &str) {
        self.until(&format!("document.querySelector({selector:?})?.checkVisibility()")).await;
        let found = json!({ "using": "css selector", "value": selector });
        let element = self.call(Method::POST, "element", found).await.unwrap();
        let click = self.call(Method::POST, &format!("element/{}/click", id(&element)), json!({})).await;
        click.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Clicks an element that is there, in a page without scripts too.
    pub async fn press(&self, selector: &str) {
        let element = self.find(selector).await.unwrap();
        self.call(Method::POST, &format!("element/{element}/click"), json!({})).await.unwrap();
    }

    /// Types into an element that is there, behind what it holds.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector).await.unwrap();
        let path = format!("element/{element}/value");
        self.call(Method::POST, &path, json!({ "text": text })).await.unwrap();
    }

    /// What the page says; nothing while it is exchanged for another.
    pub async fn text(&self) -> String {
        let Ok(body) = self.find("body").await else { return String::new() };
        let text = self.call(Method::GET, &format!("element/{body}/text"), Value::Null).await;
        text.ok().and_then(|text| Some(text.as_str()?.to_owned())).unwrap_or_default()
    }

    async fn find(&self, selector: &str) -> Result<String, String> {
        let found = json!({ "using": "css selector", "value": selector });
        self.call(Method::POST, "element", found).await.map(|element| id(&element).to_owned())
    }

    /// Presses Tab, wherever the focus is: a field for files would take what is typed into it for a path.
    pub async fn tab(&self) {
        let strokes = json!([{ "type": "keyDown", "value": TAB }, { "type": "keyUp", "value": TAB }]);
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.call(Method::POST, "actions", json!({ "actions": [keyboard] })).await.unwrap();
    }

    /// Types into whatever has the focus.
    pub async fn keys(&self, text: &str) {
        let element = self.call(Method::GET, "element/active", Value::Null).await.unwrap();
        let path = format!("element/{}/value", id(&element));
        self.call(Method::POST, &path, json!({ "text": text })).await.unwrap();
    }

    /// Warnings and errors of the console since it was last asked, one line an entry.
    pub async fn console(&self) -> Vec<String> {
        let entries = self.call(Method::POST, "se/log", json!({ "type": "browser" })).await.unwrap();
        let line = |entry: &Value| format!("{} {}", entry["level"], entry["message"]);
        let entries = entries.as_array().unwrap().iter();
        entries
            .filter(|entry| ["WARNING", "SEVERE"].contains(&entry["level"].as_str().unwrap()))
            .map(line)
            .collect()
    }

    /// Saves what the window shows.
    pub async fn picture(&self, name: &str) -> PathBuf {
        let picture = self.devtools("Page.captureScreenshot", json!({ "format": "png" })).await;
        let name = PathBuf::from(PICTURES).join(format!("{name}.png"));
        std::fs::create_dir_all(PICTURES).unwrap();
        std::fs::write(&name, decode(picture["data"].as_str().unwrap())).unwrap();
        name
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.call(Method::POST, "goog/cdp/execute", body).await.unwrap()
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Result<Value, String> {
        let url = format!("http://{}/session/{}/{path}", self.address, self.session);
        let mut request = self.http.request(method, url).timeout(PATIENCE);
        if !body.is_null() {
            request = request.json(&body);
        }
        let mut answer: Value = request.send().await.unwrap().json().await.unwrap();
        match answer["value"]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].take()),
        }
    }
}

/// The path of a program, as chromedriver wants it.
fn which(program: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{program} is not installed; ./test installs it"))
}

impl Drop for Window {
    fn drop(&mut self) {
        // Chromium ends with its session, not with its driver; there is no async here, hence by hand.
        if let Ok(mut stream) = TcpStream::connect(&self.address) {
            let end = format!(
                "DELETE /session/{} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                self.session, self.address
            );
            let ended = stream.write_all(end.as_bytes()).and_then(|()| stream.read(&mut [0; 64]));
            if let Err(error) = ended {
                eprintln!("a Chromium may still run: {error}");
            }
        }
        if self.driver.kill().is_ok() {
            self.driver.wait().unwrap();
        }
    }
}

fn named(variable: &str, otherwise: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| otherwise.into())
}

/// A driver, and the port that it chose. It takes a free one for IPv4 and ends where that is not free for IPv6.
fn drive() -> (Child, u16) {
    for _ in 0..10 {
        let mut driver = Command::new(named("CHROMEDRIVER", "chromedriver"))
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver runs; ./test installs it");
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines
            .filter_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok())
            .next();
        match port {
            Some(port) => return (driver, port),
            None => drop(driver.wait().unwrap()),
        }
    }
    panic!("chromedriver says on which port it listens");
}

/// The id in a WebDriver element.
fn id(element: &Value) -> &str {
    element.as_object().and_then(|fields| fields.values().next()?.as_str()).expect("an element")
}

/// Base64, as DevTools sends pictures.
fn decode(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut held, mut bits) = (Vec::with_capacity(text.len() / 4 * 3), 0_u32, 0);
    for six in text.bytes().filter_map(|byte| ALPHABET.iter().position(|&letter| letter == byte)) {
        held = held << 6 | six as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    bytes
}
