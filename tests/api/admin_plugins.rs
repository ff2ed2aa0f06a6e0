//! The administrator's pages for plugins: who may see them, what they show, and what their buttons do.

use reqwest::{Method, StatusCode};

use crate::support::{ECHO, Home, Person, TestApp};

const SHOUT: &str = "const PLUGIN = #{ name: \"Shout\", version: \"1.2\", description: \"Says <b>it</b> louder.\" };\n\
                     fn on_message(ctx, text) { text + \"!\" }\n\
                     fn test_shout() { assert_eq(on_message(test_ctx(), \"hi\"), \"hi!\"); }";

/// Ada is the administrator; a plugin `shout` is in the folder.
async fn with_shout() -> (TestApp, Person) {
    let home = Home::new(ECHO);
    home.write("plugins/shout.rhai", SHOUT);
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    (app, ada)
}

/// Every route of the pages, with a plugin's id filled in.
fn routes(plugin: &str) -> Vec<(Method, String)> {
    let routes = fireside::web::routes().into_iter().filter(|route| route.uri.path().starts_with("/admin"));
    let routes: Vec<_> = routes
        .map(|route| {
            let method = Method::from_bytes(route.method.as_str().as_bytes()).unwrap();
            (method, route.uri.path().replace("<plugin>", plugin))
        })
        .collect();
    assert!(routes.len() >= 7, "the matrix covers {} routes", routes.len());
    assert!(routes.iter().all(|(_, path)| !path.contains('<')), "an id the matrix does not know: {routes:?}");
    routes
}

/// Sends a form, where the method takes one, as a page or as htmx does.
async fn ask(person: &Person, method: &Method, path: &str, htmx: bool) -> (StatusCode, String, String) {
    let request = match htmx {
        true => person.htmx(method.clone(), path),
        false => person.request(method.clone(), path),
    };
    let request = if *method == Method::GET { request } else { request.form(&[("conversation", "hello")]) };
    let answer = request.send().await.unwrap();
    let header = |name: &str| answer.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
    let leads = header("location").or(header("hx-redirect")).unwrap_or_default();
    (answer.status(), leads, answer.text().await.unwrap())
}

/// A page without the white space of its markup.
async fn page(person: &Person, path: &str) -> String {
    squeezed(&person.page(path).await)
}

