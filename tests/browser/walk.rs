//! The main job, with the real model.

use super::support::{TestApp, real_model};
use super::window::{ENTER, ESCAPE, Window};
use super::{LAST, Seat};

#[tokio::test]
async fn a_newcomer_chats_with_the_real_model_and_keeps_house() {
    let toml = format!(
        "[default.llm]\nmodel = {:?}\n[default.generation]\nseed = 7\nmax_tokens = 48\n",
        real_model()
    );
    let seat = Seat::take(&toml).await;
    let window = &seat.window;
    window.until("getComputedStyle(document.querySelector('.greeting')).display === 'grid'").await;

    // The first exchange, and the title that it gives.
    seat.send("Name three colours of a fire.").await;
    window.until("document.querySelector('[aria-busy] .source')?.textContent.length > 10").await;
    seat.until_over(2).await;
    let reply = seat.last_text().await;
    assert!(reply.len() > 10);
    let title = "document.querySelector('[aria-current]').textContent === 'Name three colours of a fire.'";
    window.until(&format!("{title} && document.title.startsWith('Name three')")).await;
    window.reload().await;
    window.until(&format!("{LAST}?.querySelector('.rendered').textContent.length > 10")).await;
    assert_eq!(seat.last_text().await, reply);

    // A second conversation, renamed in place.
    let first: String = window.eval("location.pathname").await;
    window.click("#new-conversation").await;
    window.until(&format!("location.pathname !== '{first}' && !document.querySelector('.message')")).await;
    window.click("[aria-current] ~ .button").await;
    window.until("document.activeElement.matches('.rename .field')").await;
    window.keys(&format!("nonsense{ESCAPE}")).await;
    window.until("document.querySelector('[aria-current]').checkVisibility()").await;
    window.click("[aria-current] ~ .button").await;
    window.until("document.activeElement.matches('.rename .field')").await;
    window.keys(&format!("Embers{ENTER}")).await;
    window.until("document.querySelector('#chat-title').textContent === 'Embers'").await;
    window.until("document.activeElement.previousElementSibling?.textContent === 'Embers'").await;

    // Back, and forward by a link.
    window.back().await;
    window
        .until(&format!(
            "location.pathname === '{first}' && document.querySelectorAll('.message').length === 2"
        ))
        .await;
    window.click("#conversations li:first-child a").await;
    window.until("document.title.startsWith('Embers')").await;

    // Delete: first not, then yes; the neighbour opens.
    window.click("[aria-current] ~ .button").await;
    window.click(".conversation [hx-delete]").await;
    window.click("#confirm button[value='']").await;
    window.click(".conversation [hx-delete]").await;
    window.click("#confirm .danger").await;
    window
        .until(&format!(
            "location.pathname === '{first}' && document.querySelectorAll('.conversation').length === 1"
        ))
        .await;
    assert_eq!(seat.last_text().await, reply);

    window.click(".person button").await;
    window.until("location.pathname === '/login'").await;
    seat.leave().await;
}

#[tokio::test]
async fn signing_in_leads_back_to_the_page_asked_for() {
    let seat = Seat::echo().await;
    let address: String = seat.window.eval("location.href").await;
    let stranger = Window::open().await;

    stranger.goto(&address).await;
    stranger.until("location.pathname === '/login'").await;
    stranger.click("#username").await;
    stranger.keys("ADA").await;
    stranger.click("#password").await;
    stranger.keys(&format!("wrong horse{ENTER}")).await;
    stranger.until("document.querySelector('[role=alert]')").await;
    assert_eq!(stranger.eval::<String>("document.querySelector('#username').value").await, "ADA");
    stranger.keys(&format!("correct horse ada{ENTER}")).await;

    stranger.until(&format!("location.href === '{address}'")).await;
    seat.leave().await;
}

#[tokio::test]
async fn the_page_comes_up_before_the_model_and_names_it_when_it_is_ready() {
    let home = super::support::Home::new(&format!("[default.llm]\nmodel = {:?}\n", real_model()));
    let (app, window) = (TestApp::start_loading(home), Window::open().await);
    let seat = Seat { app, window };

    seat.register("ada").await;

    seat.window.until("document.querySelector('#model.ready')?.textContent.includes('135M')").await;
    seat.leave().await;
}
