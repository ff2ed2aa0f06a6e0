//! Messages as a tree: versions, branches, copies, deletions.

use reqwest::Method;
use serde_json::json;

use crate::support::{ECHO, Home, Person, Reply, TestApp, real_model, unescape};

/// What the page of a conversation shows, message by message.
async fn shown(person: &Person, conversation: &str) -> Vec<String> {
    let page = person.page(&format!("/c/{conversation}")).await;
    let sources = page.split("<div class=\"source\">").skip(1);
    sources.map(|source| unescape(source.split("</div>").next().unwrap())).collect()
}

/// The ids of the messages that the page shows.
async fn ids(person: &Person, conversation: &str) -> Vec<String> {
    let page = person.page(&format!("/c/{conversation}")).await;
    let articles = page.split("id=\"message-").skip(1);
    articles.map(|article| article.split('"').next().unwrap().to_owned()).collect()
}

/// Does something to a message as the page does; the answer shows the messages as they are then.
async fn act(person: &Person, method: Method, path: &str, form: &[(&str, &str)]) -> String {
    let answer = person.htmx(method.clone(), path).form(form).send().await.unwrap();
    let (status, body) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{method} {path}: {status} {body}");
    unescape(&body)
}

/// Waits for the reply that an answer announces.
async fn read(person: &Person, conversation: &str, answer: &str) -> (String, String) {
    let id = crate::support::begun_reply(answer).expect("a reply in the answer");
    let reply = Reply { conversation: conversation.into(), id };
    (person.read(&reply).await, reply.id)
}

#[tokio::test]
async fn an_earlier_reply_written_anew_begins_a_branch_and_the_old_one_can_be_shown_again() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let first = ada.send(&conversation, "first").await;
    ada.read(&first).await;
    ada.ask(&conversation, "second").await;
    let messages = format!("/c/{conversation}/messages");

    let answer = act(&ada, Method::POST, &format!("{messages}/{}/regenerate", first.id), &[]).await;
    let (text, _) = read(&ada, &conversation, &answer).await;

    assert_eq!(text, "first");
    assert_eq!(shown(&ada, &conversation).await, ["first", "first"]);
    let page = unescape(&ada.page(&format!("/c/{conversation}")).await);
    assert!(page.contains("2/2") && page.contains(&format!("{}/show", first.id)), "{page}");
    let back = act(&ada, Method::POST, &format!("{messages}/{}/show", first.id), &[]).await;
    assert!(back.contains("1/2"), "{back}");
    assert_eq!(shown(&ada, &conversation).await, ["first", "first", "second", "second"]);
}

#[tokio::test]
async fn an_edited_message_is_answered_in_a_branch_of_its_own() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    ada.ask(&conversation, "first").await;
    ada.ask(&conversation, "second").await;
    let second = ids(&ada, &conversation).await[2].clone();
    let path = format!("/c/{conversation}/messages/{second}");

    let form = ada.page(&format!("{path}/edit")).await;
    let answer = act(&ada, Method::PUT, &path, &[("message", "zweite")]).await;
    let (text, _) = read(&ada, &conversation, &answer).await;

    assert!(form.contains(">\nsecond</textarea>"), "{form}");
    assert_eq!(text, "zweite");
    assert_eq!(shown(&ada, &conversation).await, ["first", "first", "zweite", "zweite"]);
    let empty = ada.htmx(Method::PUT, &path).form(&[("message", " ")]).send().await.unwrap();
    assert_eq!(empty.status(), 422);
    assert_eq!(shown(&ada, &conversation).await.len(), 4, "nothing was written");
}

#[tokio::test]
async fn an_edited_answer_is_kept_word_for_word_and_written_on_from_there() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let reply = ada.send(&conversation, "two three").await;
    ada.read(&reply).await;
    let path = format!("/c/{conversation}/messages/{}", reply.id);

    let edited = act(&ada, Method::PUT, &path, &[("message", "One,\r\n\r\n  ")]).await;
    assert!(edited.contains("You edited this answer."), "{edited}");
    assert_eq!(shown(&ada, &conversation).await, ["two three", "One,\n\n  "]);
    let revised = ids(&ada, &conversation).await[1].clone();
    let path = format!("/c/{conversation}/messages/{revised}/continue");
    let answer = act(&ada, Method::POST, &path, &[]).await;
    let (text, id) = read(&ada, &conversation, &answer).await;

    assert_eq!((text.as_str(), id), ("One,\n\n  two three", revised));
    assert_eq!(shown(&ada, &conversation).await, ["two three", "One,\n\n  two three"]);
}

