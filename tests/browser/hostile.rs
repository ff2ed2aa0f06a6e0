//! No text of a message keeps the page from answering, nor ends it.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::hostile_texts::{display, formulas, letters, markdown, nested};
use super::support::Person;
use super::{LAST, Seat, script};

/// Room for long texts.
const ROOMY: &str = "[default.llm]\nbackend = \"echo\"\nn_ctx = 65536\n[default.generation]\nmax_tokens = 60000\n[default.chat]\nmax_message_chars = 1000000\n\
    [default.limits]\nfile = \"200MiB\"\n\"data-form\" = \"200MiB\"\nform = \"20MiB\"\n";

/// Notes every stretch, also before this, in which the page's own work kept it from answering.
const WATCH: &str = "window.blocked = []; new PerformanceObserver(list => window.blocked.push(\
    ...list.getEntries().map(entry => Math.round(entry.duration)))).observe({ type: 'longtask', buffered: true })";

/// Whether everything is shown, and nothing waits for its turn.
const SETTLED: &str = "!document.querySelector('.body:not(.painted)') && !later.length";

/// Brings every message into sight, one in each second frame.
const LOOK_AT_ALL: &str = "new Promise(done => { const all = [...document.querySelectorAll('.message')]; following = false; \
    (function next() { const message = all.shift(); if (!message) return done(true); message.scrollIntoView(); \
    requestAnimationFrame(() => requestAnimationFrame(next)); })(); })";

/// In milliseconds.
const LONGEST_TASK: u32 = 200;

/// Most texts of a conversation, and most bytes of them: a page shows no more than twice as many at a time.
const TOGETHER: usize = 8;
const BYTES_TOGETHER: usize = 1_000_000;

/// Texts by the conversations that they are put into.
fn groups(texts: &[String]) -> Vec<Vec<&str>> {
    let mut groups: Vec<Vec<&str>> = Vec::new();
    for text in texts {
        let fits = |group: &&mut Vec<&str>| {
            group.len() < TOGETHER
                && group.iter().map(|text| text.len()).sum::<usize>() + text.len() <= BYTES_TOGETHER
        };
        match groups.last_mut().filter(fits) {
            Some(group) => group.push(text),
            None => groups.push(vec![text]),
        }
    }
    groups
}

/// Puts each text into a conversation as a message and as the reply to it; returns the conversations.
async fn import(seat: &Seat, groups: &[Vec<&str>]) -> Vec<String> {
    let ada = Person::new(&seat.app.url, "ada");
    ada.sign_in().await;
    let mut file: Value = ada.get("/account/export").await.json().await.unwrap();
    let id = || uuid::Uuid::new_v4().to_string();
    let conversation = |(number, texts): (usize, &Vec<&str>)| {
        let mut messages = Vec::<Value>::new();
        for (text, role) in texts.iter().flat_map(|text| [(text, "user"), (text, "assistant")]) {
            let parent = messages.last().map(|message| message["id"].clone());
            messages.push(
                json!({ "id": id(), "parent": parent, "role": role, "content": text, "status": "complete",
                "finish_reason": null, "error": null, "usage": null, "seed": null, "created_at": 0 }),
            );
        }
        let head = messages.last().unwrap()["id"].clone();
        json!({ "id": id(), "title": number.to_string(), "created_at": 0, "updated_at": 0, "head": head, "messages": messages })
    };
    file["conversations"] = groups.iter().enumerate().map(conversation).collect();
    let part = Part::bytes(file.to_string().into_bytes()).file_name("fireside-ada.json");
    let answer = ada
        .htmx(Method::POST, "/account/import")
        .multipart(Form::new().part("file", part))
        .send()
        .await
        .unwrap();
    let (status, body) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{body}");
    let export: Value = ada.get("/account/export").await.json().await.unwrap();
    let all = export["conversations"].as_array().unwrap();
    let titled = |number: usize| {
        let title = number.to_string();
        all.iter().find(|it| it["title"] == title.as_str()).unwrap()
    };
    (0..groups.len()).map(|number| titled(number)["id"].as_str().unwrap().to_owned()).collect()
}

