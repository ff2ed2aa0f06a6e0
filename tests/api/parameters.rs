//! What people set for their replies: in one conversation, for all of theirs, and as presets.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::support::program::{Program, content, one};
use crate::support::{ECHO, Home, Person, Reply, TestApp, begun_reply, real_model, unescape};

/// Answers with the parameters that the draft came with.
const TELLS: &str = "const PLUGIN = #{ priority: 1 };\nfn on_prompt(ctx, draft) {\n\
    let told = `t=${draft.params.temperature} k=${draft.params.top_k} stop=${draft.stop.len()} prefill=${draft.prefill}`;\n\
    draft.messages.push(#{ role: \"system\", content: told }); draft }";

async fn fill(person: &Person, path: &str, form: &[(&str, &str)]) -> (u16, String) {
    let answer = person.htmx(Method::POST, path).form(form).send().await.unwrap();
    (answer.status().as_u16(), unescape(&answer.text().await.unwrap()))
}

/// Fills in a form that must be kept.
async fn set(person: &Person, path: &str, form: &[(&str, &str)]) -> String {
    let (status, page) = fill(person, path, form).await;
    assert_eq!(status, 200, "{page}");
    page
}

fn of(conversation: &str) -> String {
    format!("/c/{conversation}/parameters")
}

/// A page as it is read: without its tags.
fn told(html: &str) -> String {
    let mut text = String::new();
    for piece in html.split('<') {
        text.push_str(piece.split_once('>').map_or(piece, |(_, text)| text));
        text.push(' ');
    }
    unescape(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The part of a form that is about one parameter.
fn field<'a>(page: &'a str, key: &str) -> &'a str {
    let from = page.find(&format!("for=\"set-{key}\"")).unwrap_or_else(|| panic!("{key}: {page}"));
    let rest = &page[from..];
    rest.find("<div class=\"setting").map_or(rest, |end| &rest[..end])
}

async fn trace(person: &Person, reply: &Reply) -> String {
    told(&person.page(&format!("/c/{}/messages/{}/trace", reply.conversation, reply.id)).await)
}

#[tokio::test]
async fn a_conversation_stands_over_the_person_and_the_person_over_the_operator() {
    let home = Home::new(&format!("{ECHO}[default.generation]\ntop_p = 0.9\ntop_k = 30\n"));
    home.write("plugins/tells.rhai", TELLS);
    home.write("plugins/z_tune.rhai", "fn on_prompt(ctx, draft) { draft.params.min_p = 0.25; draft.messages[0].content += \" Briefly.\"; draft }");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let here = ada.new_conversation().await;

    set(&ada, "/account/parameters", &[("value[top_k]", "7"), ("value[temperature]", "0.3")]).await;
    set(&ada, &of(&here), &[("value[temperature]", "0.2"), ("value[stop]", "END\r\nA\\nB\r\n")]).await;
    let reply = ada.send(&here, "hi").await;
    assert_eq!(ada.read(&reply).await, "t=0.2 k=7 stop=2 prefill=");
    let there = {
        let other = ada.new_conversation().await;
        ada.ask(&other, "hi").await
    };
    let bob = app.person("bob").await;
    let of_bob = bob.ask(&bob.new_conversation().await, "hi").await;
    let by_program = Program::new(&app, "ada").ask(one("hi")).await;

    assert_eq!(there, "t=0.3 k=7 stop=0 prefill=");
    assert_eq!(of_bob, "t=0.8 k=30 stop=0 prefill=");
    assert_eq!(content(&by_program), "t=0.8 k=30 stop=0 prefill=", "a program says what it wants");
    let trace = trace(&ada, &reply).await;
    for part in [
        "temperature 0.2 this conversation",
        "top_k 7 your defaults",
        "top_p 0.9 the server's configuration",
        "min_p 0.25 plugin z_tune",
        "stop [\"END\",\"A\\nB\"] this conversation",
    ] {
        assert!(trace.contains(part), "{part}: {trace}");
    }
    let page = ada.page(&of(&here)).await;
    let says = |key: &str, what: &str| {
        let field = told(field(&unescape(&page), key));
        assert!(field.contains(what), "{key}, {what}: {field}");
    };
    says("temperature", "From this conversation.");
    says("temperature", "Back to 0.3, your defaults");
    says("top_k", "From your defaults.");
    says("top_p", "From the server's configuration.");
    says("min_p", "For the newest reply the plugin z_tune set 0.25.");
    says("system_prompt", "For the newest reply it was changed by the plugin z_tune.");
    assert!(field(&page, "top_k").contains("placeholder=\"7\""), "{page}");
    let link = ada.page(&format!("/c/{here}")).await;
    assert!(unescape(&link).contains(&format!("href=\"{}\"", of(&here))));
}

