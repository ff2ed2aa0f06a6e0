//! A page of another site whose name leads to this machine (DNS rebinding) gets nothing from the server.

use reqwest::{Method, Response};

use crate::support::{ECHO, Person, TestApp};

/// A request as a browser sends it from a page of `host`, which it takes for this server.
async fn ask(app: &TestApp, host: &str, method: Method, path: &str) -> Response {
    let person = Person::new(&app.url, "eve");
    let request = person.request(method.clone(), path).header("Host", host);
    let form = [("username", "eve"), ("password", "correct horse")];
    let request = if method == Method::POST { request.form(&form) } else { request };
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_name_that_is_not_configured_gets_nothing_and_makes_no_first_administrator() {
    let app = TestApp::start(ECHO).await;

    for (method, path) in [
        (Method::POST, "/register"),
        (Method::GET, "/register"),
        (Method::GET, "/healthz"),
        (Method::GET, "/readyz"),
        (Method::GET, "/static/app.css"),
        (Method::GET, "/nothing"),
        (Method::POST, "/v1/chat/completions"),
        (Method::GET, "/v1/models"),
        (Method::HEAD, "/login"),
        (Method::DELETE, "/account/keys/1"),
    ] {
        let answer = ask(&app, "evil.example:8000", method.clone(), path).await;
        assert_eq!(answer.status(), 421, "{method} {path}");
        assert!(!answer.headers().contains_key("set-cookie"), "{method} {path}");
    }
    assert!(app.home.command(&["user", "list"]).stdout.is_empty());
    let page = ask(&app, "chat.example.org", Method::GET, "/login").await.text().await.unwrap();
    let page = crate::support::unescape(&page);
    assert!(page.contains("This server does not know itself as chat.example.org."), "{page}");
    assert!(page.contains("below [default]: hosts = [\"chat.example.org\"]."), "{page}");
    let json = ask(&app, "chat.example.org", Method::GET, "/v1/models").await;
    let json: serde_json::Value = json.json().await.unwrap();
    assert_eq!(json["error"]["code"], "foreign_host");
    assert_eq!(app.home.log().matches("evil.example").count(), 1, "{}", app.home.log());
}

#[tokio::test]
async fn addresses_the_machines_own_names_and_configured_ones_are_answered() {
    let app = TestApp::start(&format!("[default]\nhosts = [\"chat.example.org\"]\n{ECHO}")).await;
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();

    for host in [
        "localhost:8000",
        "127.0.0.1",
        "[::1]:8000",
        "10.0.0.5:8000",
        &machine,
        "Chat.Example.org",
        "mypc:8000",
    ] {
        assert_eq!(ask(&app, host, Method::GET, "/healthz").await.status(), 200, "{host}");
    }
    for host in ["evil.chat.example.org", "chat.example.org.evil.example", "not a host", "a@evil.example", ""]
    {
        assert_eq!(ask(&app, host, Method::GET, "/healthz").await.status(), 421, "{host}");
    }
}

#[tokio::test]
async fn a_host_that_is_no_name_stops_the_start() {
    let home = crate::support::Home::new(&format!("[default]\nhosts = [\"https://a.example\"]\n{ECHO}"));

    let output = home.command(&[]);

    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "fireside: Rocket.toml: [default] hosts must hold names such as \"chat.example.org\", not \"https://a.example\".\n"
    );
}
