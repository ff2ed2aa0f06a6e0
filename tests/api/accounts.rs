//! Accounts, sign-ins and the guards around them.

use std::os::unix::fs::PermissionsExt;

use reqwest::{Method, Response};

use crate::support::{ECHO, Home, Person, TestApp};

/// A cookie that an answer sets, with its attributes.
fn cookie(answer: &Response, name: &str) -> String {
    let mut cookies = answer.headers().get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
    cookies.find(|cookie| cookie.starts_with(&format!("{name}="))).expect("a cookie").to_owned()
}

#[tokio::test]
async fn the_first_account_is_the_administrator_and_names_are_unique_regardless_of_case() {
    let app = TestApp::start(ECHO).await;
    app.person("Ada").await;
    app.person("bob").await;

    let twin = Person::new(&app.url, "aDA").register().await;

    assert_eq!(twin.status(), 422);
    let list = String::from_utf8(app.home.command(&["user", "list"]).stdout).unwrap();
    let roles: Vec<_> =
        list.lines().map(|line| line.split('\t').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(roles, ["Ada administrator", "bob user"]);
}

#[tokio::test]
async fn a_weak_password_or_a_bad_name_is_refused_in_place_and_the_name_stays() {
    let app = TestApp::start(ECHO).await;
    let mut ada = Person::new(&app.url, "ada.lovelace");
    ada.password = "short".into();

    let answer = ada.register().await;

    assert_eq!(answer.status(), 422);
    let page = answer.text().await.unwrap();
    assert!(page.contains("at least 10 characters") && page.contains("ada.lovelace"), "{page}");
    assert!(!page.contains("short\""), "a password never comes back");
    assert_eq!(Person::new(&app.url, "a b").register().await.status(), 422);
}

#[tokio::test]
async fn signing_in_leads_back_to_the_page_that_was_asked_for() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let again = Person::new(&app.url, "ada");

    let asked = again.get(&format!("/c/{conversation}")).await;
    let next = format!("/c/{conversation}");
    let form = [("username", "ADA"), ("password", &*again.password), ("next", &*next)];
    let answer = again.post("/login", &form).await;

    assert_eq!(asked.headers()["location"], format!("/login?next=%2Fc%2F{conversation}"));
    assert_eq!(answer.status(), 303);
    assert_eq!(answer.headers()["location"], next.as_str());
    assert_eq!(again.get(&next).await.status(), 200);
}

#[tokio::test]
async fn a_next_that_leads_elsewhere_is_ignored() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;

    for elsewhere in ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"] {
        let form = [("username", "ada"), ("password", &*ada.password), ("next", elsewhere)];
        let answer = Person::new(&app.url, "ada").post("/login", &form).await;
        assert_eq!(answer.headers()["location"], "/", "{elsewhere}");
    }
}

#[tokio::test]
async fn signing_out_revokes_the_sign_in_on_the_server() {
    let app = TestApp::start(ECHO).await;
    let ada = Person::new(&app.url, "ada");
    let answer = ada.register().await;
    let cookie = cookie(&answer, "fireside").split(';').next().unwrap().to_owned();
    let with_old_cookie = |path: &str| {
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap()
            .get(format!("{}{path}", app.url))
            .header("Cookie", cookie.clone())
            .send()
    };
    assert_eq!(
        with_old_cookie("/").await.unwrap().headers()["location"].to_str().unwrap().get(..3),
        Some("/c/")
    );

    ada.post("/logout", &[]).await;

    let stolen = with_old_cookie("/").await.unwrap();
    assert!(stolen.headers()["location"].to_str().unwrap().starts_with("/login"));
    assert_eq!(
        ada.request(Method::GET, "/logout").send().await.unwrap().status(),
        404,
        "GET changes nothing"
    );
}

