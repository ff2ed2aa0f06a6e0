//! Versions of messages, by mouse and by keyboard.

use serde_json::Value;

use super::looks::inspect;
use super::window::{ENTER, ESCAPE};
use super::{LAST, Seat, Window};

/// What the messages say, one after the other.
async fn shown(window: &Window) -> Vec<String> {
    window.eval("[...document.querySelectorAll('.message .source')].map(it => it.textContent)").await
}

/// Waits until the messages say this.
async fn until_shown(window: &Window, texts: &[&str]) {
    let said =
        "[...document.querySelectorAll('.message .source')].map(it => it.textContent.trim()).join('|')";
    let all = texts.join("|");
    window.until(&format!("{said} === {all:?} && !document.querySelector('[aria-busy]')")).await;
}

/// Opens what can be done with a message, from the first one on.
async fn menu(window: &Window, message: usize) {
    window.click(&format!("#messages > :nth-child({message}) .menu summary")).await;
}

async fn two_exchanges() -> Seat {
    let seat = Seat::echo().await;
    seat.send("first").await;
    seat.until_over(2).await;
    seat.send("second").await;
    seat.until_over(4).await;
    seat
}

#[tokio::test]
async fn a_message_is_edited_in_its_place_and_both_versions_can_be_leafed_through() {
    let seat = two_exchanges().await;
    let window = &seat.window;

    menu(window, 3).await;
    inspect(&seat, "message-menu").await;
    window.keys(ESCAPE).await;
    window.click("#messages > :nth-child(1) .edit").await;
    window.until("document.activeElement.matches('.editing textarea')").await;
    inspect(&seat, "message-edit").await;
    window.eval::<Value>("document.activeElement.setSelectionRange(0, 99)").await;
    window.keys("erste").await;
    window.click(".editing .primary").await;
    until_shown(window, &["erste", "erste"]).await;
    inspect(&seat, "message-versions").await;

    // Here and back again by keyboard: the focus stays where it was.
    let before = "document.querySelector('.versions button:not([aria-disabled])')";
    window.eval::<Value>(&format!("{before}.focus()")).await;
    window.keys(ENTER).await;
    until_shown(window, &["first", "first", "second", "second"]).await;
    let number: String = window.eval("document.querySelector('.versions').innerText").await;
    assert!(number.contains("1/2"), "{number}");
    window.until("document.activeElement.closest('.versions') !== null").await;
    window.eval::<Value>(&format!("{before}.focus()")).await;
    window.keys(ENTER).await;
    until_shown(window, &["erste", "erste"]).await;
    seat.leave().await;
}

#[tokio::test]
async fn editing_can_be_given_up() {
    let seat = two_exchanges().await;
    let window = &seat.window;

    window.click("#messages > :nth-child(1) .edit").await;
    window.until("document.activeElement.matches('.editing textarea')").await;
    window.keys(" nonsense").await;
    window.click(".editing .cancel").await;

    until_shown(window, &["first", "first", "second", "second"]).await;
    seat.leave().await;
}

#[tokio::test]
async fn an_edited_answer_is_written_on_in_its_place() {
    let seat = two_exchanges().await;
    let window = &seat.window;

    menu(window, 4).await;
    window.click("#messages > :nth-child(4) .edit").await;
    window.until("document.activeElement.matches('.editing textarea')").await;
    window.eval::<Value>("document.activeElement.setSelectionRange(0, 99)").await;
    window.keys("The ").await;
    window.click(".editing [name=continue]").await;

    until_shown(window, &["first", "first", "second", "The second"]).await;
    let notes: String = window.eval(&format!("{LAST}.innerText")).await;
    assert!(notes.contains("You edited this answer.") && notes.contains("2/2"), "{notes}");
    seat.leave().await;
}

#[tokio::test]
async fn what_was_deleted_comes_back_with_undo() {
    let seat = two_exchanges().await;
    let window = &seat.window;

    menu(window, 3).await;
    window.click("#messages > :nth-child(3) .danger").await;
    until_shown(window, &["first", "first"]).await;
    inspect(&seat, "message-deleted").await;
    window.click("#alert form button").await;

    until_shown(window, &["first", "first", "second", "second"]).await;
    window.until("!document.querySelector('.alert')").await;
    seat.leave().await;
}

#[tokio::test]
async fn a_message_whose_answer_was_deleted_is_answered_again() {
    let seat = two_exchanges().await;
    let window = &seat.window;

    menu(window, 4).await;
    window.click("#messages > :nth-child(4) .danger").await;
    until_shown(window, &["first", "first", "second"]).await;
    window.click("#messages > :last-child .unanswered").await;

    until_shown(window, &["first", "first", "second", "second"]).await;
    seat.leave().await;
}

#[tokio::test]
async fn a_conversation_goes_on_in_a_new_one_from_a_message_on() {
    let seat = two_exchanges().await;
    let window = &seat.window;
    let address: String = window.eval("location.pathname").await;

    menu(window, 2).await;
    window.click("#messages > :nth-child(2) [formaction$=fork]").await;

    until_shown(window, &["first", "first"]).await;
    assert_ne!(window.eval::<String>("location.pathname").await, address);
    assert_eq!(window.eval::<usize>("document.querySelectorAll('.conversation').length").await, 2);
    assert_eq!(shown(window).await.len(), 2);
    seat.leave().await;
}

#[tokio::test]
async fn a_menu_closes_with_escape_and_with_a_click_elsewhere() {
    let seat = two_exchanges().await;
    let window = &seat.window;
    menu(window, 4).await;
    window.until("document.querySelector('.menu[open]')").await;

    window.keys(ESCAPE).await;
    window.until("!document.querySelector('.menu[open]') && document.activeElement.matches('summary')").await;
    menu(window, 4).await;
    window.until("document.querySelector('.menu[open]')").await;
    window.click("#message").await;
    window.until("!document.querySelector('.menu[open]')").await;
    seat.leave().await;
}
