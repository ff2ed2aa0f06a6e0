//! Settings of plugins: which value holds, who sees it, and what a form does with what is typed.

use reqwest::{Method, Response};

use crate::support::program::{Program, content, one};
use crate::support::{ECHO, Home, Person, TestApp};

/// Tells its settings in every message, but for the secret, of which it tells the length; it logs that one too.
const TELLER: &str = r#"const PLUGIN = #{
    name: "Teller",
    settings: #{
        most: #{ type: "int", "default": 3, min: 1, max: 10, label: "Most sentences" },
        tone: #{ type: "choice", "default": "dry", choices: ["dry", "warm"] },
        loud: false,
        share: 0.5,
        words: ["a"],
        note: #{ type: "text", "default": "one\ntwo" },
        key: #{ type: "secret", label: "Key" },
    },
    user_settings: #{ nick: #{ type: "string", "default": "friend", label: "Your nick name" } },
};
fn on_message(ctx, text) {
    let s = ctx.settings;
    log("the key is " + s.key);
    let words = "";
    for word in s.words { words += word + ","; }
    `${s.most} ${s.tone} ${s.loud} ${s.share} ${words} ${s.note.len()} ${s.key.len()} ${ctx.user_settings.nick}`
}"#;

const FORM: &str = "/admin/plugins/teller/settings";
const PAGE: &str = "/admin/plugins/teller";
const MINE: &str = "/account/plugins/teller";
const SECRET: &str = "open-sesame-42";

async fn start(toml: &str) -> TestApp {
    let home = Home::new(&format!("{ECHO}{toml}"));
    home.write("plugins/teller.rhai", TELLER);
    TestApp::start_in(home).await
}

/// Fills in a form as htmx sends it.
async fn fill(person: &Person, path: &str, form: &[(&str, &str)]) -> Response {
    person.htmx(Method::POST, path).form(form).send().await.unwrap()
}

/// Fills in a form that must be taken, and returns it.
async fn filled(person: &Person, path: &str, form: &[(&str, &str)]) -> String {
    let answer = fill(person, path, form).await;
    let (status, body) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{body}");
    body
}

/// What the plugin tells this person in a new conversation.
async fn told(person: &Person) -> String {
    let conversation = person.new_conversation().await;
    person.ask(&conversation, "tell").await
}

#[tokio::test]
async fn the_form_wins_over_rocket_toml_and_that_over_the_default_from_the_next_message_on() {
    let app = start("[default.plugins.settings.teller]\nmost = 4\n").await;
    let ada = app.person("ada").await;

    let before = told(&ada).await;
    let form = [
        ("value[most]", "7"),
        ("value[tone]", "warm"),
        ("value[loud]", "false"),
        ("value[loud]", "true"),
        ("value[share]", "0.25"),
        ("value[words]", "x\r\n\r\n  y "),
        ("value[note]", "one\r\ntwo\r\nthree"),
    ];
    let page = filled(&ada, FORM, &form).await;
    let after = told(&ada).await;
    let back = filled(&ada, FORM, &[("value[most]", "7"), ("reset", "most")]).await;
    let reset = told(&ada).await;
    let app = app.kill_and_restart().await;
    let again = Person { url: app.url.clone(), ..ada };

    assert_eq!(before, "4 dry false 0.5 a, 7 0 friend");
    assert_eq!(after, "7 warm true 0.25 x,y, 13 0 friend");
    assert_eq!(reset, "4 warm true 0.25 x,y, 13 0 friend");
    assert_eq!(told(&again).await, reset, "it outlives a restart");
    assert!(page.contains("Saved.") && page.matches("Set here.").count() == 6, "{page}");
    assert!(
        page.contains("Back to “4”") && back.contains("From the server's configuration."),
        "{page}{back}"
    );
}

#[tokio::test]
async fn what_is_sent_as_it_was_shown_sets_nothing() {
    let app = start("").await;
    let ada = app.person("ada").await;
    let shown = [
        ("value[most]", "3"),
        ("value[tone]", "dry"),
        ("value[loud]", "false"),
        ("value[share]", "0.5"),
        ("value[words]", "a"),
        ("value[note]", "one\r\ntwo"),
        ("value[key]", ""),
    ];

    let page = filled(&ada, FORM, &shown).await;

    assert!(!page.contains("Set here.") && page.contains("Default."), "{page}");
}

