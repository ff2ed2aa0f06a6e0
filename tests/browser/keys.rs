//! What the keyboard does.

use super::looks::inspect;
use super::window::{ARROW_UP, ENTER, ESCAPE, Window};
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

/// Presses Tab until what is meant has the focus, then Enter.
async fn press(window: &Window, selector: &str) {
    for _ in 0..100 {
        if window.eval::<bool>(&format!("document.activeElement.matches({selector:?})")).await {
            return window.keys(ENTER).await;
        }
        window.tab().await;
    }
    panic!("Tab does not come to {selector}");
}

#[tokio::test]
async fn whoever_has_no_mouse_signs_in_talks_and_keeps_house() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    press(window, ".person button").await;
    window.until("document.activeElement.id === 'username'").await;
    window.keys("ada").await;
    window.tab().await;
    window.keys(&format!("correct horse ada{ENTER}")).await;
    window.until("document.activeElement.id === 'message'").await;
    window.keys(&format!("a fire{ENTER}")).await;
    seat.until_over(2).await;

    // A reply: its menu, another version, and back.
    press(window, ".assistant .menu > summary").await;
    window
        .until("document.querySelector('.assistant .menu[open] .took')?.textContent.includes('written')")
        .await;
    window.keys(ESCAPE).await;
    window.until("!document.querySelector('.menu[open]') && document.activeElement.matches('summary')").await;
    press(window, ".assistant .retry").await;
    window
        .until("document.querySelector('.assistant:not([aria-busy]) .versions')?.textContent.includes('2/2')")
        .await;
    press(window, ".assistant [id^=previous-of]").await;
    window.until("document.querySelector('.assistant .versions').textContent.includes('1/2')").await;
    window.until("document.activeElement.id.startsWith('previous-of')").await;
    press(window, ".assistant [id^=next-of]").await;
    window.until("document.querySelector('.assistant .versions').textContent.includes('2/2')").await;

    // A conversation: renamed, pinned, archived, taken back, deleted. The focus stays with it.
    let at_it = "document.activeElement.id.startsWith('change-')";
    press(window, "[aria-current] ~ .button").await;
    window.until("document.activeElement.matches('.rename .field')").await;
    window.keys(&format!("Embers{ENTER}")).await;
    window.until(&format!("document.title.startsWith('Embers') && {at_it}")).await;
    window.keys(ENTER).await;
    window.until("document.activeElement.matches('.rename .field')").await;
    press(window, ".shelves [value=pinned]").await;
    window
        .until(&format!("document.querySelector('#conversations h2').textContent === 'Pinned' && {at_it}"))
        .await;
    window.keys(ENTER).await;
    window.until("document.activeElement.matches('.rename .field')").await;
    press(window, ".shelves [value=archived]").await;
    window
        .until("document.querySelector('#alert').textContent.includes('“Embers” is in the archive.')")
        .await;
    inspect(&seat, "archived").await;
    press(window, "#alert form button").await;
    window
        .until(&format!("document.querySelector('#conversations h2').textContent === 'Pinned' && {at_it}"))
        .await;
    assert_eq!(window.eval::<String>("document.querySelector('#alert').textContent").await, "");
    let address: String = window.eval("location.pathname").await;
    window.keys(ENTER).await;
    window.until("document.activeElement.matches('.rename .field')").await;
    inspect(&seat, "conversation-edit").await;
    press(window, ".conversation [hx-delete]").await;
    window.until("document.querySelector('#confirm').open").await;
    press(window, "#confirm .danger").await;
    window.until(&format!("location.pathname !== '{address}' && !document.querySelector('.message')")).await;
    seat.leave().await;
}
