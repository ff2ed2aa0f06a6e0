//! The parameters of a conversation, by keyboard; presets; a person's own defaults.

use serde_json::Value;

use super::Seat;
use super::looks::inspect;
use super::plain::until_text;
use super::window::{ENTER, Window};

/// Clicks what a person would first bring into sight: the driver stops at the button that stays at the bottom.
async fn click(window: &Window, selector: &str) {
    window.until(&format!("document.querySelector({selector:?})?.checkVisibility()")).await;
    let center = format!("document.querySelector({selector:?}).scrollIntoView({{ block: 'center' }})");
    window.eval::<Value>(&center).await;
    window.click(selector).await;
}

/// Replaces what stands in a field.
async fn fill(window: &Window, selector: &str, text: &str) {
    click(window, selector).await;
    window.eval::<Value>(&format!("document.querySelector({selector:?}).select()")).await;
    window.keys(text).await;
}

fn from(key: &str, origin: &str) -> String {
    format!("document.querySelector('#set-{key}-from')?.textContent.includes('From {origin}.')")
}

#[tokio::test]
async fn a_parameter_is_set_taken_back_and_kept_as_a_preset() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    window.click("#to-parameters").await;
    window.until(&format!("window.htmx && {}", from("temperature", "the server\\'s configuration"))).await;
    inspect(&seat, "parameters").await;

    // By keyboard: the field, then Enter.
    fill(window, "#set-temperature", &format!("0.2{ENTER}")).await;
    window.until(&from("temperature", "this conversation")).await;
    window.until("document.querySelector('#parameters .form-done')?.textContent.includes('Saved')").await;
    fill(window, "#set-prefill", "So: ").await;
    fill(window, "#preset", &format!("Cool & short{ENTER}")).await;
    window.until("document.querySelector('.chips button')?.textContent === 'Cool & short'").await;
    window.until(&from("prefill", "this conversation")).await;
    inspect(&seat, "parameters-set").await;

    click(window, "#set-temperature-from [name=reset]").await;
    window.until(&from("temperature", "the server\\'s configuration")).await;
    click(window, ".chips button").await;
    window.until(&from("temperature", "this conversation")).await;
    assert_eq!(window.eval::<String>("document.querySelector('#set-temperature').value").await, "0.2");

    fill(window, "#set-top_k", &format!("many{ENTER}")).await;
    window.until("document.querySelector('#set-top_k-error')?.textContent.includes('whole number')").await;
    window.until("document.activeElement.id === 'set-top_k'").await;
    inspect(&seat, "parameters-wrong").await;
    window.console().await; // Chromium logs every 422.

    click(window, ".back").await;
    window.until("document.querySelector('#message')").await;
    seat.send("fire").await;
    seat.until_over(2).await;
    assert_eq!(seat.last_text().await, "So: fire");
    inspect(&seat, "chat-with-parameters").await;
    seat.leave().await;
}

#[tokio::test]
async fn a_persons_defaults_and_presets_are_looked_after_on_a_page_of_their_own() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    window.click("#to-parameters").await;
    window.until("window.htmx && document.querySelector('#preset')").await;
    fill(window, "#preset", &format!("Mild{ENTER}")).await;
    window.until("document.querySelector('.chips')").await;

    window.goto(&format!("{}/account", seat.app.url)).await;
    window.click("a[href='/account/parameters']").await;
    window.until("window.htmx && document.querySelector('#presets .field')").await;
    fill(window, "#set-top_p", &format!("0.5{ENTER}")).await;
    window.until(&from("top_p", "your defaults")).await;
    fill(window, "#presets .field", &format!("Gentle{ENTER}")).await;
    window.until("document.querySelector('#presets').textContent.includes('“Gentle”')").await;
    window.eval::<Value>("document.querySelector('#presets').scrollIntoView()").await;
    inspect(&seat, "parameters-own").await;
    click(window, "#presets .icon-only[title=Delete]").await;
    window.click("#confirm .danger").await;
    window.until("document.querySelector('#presets').textContent.includes('You have none yet')").await;
    window.until("document.activeElement.id === 'presets-title'").await;

    window.back().await;
    window.goto(&seat.app.url).await;
    window.click("#to-parameters").await;
    window.until(&from("top_p", "your defaults")).await;
    seat.leave().await;
}

#[tokio::test]
async fn it_works_without_scripts() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    window.without_scripts().await;
    let path: String = window.eval("location.pathname").await;
    window.goto(&format!("{}{path}/parameters", seat.app.url)).await;
    window.fill("#set-temperature", "0.2").await;
    window.fill("#preset", "Cool").await;
    window.press(".save").await;
    until_text(window, "Saved, and kept as a preset.").await;
    window.press(".chips button").await;
    until_text(window, "The preset is applied.").await;
    seat.leave().await;
}
