//! Guessing at scale: the right person gets in, the memory comes back, and the server goes on answering.

use std::time::{Duration, Instant};

use futures::future::{join_all, select};
use reqwest::{Method, Response};

use crate::support::{ECHO, PATIENCE, Person, TestApp};

/// Addresses that guess, and guesses of each.
const ADDRESSES: usize = 50;
const GUESSES: usize = 20;

/// What may stay resident of the memory that hashing took.
const MAY_STAY: u64 = 64 << 20;

/// How soon the memory is back.
const MINUTE: Duration = Duration::from_secs(60);

/// Statuses of a run of wrong passwords for one name from one address.
async fn guess(app: &TestApp, name: &str, address: usize) -> Vec<u16> {
    let guesser = Person::new(&app.url, name);
    let mut statuses = Vec::new();
    for n in 0..GUESSES {
        let form = [("username", name), ("password", &*format!("wrong horse {n}"))];
        statuses.push(from(&guesser, address, &form).await);
    }
    statuses
}

async fn from(person: &Person, address: usize, form: &[(&str, &str)]) -> u16 {
    post_from(person, address, form).await.status().as_u16()
}

async fn post_from(person: &Person, address: usize, form: &[(&str, &str)]) -> Response {
    let request = person.request(Method::POST, "/login").header("X-Real-IP", format!("192.0.2.{address}"));
    request.form(form).send().await.unwrap()
}

/// A server that believes the header of a reverse proxy.
async fn behind_a_proxy() -> TestApp {
    TestApp::start(&format!("[default]\nip_header = \"X-Real-IP\"\n{ECHO}")).await
}

/// How long `/healthz` takes, asked again and again.
async fn keep_asking(app: &TestApp, times: &mut Vec<Duration>) {
    let client = reqwest::Client::new();
    loop {
        let start = Instant::now();
        let answer = client.get(format!("{}/healthz", app.url)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        times.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort();
    times[(times.len() * 99 / 100).min(times.len() - 1)]
}

async fn p99_while(app: &TestApp, work: impl Future<Output = ()>) -> Duration {
    let mut times = Vec::new();
    {
        let asking = std::pin::pin!(keep_asking(app, &mut times));
        select(asking, std::pin::pin!(work)).await;
    }
    p99(&mut times)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b9_a_thousand_wrong_passwords_keep_nobody_out_and_no_memory() {
    let app = behind_a_proxy().await;
    let ada = app.person("ada").await;
    // What this machine does when nobody guesses; others may use it as well.
    let calm = p99_while(&app, tokio::time::sleep(Duration::from_secs(2))).await;
    let before = app.resident_bytes();
    app.forget_peak();
    let start = Instant::now();

    let statuses = std::sync::Mutex::new(Vec::new());
    let attacked = p99_while(&app, async {
        let guesses = join_all((1..=ADDRESSES).map(|address| guess(&app, "ada", address)));
        let right = async {
            // The guesses are under way.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let form = [("username", "ada"), ("password", &*ada.password)];
            from(&Person::new(&app.url, "ada"), 200, &form).await
        };
        let (guessed, signed_in) = tokio::join!(guesses, right);
        eprintln!("the right person: {signed_in}");
        statuses.lock().unwrap().extend(guessed.concat());
        let form = [("username", "ada"), ("password", &*ada.password)];
        let after = from(&Person::new(&app.url, "ada"), 201, &form).await;
        assert_eq!((signed_in, after), (303, 303), "during and after");
    })
    .await;
    let took = start.elapsed();
    let peak = app.peak_bytes().saturating_sub(before);

    let end = Instant::now();
    while app.resident_bytes() > before + MAY_STAY && end.elapsed() < MINUTE {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let stays = app.resident_bytes().saturating_sub(before);
    let statuses = statuses.into_inner().unwrap();
    let count = |status| statuses.iter().filter(|s| **s == status).count();
    eprintln!(
        "{took:?}: {} wrong, {} refused; /healthz p99 {calm:?} before, {attacked:?} meanwhile; \
         peak {} MiB, {} MiB stay after {:?}",
        count(422),
        count(429),
        peak >> 20,
        stays >> 20,
        end.elapsed()
    );
    assert_eq!(count(422) + count(429), ADDRESSES * GUESSES);
    assert!(took < PATIENCE * 3, "{took:?}");
    assert!(stays <= MAY_STAY, "{} MiB stay", stays >> 20);
    assert!(attacked < Duration::from_millis(200) + 4 * calm, "{attacked:?}, {calm:?} before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s02_passwords_that_come_at_once_are_checked_two_at_a_time_and_the_rest_waits_or_is_sent_away() {
    let app = behind_a_proxy().await;
    app.person("ada").await;
    let people: Vec<_> = (1..=200).map(|n| Person::new(&app.url, &format!("user-{n}"))).collect();
    let open = people.iter().map(|person| person.get("/login"));
    assert!(join_all(open).await.iter().all(|answer| answer.status() == 200), "everybody is connected");
    let before = app.resident_bytes();
    app.forget_peak();

    let tries = people.iter().enumerate().map(async |(n, person)| {
        let answer =
            post_from(person, n + 1, &[("username", &person.name), ("password", "wrong horse")]).await;
        let wait = answer.headers().get("retry-after").is_some();
        (answer.status().as_u16(), wait, answer.text().await.unwrap())
    });
    let answers = join_all(tries).await;

    let busy: Vec<_> = answers.iter().filter(|(status, ..)| *status == 503).collect();
    let checked = answers.iter().filter(|(status, ..)| *status == 422).count();
    let grown = app.peak_bytes().saturating_sub(before) >> 20;
    eprintln!("{checked} checked, {} sent away, {grown} MiB more at most", busy.len());
    assert_eq!(checked + busy.len(), people.len());
    assert!(checked >= 64 && !busy.is_empty(), "{checked} of {}", people.len());
    assert!(busy.iter().all(|(_, wait, page)| *wait && page.contains("busy checking passwords")));
    // Two hashes of 19 MiB, and what 200 requests take.
    assert!(grown < 40 + 40, "{grown} MiB");
}
