//! What the keyboard does.

use super::looks::inspect;
use super::window::{ARROW_UP, ESCAPE};
use super::{Seat, script};
use serde_json::Value;

#[tokio::test]
async fn arrow_up_in_the_empty_box_edits_the_last_message() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    seat.send("first").await;
    seat.until_over(2).await;
    seat.send("second").await;
    seat.until_over(4).await;

    window.keys(ARROW_UP).await;

    window.until("document.activeElement.matches('.editing textarea')").await;
    assert_eq!(window.eval::<String>("document.activeElement.value").await, "second");
    seat.leave().await;
}

#[tokio::test]
async fn a_question_mark_shows_the_keys_and_they_do_what_they_say() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    let press = async |init: &str| {
        let event = format!("new KeyboardEvent('keydown', {{ bubbles: true, cancelable: true, {init} }})");
        window.eval::<bool>(&format!("document.activeElement.dispatchEvent({event})")).await
    };
    seat.send(&script(&["slow "], 500, 20)).await;
    window.until("document.querySelector('[aria-busy]')").await;

    assert!(press("key: '?'").await, "in the message box it is a character");
    window.eval::<Value>("document.activeElement.blur()").await;
    press("key: '?'").await;
    window.until("document.querySelector('#shortcuts').open").await;
    inspect(&seat, "shortcuts").await;
    window.keys(ESCAPE).await;
    window.until("!document.querySelector('#shortcuts').open").await;
    window.eval::<Value>("document.activeElement.blur()").await;
    press("key: '/'").await;
    assert_eq!(window.eval::<String>("document.activeElement.id").await, "message");
    press("key: 'ß', code: 'KeyS', altKey: true").await;
    seat.until_over(2).await;
    let address: String = window.eval("location.pathname").await;
    press("key: '˜', code: 'KeyN', altKey: true").await;
    window.until(&format!("location.pathname !== '{address}'")).await;
    seat.leave().await;
}
