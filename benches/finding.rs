//! What a large collection costs: a person with 10,000 conversations and 200,000 messages searches, lists and opens them, over
//! HTTP, as a browser does. `benches/README.md` says how to run it.

use std::error::Error;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use reqwest::Client;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tempfile::TempDir;

type Outcome<T> = Result<T, Box<dyn Error>>;

const CONVERSATIONS: usize = 10_000;
const MESSAGES: usize = 20;
/// Messages of the one long conversation.
const LONG: usize = 2_000;
const WORDS: usize = 60;
/// Requests of which the median and the 95th percentile count.
const ROUNDS: usize = 60;
/// How long the server may take to be there.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program, and the folder that goes with it.
struct Server {
    child: Child,
    _folder: TempDir,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("the server may still run: {error}");
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Outcome<()> {
    let server = start().await?;
    let http = Client::builder().cookie_store(true).build()?;
    let person = [("username", "ada"), ("password", "correct horse ada")];
    http.post(format!("{}/register", server.url)).form(&person).send().await?.error_for_status()?;
    let began = Instant::now();
    import(&http, &server.url).await?;
    eprintln!("imported in {:.0} s", began.elapsed().as_secs_f64());
    let list = text(&http, &server.url, "/conversations").await?;
    let long = list.split("id=\"open-").nth(1).and_then(|rest| rest.split('"').next());
    let long = format!("/c/{}", long.ok_or("no conversation in the list")?);

    println!("| request | median (ms) | 95th percentile (ms) | goal (ms) |\n| --- | --- | --- | --- |");
    let searches = [
        ("a word of one message in 200,000", "/search?q=needle"),
        ("a word of every message", "/search?q=w0x"),
        ("two common words", "/search?q=w0x%20w1x"),
        ("a common and a rare word", "/search?q=w0x%20needle"),
        ("one letter, with which every word begins", "/search?q=w"),
        ("two letters", "/search?q=w1"),
        ("four letters, with which a hundred words begin", "/search?q=w123"),
        ("a phrase", "/search?q=%22w0x%20w1x%22"),
        ("a Chinese word of one message", "/search?q=%E6%9D%B1%E4%BA%AC"),
        ("a Chinese word of many", "/search?q=%E4%B8%80%E4%B8%81"),
        ("the most common Chinese letter", "/search?q=%E4%B8%80"),
        (
            "six common Chinese letters that never stand so",
            "/search?q=%E4%B8%80%E4%B8%81%E4%B8%80%E4%B8%81%E4%B8%80%E4%B8%81",
        ),
        (
            "a common Chinese word and one that occurs nowhere",
            "/search?q=%E4%B8%80%E4%B8%81%20%E6%9D%B1%E9%83%BD",
        ),
        ("nothing", "/search?q=w0x%20elsewhere"),
    ];
    for (name, path) in searches {
        row(&http, &server.url, &format!("search: {name}"), path, 50).await?;
    }
    row(&http, &server.url, "list: first page of 10,000", "/conversations", 50).await?;
    row(&http, &server.url, "open: a conversation of 2,000 messages", &long, 200).await
}

async fn row(http: &Client, url: &str, name: &str, path: &str, goal: u32) -> Outcome<()> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        text(http, url, path).await?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!("| {name} | {:.1} | {:.1} | {goal} |", times[ROUNDS / 2], times[ROUNDS * 95 / 100]);
    Ok(())
}

async fn text(http: &Client, url: &str, path: &str) -> Outcome<String> {
    let request = http.get(format!("{url}{path}"));
    // A search and the list are asked for by htmx, a conversation is opened as a page.
    let request = if path.starts_with("/c/") { request } else { request.header("HX-Request", "true") };
    Ok(request.send().await?.error_for_status()?.text().await?)
}

async fn start() -> Outcome<Server> {
    let folder = tempfile::tempdir()?;
    for shared in ["templates", "static", "texts"] {
        symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join(shared), folder.path().join(shared))?;
    }
    fs::create_dir(folder.path().join("plugins"))?;
    fs::write(
        folder.path().join("Rocket.toml"),
        "[default.llm]\nbackend = \"echo\"\n[default.chat]\nmax_import_mib = 500\n",
    )?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let child = Command::new(env!("CARGO_BIN_EXE_fireside"))
        .current_dir(folder.path())
        .env("ROCKET_PORT", port.to_string())
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .spawn()?;
    let server = Server { child, _folder: folder, url: format!("http://127.0.0.1:{port}") };
    let began = Instant::now();
    while reqwest::get(format!("{}/readyz", server.url)).await.is_err() {
        if began.elapsed() > PATIENCE {
            return Err("the server did not start".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(server)
}

/// Everything as one file, in the form of an export: words, and letters of a script without spaces. Common ones are far more
/// common than rare ones, as in any language.
async fn import(http: &Client, url: &str) -> Outcome<()> {
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut sentence = move || {
        let word = |_| format!("w{}x", (20_000_f64.powf(next()) - 1.0) as u32);
        let words = (1..WORDS).map(word).collect::<Vec<_>>().join(" ");
        let letter = |_| char::from_u32(0x4e00 + (3_000_f64.powf(next()) - 1.0) as u32).unwrap_or('一');
        format!("w0x {words} {}", (0..WORDS).map(letter).collect::<String>())
    };
    let mut file = String::from("{\"fireside_export\":1,\"conversations\":[");
    for number in 0..CONVERSATIONS {
        let needle = (number == CONVERSATIONS / 2).then_some("needle東京");
        let texts: Vec<String> =
            (0..MESSAGES).map(|_| format!("{} {}", sentence(), needle.unwrap_or("hay"))).collect();
        file += &format!("{},", conversation(&texts, number as i64));
    }
    let texts: Vec<String> = (0..LONG).map(|_| sentence()).collect();
    file += &format!("{}]}}", conversation(&texts, CONVERSATIONS as i64));
    let form = Form::new().part("file", Part::bytes(file.into_bytes()).file_name("collection.json"));
    let request = http.post(format!("{url}/account/import")).header("Sec-Fetch-Site", "same-origin");
    request.multipart(form).send().await?.error_for_status()?;
    Ok(())
}

fn conversation(texts: &[String], number: i64) -> Value {
    let id = |place: usize| format!("00000000-0000-7000-8000-{place:012}");
    let at = 1_700_000_000_000 + number * 3_600_000;
    let messages = texts.iter().enumerate().map(|(place, text)| {
        json!({ "id": id(place), "parent": place.checked_sub(1).map(id), "content": text, "status": "complete",
            "role": if place % 2 == 0 { "user" } else { "assistant" }, "finish_reason": null, "error": null,
            "usage": null, "seed": null, "created_at": at })
    });
    json!({ "title": format!("Collection {number}"), "created_at": at, "updated_at": at,
        "messages": messages.collect::<Vec<_>>() })
}
