//! Forms of plugins' settings, and the switches of a conversation.

use serde_json::Value;

use super::Seat;
use super::looks::inspect;
use super::support::{ECHO, Home};
use super::window::{ENTER, Window};

pub const STYLE: &str = r#"const PLUGIN = #{
    name: "House style",
    description: "Asks for the tone of the house.",
    settings: #{
        most: #{ type: "int", "default": 3, min: 1, max: 10, label: "Most sentences" },
        share: #{ type: "float", "default": 0.5, min: 0, max: 1, label: "Share of jokes" },
        tone: #{ type: "choice", "default": "friendly", choices: ["friendly", "formal"], label: "Tone" },
        signed: #{ type: "bool", "default": true, label: "Sign every reply" },
        words: #{ type: "list", "default": ["fire", "hearth"], label: "Words of the house" },
        rules: #{ type: "text", "default": "", label: "Rules of the house" },
        title: #{ type: "string", "default": "Fireside", label: "Name of the house" },
        key: #{ type: "secret", label: "Key of the house" },
    },
    user_settings: #{
        nick: #{ type: "string", "default": "friend", label: "What the model calls you" },
        about: #{ type: "text", "default": "", label: "What it should know about you" },
    },
};
fn on_message(ctx, text) { `${ctx.settings.most} ${ctx.settings.tone} ${ctx.user_settings.nick}: ${text}` }"#;

async fn seat() -> Seat {
    let home = Home::new(ECHO);
    home.write("plugins/style.rhai", STYLE);
    Seat::take_in(home).await
}

/// Replaces what stands in a field.
async fn fill(window: &Window, selector: &str, text: &str) {
    window.click(selector).await;
    window.eval::<Value>(&format!("document.querySelector({selector:?}).select()")).await;
    window.keys(text).await;
}

#[tokio::test]
async fn the_administrator_fills_in_the_form_of_a_plugin_and_takes_a_setting_back() {
    let seat = seat().await;
    let window = &seat.window;
    window.goto(&format!("{}/admin/plugins/style", seat.app.url)).await;
    window.until("window.htmx").await;
    inspect(&seat, "plugin-settings").await;

    fill(window, "#set-style-most", &format!("40{ENTER}")).await;
    window
        .until("document.querySelector('#set-style-most-error')?.textContent.includes('from 1 to 10')")
        .await;
    inspect(&seat, "plugin-settings-wrong").await;
    assert_eq!(window.eval::<String>("document.querySelector('#set-style-most').value").await, "40");
    window.console().await; // Chromium logs every 422.
    fill(window, "#set-style-most", "7").await;
    fill(window, "#set-style-key", "open sesame").await;
    window.click(".plugin-form .save").await;
    window.until("document.querySelector('.form-done')?.textContent.includes('Saved')").await;
    inspect(&seat, "plugin-settings-saved").await;
    assert_eq!(window.eval::<String>("document.querySelector('#set-style-key').value").await, "");
    assert!(
        window
            .eval::<String>("document.querySelector('#set-style-key-from').textContent")
            .await
            .contains("Set")
    );

    window.click("#set-style-most-from [name=reset]").await;
    window.until("document.querySelector('#set-style-most').value === '3'").await;
    window.until("document.querySelector('#set-style-most-from').textContent.includes('Default')").await;
    seat.leave().await;
}

#[tokio::test]
async fn a_person_sets_their_own_and_turns_a_plugin_off_for_one_conversation() {
    let seat = seat().await;
    let window = &seat.window;
    window.goto(&format!("{}/admin/plugins/style", seat.app.url)).await;
    window.until("window.htmx").await;
    window.click(".tick [name=switch][type=checkbox]").await;
    window.click(".plugin-form .save").await;
    window.until("document.querySelector('.form-done')").await;

    window.goto(&format!("{}/account", seat.app.url)).await;
    window.until("window.htmx").await;
    fill(window, "#set-style-nick", &format!("Countess{ENTER}")).await;
    window.until("document.querySelector('#plugins .form-done')").await;
    window.eval::<Value>("document.querySelector('#plugins').scrollIntoView()").await;
    inspect(&seat, "account-plugins").await;
    window.click(".back").await;
    window.until("document.querySelector('#message')").await;
    seat.send("with it").await;
    seat.until_over(2).await;
    assert_eq!(seat.last_text().await, "3 friendly Countess: with it");
    inspect(&seat, "chat-with-plugins").await;

    window.click("#plugins").await;
    window.until("document.querySelector('#switches') && window.htmx").await;
    window.click("#switches [type=checkbox]").await;
    window.click("#switches .save").await;
    window.until("document.querySelector('#switches .form-done')").await;
    inspect(&seat, "switches").await;
    window.click(".back").await;
    window.until("document.querySelectorAll('.message').length === 2").await;
    seat.send("without it").await;
    seat.until_over(4).await;
    assert_eq!(seat.last_text().await, "without it");
    seat.leave().await;
}
