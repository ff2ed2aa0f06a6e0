//! The list of commands at the message box.

use super::Seat;
use super::looks::inspect;
use super::support::{ECHO, Home};
use super::window::{ENTER, ESCAPE};

const UP: &str = "\u{E013}";
const DOWN: &str = "\u{E015}";
const BACKSPACE: &str = "\u{E003}";

const OPEN: &str = "[...document.querySelectorAll('#commands:not([hidden]) > :not([hidden])')].map(o => o.dataset.command).join(' ')";
const CHOSEN: &str = "document.querySelector('#commands > [aria-selected=true]')?.id";

#[tokio::test]
async fn a_slash_lists_the_commands_of_shipped_plugins_and_keys_or_a_touch_choose_one() {
    let home = Home::new(ECHO);
    home.add_plugin("examples/memory");
    home.add_plugin("examples/translate");
    let seat = Seat::take_in(home).await;
    let window = &seat.window;
    let value = async || window.eval::<String>("document.querySelector('#message').value").await;

    // Everything, then what begins so; the keyboard goes round.
    window.keys("/").await;
    window.until(&format!("{OPEN} === '/forget /memories /remember /translate'")).await;
    inspect(&seat, "commands").await;
    window.keys(UP).await;
    window.until(&format!("{CHOSEN} === 'command-translate'")).await;
    window.keys(DOWN).await;
    window.keys(DOWN).await;
    window.until(&format!("{CHOSEN} === 'command-memories'")).await;
    let told = "document.querySelector('#message').getAttribute('aria-activedescendant')";
    assert_eq!(window.eval::<String>(told).await, "command-memories");
    window.keys("re").await;
    window.until(&format!("{OPEN} === '/remember'")).await;
    window.keys(ENTER).await;
    window.until(&format!("{OPEN} === ''")).await;
    assert_eq!(value().await, "/remember ");

    // What is behind it is a message; Enter sends it.
    window.keys(&format!("I eat no meat{ENTER}")).await;
    window.until("document.querySelectorAll('.message').length === 2").await;
    assert!(seat.last_text().await.contains("I will remember that."));

    // Escape leaves what was typed, and a touch chooses.
    window.keys("/").await;
    window.until(&format!("{OPEN} !== ''")).await;
    window.keys(ESCAPE).await;
    window.until(&format!("{OPEN} === ''")).await;
    assert_eq!(value().await, "/");
    window.keys("m").await;
    window.click("#command-memories").await;
    window.until("document.activeElement.id === 'message'").await;
    assert_eq!(value().await, "/memories ");

    // A command that is typed whole goes with the first Enter.
    window.keys(BACKSPACE).await;
    window.until(&format!("{OPEN} === '/memories'")).await;
    window.keys(ENTER).await;
    window.until("document.querySelectorAll('.message').length === 4").await;
    assert!(seat.last_text().await.contains("I eat no meat"));
    seat.leave().await;
}