#[tokio::test]
async fn of_a_wrong_form_nothing_is_kept_and_each_field_says_what_is_allowed() {
    let app = TestApp::start(&format!("{ECHO}[default.chat]\nmax_message_chars = 200\n")).await;
    let ada = app.person("ada").await;
    let path = of(&ada.new_conversation().await);
    let long = "x".repeat(201);
    let form = [
        ("value[temperature]", "9"),
        ("value[top_k]", "many"),
        ("value[max_tokens]", "-1"),
        ("value[logit_bias]", "word"),
        ("value[json_schema]", "{"),
        ("value[system_prompt]", &long),
        ("value[stop]", "fine"),
        ("value[unknown]", "fine"),
        ("preset", "kept?"),
    ];

    for path in [path.as_str(), "/account/parameters"] {
        let (status, page) = fill(&ada, path, &form).await;
        assert_eq!(status, 422);
        for (key, why) in [
            ("temperature", "temperature must be from 0 to 5, not 9."),
            ("top_k", "top_k must be a whole number, from 0 to 1000000."),
            ("max_tokens", "max_tokens must be a whole number, from 1 to 1000000."),
            ("logit_bias", "Each line is a token id, =, and a number"),
            ("json_schema", "This is no JSON object"),
            ("system_prompt", "at most 200 characters; it has 201"),
        ] {
            assert!(field(&page, key).contains(why), "{key}: {page}");
        }
        assert!(field(&page, "temperature").contains("value=\"9\""), "what was typed stays");
        assert!(page.contains("<details class=\"group\" open>") && page.contains("Nothing is saved yet"));
        let again = told(&ada.page(path).await);
        assert!(
            !again.contains("From this conversation.") && !again.contains("From your defaults."),
            "{again}"
        );
    }
    let whole = ada.post(&path, &form).await;
    assert_eq!(whole.status(), 422, "without htmx it is the whole page");
    assert!(whole.text().await.unwrap().contains("<html"));
    assert!(!ada.page("/account/parameters").await.contains("kept?"));
    // The scripted model follows no schema, and says so before anything is kept.
    let (status, page) = fill(&ada, &path, &[("value[json_schema]", "{\"type\": \"object\"}")]).await;
    assert!(status == 422 && page.contains("not for the scripted model"), "{page}");
}

#[tokio::test]
async fn one_is_taken_back_and_one_is_set_to_nothing() {
    let home = Home::new(&format!("{ECHO}[default.generation]\nstop = [\"STOP\"]\n"));
    home.write("plugins/tells.rhai", TELLS);
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let here = ada.new_conversation().await;
    let path = of(&here);
    set(&ada, &path, &[("value[temperature]", "0.2"), ("value[top_k]", "3")]).await;

    let reset = set(&ada, &path, &[("value[top_k]", "5"), ("reset", "temperature")]).await;
    let after_reset = ada.ask(&here, "hi").await;
    set(&ada, &path, &[("value[top_k]", " "), ("value[stop]", ""), ("nothing[stop]", "true")]).await;
    let emptied = ada.ask(&here, "hi").await;
    let page = unescape(&ada.page(&path).await);
    let both = fill(&ada, &path, &[("value[stop]", "x"), ("nothing[stop]", "true")]).await;

    assert!(field(&reset, "temperature").contains("From the server's configuration."), "{reset}");
    assert!(field(&reset, "top_k").contains("value=\"5\""), "what else was typed stays: {reset}");
    assert_eq!(after_reset, "t=0.8 k=3 stop=1 prefill=");
    assert_eq!(emptied, "t=0.8 k=40 stop=0 prefill=");
    assert!(
        field(&page, "stop").contains("checked") && field(&page, "stop").contains("From this conversation.")
    );
    assert_eq!(both.0, 422);
    assert!(both.1.contains("Empty the field, or take the tick out below it."));
}