#[tokio::test]
async fn an_edited_answer_is_checked_like_the_models() {
    let home = Home::new(ECHO);
    home.write(
        "plugins/hide.rhai",
        "const PLUGIN = #{ hold: 8 };\nfn on_chunk(ctx, text) { text.replace(\"47q11\", \"(removed)\"); text }",
    );
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let reply = ada.send(&conversation, "11 is the end").await;
    ada.read(&reply).await;
    let path = format!("/c/{conversation}/messages/{}", reply.id);

    act(&ada, Method::PUT, &path, &[("message", "It is 47q11.")]).await;
    assert_eq!(shown(&ada, &conversation).await[1], "It is (removed).");
    // Half of it was there, the model adds the rest.
    let answer = act(&ada, Method::PUT, &path, &[("message", "It is 47q"), ("continue", "true")]).await;
    let (text, _) = read(&ada, &conversation, &answer).await;
    assert_eq!(text, "It is (removed) is the end");

    let (_, _, home) = tokio::task::spawn_blocking(move || app.terminate()).await.unwrap();
    // No id and no time has a q in it.
    assert!(!String::from_utf8_lossy(&home.everything_written()).contains("47q11"));
}

#[tokio::test]
async fn a_reply_that_is_written_on_never_becomes_shorter() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script = json!({ "pieces": ["word "], "repeat": 10_000, "delay_ms": 5 }).to_string();
    let reply = ada.send(&conversation, &script).await;
    let messages = format!("/c/{conversation}/messages");
    let stop = async || {
        let mut events = ada.follow(&reply, 0).await;
        events.first_text().await;
        act(&ada, Method::POST, &format!("{messages}/{}/stop", reply.id), &[]).await;
        events.rest().await;
        shown(&ada, &conversation).await[1].clone()
    };
    let first = stop().await;

    let answer = act(&ada, Method::POST, &format!("{messages}/{}/continue", reply.id), &[]).await;
    assert_eq!(crate::support::reply_id(&answer).as_deref(), Some(reply.id.as_str()));
    let second = stop().await;

    assert!(second.starts_with(&first), "{first:?} {second:?}");
    let earlier = ids(&ada, &conversation).await[0].clone();
    let of_a_message =
        ada.htmx(Method::POST, &format!("{messages}/{earlier}/continue")).send().await.unwrap();
    assert_eq!(of_a_message.status(), 404);
}

#[tokio::test]
async fn what_was_deleted_is_gone_from_the_page_and_comes_back() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    for text in ["first", "second", "third"] {
        ada.ask(&conversation, text).await;
    }
    let second = ids(&ada, &conversation).await[2].clone();
    let path = format!("/c/{conversation}/messages/{second}");

    let answer = act(&ada, Method::DELETE, &path, &[]).await;

    assert!(answer.contains("Undo") && answer.contains(&format!("{second}/restore")), "{answer}");
    assert_eq!(shown(&ada, &conversation).await, ["first", "first"]);
    assert_eq!(ada.get(&path).await.status(), 404);
    act(&ada, Method::POST, &format!("{path}/restore"), &[]).await;
    assert_eq!(shown(&ada, &conversation).await, ["first", "first", "second", "second", "third", "third"]);
}

#[tokio::test]
async fn a_branch_becomes_a_conversation_of_its_own() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let first = ada.send(&conversation, "first").await;
    ada.read(&first).await;
    ada.ask(&conversation, "second").await;

    // As without JavaScript.
    let answer = ada.post(&format!("/c/{conversation}/messages/{}/fork", first.id), &[]).await;

    assert_eq!(answer.status(), 303);
    let fork = answer.headers()["location"].to_str().unwrap().strip_prefix("/c/").unwrap().to_owned();
    assert_ne!(fork, conversation);
    assert_eq!(shown(&ada, &fork).await, ["first", "first"]);
    ada.ask(&fork, "third").await;
    assert_eq!(shown(&ada, &fork).await, ["first", "first", "third", "third"]);
    assert_eq!(shown(&ada, &conversation).await, ["first", "first", "second", "second"]);
}

