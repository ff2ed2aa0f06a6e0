//! The page of one's own account.

use super::Seat;
use super::looks::inspect;
use super::support::program::{Program, content, one};
use super::window::ENTER;

/// Opens the page by the person's name at the foot of the sidebar.
async fn open(seat: &Seat) {
    seat.window.click(".person .who").await;
    seat.window.until("location.pathname === '/account' && window.htmx").await;
}

#[tokio::test]
async fn a_key_is_made_copied_used_and_deleted() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    open(&seat).await;

    window.click("#key-name").await;
    window.keys(&format!("my editor{ENTER}")).await;
    window.until("document.querySelector('.secret code')").await;
    let key: String = window.eval("document.querySelector('.secret code').textContent").await;
    window.click("[data-copy]").await;
    window.until("document.querySelector('[data-copy]').textContent === 'Copied'").await;
    let program = Program { key, url: seat.app.url.clone(), client: reqwest::Client::new() };
    let answer = program.ask(one("hello from a program")).await;

    assert_eq!(content(&answer), "hello from a program");
    window.reload().await;
    window.until("document.querySelector('.keys-list')?.textContent.includes('last used')").await;
    assert!(!window.eval::<String>("document.documentElement.outerHTML").await.contains(&program.key));

    // Delete: first not, then yes.
    window.until("window.htmx").await;
    window.click(".keys-list button").await;
    window.click("#confirm button[value='']").await;
    window.click(".keys-list button").await;
    window.click("#confirm .danger").await;
    window.until("!document.querySelector('.keys-list')").await;
    window.until("document.activeElement.id === 'key-name'").await;
    assert_eq!(program.post(&one("hello")).await.status(), 401);
    seat.leave().await;
}

#[tokio::test]
async fn a_conversation_is_downloaded_and_taken_over_again() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    seat.send("to be kept").await;
    seat.until_over(2).await;
    let download =
        "fetch(document.querySelector('.bar a[href$=\".json\"][download]').href).then(it => it.text())";
    let file = seat.app.home.path().join("conversation.json");
    std::fs::write(&file, window.promised::<String>(download).await).unwrap();
    open(&seat).await;

    window.resize(390, 844, false).await;
    window.fill("#import", &file.to_string_lossy()).await;
    window.click("#data form button").await;

    window.until("document.querySelector('#data .form-done')?.textContent.includes('2 messages')").await;
    // On a phone too it is in sight, and whoever hears the page hears it.
    let told = "document.activeElement.matches('#data .form-done') && document.activeElement.textContent.includes('here already')";
    window.until(told).await;
    let place = "document.activeElement.getBoundingClientRect()";
    assert!(window.eval::<bool>(&format!("{place}.top >= 0 && {place}.bottom <= innerHeight")).await);
    window.picture("account-taken-over").await;
    window.resize(1280, 800, false).await;
    window.click("#data .form-done a").await;
    window.until("document.querySelectorAll('.conversation').length === 2").await;
    // Another file is refused where it was chosen.
    std::fs::write(&file, "{}").unwrap();
    open(&seat).await;
    window.fill("#import", &file.to_string_lossy()).await;
    window.click("#data form button").await;
    window
        .until("document.querySelector('#data .form-error')?.textContent.includes('no file of Fireside')")
        .await;
    let console = window.console().await;
    assert!(
        console.iter().all(|line| line.contains("/account/import") && line.contains("422")),
        "{console:?}"
    );
}

#[tokio::test]
async fn a_password_is_changed_in_place() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    open(&seat).await;

    window.click("#old").await;
    window.keys("wrong horse").await;
    window.click("#new").await;
    window.keys(&format!("battery staple{ENTER}")).await;
    window
        .until("document.querySelector('#password [role=alert]')?.textContent.includes('not your current')")
        .await;
    window.console().await; // Chromium logs every 422.
    window.click("#old").await;
    window.keys("correct horse ada").await;
    window.click("#new").await;
    window.keys(&format!("battery staple{ENTER}")).await;
    window.until("document.querySelector('#password [role=status]')").await;

    window.reload().await;
    assert_eq!(window.eval::<String>("location.pathname").await, "/account", "still signed in");
    seat.leave().await;
}

#[tokio::test]
async fn the_page_is_readable_at_each_size_in_light_and_dark() {
    let seat = Seat::echo().await;
    Program::new(&seat.app, "ada");
    open(&seat).await;
    inspect(&seat, "account").await;
    seat.window.click("#key-name").await;
    seat.window.keys(&format!("a program with a name that is rather long for one line{ENTER}")).await;
    seat.window.until("document.querySelector('.secret code') && (scrollTo(0, 0), true)").await;
    inspect(&seat, "account-key").await;
    seat.window.click("#sign-ins button").await;
    seat.window.until("document.querySelector('#sign-ins [role=status]')").await;
    inspect(&seat, "account-signed-out").await;
    seat.leave().await;
}