fn squeezed(html: &str) -> String {
    crate::support::unescape(html).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn only_an_administrator_gets_to_the_pages() {
    let (app, ada) = with_shout().await;
    let (bob, nobody) = (app.person("bob").await, Person::new(&app.url, "nobody"));

    for (method, path) in routes("shout") {
        for htmx in [false, true] {
            let (status, leads, _) = ask(&nobody, &method, &path, htmx).await;
            assert!(leads.starts_with("/login?next="), "{method} {path} for a stranger: {status} {leads}");
            let (status, _, body) = ask(&bob, &method, &path, htmx).await;
            assert_eq!(status, 403, "{method} {path} for a user (htmx: {htmx})");
            assert!(body.contains("administrators") && !body.contains("Shout"), "{method} {path}: {body}");
            let (status, leads, body) = ask(&ada, &method, &path, htmx).await;
            let is_fine = status.is_success() || leads == "/admin/plugins/shout";
            assert!(is_fine, "{method} {path} for the administrator (htmx: {htmx}): {status} {body}");
        }
    }
    for (method, path) in routes("no-such-plugin").into_iter().filter(|(_, path)| path.contains("no-such")) {
        for htmx in [false, true] {
            assert_eq!(ask(&ada, &method, &path, htmx).await.0, 404, "{method} {path}");
        }
    }
    let asked = ask(&nobody, &Method::GET, "/admin/plugins/shout", false).await;
    assert_eq!(asked.1, "/login?next=%2Fadmin%2Fplugins%2Fshout");
    let (adas, bobs) = (ada.new_conversation().await, bob.new_conversation().await);
    assert!(ada.page(&format!("/c/{adas}")).await.contains("href=\"/admin/plugins\""));
    assert!(!bob.page(&format!("/c/{bobs}")).await.contains("/admin"));
}

#[tokio::test]
async fn what_is_disabled_on_the_page_stays_so_over_a_restart_and_wins_over_the_configuration() {
    let home = Home::new(&format!("{ECHO}[default.plugins]\ndisabled = [\"shout\"]\n"));
    home.write("plugins/shout.rhai", SHOUT);
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    let configured = ada.ask(&conversation, "hey").await;
    let answer = ada.post("/admin/plugins/shout/enable", &[]).await;
    assert_eq!(
        (answer.status(), &answer.headers()["location"]),
        (StatusCode::SEE_OTHER, &"/admin/plugins/shout".parse().unwrap())
    );
    let enabled = ada.ask(&conversation, "hey").await;
    let app = app.kill_and_restart().await;
    let ada = Person { url: app.url.clone(), ..ada };
    let restarted = ada.ask(&conversation, "hey").await;
    let part =
        ada.htmx(Method::POST, "/admin/plugins/shout/disable").send().await.unwrap().text().await.unwrap();
    let disabled = ada.ask(&conversation, "hey").await;
    let app = app.kill_and_restart().await;
    let ada = Person { url: app.url.clone(), ..ada };
    let restarted_again = ada.ask(&conversation, "hey").await;

    assert_eq!([configured, enabled, restarted], ["hey", "hey!", "hey!"]);
    assert_eq!([disabled, restarted_again], ["hey", "hey"]);
    assert!(part.contains("id=\"state\"") && !part.contains("<html") && part.contains("Enable"), "{part}");
    let list = page(&ada, "/admin/plugins").await;
    assert!(
        list.contains("<span class=\"pill off\">disabled</span>") && list.contains("Not called"),
        "{list}"
    );
}

#[tokio::test]
async fn a_broken_edit_is_shown_with_its_line_while_the_old_version_works() {
    let (app, ada) = with_shout().await;
    app.home
        .write("plugins/shout.rhai", "// <script>alert(1)</script>\nfn on_message(ctx, text) {\n  text +\n}");

    let (list, raw) = (page(&ada, "/admin/plugins").await, ada.page("/admin/plugins/shout").await);
    let detail = squeezed(&raw);
    let said = ada.ask(&ada.new_conversation().await, "hey").await;

    assert_eq!(said, "hey!");
    for shown in [&list, &detail] {
        for part in ["shout.rhai:4:1: ", "<span class=\"pill good\">running</span>", "broken edit", "Shout"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
    assert!(list.contains("One needs a look."), "{list}");
    assert!(
        detail.contains("id=\"wrong\"><span class=\"number\" data-number=\"4\"></span><code>}</code>"),
        "{detail}"
    );
    assert!(detail.contains("the version before the edit goes on working"), "{detail}");
    assert!(raw.contains("&lt;script&gt;") && !raw.contains("<script>alert"), "the source is escaped");
    app.home.write("plugins/shout.rhai", SHOUT);
    assert!(!page(&ada, "/admin/plugins").await.contains("broken edit"), "mended");
}

#[tokio::test]
async fn the_list_tells_the_order_what_each_plugin_says_of_itself_and_how_often_it_was_called() {
    let (app, ada) = with_shout().await;
    app.home.write("plugins/first.rhai", "const PLUGIN = #{ priority: 1 };\nfn on_response(ctx, text) { }");
    app.home.write("plugins/Bad name.rhai", "fn on_message(ctx, text) { }");
    let conversation = ada.new_conversation().await;
    let before = page(&ada, "/admin/plugins").await;

    for _ in 0..3 {
        ada.ask(&conversation, "hey").await;
    }

    let (list, detail) = (page(&ada, "/admin/plugins").await, page(&ada, "/admin/plugins/shout").await);
    assert!(list.find(">first<").unwrap() < list.find(">Shout<").unwrap(), "by priority: {list}");
    for part in [
        "<small>1.2</small>",
        "Says <b>it</b> louder.",
        "<code>on_message</code>",
        "<dt>priority</dt><dd>1</dd>",
    ] {
        assert!(list.contains(part), "{part}: {list}");
    }
    assert!(!ada.page("/admin/plugins").await.contains("<b>it"), "escaped");
    assert!(
        !before.contains("<dt>calls</dt><dd>3</dd>") && list.matches("<dt>calls</dt><dd>3</dd>").count() == 2,
        "{list}"
    );
    assert!(detail.contains("<code>on_message</code></th><td>3</td>"), "{detail}");
    assert!(list.contains("rename it") && list.contains("href=\"/admin/plugins/Bad%20name\""), "{list}");
    assert_eq!(ada.get("/admin/plugins/Bad%20name").await.status(), 200);
}

#[tokio::test]
async fn a_plugin_that_rests_says_what_to_do_and_is_tried_again_by_a_button() {
    let (app, ada) = with_shout().await;
    app.home.write(
        "plugins/shout.rhai",
        "fn on_message(ctx, text) {\n  if text == \"bad\" { throw \"oh\" }\n  text + \"!\"\n}",
    );
    let conversation = ada.new_conversation().await;
    for _ in 0..3 {
        assert_eq!(ada.ask(&conversation, "bad").await, "bad");
    }

    let (list, detail) = (page(&ada, "/admin/plugins").await, page(&ada, "/admin/plugins/shout").await);
    let resting = ada.ask(&conversation, "hey").await;
    let answer = ada.post("/admin/plugins/shout/wake", &[]).await;
    let on_trial = page(&ada, "/admin/plugins/shout").await;
    let works = ada.ask(&conversation, "hey").await;

    for shown in [&list, &detail] {
        assert!(shown.contains("resting</span>") && shown.contains("shout.rhai:2:22: oh"), "{shown}");
        assert!(shown.contains("<div class=\"bad\"><dt>failures</dt><dd>3</dd>"), "{shown}");
    }
    assert!(
        detail.contains("Edit the file and it is tried again") && detail.contains("Try it again now"),
        "{detail}"
    );
    assert!(detail.contains("id=\"wrong\"><span class=\"number\" data-number=\"2\">"), "{detail}");
    assert_eq!((answer.status(), resting.as_str(), works.as_str()), (StatusCode::SEE_OTHER, "hey", "hey!"));
    assert!(on_trial.contains("on trial</span>"), "{on_trial}");
}

#[tokio::test]
async fn tests_run_on_the_files_as_they_are_and_tell_where_they_fail() {
    let (app, ada) = with_shout().await;
    let run = async |htmx| squeezed(&ask(&ada, &Method::POST, "/admin/plugins/shout/test", htmx).await.2);

    let fine = run(false).await;
    let failing = SHOUT
        .replace("text + \"!\"", "text + \"?\"")
        .replace("fn test_shout", "fn test_nothing() { }\nfn test_shout");
    app.home.write("plugins/shout.rhai", &failing);
    let wrong = run(true).await;
    app.home.write("plugins/shout.rhai", "fn on_message(");
    let unloaded = run(true).await;

    assert!(
        fine.contains("<html") && fine.contains("1 of 1 passed.") && fine.contains("<code>test_shout</code>"),
        "{fine}"
    );
    assert!(!wrong.contains("<html") && wrong.contains("1 of 2 passed."), "{wrong}");
    assert!(
        wrong.contains("shout.rhai:4:19: test_shout: assert_eq: left is \"hi?\", right is \"hi!\""),
        "{wrong}"
    );
    assert!(unloaded.contains("It does not load") && unloaded.contains("shout.rhai:1:"), "{unloaded}");
}

#[tokio::test]
async fn trying_shows_what_every_plugin_changes_on_a_conversation_without_a_model() {
    let (app, ada) = with_shout().await;
    app.home.write("plugins/kind.rhai", "const PLUGIN = #{ priority: 500 };\nfn on_prompt(ctx, draft) { draft.messages[0].content += \" Be <i>kind</i> to \" + ctx.user; draft }\nfn on_rendered(ctx, segments) { segments.push(#{ origin: \"plugin\", text: \"THE END\" }); segments }\nfn on_response(ctx, text) { text + \" (checked)\" }");
    let script = [
        ("system_prompt", "Be brief."),
        ("conversation", "user: one\nassistant: two\nuser: three <u>"),
        ("answer", "four"),
    ];
    let send = async |form: &[(&str, &str)]| {
        ada.htmx(Method::POST, "/admin/plugins/kind/try").form(form).send().await.unwrap()
    };

    let raw = send(&script).await.text().await.unwrap();
    let told = squeezed(&raw);
    let nothing = send(&[("conversation", " ")]).await;
    let long = "x".repeat(32_001);
    let too_long = send(&[("conversation", &long)]).await;
    let whole = ada.post("/admin/plugins/kind/try", &script).await.text().await.unwrap();

    let line = |kind: &str, sign: &str, text: &str| {
        format!("<div class=\"row {kind}\"><span class=\"sign\">{sign}</span><code>{text}</code></div>")
    };
    for part in [
        line("gone", "−", "three <u>"),
        line("new", "+", "three <u>!"),
        line("gone", "−", "system: Be brief."),
        line("new", "+", "system: Be brief. Be <i>kind</i> to ada"),
        line("same", " ", "user: one"),
        line("same", " ", "user: three <u>!"),
        line("new", "+", "plugin: THE END"),
        line("new", "+", "four (checked)"),
    ] {
        assert!(told.contains(&part), "{part}: {told}");
    }
    assert!(!raw.contains("<u>") && !raw.contains("<i>"), "escaped");
    assert!(raw.starts_with("<section id=\"try\"") && whole.contains("<html"));
    assert!(told.find("<b>shout</b>").unwrap() < told.find("<b>kind</b>").unwrap(), "{told}");
    for refused in [nothing, too_long] {
        assert_eq!(
            (refused.status(), &refused.headers()["hx-retarget"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &"#try".parse().unwrap())
        );
    }
    let list = page(&ada, "/admin/plugins").await;
    assert_eq!(list.matches("<dt>calls</dt><dd>0</dd>").count(), 2, "it counts nothing: {list}");
}

#[tokio::test]
async fn the_note_that_the_server_does_not_answer_is_not_a_plugins() {
    let (_app, ada) = with_shout().await;

    let page = page(&ada, "/admin/plugins/shout").await;

    let note = page.split("id=\"unreachable\">").nth(1).unwrap().split("</template>").next().unwrap();
    assert!(note.contains("did not answer") && !note.contains("Plugin"), "{note}");
}
