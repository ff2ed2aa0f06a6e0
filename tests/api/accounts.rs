//! Accounts, sign-ins and the guards around them.

use std::os::unix::fs::PermissionsExt;

use std::time::{Duration, Instant};

use reqwest::{Method, Response};

use crate::support::{ECHO, Person, TestApp};

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
async fn s05_a_weak_password_or_a_bad_name_is_refused_in_place_and_the_name_stays() {
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
async fn s07_signing_out_revokes_the_sign_in_on_the_server() {
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
async fn s10_a_request_from_another_site_changes_nothing() {
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
async fn s12_every_answer_carries_the_security_headers() {
    let app = TestApp::start(ECHO).await;

    for path in ["/login", "/static/app.css", "/nothing", "/healthz"] {
        let answer = reqwest::get(format!("{}{path}", app.url)).await.unwrap();
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
    }
}

#[tokio::test]
async fn s06_guessing_is_slowed_down_and_keeps_its_person_out_of_no_browser_of_theirs() {
    let app = TestApp::start(&format!("{ECHO}[default.accounts]\nfailed_sign_ins_per_minute = 3\n")).await;
    let ada = app.person("ada").await;
    let mut guess = Person::new(&app.url, "ada");
    guess.password = "wrong horse".into();

    let mut wrong = 0;
    let refused = loop {
        let answer = guess.sign_in().await;
        if answer.status() != 422 {
            break answer;
        }
        wrong += 1;
    };
    let form = [("username", "ada"), ("password", "wrong horse")];
    let forged = guess.request(Method::POST, "/login").header("X-Real-IP", "192.0.2.1").form(&form);
    let forged = forged.send().await.unwrap();

    // One more for each 20 seconds that a busy machine takes.
    assert!((3..10).contains(&wrong), "{wrong}");
    assert_eq!((refused.status().as_u16(), forged.status().as_u16()), (429, 429));
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(refused.text().await.unwrap().contains("Too many failed attempts."));
    assert_eq!(ada.get("/").await.status(), 303, "who is signed in stays so");
    ada.post("/logout", &[]).await;
    assert_eq!(ada.sign_in().await.status(), 303, "her browser is known");
}

#[tokio::test]
async fn s03_a_wrong_name_and_a_wrong_password_look_and_last_the_same() {
    let many = "[default.accounts]\nfailed_sign_ins_per_minute = 1000\n";
    let app = TestApp::start(&format!("{ECHO}{many}")).await;
    app.person("ada").await;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let mut seen = Vec::new();

    for _ in 0..15 {
        for (name, times) in [("ada", &mut known), ("eve", &mut unknown)] {
            let mut guess = Person::new(&app.url, name);
            guess.password = "wrong horse".into();
            let start = Instant::now();
            let answer = guess.sign_in().await;
            times.push(start.elapsed());
            let mut headers = answer.headers().clone();
            headers.remove("date");
            let status = answer.status();
            seen.push((status, headers, answer.text().await.unwrap().replace(name, "…")));
        }
    }

    assert_eq!(seen[0].0, 422);
    assert!(seen.iter().all(|answer| *answer == seen[0]), "{seen:?}");
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    };
    let (known, unknown) = (median(&mut known), median(&mut unknown));
    // Without a hash for a name that nobody has, the answer would come fifty times sooner.
    assert!((0.4..2.5).contains(&(known / unknown)), "{known} s and {unknown} s");
}

#[tokio::test]
async fn s04_asking_which_names_are_taken_is_limited_as_making_accounts_is() {
    let few = "[default.accounts]\nregistrations_per_hour = 3\n";
    let app = TestApp::start(&format!("{ECHO}{few}")).await;
    app.person("ada").await;
    app.person("bob").await;
    for name in ["ada", "bob"] {
        assert_eq!(Person::new(&app.url, name).register().await.status(), 422, "taken");
    }

    let refused = Person::new(&app.url, "cat").register().await;

    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    let page = refused.text().await.unwrap();
    assert!(
        page.contains("Too many accounts were made from your address.") && page.contains("cat"),
        "{page}"
    );
}

#[tokio::test]
async fn s05_what_anybody_tries_first_is_refused_and_what_is_long_is_taken_to_the_byte() {
    let app = TestApp::start(ECHO).await;
    let register = async |name: &str, password: &str| {
        let person = Person { password: password.into(), ..Person::new(&app.url, name) };
        let status = person.register().await.status().as_u16();
        (person, status)
    };
    let far_too_long = "x".repeat(1_025);
    for bad in ["short", "password1234", "ada.lovelace", "Fireside2026!", &far_too_long] {
        assert_eq!(register("ada.lovelace", bad).await.1, 422, "{bad}");
    }

    // The last letter is one character, or two that look like it.
    let (composed, decomposed) = (format!("{}é", "ж".repeat(99)), format!("{}e\u{301}", "ж".repeat(99)));
    assert_eq!(composed.len(), 200);
    assert_eq!(register("long", &"0123abcd".repeat(8)).await.1, 303);
    assert_eq!(register("ada", &composed).await.1, 303);
    for (password, status) in [(&*composed, 303), (&decomposed, 422), (composed.trim_end_matches('é'), 422)]
    {
        let again = Person { password: password.into(), ..Person::new(&app.url, "ada") };
        assert_eq!(again.sign_in().await.status(), status, "{password}");
    }
}

#[tokio::test]
async fn s09_cookies_are_for_this_server_alone_and_over_https_for_nobody_else() {
    let app = TestApp::start(ECHO).await;
    let secure = TestApp::start(&format!("{ECHO}[default.accounts]\nsecure_cookie = true\n")).await;
    let plain = Person::new(&app.url, "ada").register().await;
    let prefixed = Person::new(&secure.url, "ada").register().await;

    for (answer, prefix) in [(&plain, ""), (&prefixed, "__Host-")] {
        for name in ["fireside", "fireside-browser"] {
            let cookie = cookie(answer, &format!("{prefix}{name}"));
            let has = |attribute: &str| cookie.split("; ").any(|part| part == attribute);
            assert!(has("HttpOnly") && has("SameSite=Lax") && has("Path=/"), "{cookie}");
            assert_eq!(has("Secure"), !prefix.is_empty(), "{cookie}");
            assert!(!cookie.contains("Domain"), "{cookie}");
        }
    }
}

#[tokio::test]
async fn closed_registration_lets_only_the_first_account_in() {
    let app = TestApp::start(&format!("{ECHO}[default.accounts]\nregistration = \"closed\"\n")).await;
    app.person("ada").await;

    let second = Person::new(&app.url, "bob").register().await;

    assert_eq!(second.status(), 403);
    assert!(second.text().await.unwrap().contains("takes no new accounts"));
}