#[tokio::test]
async fn without_javascript_a_message_is_edited_deleted_and_written_anew_by_forms() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let reply = ada.send(&conversation, "first").await;
    ada.read(&reply).await;
    let message = ids(&ada, &conversation).await[0].clone();
    let path = format!("/c/{conversation}/messages/{message}");

    let edited = ada.post(&path, &[("_method", "put"), ("message", "second")]).await;

    assert_eq!(edited.status(), 303);
    let location = edited.headers()["location"].to_str().unwrap();
    let (page, id) = location.split_once("#message-").unwrap();
    assert_eq!(page, format!("/c/{conversation}?at={id}"));
    let reply = Reply { conversation: conversation.clone(), id: id.into() };
    assert_eq!(ada.read(&reply).await, "second");
    let page = ada.page(&format!("{path}/edit")).await;
    assert!(page.contains("<h1>Edit your message</h1>"), "a page of its own: {page}");
    let deleted =
        ada.post(&format!("/c/{conversation}/messages/{}", reply.id), &[("_method", "delete")]).await;
    assert_eq!(deleted.status(), 303);
    assert_eq!(shown(&ada, &conversation).await, ["second"]);
}

#[tokio::test]
async fn the_real_model_goes_on_exactly_where_an_edited_answer_ends() {
    let home = Home::new(&format!(
        "[default.llm]\nmodel = {:?}\nn_ctx = 512\n[default.generation]\ntemperature = 0.0\nmax_tokens = 24\n",
        real_model()
    ));
    let app = TestApp::start_in(home).await;
    app.wait_until_ready().await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let reply = ada.send(&conversation, "Count from one to ten in words.").await;
    ada.read(&reply).await;
    let path = format!("/c/{conversation}/messages/{}", reply.id);
    let beginning = "One, two, three, four, five,";

    let form = [("message", beginning), ("continue", "true")];
    let answer = act(&ada, Method::PUT, &path, &form).await;
    let (text, id) = read(&ada, &conversation, &answer).await;

    assert!(text.starts_with("One, two, three, four, five, six, seven"), "{text}");
    let trace = ada.page(&format!("/c/{conversation}/messages/{id}/trace")).await;
    assert!(unescape(&trace).contains(beginning), "the prompt ends with it");
}

#[tokio::test]
async fn after_another_branch_is_shown_only_what_differs_is_read() {
    let home = Home::new(&format!(
        "[default.llm]\nmodel = {:?}\nn_ctx = 1024\n[default.generation]\ntemperature = 0.0\nmax_tokens = 24\n",
        real_model()
    ));
    let app = TestApp::start_in(home).await;
    app.wait_until_ready().await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let messages = format!("/c/{conversation}/messages");
    ada.ask(&conversation, &"A hearth keeps a house warm and its people together. ".repeat(25)).await;
    let old = ada.send(&conversation, "Say it in fewer words.").await;
    ada.read(&old).await;
    let asked = ids(&ada, &conversation).await[2].clone();
    let edited =
        act(&ada, Method::PUT, &format!("{messages}/{asked}"), &[("message", "And in verse?")]).await;
    read(&ada, &conversation, &edited).await;

    act(&ada, Method::POST, &format!("{messages}/{}/show", old.id), &[]).await;
    let next = ada.send(&conversation, "Thank you.").await;
    ada.read(&next).await;

    let figures = ada.page(&format!("{messages}/{}/figures", next.id)).await;
    let (before, _) = figures.split_once(" from memory").expect("something was in memory");
    let (read, reused) = before.rsplit_once(" tokens read, ").unwrap();
    let read = read.rsplit_once("<p>").unwrap().1;
    let [read, reused] = [read, reused].map(|number| number.replace(',', "").parse::<u32>().unwrap());
    assert!(read > 300 && read - reused < 120, "{read} tokens, {reused} of them from memory");
}