#[tokio::test]
async fn the_operators_limits_hold_and_say_so() {
    let limits = "[default.generation]\nmax_tokens = 50\n[default.generation_limits]\nmax_tokens = 100\n";
    let app = TestApp::start(&format!("{ECHO}{limits}")).await;
    let ada = app.person("ada").await;
    let here = ada.new_conversation().await;

    let page = set(&ada, &of(&here), &[("value[max_tokens]", "5000")]).await;
    let reply = ada.send(&here, "hi").await;
    ada.read(&reply).await;

    assert!(field(&page, "max_tokens").contains("above the operator's limit: 100 is used"), "{page}");
    let trace = trace(&ada, &reply).await;
    assert!(trace.contains("max_tokens 100 operator's limit; 5000 was asked for"), "{trace}");
    assert!(unescape(&ada.bubble(&reply).await).contains("max_tokens was 5000, above the operator's limit"));
}

#[tokio::test]
async fn a_system_prompt_and_a_beginning_are_the_persons_own() {
    let app = TestApp::start(&format!("{ECHO}[default.chat]\nsystem_prompt = \"Be kind.\"\n")).await;
    let ada = app.person("ada").await;
    let here = ada.new_conversation().await;
    set(&ada, &of(&here), &[("value[system_prompt]", "Be a <pirate>."), ("value[prefill]", "Arr, ")]).await;

    let reply = ada.send(&here, "hello").await;
    assert_eq!(ada.read(&reply).await, "Arr, hello");
    let again = format!("/c/{here}/messages/{}/regenerate", reply.id);
    let answer = ada.htmx(Method::POST, &again).send().await.unwrap().text().await.unwrap();
    let anew = Reply { conversation: here.clone(), id: begun_reply(&answer).unwrap() };
    assert_eq!(ada.read(&anew).await, "Arr, hello");
    let on = format!("/c/{here}/messages/{}/continue", anew.id);
    assert!(ada.htmx(Method::POST, &on).send().await.unwrap().status().is_success());
    let continued = ada.read(&anew).await;

    assert!(continued.matches("Arr").count() == 1, "what is continued has begun already: {continued}");
    let trace = trace(&ada, &reply).await;
    for part in [
        "System prompt Be a <pirate>.",
        "system_prompt 14 characters this conversation",
        "prefill Arr, this conversation",
    ] {
        assert!(trace.contains(part), "{part}: {trace}");
    }
    set(&ada, &of(&here), &[("value[system_prompt]", ""), ("nothing[system_prompt]", "true")]).await;
    let without = ada.send(&here, "again").await;
    ada.read(&without).await;
    let path = format!("/c/{here}/messages/{}/trace", without.id);
    let without = told(&ada.page(&path).await);
    assert!(without.contains("system_prompt 0 characters this conversation"), "{without}");
    assert!(!without.contains("pirate") && !without.contains("Be kind."), "{without}");
}

#[tokio::test]
async fn presets_are_kept_applied_renamed_and_deleted() {
    let home = Home::new(ECHO);
    home.write("plugins/tells.rhai", TELLS);
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let (first, second) = (ada.new_conversation().await, {
        let first = ada.new_conversation().await;
        ada.ask(&first, "so that it is not blank").await;
        ada.new_conversation().await
    });
    set(&ada, &of(&first), &[("value[temperature]", "0"), ("preset", " Cold &\n dry ")]).await;
    let taken = fill(&ada, &of(&first), &[("value[temperature]", "1"), ("preset", "Cold & dry")]).await;
    let page = ada.page(&of(&second)).await;
    let id = page.split("/presets/").nth(1).unwrap_or_else(|| panic!("{page}"))[..32].to_owned();

    set(&ada, &of(&second), &[("value[top_k]", "9")]).await;
    let applied = set(&ada, &format!("/c/{second}/presets/{id}"), &[]).await;
    let reply = ada.ask(&second, "hi").await;
    let put = |name: &'static str| {
        let path = format!("/account/presets/{id}");
        ada.htmx(Method::PUT, &path).form(&[("name", name)]).send()
    };
    let (empty, renamed) = (put(" ").await.unwrap(), put("Ice").await.unwrap());
    set(&ada, &of(&first), &[("preset", "Other")]).await;
    let taken_again = put("Other").await.unwrap();

    assert!(taken.0 == 422 && taken.1.contains("You have a preset “Cold & dry” already."), "{}", taken.1);
    assert!(field(&applied, "temperature").contains("value=\"0\""), "{applied}");
    assert_eq!(reply, "t=0.0 k=40 stop=0 prefill=", "it replaces what was set");
    assert_eq!(empty.status(), 422);
    assert!(empty.text().await.unwrap().contains("Give the preset a name"));
    assert_eq!(renamed.status(), 200);
    assert!(renamed.text().await.unwrap().contains("value=\"Ice\""));
    assert_eq!(taken_again.status(), 422);
    assert!(unescape(&taken_again.text().await.unwrap()).contains("You have a preset “Other” already."));
    // As a browser without JavaScript does it.
    let deleted = ada.post(&format!("/account/presets/{id}"), &[("_method", "DELETE")]).await;
    assert_eq!(deleted.headers()["location"], "/account/parameters#presets");
    assert!(!ada.page("/account/parameters").await.contains("Ice"));
    assert_eq!(ada.ask(&second, "hi").await, "t=0.0 k=40 stop=0 prefill=", "applied values stay");
}

