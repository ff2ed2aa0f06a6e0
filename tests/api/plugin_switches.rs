//! Plugins that people may turn off, everywhere and in one conversation.

use reqwest::Method;

use crate::support::program::{Program, content, one};
use crate::support::{ECHO, Home, Person, TestApp};

const SHOUT: &str = "const PLUGIN = #{ name: \"Shout\", description: \"Capitals.\" };\n\
    fn on_message(ctx, text) { text.to_upper() }\n\
    /// Says hello.\nfn command_hello(ctx, args) { reply(\"hello yourself\") }";
const CLOSED: &str = "const PLUGIN = #{ fail: \"closed\" };\nfn on_message(ctx, text) { text + \"!\" }";

async fn start() -> (TestApp, Person, Person) {
    let home = Home::new(ECHO);
    home.write("plugins/shout.rhai", SHOUT);
    home.write("plugins/guard.rhai", CLOSED);
    let app = TestApp::start_in(home).await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    (app, ada, bob)
}

async fn fill(person: &Person, path: &str, form: &[(&str, &str)]) -> u16 {
    person.htmx(Method::POST, path).form(form).send().await.unwrap().status().as_u16()
}

/// What becomes of "hi" in a conversation.
async fn hi(person: &Person, conversation: &str) -> String {
    person.ask(conversation, "hi").await
}

#[tokio::test]
async fn nobody_turns_off_what_the_operator_does_not_let_them() {
    let (_app, ada, bob) = start().await;
    let conversation = bob.new_conversation().await;
    let page = bob.page(&format!("/c/{conversation}")).await;

    // A plugin without settings that may not be turned off has no form.
    assert_eq!(fill(&bob, "/account/plugins/shout", &[("switch", "false")]).await, 404);
    assert_eq!(fill(&bob, &format!("/c/{conversation}/plugins"), &[("on[shout]", "false")]).await, 200);
    assert_eq!(fill(&ada, "/admin/plugins/guard/settings", &[("switch", "true")]).await, 200);
    assert_eq!(fill(&bob, "/account/plugins/guard", &[("switch", "false")]).await, 404);
    assert_eq!(fill(&bob, &format!("/c/{conversation}/plugins"), &[("on[guard]", "false")]).await, 200);

    assert_eq!(hi(&bob, &conversation).await, "HI!");
    assert!(!page.contains("/plugins\""), "no way to switches that are not there");
    let form = ada.page("/admin/plugins/guard").await;
    assert!(
        form.contains("People cannot turn this plugin off") && !form.contains("name=\"switch\""),
        "{form}"
    );
}

#[tokio::test]
async fn a_plugin_that_a_person_turned_off_takes_no_part_in_their_replies_and_commands() {
    let (app, ada, bob) = start().await;
    assert_eq!(fill(&ada, "/admin/plugins/shout/settings", &[("switch", "true")]).await, 200);
    let (of_ada, of_bob) = (ada.new_conversation().await, bob.new_conversation().await);
    let program = Program::new(&app, "bob");

    let before = (hi(&bob, &of_bob).await, content(&program.ask(one("hi")).await).to_owned());
    assert_eq!(fill(&bob, "/account/plugins/shout", &[("switch", "false")]).await, 200);
    let off = (hi(&bob, &of_bob).await, content(&program.ask(one("hi")).await).to_owned());
    let menus = [ada.page(&format!("/c/{of_ada}")).await, bob.page(&format!("/c/{of_bob}")).await];
    let command = bob.ask(&of_bob, "/hello there").await;
    let other = hi(&ada, &of_ada).await;
    let account = bob.page("/account").await;
    // The operator takes the permission back: the choice has no effect while that holds.
    fill(&ada, "/admin/plugins/shout/settings", &[("switch", "false")]).await;
    let withdrawn = hi(&bob, &of_bob).await;
    fill(&ada, "/admin/plugins/shout/settings", &[("switch", "false"), ("switch", "true")]).await;
    fill(&bob, "/account/plugins/shout", &[("switch", "false"), ("switch", "true")]).await;

    assert_eq!(before, ("HI!".into(), "HI!".into()));
    assert_eq!(off, ("hi!".into(), "hi!".into()));
    assert_eq!(menus.map(|page| page.contains("Says hello.")), [true, false]);
    assert_eq!(command, "/hello there!", "its command is a text like any other");
    assert_eq!(other, "HI!");
    assert!(account.contains("Use this plugin") && account.contains("Capitals."), "{account}");
    assert_eq!(withdrawn, "HI!");
    assert_eq!(hi(&bob, &of_bob).await, "HI!");
}

#[tokio::test]
async fn a_plugin_is_off_in_one_conversation_only() {
    let (_app, ada, bob) = start().await;
    fill(&ada, "/admin/plugins/shout/settings", &[("switch", "true")]).await;
    let here = bob.new_conversation().await;
    bob.ask(&here, "so that it is not blank").await;
    let there = bob.new_conversation().await;
    let path = format!("/c/{here}/plugins");

    let way = bob.page(&format!("/c/{here}")).await;
    let page = bob.page(&path).await;
    assert_eq!(fill(&bob, &path, &[("on[shout]", "false"), ("on[nothing]", "false")]).await, 200);
    let off = bob.page(&path).await;
    let stranger = ada.htmx(Method::POST, &path).form(&[("on[shout]", "true")]).send().await.unwrap();

    assert!(way.contains(&format!("href=\"{path}\"")), "{way}");
    assert!(
        page.contains("value=\"true\" checked") && !off.contains("value=\"true\" checked"),
        "{page}{off}"
    );
    assert_eq!(stranger.status(), 404);
    assert_eq!((hi(&bob, &here).await, hi(&bob, &there).await), ("hi!".into(), "HI!".into()));
    assert_eq!(bob.post(&path, &[("on[shout]", "false"), ("on[shout]", "true")]).await.status(), 200);
    assert_eq!(hi(&bob, &here).await, "HI!");
}