/// Opens a conversation, writes into the box at once, looks at each message and reloads; returns how long tasks were.
async fn walk(seat: &Seat, url: &str) -> Vec<u32> {
    let window = &seat.window;
    let mut blocked = Vec::new();
    for reloaded in [false, true] {
        if reloaded {
            window.reload().await;
        } else {
            window.goto(url).await;
        }
        window.run(WATCH).await;
        window.click("#message").await;
        window.keys("x").await;
        assert!(window.eval::<bool>("document.querySelector('#message').value.endsWith('x')").await);
        window.until(SETTLED).await;
        if reloaded {
            window.promised::<bool>(LOOK_AT_ALL).await;
            window.until(SETTLED).await;
        }
        blocked.extend(window.eval::<Vec<u32>>("window.blocked").await);
    }
    blocked
}

/// No task is long, where others leave the machine to it: what is long by itself is so each time.
async fn survives(texts: &[String]) {
    let seat = Seat::take(ROOMY).await;
    let window = &seat.window;
    let mut slow = Vec::new();
    let groups = groups(texts);
    for (conversation, texts) in import(&seat, &groups).await.iter().zip(&groups) {
        let url = format!("{}/c/{conversation}", seat.app.url);
        let mut blocked = walk(&seat, &url).await;
        for _ in 0..3 {
            if blocked.iter().any(|&milliseconds| milliseconds > LONGEST_TASK) {
                blocked = walk(&seat, &url).await;
            }
        }
        if blocked.iter().any(|&milliseconds| milliseconds > LONGEST_TASK) {
            let begins: Vec<String> = texts.iter().map(|text| text.chars().take(20).collect()).collect();
            slow.push(format!("{blocked:?} ms: {begins:?}"));
        }
        let lengths = "[...document.querySelectorAll('.source')].map(it => it.textContent.length)";
        let expected = texts.iter().flat_map(|text| [text.encode_utf16().count(); 2]).collect::<Vec<_>>();
        assert_eq!(window.eval::<Vec<usize>>(lengths).await, expected, "a text is there to its last letter");
    }
    assert!(slow.is_empty(), "{slow:#?}");
    seat.leave().await;
}

#[tokio::test]
async fn hostile_formulas_neither_end_nor_stop_the_page() {
    survives(&formulas()).await;
}

#[tokio::test]
async fn hostile_letters_do_not_stop_the_page() {
    survives(&letters()).await;
}

#[tokio::test]
async fn hostile_markdown_does_not_stop_the_page() {
    survives(&markdown()).await;
}

#[tokio::test]
async fn a_hostile_text_does_not_stop_the_page_while_it_streams() {
    let seat = Seat::take(ROOMY).await;
    let window = &seat.window;
    let texts = [
        display(&nested("\\sqrt{", 200, "}")),
        format!("a{}", "\u{301}".repeat(30_000)),
        vec!["*a_".repeat(950); 10].join("\n\n"),
        format!("> a\n{}", "a\n".repeat(5_000)),
        "- a\n".repeat(20_000),
        format!("```\n{}", "a\n".repeat(50_000)),
        "a\n".repeat(95_000),
        ">".repeat(20_000),
        "$\\sqrt{x}$ ".repeat(700),
    ];
    window.run(WATCH).await;
    let mut messages = 0;
    for text in &texts {
        let letters: Vec<char> = text.chars().collect();
        let piece = letters.len() / 60 + 1;
        let pieces: Vec<String> = letters.chunks(piece).map(|letters| letters.iter().collect()).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        // The box that it is typed into is no part of this.
        let script = script(&pieces, 1, 20).replace('\u{301}', "\\u0301");
        let mut blocked = Vec::<u32>::new();
        for _ in 0..3 {
            window.run("window.blocked = []").await;
            seat.send(&script).await;
            messages += 2;
            seat.until_over(messages).await;
            window.until(SETTLED).await;
            assert_eq!(seat.last_text().await, *text);
            blocked = window.eval("window.blocked").await;
            if blocked.iter().all(|&milliseconds| milliseconds <= LONGEST_TASK) {
                break;
            }
        }
        assert!(
            blocked.iter().all(|&milliseconds| milliseconds <= LONGEST_TASK),
            "{blocked:?} ms: {}",
            text.chars().take(20).collect::<String>()
        );
    }
    seat.leave().await;
}

