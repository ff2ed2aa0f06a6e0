//! Two people at once see only their own.

use reqwest::Method;

use crate::support::{ECHO, Person, TestApp, unescape};

/// Every mounted route with an id, with the ids filled in. What is an administrator's has a matrix in `admin_plugins`.
fn routes_with_ids(conversation: &str, reply: &str, key: &str, preset: &str) -> Vec<(Method, String)> {
    let routes: Vec<_> = fireside::web::routes()
        .into_iter()
        // A plugin is nobody's: its settings and pages have tests of their own.
        .filter(|route| route.uri.path().contains('<'))
        .filter(|route| !route.uri.path().contains("<plugin>") && !route.uri.path().starts_with("/admin"))
        .map(|route| {
            let method = Method::from_bytes(route.method.as_str().as_bytes()).unwrap();
            let path = route.uri.path().replace("<id>", conversation);
            let path = path.replace("<message>", reply).replace("<reply>", reply).replace("<key>", key);
            (method, path.replace("<preset>", preset))
        })
        .collect();
    assert!(routes.len() >= 11, "the matrix covers {} routes", routes.len());
    assert!(routes.iter().all(|(_, path)| !path.contains('<')), "an id the matrix does not know: {routes:?}");
    routes
}

/// The id of a new API key of Ada's.
fn new_key(app: &TestApp) -> String {
    assert!(app.home.command(&["key", "new", "ada"]).status.success());
    let list = String::from_utf8(app.home.command(&["key", "list", "ada"]).stdout).unwrap();
    list.lines().last().unwrap().split('\t').next().unwrap().to_owned()
}

/// The id of a new preset of Ada's.
async fn new_preset(ada: &Person, conversation: &str) -> String {
    let (path, name) = (format!("/c/{conversation}/parameters"), conversation);
    let page = ada.htmx(Method::POST, &path).form(&[("value[top_k]", "7"), ("preset", name)]);
    let page = unescape(&page.send().await.unwrap().text().await.unwrap());
    let named = page.split("/presets/").skip(1).find(|preset| preset.contains(name)).expect("a preset");
    named[..32].to_owned()
}

#[tokio::test]
async fn s16_every_route_with_an_id_is_404_for_somebody_else_and_works_for_the_owner() {
    let app = TestApp::start(ECHO).await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let conversation = ada.new_conversation().await;
    let reply = ada.send(&conversation, "a secret of Ada's").await;
    ada.read(&reply).await;
    bob.new_conversation().await;
    let preset = new_preset(&ada, &conversation).await;
    let routes = routes_with_ids(&conversation, &reply.id, &new_key(&app), &preset);
    let form = [("message", "hello"), ("title", "mine now"), ("shelf", "pinned"), ("name", "mine too")];

    for (method, path) in &routes {
        for htmx in [true, false] {
            let request = match htmx {
                true => bob.htmx(method.clone(), path),
                false => bob.request(method.clone(), path),
            };
            let request = if method == Method::GET { request } else { request.form(&form) };
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 404, "{method} {path} for the other person (htmx: {htmx})");
            let body = answer.text().await.unwrap();
            assert!(!body.contains("secret") && !body.contains("fs-"), "{method} {path} tells");
        }
    }
    for path in ["/c/none", "/c/00000000000000000000000000000000", &format!("/c/{}", "x".repeat(500))] {
        assert_eq!(bob.get(path).await.status(), 404, "{path}");
    }
    // For the owner each route gets a conversation of its own, since some of them change it.
    for place in 0..routes.len() {
        let conversation = ada.new_conversation().await;
        let reply = ada.send(&conversation, "hello").await;
        ada.read(&reply).await;
        let preset = new_preset(&ada, &conversation).await;
        let routes = routes_with_ids(&conversation, &reply.id, &new_key(&app), &preset);
        let (method, path) = routes[place].clone();
        let request = ada.htmx(method.clone(), &path);
        let request = if method == Method::GET { request } else { request.form(&form) };
        let answer = request.send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{method} {path} for the owner: {status} {body}");
    }
}

#[tokio::test]
async fn s11_a_get_changes_nothing() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let reply = ada.send(&conversation, "hello").await;
    ada.read(&reply).await;
    let preset = new_preset(&ada, &conversation).await;
    let mut routes = routes_with_ids(&conversation, &reply.id, &new_key(&app), &preset);
    let plain = fireside::web::routes().into_iter().filter(|route| !route.uri.path().contains('<'));
    routes.extend(plain.map(|route| (route.method.as_str().parse().unwrap(), route.uri.path().to_owned())));
    routes.retain(|(method, _)| method == Method::GET);
    // What the account tells of itself, and all conversations with all their messages; but for the moment of asking.
    let everything = async || {
        let export: serde_json::Value = ada.get("/account/export").await.json().await.unwrap();
        ["account", "plugins", "parameters", "presets", "conversations"].map(|part| export[part].clone())
    };
    let before = everything().await;

    for (_, path) in routes.iter().chain(&routes) {
        let status = ada.get(path).await.status();
        assert!(!status.is_server_error(), "{path}: {status}");
    }

    assert_eq!(everything().await, before);
    assert!(routes.len() > 15, "{routes:?}");
    assert!(ada.page("/account").await.contains("ada"), "still signed in");
}

#[tokio::test]
async fn without_a_sign_in_every_route_leads_to_the_sign_in_page() {
    let app = TestApp::start(ECHO).await;
    let nobody = crate::support::Person::new(&app.url, "nobody");

    for (method, path) in routes_with_ids("1", "2", "3", "4") {
        let page = nobody.request(method.clone(), &path).send().await.unwrap();
        let fragment = nobody.htmx(method.clone(), &path).send().await.unwrap();

        assert_eq!(page.status(), 303, "{method} {path}");
        assert!(page.headers()["location"].to_str().unwrap().starts_with("/login?next="), "{method} {path}");
        assert!(
            fragment.headers()["hx-redirect"].to_str().unwrap().starts_with("/login?next="),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_sidebar_shows_only_the_own_conversations() {
    let app = TestApp::start(ECHO).await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let conversation = ada.new_conversation().await;

    ada.ask(&conversation, "growing tomatoes indoors").await;
    bob.new_conversation().await;

    assert!(ada.page(&format!("/c/{conversation}")).await.contains("growing tomatoes indoors"));
    let bobs = bob.new_conversation().await;
    assert!(!bob.page(&format!("/c/{bobs}")).await.contains("tomatoes"));
}
