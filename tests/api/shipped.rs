//! The plugins of plugins/examples/ as people meet them, where a plugin's own tests cannot go.

use reqwest::Method;

use crate::support::{ECHO, Home, Person, TestApp};

#[tokio::test]
async fn what_somebody_wants_remembered_is_known_in_all_their_conversations_and_to_nobody_else() {
    let home = Home::new(ECHO);
    home.add_plugin("examples/memory");
    let app = TestApp::start_in(home).await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let say = async |person: &Person, text: &str| {
        let conversation = person.new_conversation().await;
        person.try_send(&conversation, text).await.text().await.unwrap()
    };

    let kept = say(&ada, "/remember I eat no meat").await;
    let (hers, his) = (say(&ada, "/memories").await, say(&bob, "/memories").await);
    let (forgotten, after) = (say(&ada, "/forget").await, say(&ada, "/memories").await);

    assert!(kept.contains("I will remember that."), "{kept}");
    assert!(hers.contains("- I eat no meat"), "{hers}");
    assert!(his.contains("I remember nothing about you."), "{his}");
    assert!(forgotten.contains("I have forgotten"), "{forgotten}");
    assert!(after.contains("I remember nothing about you."), "{after}");
}

#[tokio::test]
async fn what_the_redactor_takes_out_no_command_keeps() {
    let home = Home::new(ECHO);
    home.add_plugin("examples/memory");
    home.add_plugin("examples/redact");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;

    let conversation = ada.new_conversation().await;
    ada.try_send(&conversation, "/remember my card 4111 1111 1111 1111").await;
    let kept = ada.try_send(&ada.new_conversation().await, "/memories").await.text().await.unwrap();

    assert!(kept.contains("my card ["), "{kept}");
    let written = app.home.everything_written();
    assert!(!written.windows(14).any(|bytes| bytes == b"4111 1111 1111"));
}

#[tokio::test]
async fn a_translation_is_asked_for_in_plain_words() {
    let home = Home::new(ECHO);
    home.add_plugin("examples/translate");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;

    let asked = ada.ask(&ada.new_conversation().await, "/translate German How are you?").await;

    assert_eq!(asked, "Translate into German. Answer with the translation only.\n\nHow are you?");
}

/// As shipped: both folders' settings are the defaults.
fn with_titles() -> Home {
    let home = Home::new(ECHO);
    home.add_plugin("title");
    home
}

#[tokio::test]
async fn the_model_names_a_conversation_as_shipped_and_an_open_page_learns_it() {
    let app = TestApp::start_in(with_titles()).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let url = format!("/c/{conversation}");

    let reply = ada.send(&conversation, "hello").await;
    ada.read(&reply).await;
    // The page asks for the name once, and the answer comes when it is there.
    let shown = ada.htmx(Method::GET, &format!("{url}/name"));
    let shown = shown.header("HX-Current-URL", format!("{}{url}", app.url));
    let shown = shown.send().await.unwrap().text().await.unwrap();

    // The scripted model says back what it is told.
    assert!(shown.contains("hx-swap-oob=\"true\">A title for this message: hello</h1>"), "{shown}");
    assert!(
        shown.contains(&format!("innerHTML:#open-{conversation}\">A title for this message: hello")),
        "{shown}"
    );
    assert!(!shown.contains("hx-get"), "it does not ask again: {shown}");
    assert!(ada.page(&url).await.contains("id=\"chat-title\">A title for this message: hello</h1>"));
}

#[tokio::test]
async fn a_poor_title_leaves_the_first_words_and_a_chosen_name_stays() {
    let app = TestApp::start_in(with_titles()).await;
    let ada = app.person("ada").await;
    let title = async |conversation: &str| {
        let named = ada.page(&format!("/c/{conversation}/name")).await;
        assert!(named.contains(&format!("#open-{conversation}")), "{named}");
        ada.page(&format!("/c/{conversation}")).await
    };

    let long = "one two three four five six seven eight nine";
    let poor = ada.new_conversation().await;
    ada.ask(&poor, long).await;
    let chosen = ada.new_conversation().await;
    let name = [("title", "My own name")];
    ada.htmx(Method::PUT, &format!("/c/{chosen}")).form(&name).send().await.unwrap();
    ada.ask(&chosen, "hello").await;

    assert!(title(&poor).await.contains(&format!("id=\"chat-title\">{long}</h1>")));
    assert!(title(&chosen).await.contains("id=\"chat-title\">My own name</h1>"));
    assert!(!app.home.log().contains("no plugin named it"), "{}", app.home.log());
}