#[tokio::test]
async fn a_hostile_text_does_not_stop_the_page_that_explains_a_reply() {
    let seat = Seat::take(ROOMY).await;
    let window = &seat.window;
    let ada = Person::new(&seat.app.url, "ada");
    ada.sign_in().await;
    let conversation = ada.new_conversation().await;
    for text in [format!("a{}", "\u{301}".repeat(30_000)), "a\n".repeat(60_000), "a".repeat(100_000)] {
        let reply = ada.send(&conversation, &format!("{text}b")).await;
        ada.read(&reply).await;
        window.goto(&format!("{}/c/{conversation}/messages/{}/trace", seat.app.url, reply.id)).await;
        window.run(WATCH).await;
        window.run("document.querySelector('.parts').scrollIntoView()").await;
        window
            .until(
                "[...document.querySelectorAll('.parts .source')].some(it => it.textContent.length > 1000)",
            )
            .await;
        let blocked: Vec<u32> = window.eval("window.blocked").await;
        assert!(blocked.iter().all(|&milliseconds| milliseconds <= LONGEST_TASK), "{blocked:?} ms");
    }
    seat.leave().await;
}

#[tokio::test]
async fn what_is_too_much_is_shown_as_it_was_written_beside_what_is_not() {
    let seat = Seat::take(ROOMY).await;
    let quotes = format!("> a\n{}", "a\n".repeat(5_000));
    let deep = nested("\\sqrt{", 150, "}");
    let text = format!("**before** ${deep}$ behind\n\n{quotes}\n*last* $x$");
    let [conversation] = import(&seat, &[vec![text.as_str()]]).await.try_into().unwrap();
    seat.window.goto(&format!("{}/c/{conversation}", seat.app.url)).await;
    seat.window.until(&format!("{LAST}?.matches('.assistant')")).await;
    for truth in [
        "r.querySelector('strong').textContent === 'before'",
        "r.querySelector('em').textContent === 'last'",
        "r.querySelectorAll('.katex').length === 1",
        &format!("r.querySelector('p code').textContent === {}", json!(deep)),
        &format!("r.querySelector('.plain').textContent.trim() === {}", json!(quotes.trim())),
        "r.closest('.body').querySelector('.source').hidden",
    ] {
        seat.window.until(&format!("(r => {truth})({LAST}.querySelector('.rendered'))")).await;
    }
    seat.leave().await;
}

#[tokio::test]
async fn what_people_write_is_within_the_bounds() {
    let seat = Seat::take(ROOMY).await;
    let matrix =
        format!("\\begin{{pmatrix}}{}\\end{{pmatrix}}", format!("{}x\\\\", "x&".repeat(19)).repeat(20));
    let list: String = (1..=300).map(|at| format!("{at}. item *{at}*\n")).collect();
    let nest: String = (0..6).map(|depth| format!("{}- level {depth}\n", "  ".repeat(depth))).collect();
    let rows = "| a | **b** | `c` | $d$ |\n".repeat(100);
    let code = "let value = total + 1; // a comment\n".repeat(100);
    let text = format!(
        "${}$ and e{} here\n\n{}\n\n{list}\n\nthen\n\n{nest}\n\n> > > quoted\n\n| a | b | c | d |\n| - | - | - | - |\n{rows}\n```rust\n{code}```",
        nested("\\sqrt{", 8, "}"),
        "\u{301}\u{302}",
        display(&matrix)
    );
    seat.send(&json!({ "pieces": [text] }).to_string()).await;
    seat.until_over(2).await;
    for truth in [
        "r.querySelectorAll('.katex .sqrt').length === 8",
        "r.querySelectorAll('.formula .mtable').length === 1",
        "r.querySelectorAll('ol > li > em').length === 300",
        "[...r.querySelectorAll('ol')].reduce((next, ol) => next === ol.start ? next + ol.children.length : NaN, 1) === 301",
        "r.querySelector('li li li li li li').textContent.trim() === 'level 5'",
        "r.querySelector('blockquote blockquote blockquote').textContent.trim() === 'quoted'",
        "r.querySelectorAll('tbody tr td .katex').length === 100",
        "r.querySelectorAll('.hljs-comment').length === 100",
        "!r.querySelector('.plain, wbr, code.language-math')",
    ] {
        seat.window.until(&format!("(r => {truth})({LAST}.querySelector('.rendered'))")).await;
    }
    seat.leave().await;
}