#[tokio::test]
async fn people_stay_signed_in_over_a_restart_because_the_key_is_kept_private() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    let app = app.kill_and_restart().await;
    let ada = Person { url: app.url.clone(), ..ada };

    assert_eq!(ada.get(&format!("/c/{conversation}")).await.status(), 200);
    for file in ["data/secret.key", "data/fireside.db"] {
        let mode = std::fs::metadata(app.home.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_forged_cookie_is_nobody() {
    let app = TestApp::start(ECHO).await;
    app.person("ada").await;

    let answer = Person::new(&app.url, "eve")
        .request(Method::GET, "/")
        .header("Cookie", "fireside=00000000000000000000000000000000")
        .send()
        .await
        .unwrap();

    assert!(answer.headers()["location"].to_str().unwrap().starts_with("/login"));
}

#[tokio::test]
async fn a_request_from_another_site_changes_nothing() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let path = format!("/c/{conversation}");
    let from = |headers: &[(&str, &str)], method: Method| {
        let mut request = ada.client.request(method, format!("{}{path}", app.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.form(&[("title", "taken over"), ("_method", "put")]).send()
    };

    let foreign: [&[(&str, &str)]; 4] = [
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Origin", "http://evil.example")],
        &[],
    ];
    for headers in foreign {
        for method in [Method::PUT, Method::POST, Method::DELETE] {
            assert_eq!(from(headers, method.clone()).await.unwrap().status(), 403, "{method} {headers:?}");
        }
    }
    assert!(!ada.page(&path).await.contains("taken over"));
    let own = [("Origin", app.url.as_str())];
    assert_eq!(from(&own, Method::PUT).await.unwrap().status(), 303);
    assert!(ada.page(&path).await.contains("taken over"));
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let app = TestApp::start(ECHO).await;

    for path in ["/login", "/static/app.css", "/nothing", "/healthz"] {
        let answer = reqwest::get(format!("{}{path}", app.url)).await.unwrap();
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
    }
}

#[tokio::test]
async fn guessing_passwords_is_slowed_down() {
    let app = TestApp::start(&format!("{ECHO}[default.accounts]\nfailed_sign_ins_per_minute = 3\n")).await;
    let ada = app.person("ada").await;
    let mut guess = Person::new(&app.url, "ada");
    guess.password = "wrong horse".into();

    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(guess.sign_in().await.status().as_u16());
    }

    assert_eq!(statuses, [422, 422, 422, 429, 429]);
    assert!(guess.sign_in().await.headers().contains_key("retry-after"));
    assert_eq!(ada.get("/").await.status(), 303, "who is signed in stays so");
}

#[tokio::test]
async fn closed_registration_lets_only_the_first_account_in() {
    let app = TestApp::start(&format!("{ECHO}[default.accounts]\nregistration = \"closed\"\n")).await;
    app.person("ada").await;

    let second = Person::new(&app.url, "bob").register().await;

    assert_eq!(second.status(), 403);
    assert!(second.text().await.unwrap().contains("takes no new accounts"));
}

#[tokio::test]
async fn a_forgotten_password_is_reset_on_the_command_line() {
    let app = TestApp::start(ECHO).await;
    let mut ada = app.person("ada").await;

    let printed = String::from_utf8(app.home.command(&["user", "reset-password", "ada"]).stdout).unwrap();

    ada.password = printed.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(ada.get("/").await.headers()["location"].to_str().unwrap().starts_with("/login"), "signed out");
    assert_eq!(ada.sign_in().await.status(), 303);
}

#[tokio::test]
async fn an_account_is_promoted_and_deleted_on_the_command_line() {
    let app = TestApp::start(ECHO).await;
    app.person("ada").await;
    let bob = app.person("bob").await;

    assert!(app.home.command(&["user", "promote", "Bob"]).status.success());
    let list = String::from_utf8(app.home.command(&["user", "list"]).stdout).unwrap();
    assert!(list.contains("bob\tadministrator"), "{list}");
    assert!(app.home.command(&["user", "delete", "bob"]).status.success());
    assert!(bob.get("/").await.headers()["location"].to_str().unwrap().starts_with("/login"));
    let unknown = app.home.command(&["user", "delete", "bob"]);
    assert!(!unknown.status.success() && !unknown.stderr.is_empty());
}

#[tokio::test]
async fn a_backup_of_a_running_server_is_private_and_whole() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    ada.ask(&conversation, "keep this safe").await;

    let made = app.home.command(&["backup", "copy.db"]);
    let again = app.home.command(&["backup", "copy.db"]);

    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(!again.status.success(), "an existing file is never overwritten");
    let copy = app.home.path().join("copy.db");
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let restored = Home::new(ECHO);
    std::fs::create_dir(restored.path().join("data")).unwrap();
    std::fs::copy(copy, restored.path().join("data/fireside.db")).unwrap();
    let restored = TestApp::start_in(restored).await;
    let ada = Person::new(&restored.url, "ada");
    ada.sign_in().await;
    assert!(ada.page(&format!("/c/{conversation}")).await.contains("keep this safe"));
}