#[tokio::test]
async fn a_wrong_value_is_a_sentence_at_its_field_and_nothing_is_kept() {
    let app = start("").await;
    let ada = app.person("ada").await;
    let wrong = [
        ("value[most]", "11"),
        ("value[tone]", "loud <b>"),
        ("value[share]", "much"),
        ("value[note]", "typed"),
    ];

    let fragment = fill(&ada, FORM, &wrong).await;
    let page = ada.post(FORM, &wrong).await;
    let long = "x".repeat(20_000);
    let long = fill(&ada, FORM, &[("value[note]", long.as_str())]).await;

    assert_eq!((fragment.status().as_u16(), page.status().as_u16(), long.status().as_u16()), (422, 422, 422));
    assert_eq!(fragment.headers()["hx-retarget"], "#settings-teller");
    let page = page.text().await.unwrap();
    for text in [fragment.text().await.unwrap(), page.clone()] {
        for sentence in
            ["This must be from 1 to 10.", "This must be one of dry, warm.", "This must be a number."]
        {
            assert!(text.contains(sentence), "{sentence}: {text}");
        }
        assert!(text.contains("value=\"11\"") && text.contains("typed</textarea>"), "what was typed stays");
    }
    assert!(page.contains("<title>Teller"), "without htmx it is the whole page");
    assert_eq!(told(&ada).await, "3 dry false 0.5 a, 7 0 friend");
}

#[tokio::test]
async fn a_secret_reaches_its_plugin_and_is_seen_nowhere_else() {
    let app = start("").await;
    let ada = app.person("ada").await;

    let set = filled(&ada, FORM, &[("value[key]", SECRET)]).await;
    let told_with = told(&ada).await;
    let untouched = filled(&ada, FORM, &[("value[key]", ""), ("value[most]", "5")]).await;
    let wrong = fill(&ada, FORM, &[("value[key]", "another-secret-7"), ("value[most]", "no")]).await;
    let wrong = wrong.text().await.unwrap();
    let pages = [set, untouched, wrong, ada.page(PAGE).await, ada.page("/account").await];
    let export = ada.page("/account/export").await;
    let list = app.home.command(&["plugin", "list"]);
    let still = told(&ada).await;
    let cleared = filled(&ada, FORM, &[("reset", "key")]).await;

    assert!(told_with.contains(" 14 ") && still.contains(" 14 "), "{told_with} {still}");
    for text in pages.iter().chain([&export, &app.home.log(), &String::from_utf8(list.stdout).unwrap()]) {
        assert!(!text.contains("sesame") && !text.contains("another-secret"), "{text}");
    }
    assert!(app.home.log().contains("the key is [secret]"), "{}", app.home.log());
    assert!(
        pages[3].contains("Set; it is never shown.") && cleared.contains("placeholder=\"Not set\""),
        "{cleared}"
    );
    assert!(told(&ada).await.contains(" 0 friend"));
}

#[tokio::test]
async fn the_command_line_shows_no_secret_of_rocket_toml() {
    let home = Home::new(&format!("{ECHO}[default.plugins.settings.leak]\nkey = \"{SECRET}\"\n"));
    home.write(
        "plugins/leak.rhai",
        "const PLUGIN = #{ settings: #{ key: #{ type: \"secret\" } } };\n\
         fn on_message(ctx, text) { log(ctx.settings.key); text + ctx.settings.key }\n\
         fn test_key() { assert_eq(test_ctx().settings.key, \"x\"); }",
    );

    for arguments in [
        &["plugin", "list"][..],
        &["plugin", "check"],
        &["plugin", "test"],
        &["plugin", "try", "leak", "--message", "hi"],
    ] {
        let output = home.command(arguments);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains("sesame"), "{arguments:?}: {said}");
        if arguments[1] == "try" {
            assert!(said.contains("hi[secret]"), "{said}");
        }
    }
}

#[tokio::test]
async fn each_person_has_settings_of_their_own_in_the_browser_and_over_the_api() {
    let app = start("").await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);

    let form = filled(&bob, MINE, &[("value[nick]", "Bobby <3")]).await;
    let long = bob.post(MINE, &[("value[nick]", "x".repeat(17_000).as_str())]).await;
    let (long_status, long) = (long.status(), long.text().await.unwrap());
    let (of_ada, of_bob) = (told(&ada).await, told(&bob).await);
    let over_api = Program::new(&app, "bob").ask(one("tell")).await;

    assert!(of_ada.ends_with(" friend") && of_bob.ends_with(" Bobby <3"), "{of_ada} {of_bob}");
    assert!(content(&over_api).ends_with(" Bobby <3"), "{over_api}");
    assert!(form.contains("Bobby &lt;3"), "{form}");
    assert_eq!(long_status, 422);
    assert!(long.contains("<title>Your account") && long.contains("This must be at most 16384 bytes long"));
    assert!(bob.page("/account").await.contains("Your nick name"));
    assert!(!ada.page("/account").await.contains("Bobby"));
    assert!(
        !filled(&ada, FORM, &[]).await.contains("nick"),
        "the operator's form has the operator's settings only"
    );
}

