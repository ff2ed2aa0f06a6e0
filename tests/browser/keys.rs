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

/// Marks what has the focus, and whether one sees that; true when it had been reached before, or nothing has it.
const REACH: &str = "(() => {
    const here = document.activeElement;
    window.reached ??= new Map(); // not on the elements: what arrives in the meantime would take it off them
    if (here === document.body || reached.has(here)) return true;
    const { outlineStyle, outlineWidth } = getComputedStyle(here);
    const seen = here.id === 'message' || (outlineStyle !== 'none' && parseFloat(outlineWidth) > 0);
    reached.set(here, seen);
    return false;
})()";

/// What can be used and was not reached, or did not show it. The scrim only repeats a button beside it, and what
/// cannot be seen is there for keys and programs that fill in passwords.
const MISSED: &str = "[...document.querySelectorAll('a[href], button, input:not([type=hidden]), textarea, select, summary')]
    .filter(it => it.checkVisibility({ visibilityProperty: true }) && !it.disabled && !it.matches('.scrim, .unseen[tabindex=\"-1\"]'))
    .filter(it => !reached.get(it)).map(it => reached.get(it) + ': ' + it.outerHTML.slice(0, 120))";

#[tokio::test]
async fn everything_that_can_be_used_is_reached_with_tab_and_shows_it() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    seat.send("hello").await;
    seat.until_over(2).await;
    let chat: String = window.eval("location.pathname").await;
    let mine = ["/parameters", "/edit", ""].map(|page| format!("{chat}{page}"));
    let others = [
        "/account",
        "/account/parameters",
        "/archive",
        "/conversations",
        "/search?q=hello",
        "/admin/plugins",
    ];
    for page in mine.into_iter().chain(others.map(str::to_owned)) {
        window.goto(&format!("{}{page}", seat.app.url)).await;
        window.until("document.readyState === 'complete'").await;
        // From the top, as if one had just come.
        window.eval::<Value>("(document.activeElement.blur(), document.body.tabIndex = -1, document.body.focus(), document.body.removeAttribute('tabindex'))").await;
        for _ in 0..200 {
            window.tab().await;
            if window.eval::<bool>(REACH).await {
                break;
            }
        }

        assert_eq!(window.eval::<Vec<String>>(MISSED).await, Vec::<String>::new(), "{page}");
    }
    seat.leave().await;
}
