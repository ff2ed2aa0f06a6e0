//! No text of a message keeps the page from answering, nor ends it.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

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

fn display(formula: &str) -> String {
    format!("$${formula}$$")
}

fn nested(open: &str, depth: usize, close: &str) -> String {
    format!("{}x{}", open.repeat(depth), close.repeat(depth))
}

fn formulas() -> Vec<String> {
    let mut texts: Vec<String> = ["sqrt", "overbrace", "hat", "underline", "widetilde", "boxed"]
        .iter()
        .flat_map(|command| {
            [60, 150, 240].map(|depth| display(&nested(&format!("\\{command}{{"), depth, "}")))
        })
        .collect();
    let matrix =
        |rows: usize| display(&format!("\\begin{{matrix}}{}\\end{{matrix}}", "a&b&c&d\\\\".repeat(rows)));
    let names = || ('b'..='i').zip('a'..='h');
    let chain: String = names()
        .map(|(name, before)| format!("\\def\\{name}{{{}}}", format!("\\{before}").repeat(10)))
        .collect();
    texts.extend([
        display(&nested("\\frac{1}{1+", 150, "}")),
        display(&nested("x^{", 300, "}")),
        display(&nested("{", 900, "}")),
        display(&nested("\\left(", 100, "\\right)")),
        display(&nested("\\sqrt{\\overbrace{\\hat{\\underline{", 40, "}}}}")),
        display(&nested("\\underbrace{x", 100, "}_{y}")),
        display(&nested("\\begin{matrix}", 30, "\\end{matrix}")),
        display(&nested("\\colorbox{red}{$", 50, "$}")),
        display(&format!("{}x", "\\sqrt".repeat(300))),
        display(&format!("\\begin{{matrix}}{}{}\\end{{matrix}}", "&".repeat(900), "\\\\".repeat(400))),
        display(&format!("\\def\\a{{{}}}{}", "x".repeat(1_000), "\\a".repeat(190))),
        display(&format!("{chain}\\i")),
        display(&format!("a{}", "\u{301}".repeat(1_900))),
        vec![matrix(100); 100].join("\n\n"),
        vec![display("\\sum_{i=0}^n \\frac{a_i}{\\sqrt{b_i}}"); 700].join("\n\n"),
        "$\\sqrt{x}$ ".repeat(700),
        format!("- ${}$\n", nested("\\sqrt{", 150, "}")),
        format!("| a |\n| - |\n| ${}$ |", nested("\\hat{", 200, "}")),
        format!("```math\n{}\n```", nested("\\sqrt{", 3_000, "}")),
        format!("```math\n{}x\n```", "x+".repeat(40_000)),
    ]);
    texts
}

fn letters() -> Vec<String> {
    let marks = |count: usize| "\u{301}".repeat(count);
    let range = |from: u32, to: u32| (from..to).filter_map(char::from_u32).collect::<String>();
    vec![
        format!("a{}", marks(30_000)),
        format!("a{}", marks(190_000)),
        format!("# a{}", marks(20_000)),
        format!("| a |\n| - |\n| a{} |", marks(20_000)),
        format!("```\na{}\n```", marks(30_000)),
        format!("```rust\n// a{}\n```", marks(20_000)),
        format!("**a{}**", marks(20_000)),
        format!("a{}", marks(300)).repeat(300),
        format!("e{}", range(0x300, 0x320)).repeat(900),
        "👩\u{200d}".repeat(10_000),
        "\u{1100}".repeat(30_000),
        "क\u{94d}".repeat(15_000),
        "\u{202e}abc\u{202c} ".repeat(10_000),
        "\u{2066}".repeat(20_000),
        "aא".repeat(20_000),
        range(0xa1, 0xd7ff),
        range(0x10000, 0x15000),
        "a".repeat(190_000),
        format!("```\n{}\n```", "a".repeat(190_000)),
        format!("{}a", " ".repeat(190_000)),
    ]
}

fn markdown() -> Vec<String> {
    let paragraphs = |text: &str, count: usize| vec![text; count].join("\n\n");
    let stairs: String = (0..200).map(|depth| format!("{}- a\n", "  ".repeat(depth))).collect();
    vec![
        paragraphs(&"*a_".repeat(950), 10),
        paragraphs(&"*a_".repeat(950), 60),
        paragraphs(&"**a *b ".repeat(400), 10),
        "**a".repeat(1_400),
        "*".repeat(79_000),
        "~a~~ ".repeat(10_000),
        "[".repeat(20_000),
        "[](".repeat(10_000),
        "[a](<b".repeat(8_000),
        format!("{}a{}", "[".repeat(5_000), "](b)".repeat(5_000)),
        (0..1_000).map(|at| format!("{}a", "`".repeat(at % 300))).collect(),
        "http://a.b ".repeat(6_000),
        format!("{}@", "a.a".repeat(20_000)),
        "<a ".repeat(20_000),
        "<!--".repeat(10_000),
        format!("> a\n{}", "a\n".repeat(5_000)),
        "> a\na\n".repeat(2_500),
        "> a\n".repeat(20_000),
        format!("{}a\n{}", "> ".repeat(15), "b\n".repeat(2_000)),
        format!("{}a\n\n", "> ".repeat(15)).repeat(500),
        ">".repeat(20_000),
        stairs,
        "- a\n".repeat(20_000),
        "- a\n\n".repeat(10_000),
        format!("- a\n{}", "a\n".repeat(10_000)),
        "- > a\n".repeat(4_000),
        "- ```\n  a\n  ```\n".repeat(2_000),
        "# a\n".repeat(15_000),
        format!("{}===", "a\n".repeat(20_000)),
        (0..4_000).map(|at| format!("[a{at}]: b\n")).chain(["\n".into(), "[a1] ".repeat(4_000)]).collect(),
        format!("|{}\n|{}\n{}", "a|".repeat(1_500), "-|".repeat(1_500), "|\n".repeat(4_000)),
        format!("| a | b |\n| - | - |\n{}", "| a | b |\n".repeat(8_000)),
        "```\na\n```\n".repeat(8_000),
        format!("```\n{}", "a\n".repeat(95_000)),
        format!("```rust\n{}```", "let x = 1;\n".repeat(17_000)),
        format!("```js\n{}\n```", "a({[".repeat(7_000)),
        "a\n".repeat(95_000),
        "a\n".repeat(190_000),
        "\n".repeat(150_000) + "a",
        "a\n\n".repeat(50_000),
        "The embers glow while it waits, and nothing leads on. ".repeat(18_000),
        format!("<think>{}", "a\n".repeat(90_000)),
        format!("<think>\n> a\n{}</think>\n\nx", "a\n".repeat(5_000)),
        "$a".repeat(20_000),
        "\\(".repeat(30_000),
    ]
}

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