#[tokio::test]
async fn only_the_administrator_gets_the_operators_form() {
    let app = start("").await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let nobody = Person::new(&app.url, "nobody");

    let refused = [bob.get(PAGE).await, bob.post(FORM, &[("value[most]", "9")]).await];
    let (away, posted) = (nobody.get(PAGE).await, nobody.post(FORM, &[("value[most]", "9")]).await);

    assert!(refused.iter().all(|answer| answer.status() == 403), "{refused:?}");
    assert!(away.status() == 303 && posted.status() == 303);
    assert_eq!(ada.get(PAGE).await.status(), 200);
    for missing in ["/admin/plugins/none", "/admin/plugins/..%2f..%2f"] {
        assert_eq!(ada.get(missing).await.status(), 404, "{missing}");
        let form = format!("{missing}/settings");
        assert_eq!(fill(&ada, &form, &[]).await.status(), 404, "{form}");
    }
    assert_eq!(fill(&bob, "/account/plugins/none", &[]).await.status(), 404);
    assert!(told(&ada).await.starts_with("3 "));
}

#[tokio::test]
async fn what_a_plugin_no_longer_declares_can_be_deleted() {
    let app = start("").await;
    let ada = app.person("ada").await;
    filled(&ada, FORM, &[("value[key]", SECRET)]).await;
    app.home.write("plugins/teller.rhai", &TELLER.replace("key: #{", "word: #{").replace("s.key", "s.word"));
    told(&ada).await;

    let before = ada.page(PAGE).await;
    let after = filled(&ada, FORM, &[("reset", "key")]).await;
    app.home.write("plugins/teller.rhai", TELLER);
    let undone = told(&ada).await;

    assert!(before.contains("which this plugin no longer has") && !before.contains(SECRET), "{before}");
    assert!(!after.contains("which this plugin no longer has"), "{after}");
    assert!(undone.ends_with(" 0 friend"), "the secret is gone: {undone}");
}

#[tokio::test]
async fn an_edited_schema_leaves_what_fits_and_says_what_does_not() {
    let app = start("").await;
    let ada = app.person("ada").await;
    filled(&ada, FORM, &[("value[most]", "9"), ("value[tone]", "warm"), ("value[key]", SECRET)]).await;

    let edited = TELLER.replace("max: 10", "max: 5").replace(
        "key: #{ type: \"secret\", label: \"Key\" }",
        "key: #{ type: \"string\", \"default\": \"\" }",
    );
    app.home.write("plugins/teller.rhai", &edited);
    let after = told(&ada).await;
    let page = ada.page(PAGE).await;
    let mended = filled(&ada, FORM, &[("reset", "most")]).await;
    app.home.write("plugins/teller.rhai", TELLER);
    let undone = told(&ada).await;

    assert_eq!(after, "3 warm false 0.5 a, 7 0 friend");
    assert!(page.contains("no longer fits: it must be from 1 to 5"), "{page}");
    assert!(!page.contains("sesame"), "what was a secret stays one");
    assert!(app.home.log().contains("no longer fits") && !app.home.log().contains("sesame"));
    assert!(!mended.contains("must be from 1 to 5"), "{mended}");
    assert_eq!(undone, "3 warm false 0.5 a, 7 14 friend");
}

#[tokio::test]
async fn a_running_reply_keeps_the_settings_with_which_it_began() {
    let home = Home::new(ECHO);
    home.write(
        "plugins/teller.rhai",
        "const PLUGIN = #{ settings: #{ mark: \"old\" } };\n\
         fn on_response(ctx, text) { text + \" \" + ctx.settings.mark }",
    );
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let script = serde_json::json!({ "pieces": ["word "], "repeat": 40, "delay_ms": 25 }).to_string();

    let reply = ada.send(&conversation, &script).await;
    ada.follow(&reply, 0).await.first_text().await;
    filled(&ada, FORM, &[("value[mark]", "fresh")]).await;
    ada.read(&reply).await;
    let first = ada.bubble(&reply).await;
    let later = ada.send(&ada.new_conversation().await, "hi").await;
    ada.read(&later).await;
    let next = ada.bubble(&later).await;

    assert!(first.contains(" old") && !first.contains(" fresh"), "{first}");
    assert!(next.contains("hi fresh"), "{next}");
}