#[tokio::test]
async fn a_fork_an_export_and_an_import_have_them_too() {
    let home = Home::new(ECHO);
    home.write("plugins/tells.rhai", TELLS);
    let app = TestApp::start_in(home).await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let here = ada.new_conversation().await;
    set(&ada, "/account/parameters", &[("value[top_k]", "7")]).await;
    set(&ada, &of(&here), &[("value[temperature]", "0.5"), ("preset", "mild")]).await;
    let reply = ada.send(&here, "hi").await;
    ada.read(&reply).await;

    let fork = format!("/c/{here}/messages/{}/fork", reply.id);
    let forked = ada.post(&fork, &[]).await;
    let forked = forked.headers()["location"].to_str().unwrap().trim_start_matches("/c/").to_owned();
    assert_eq!(ada.ask(&forked, "hi").await, "t=0.5 k=7 stop=0 prefill=");
    let file = ada.get("/account/export").await.text().await.unwrap();
    let export: Value = serde_json::from_str(&file).unwrap();
    assert_eq!(export["parameters"], json!({ "top_k": 7 }));
    assert_eq!(export["presets"], json!([{ "name": "mild", "parameters": { "temperature": 0.5 } }]));
    let own: Vec<_> =
        export["conversations"].as_array().unwrap().iter().map(|it| &it["parameters"]).collect();
    assert_eq!(own, [&json!({ "temperature": 0.5 }), &json!({ "temperature": 0.5 })]);

    // What no server would have kept is left out.
    let file = file.replace("{\"temperature\":0.5}", "{\"temperature\":0.5,\"top_p\":7,\"new\":[1]}");
    let form = Form::new().part("file", Part::bytes(file.into_bytes()).file_name("x.json"));
    let imported = bob.htmx(Method::POST, "/account/import").multipart(form).send().await.unwrap();
    assert_eq!(imported.status(), 200);
    let came = bob.get("/account/export").await.text().await.unwrap();
    let came: Value = serde_json::from_str(&came).unwrap();
    let came: Vec<_> = came["conversations"].as_array().unwrap().iter().map(|it| &it["parameters"]).collect();
    assert_eq!(came, own);
}

#[tokio::test]
async fn the_real_model_follows_a_schema_and_a_seed() {
    let model = real_model().canonicalize().unwrap();
    let app = TestApp::start(&format!(
        "[default.llm]\nmodel = {model:?}\nn_ctx = 1024\n[default.generation]\nmax_tokens = 40\n"
    ))
    .await;
    app.wait_until_ready().await;
    let ada = app.person("ada").await;
    let here = ada.new_conversation().await;
    let schema = r#"{"type": "object", "properties": {"warm": {"type": "boolean"}}, "required": ["warm"], "additionalProperties": false}"#;

    let (status, page) = fill(&ada, &of(&here), &[("value[json_schema]", "{\"type\": \"nonsense\"}")]).await;
    set(&ada, &of(&here), &[("value[json_schema]", schema), ("value[seed]", "7")]).await;
    let reply = ada.send(&here, "Is a fire warm?").await;
    let text = ada.read(&reply).await;

    assert!(status == 422 && page.contains("is no JSON schema that can be followed"), "{page}");
    assert!(serde_json::from_str::<Value>(&text).unwrap()["warm"].is_boolean(), "{text}");
    let trace = trace(&ada, &reply).await;
    assert!(trace.contains("Seed 7") && trace.contains("seed 7 this conversation"), "{trace}");
}
