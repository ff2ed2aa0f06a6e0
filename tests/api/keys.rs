//! API keys: who may make, use and delete them, and the account page around them.

use reqwest::{Client, Method};

use crate::support::program::{Program, content, one};
use crate::support::{ECHO, Person, TestApp};

/// The new key in the answer of the account page.
fn secret(page: &str) -> String {
    let at = page.find("<code>fs-").expect("a new key on the page") + "<code>".len();
    page[at..].split('<').next().unwrap().to_owned()
}

/// The ids of the keys on the page.
async fn ids(person: &Person) -> Vec<String> {
    let page = person.page("/account").await;
    let forms = page.split("hx-delete=\"/account/keys/").skip(1);
    forms.map(|form| form.split('"').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn s23_a_key_made_on_the_page_is_shown_once_works_and_ends_when_it_is_deleted() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;

    let made = ada.post("/account/keys", &[("name", "my <editor>")]).await.text().await.unwrap();
    let program = Program { key: secret(&made), url: app.url.clone(), client: Client::new() };
    let unused = ada.page("/account").await;
    let answer = program.ask(one("hello")).await;
    let used = ada.page("/account").await;
    let [id] = &ids(&ada).await[..] else { panic!("one key") };
    let deleted = ada.post(&format!("/account/keys/{id}"), &[("_method", "DELETE")]).await;
    let refused = program.post(&one("hello")).await;

    assert!(made.contains("<title>Your account"), "without htmx it is the whole page");
    assert_eq!(content(&answer), "hello");
    for page in [&unused, &used] {
        assert!(!page.contains(&program.key) && page.contains(&program.key[..9]), "{page}");
        assert!(page.contains("my &lt;editor&gt;"));
    }
    assert!(unused.contains("never used") && used.contains("last used"));
    assert_eq!((deleted.status().as_u16(), refused.status().as_u16()), (303, 401));
    assert!(!String::from_utf8_lossy(&app.home.everything_written()).contains(&program.key[3..]));
}

#[tokio::test]
async fn another_persons_key_is_neither_seen_nor_deleted() {
    let app = TestApp::start(ECHO).await;
    let (ada, eve) = (app.person("ada").await, app.person("eve").await);
    let program = Program::new(&app, "ada");
    let id = ids(&ada).await.remove(0);

    let by_page = eve.htmx(Method::DELETE, &format!("/account/keys/{id}")).send().await.unwrap();
    let by_command = app.home.command(&["key", "delete", "eve", &id]);

    assert_eq!(by_page.status(), 404);
    assert!(!by_command.status.success());
    assert_eq!(ids(&eve).await, Vec::<String>::new());
    assert_eq!(content(&program.ask(one("still here")).await), "still here");
}

#[tokio::test]
async fn the_operator_makes_lists_and_deletes_keys() {
    let app = TestApp::start(ECHO).await;
    app.person("ada").await;
    let program = Program::new(&app, "ADA");
    let list = || String::from_utf8(app.home.command(&["key", "list", "ada"]).stdout).unwrap();

    let before = list();
    let id = before.split('\t').next().unwrap();
    let deleted = app.home.command(&["key", "delete", "ada", id]);

    assert!(before.contains(&format!("{}…\ttest\tlast used: never", &program.key[..9])), "{before}");
    assert!(deleted.status.success());
    assert_eq!(list(), "");
    assert_eq!(program.post(&one("hi")).await.status(), 401);
    assert!(!app.home.command(&["key", "new", "nobody"]).status.success());
}

#[tokio::test]
async fn a_cookie_opens_nothing_in_the_api_and_a_key_works_from_any_origin() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let program = Program::new(&app, "ada");

    for route in fireside::web::api_routes() {
        let method = Method::from_bytes(route.method.as_str().as_bytes()).unwrap();
        let path = format!("/v1{}", route.uri.path().replace("<id>", "echo"));
        let with_cookie = ada.request(method.clone(), &path).json(&one("hi")).send().await.unwrap();
        assert_eq!(with_cookie.status(), 401, "{method} {path}");
        assert_eq!(with_cookie.headers()["content-type"], "application/json", "{method} {path}");
    }
    let foreign = program.request(Method::POST, "/v1/chat/completions").json(&one("hi"));
    let foreign =
        foreign.header("Origin", "https://elsewhere.example").header("Sec-Fetch-Site", "cross-site");

    assert_eq!(foreign.send().await.unwrap().status(), 200);
    let page = ada.client.get(format!("{}/account", app.url)).bearer_auth("x");
    assert_eq!(page.send().await.unwrap().status(), 200, "a page goes by its cookie");
    let keyed = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let keyed = keyed.get(format!("{}/account", app.url)).bearer_auth(&program.key);
    assert_eq!(keyed.send().await.unwrap().status(), 303, "a key opens no page");
}

#[tokio::test]
async fn the_password_is_changed_in_place_and_other_browsers_are_signed_out() {
    let app = TestApp::start(ECHO).await;
    let mut ada = app.person("ada").await;
    let elsewhere = Person::new(&app.url, "ada");
    elsewhere.sign_in().await;
    let change = async |old: &str, new: &str| {
        let request = ada.htmx(Method::POST, "/account/password").form(&[("old", old), ("new", new)]);
        request.send().await.unwrap()
    };

    let wrong = change("wrong horse", "battery staple").await;
    let short = change("correct horse ada", "short").await;
    let right = change("correct horse ada", "battery staple").await;

    for refused in [wrong, short] {
        assert_eq!(refused.status(), 422);
        assert_eq!(refused.headers()["hx-retarget"], "#password");
        assert!(refused.text().await.unwrap().contains("role=\"alert\""));
    }
    assert!(right.text().await.unwrap().contains("Your password is changed."));
    assert_eq!(ada.get("/account").await.status(), 200, "this browser goes on");
    assert_eq!(elsewhere.get("/account").await.headers()["location"], "/login?next=%2Faccount");
    ada.password = "battery staple".into();
    assert_eq!(ada.sign_in().await.status(), 303);
}

#[tokio::test]
async fn signing_out_everywhere_else_leaves_this_browser_alone() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let elsewhere = Person::new(&app.url, "ada");
    elsewhere.sign_in().await;

    let page = ada.post("/account/sign-ins/end", &[]).await.text().await.unwrap();

    assert!(page.contains("One other browser is signed out."), "{page}");
    assert_eq!(ada.get("/account").await.status(), 200);
    assert_eq!(elsewhere.get("/account").await.status(), 303);
}
