//! One message and its reply, in the hands of an impatient person.

use serde_json::{Value, json};

use super::window::{ENTER, SHIFT};
use super::{LAST, Seat, script};

#[tokio::test]
async fn a_reload_in_the_middle_loses_and_doubles_nothing() {
    let seat = Seat::echo().await;
    seat.send(&script(&["one ", "two ", "three "], 40, 20)).await;
    seat.window.until("document.querySelector('[aria-busy] .source')?.textContent.length > 60").await;

    seat.window.reload().await;
    seat.window.until("document.querySelector('[aria-busy] .source')?.textContent.length > 120").await;
    seat.until_over(2).await;

    assert_eq!(seat.last_text().await.trim_end(), "one two three ".repeat(40).trim_end());
    seat.leave().await;
}

#[tokio::test]
async fn stop_keeps_the_text_so_far_and_retry_writes_it_anew() {
    let seat = Seat::echo().await;
    seat.send(&script(&["coal "], 200, 20)).await;
    seat.window.until("document.querySelector('[aria-busy] .source')?.textContent.length > 30").await;

    seat.window.click("[aria-busy] .foot button").await;
    seat.until_over(2).await;
    let kept = seat.last_text().await;
    assert!(kept.starts_with("coal coal") && kept.len() < 900, "{kept}");
    assert!(seat.window.eval::<bool>(&format!("{LAST}.matches('.stopped')")).await);

    let stopped: String = seat.window.eval(&format!("{LAST}.id")).await;
    seat.window.click(".retry").await;
    seat.window.until("document.querySelector('[aria-busy] .source')?.textContent.length > 30").await;
    assert_ne!(seat.window.eval::<String>(&format!("{LAST}.id")).await, stopped);
    seat.until_over(2).await;
    assert_eq!(seat.last_text().await.trim_end(), "coal ".repeat(200).trim_end());
    seat.leave().await;
}

#[tokio::test]
async fn a_failed_reply_says_why_and_offers_retry() {
    let seat = Seat::echo().await;

    seat.send(&json!({ "pieces": ["half"], "fail": "The wood was wet." }).to_string()).await;
    seat.until_over(2).await;

    let note: String = seat.window.eval(&format!("{LAST}.querySelector('.note.failed').textContent")).await;
    assert!(note.contains("The wood was wet."), "{note}");
    seat.window.until("document.querySelector('.retry').checkVisibility()").await;
    seat.leave().await;
}

#[tokio::test]
async fn what_a_refused_message_said_stays_in_the_box() {
    let seat = Seat::echo().await;
    seat.send(&script(&["slow "], 500, 20)).await;
    seat.window.until("document.querySelector('[aria-busy]')").await;
    assert_eq!(seat.window.eval::<String>("document.querySelector('#message').value").await, "");

    for waiting in 1..=3 {
        seat.send("Are you done?").await;
        seat.window.until(&format!("document.querySelectorAll('.queued').length === {waiting}")).await;
    }
    seat.send("Well?").await;
    seat.window.until("document.querySelector('#alert .alert')").await;

    assert_eq!(seat.window.eval::<String>("document.querySelector('#message').value").await, "Well?");
    assert_eq!(seat.window.eval::<usize>("document.querySelectorAll('.message').length").await, 5);
    seat.window.click("[data-dismiss]").await;
    seat.window.until("!document.querySelector('.alert')").await;
    let console = seat.window.console().await;
    assert!(console.iter().all(|line| line.contains("422")), "{console:?}");
}

#[tokio::test]
async fn shift_and_enter_break_the_line_and_a_second_enter_sends_nothing_twice() {
    let seat = Seat::echo().await;

    seat.window.keys(&format!("first{SHIFT}{ENTER}{SHIFT}second{ENTER}{ENTER}")).await;
    seat.until_over(2).await;

    assert_eq!(seat.last_text().await, "first\nsecond");
    seat.leave().await;
}

#[tokio::test]
async fn a_draft_waits_while_another_conversation_is_open() {
    let seat = Seat::echo().await;
    let first: String = seat.window.eval("location.pathname").await;
    seat.send("hello").await;
    seat.until_over(2).await;
    seat.window.keys("unfinished").await;

    seat.window.click("#new-conversation").await;
    seat.window.until(&format!("location.pathname !== '{first}'")).await;
    assert_eq!(seat.window.eval::<String>("document.querySelector('#message').value").await, "");
    seat.window.click(&format!("a[href='{first}']")).await;

    seat.window.until("document.querySelector('#message').value === 'unfinished'").await;
    seat.leave().await;
}

#[tokio::test]
async fn a_tab_that_was_open_before_finds_the_reply_when_it_gets_the_focus() {
    let seat = Seat::echo().await;
    let address: String = seat.window.eval("location.pathname").await;
    // The same page a second time, in a frame of its own making: what another device sent.
    let send = format!(
        "fetch('{address}/messages', {{ method: 'POST', body: new URLSearchParams({{ message: {} }}) }}).then(() => 1)",
        json!(script(&["late "], 60, 20))
    );
    seat.window.eval::<Value>(&send).await;
    assert!(!seat.window.eval::<bool>("!!document.querySelector('.message')").await);

    seat.window.eval::<Value>("window.dispatchEvent(new Event('focus'))").await;
    seat.window.until("document.querySelector('[aria-busy] .source')?.textContent.length > 20").await;
    seat.window.eval::<Value>("window.dispatchEvent(new Event('focus'))").await;
    seat.until_over(2).await;

    assert_eq!(seat.last_text().await.trim_end(), "late ".repeat(60).trim_end());
    seat.leave().await;
}

#[tokio::test]
async fn the_page_follows_the_text_until_the_reader_scrolls_up() {
    const BELOW: &str =
        "(s => s.scrollHeight - s.scrollTop - s.clientHeight)(document.querySelector('#scroller'))";
    let seat = Seat::echo().await;
    seat.send(&script(&["a line\n\n"], 200, 10)).await;
    seat.window.until("document.querySelectorAll('[aria-busy] .rendered p').length > 40").await;
    assert!(seat.window.eval::<f64>(BELOW).await < 50.0);

    seat.window.eval::<Value>("document.querySelector('#scroller').scrollBy(0, -300)").await;
    seat.window.until("document.querySelector('#latest').checkVisibility()").await;
    let top: f64 = seat.window.eval("document.querySelector('#scroller').scrollTop").await;
    seat.until_over(2).await;
    assert_eq!(seat.window.eval::<f64>("document.querySelector('#scroller').scrollTop").await, top);

    seat.window.click("#latest").await;
    seat.window.until(&format!("{BELOW} < 5 && !document.querySelector('#latest').checkVisibility()")).await;
    seat.leave().await;
}

#[tokio::test]
async fn a_message_sent_while_a_reply_runs_waits_below_it_and_is_answered_by_itself() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    seat.send(&script(&["slow "], 60, 20)).await;
    window.until("document.querySelector('[aria-busy]')").await;

    seat.send("Are you done?").await;
    window.until("document.querySelector('.queued')").await;
    assert_eq!(window.eval::<String>("document.querySelector('#message').value").await, "");
    super::looks::inspect(&seat, "queued").await;
    seat.until_over(4).await;

    window.until("!document.querySelector('.queued')").await;
    assert_eq!(seat.last_text().await, "Are you done?");
    seat.leave().await;
}
