//! The name that a plugin gives a conversation, on a page that is open.

use super::Seat;
use super::support::{ECHO, Home};
use super::window::ESCAPE;

/// Asks the scripted model, which takes its time.
const SLOW: &str = r#"const PLUGIN = #{ capabilities: ["llm"] };
fn on_title(ctx, messages) { llm_generate(`{"pieces": ["Embers and ash"], "delay_ms": 1500}`) }"#;

#[tokio::test]
async fn the_name_appears_without_a_reload_and_leaves_alone_what_is_being_typed() {
    let home = Home::new(&format!("{ECHO}[default.plugins]\ngrants = {{ slow = [\"llm\"] }}\n"));
    home.write("plugins/slow.rhai", SLOW);
    let seat = Seat::take_in(home).await;
    let window = &seat.window;

    seat.send("hello").await;
    seat.until_over(2).await;
    window.click("[aria-current] ~ .button").await;
    window.until("document.activeElement.matches('.rename .field')").await;
    window.keys("Mine").await;

    window.until("document.querySelector('#chat-title').textContent === 'Embers and ash'").await;
    window.until("document.title.startsWith('Embers and ash')").await;
    window.until("!document.querySelector('[hx-get$=\"/name\"]')").await;
    let typed = "document.querySelector('.rename .field').value";
    assert_eq!(window.eval::<String>(typed).await, "Mine");
    window.picture("title-1280-light").await;

    // Whoever renames it now begins with the name that it has.
    window.keys(ESCAPE).await;
    window.until("document.querySelector('[aria-current]')?.textContent === 'Embers and ash'").await;
    window.click("[aria-current] ~ .button").await;
    window.until("document.activeElement.matches('.rename .field')").await;
    assert_eq!(window.eval::<String>(typed).await, "Embers and ash");

    // Back from another window, the list is brought up to date around it.
    window.keys("Mine after all").await;
    window.run("document.addEventListener('htmx:after:swap', () => window.swapped = true)").await;
    window.run("window.dispatchEvent(new Event('focus'))").await;
    window.until("window.swapped").await;
    assert_eq!(window.eval::<String>(typed).await, "Mine after all");
    seat.leave().await;
}
