//! Why a reply is as it is: what is kept about it, and who may read it.

use reqwest::Method;
use serde_json::json;

use crate::support::{ECHO, Home, Person, Reply, TestApp, real_model, unescape};

/// The page of a reply, as a person reads it: without its tags.
async fn told(person: &Person, reply: &Reply) -> String {
    let path = format!("/c/{}/messages/{}/trace", reply.conversation, reply.id);
    let answer = person.get(&path).await;
    assert_eq!(answer.status(), 200);
    let html = answer.text().await.unwrap();
    let mut text = String::new();
    for piece in html.split('<') {
        text.push_str(piece.split_once('>').map_or(piece, |(_, text)| text));
        text.push(' ');
    }
    unescape(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A text as JSON that shows none of its letters, for the scripted model.
fn hidden(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

async fn everything(app: TestApp) -> String {
    let (_, _, home) = tokio::task::spawn_blocking(move || app.terminate()).await.unwrap();
    String::from_utf8_lossy(&home.everything_written()).into_owned()
}

#[tokio::test]
async fn what_every_hook_changed_is_told() {
    let home = Home::new(&format!(
        "{ECHO}[default.chat]\nsystem_prompt = \"Be kind.\"\n\
         [default.generation_limits]\nmax_tokens = 2000\n[default.generation]\nseed = 7\n"
    ));
    home.write(
        "plugins/all.rhai",
        r#"const PLUGIN = #{ version: "3.1" };
        fn command_sing(ctx, args) { "Sing of " + args }
        fn on_message(ctx, text) { text + ", please" }
        fn on_prompt(ctx, draft) {
            draft.messages[0].content += " Be brief.";
            draft.params.temperature = 0.25;
            draft.params.max_tokens = 5000;
            draft
        }
        fn on_rendered(ctx, segments) { segments.insert(0, #{ origin: "plugin", text: "Preface. " }); segments }
        fn on_chunk(ctx, text) { text.replace("Sing", "Song"); text }
        fn on_response(ctx, text) { text + "!" }"#,
    );
    home.write("plugins/broken.rhai", "fn on_response(ctx, text) {\n  text.nothing()\n}");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let reply = ada.send(&ada.new_conversation().await, "/sing tulips").await;
    // Whoever comes after the end has what on_response added, too.
    assert_eq!(ada.read(&reply).await.trim_end_matches('!'), "Song of tulips, please");

    let told = told(&ada, &reply).await;

    for part in [
        "Song of tulips, please!",
        "all 3.1 command_sing changed",
        "− /sing tulips + Sing of tulips",
        "− Sing of tulips + Sing of tulips, please",
        "system message − Be kind. + Be kind. Be brief.",
        "rendered prompt + Preface.",
        "1 of them changed, the longest took",
        "reply − Sing",
        "− Song of tulips, please + Song of tulips, please!",
        "broken.rhai:2:8: Function not found: nothing",
        "Plugin all Preface.",
        "System prompt · changed by all Be kind. Be brief.",
        "Your message 1 Sing of tulips, please",
        "Chat template",
        "temperature 0.25 plugin all",
        "max_tokens 2000 operator's limit; the plugin all set 5000",
        "top_k 40 the server's configuration",
        "Model echo",
        "Seed 7",
        "Waited in the queue",
        "Tokens written 4",
    ] {
        assert!(told.contains(part) || told.contains(&part.replace("· ", "")), "{part} is not told: {told}");
    }
    assert!(told.find("temperature 0.25") < told.find("top_k 40"), "what differs comes first");
    let bubble = ada.bubble(&reply).await;
    assert!(bubble.contains("Why this answer"));
    assert!(bubble.contains("The plugin all set max_tokens to 5000, above the operator"), "{bubble}");
}

#[tokio::test]
async fn a_plugins_own_answer_is_explained_too() {
    let home = Home::new(ECHO);
    home.write("plugins/ping.rhai", "fn on_message(ctx, text) { if text == \"ping\" { reply(\"pong\") } }");
    home.write("plugins/loud.rhai", "fn on_response(ctx, text) { text.to_upper() }");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    let page = ada.try_send(&conversation, "ping").await.text().await.unwrap();
    let id = page.rsplit_once("/trace").unwrap().0.rsplit_once(['/', ';']).unwrap().1.to_owned();

    let told = told(&ada, &Reply { conversation, id }).await;
    for part in [
        "PONG",
        "The model was not asked.",
        "ping on_message answered in the model's place",
        "loud on_response changed",
        "− pong + PONG",
    ] {
        assert!(told.contains(part), "{part} is not told: {told}");
    }
}

#[tokio::test]
async fn a_reply_that_runs_or_that_a_person_wrote_has_none() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let slow = json!({ "pieces": ["secret"], "delay_ms": 60_000 }).to_string();

    let reply = ada.send(&conversation, &slow).await;

    assert!(told(&ada, &reply).await.contains("The reply is being written."));
    let page = ada.page(&format!("/c/{conversation}")).await;
    let mine = page.split("id=\"message-").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(ada.get(&format!("/c/{conversation}/messages/{mine}/trace")).await.status(), 404);
    let stop = format!("/c/{conversation}/messages/{}/stop", reply.id);
    assert!(ada.htmx(Method::POST, &stop).send().await.unwrap().status().is_success());
    ada.read(&reply).await;
    assert!(told(&ada, &reply).await.contains("What the model read"));
}

#[tokio::test]
async fn what_a_sensitive_plugin_touches_is_in_no_trace_and_in_no_file() {
    let home = Home::new(&format!("{ECHO}[default.chat]\nsystem_prompt = \"Be kind.\"\n"));
    home.write(
        "plugins/hide.rhai",
        r#"const PLUGIN = #{ sensitive: true, priority: 50 };
        fn on_message(ctx, text) { re_replace(text, "grace@example[.]org", "[gone]") }
        fn on_prompt(ctx, draft) { draft.messages[0].content += " The word is spewort."; draft }"#,
    );
    home.write(
        "plugins/z_copy.rhai",
        r#"fn on_message(ctx, text) { text + " Thanks." }
        fn on_prompt(ctx, draft) {
            draft.messages.insert(1, #{ role: "system", content: "Again: " + draft.messages[0].content });
            draft
        }"#,
    );
    home.write(
        "plugins/a_early.rhai",
        "const PLUGIN = #{ priority: 1 }; fn on_message(ctx, text) { text.to_lower() }",
    );
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;

    let reply = ada.send(&ada.new_conversation().await, "Write to GRACE@example.org now.").await;
    assert_eq!(ada.read(&reply).await, "write to [gone] now. Thanks.");

    let told = told(&ada, &reply).await;
    assert!(told.contains("hide on_message changed") && told.contains("The text is not kept."), "{told}");
    assert!(told.contains("characters, which are not kept."), "{told}");
    assert!(told.contains("Your message 1 write to [gone] now. Thanks."), "{told}");
    let written = everything(app).await.to_lowercase();
    assert!(written.contains("write to [gone] now"));
    for secret in ["grace", "spewort"] {
        assert!(!told.to_lowercase().contains(secret), "{secret} is told");
        assert!(!written.contains(secret), "{secret} was written");
    }
}

#[tokio::test]
async fn what_a_holding_plugin_removes_is_in_no_trace_and_in_no_file() {
    let home = Home::new(ECHO);
    home.write(
        "plugins/hold.rhai",
        r#"const PLUGIN = #{ hold: "reply", priority: 1 };
        fn on_prompt(ctx, draft) { draft.prefill = "prefilled grace"; draft }
        fn on_response(ctx, text) {
            if "again" in text && kv_get("conversation", "asked") == () {
                kv_set("conversation", "asked", true);
                return retry("Not like this: " + text);
            }
            text.replace("grace", "[gone]");
            text
        }"#,
    );
    home.write(
        "plugins/z_early.rhai",
        r#"fn on_chunk(ctx, text) { text.to_upper() + "" } fn on_response(ctx, text) { text.to_lower() }"#,
    );
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script = format!("{{ \"pieces\": [\"{}\"] }}", hidden(" hopper, grace again"));

    let reply = ada.send(&conversation, &script).await;
    let text = ada.read(&reply).await;
    let said = ada.bubble(&reply).await;

    assert!(text.contains("[gone]") && !text.contains("grace"), "{text}{said}");
    let told = told(&ada, &reply).await;
    assert!(told.contains("hold on_response asked for another reply"), "{told}");
    assert!(told.contains("Attempts 2") && told.contains("Plugin hold"), "{told}");
    assert!(told.contains("z_early on_chunk changed"), "{told}");
    let written = everything(app).await.to_lowercase();
    for secret in ["grace", "hopper, g"] {
        assert!(!told.to_lowercase().contains(secret), "{secret} is told");
        assert!(!written.contains(secret), "{secret} was written");
    }
}

#[tokio::test]
async fn a_trace_belongs_to_the_owner_and_goes_with_the_conversation() {
    let home = Home::new(&format!("{ECHO}[default.chat]\nsystem_prompt = \"Speak of marigolds.\"\n"));
    let app = TestApp::start_in(home).await;
    let (ada, eve) = (app.person("ada").await, app.person("eve").await);
    let conversation = ada.new_conversation().await;
    let reply = ada.send(&conversation, "hello").await;
    ada.read(&reply).await;
    assert!(told(&ada, &reply).await.contains("Speak of marigolds."));

    let path = format!("/c/{conversation}/messages/{}/trace", reply.id);
    let hers = format!("/c/{}/messages/{}/trace", eve.new_conversation().await, reply.id);
    assert_eq!(eve.get(&path).await.status(), 404);
    assert_eq!(eve.get(&hers).await.status(), 404);
    let deleted = ada.htmx(Method::DELETE, &format!("/c/{conversation}")).send().await.unwrap();

    assert!(deleted.status().is_success());
    assert_eq!(ada.get(&path).await.status(), 404);
}

#[tokio::test]
async fn a_huge_prompt_is_kept_within_a_bound() {
    let home = Home::new(
        "[default.llm]\nbackend = \"echo\"\nn_ctx = 1000000\n[default.chat]\nmax_message_chars = 600000\n",
    );
    home.write("plugins/short.rhai", "fn on_chunk(ctx, text) { stop(\"ok\") }");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;

    let reply = ada.send(&ada.new_conversation().await, &"marigold ".repeat(60_000)).await;
    assert_eq!(ada.read(&reply).await, "ok");

    let told = told(&ada, &reply).await;
    assert!(told.contains("long parts were cut"), "{} bytes", told.len());
    assert!(told.len() < 300_000 && told.len() > 150_000, "{} bytes", told.len());
}

/// The traces of two replies in a row by the real model, under a plugin.
async fn two_replies(script: &str) -> [String; 2] {
    let model = real_model().canonicalize().unwrap();
    let home = Home::new(&format!(
        "[default.llm]\nmodel = {model:?}\nn_ctx = 2048\n[default.generation]\ntemperature = 0.0\nmax_tokens = 12\n\
         [default.chat]\nsystem_prompt = \"You are a friendly gardener who answers in short sentences.\"\n"
    ));
    home.write("plugins/count.rhai", script);
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let mut traces = Vec::new();
    for question in ["When do I plant tulips in the garden?", "And roses?"] {
        let reply = ada.send(&conversation, question).await;
        ada.read(&reply).await;
        traces.push(told(&ada, &reply).await);
    }
    traces.try_into().unwrap()
}

#[tokio::test]
async fn a_plugin_that_spoils_what_was_in_memory_is_named_with_what_it_cost() {
    let early = "fn on_prompt(ctx, draft) { draft.messages[0].content += ` ${draft.messages.len()} messages.`; draft }";
    let late = "fn on_prompt(ctx, draft) { draft.messages[-1].content += ` ${draft.messages.len()} messages.`; draft }";

    let [first, second] = two_replies(early).await;
    let [_, other] = two_replies(late).await;

    let blamed = "The plugin count changed text that stands before earlier messages, so ";
    assert!(!first.contains(blamed), "nothing was earlier: {first}");
    let (_, cost) = second.split_once(blamed).unwrap_or_else(|| panic!("{second}"));
    let tokens: u32 = cost.split(' ').next().unwrap().parse().unwrap();
    // The end of the system prompt, the first message and what answered it.
    assert!((20..60).contains(&tokens), "{tokens}: {second}");
    assert!(!other.contains(blamed), "{other}");
}
