//! Why a reply is as it is, from its menu on.

use serde_json::Value;

use super::looks::inspect;
use super::support::{ECHO, Home};
use super::{LAST, Seat};

const TONE: &str = r#"const PLUGIN = #{ version: "1.0" };
fn on_message(ctx, text) { text + "\nplease" }
fn on_prompt(ctx, draft) {
    draft.messages[0].content += "\nAnswer like a gardener, and in no more than three sentences.";
    draft.params.temperature = 0.25;
    draft.params.max_tokens = 90000;
    draft
}
fn on_chunk(ctx, text) { text.replace("grow", "bloom"); text }
"#;
const HIDE: &str = r#"const PLUGIN = #{ sensitive: true, priority: 200 };
fn on_prompt(ctx, draft) { draft.messages.insert(1, #{ role: "system", content: "Not for everybody." }); draft }
"#;
const BROKEN: &str = "fn on_response(ctx, text) {\n    text.nothing()\n}\n";

async fn seat() -> Seat {
    let home = Home::new(&format!(
        "{ECHO}[default.chat]\nsystem_prompt = \"Be kind.\"\n[default.generation_limits]\nmax_tokens = 2000\n"
    ));
    for (name, script) in [("tone", TONE), ("hide", HIDE), ("broken", BROKEN)] {
        home.write(&format!("plugins/{name}.rhai"), script);
    }
    Seat::take_in(home).await
}

#[tokio::test]
async fn a_reply_explains_itself_at_each_size_in_light_and_dark() {
    let seat = seat().await;
    let window = &seat.window;
    seat.send("How do tulips grow in a pot on a balcony that looks to the north?").await;
    seat.until_over(2).await;
    inspect(&seat, "explained").await;

    window.click("#messages > :last-child .menu summary").await;
    window.click("#messages > :last-child .why").await;
    window.until("location.pathname.endsWith('/trace')").await;
    let text: String = window.eval("document.querySelector('main').innerText").await;
    for part in [
        "Be kind.",
        "like a gardener",
        "changed by tone",
        "The text is not kept.",
        "broken.rhai:2:10",
        "Seed",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("Not for everybody"), "{text}");
    assert_eq!(window.eval::<String>("document.querySelector('.diff .came').textContent").await, "+please");
    inspect(&seat, "trace").await;
    for (width, height) in [(1280, 2_800), (390, 4_600)] {
        for dark in [false, true] {
            window.resize(width, height, dark).await;
            window.picture(&format!("trace-whole-{width}-{dark}")).await;
        }
    }
    window.resize(1280, 800, false).await;

    window.click(".back").await;
    window.until("location.pathname.startsWith('/c/') && !location.pathname.endsWith('/trace')").await;
    window.until(&format!("{LAST}?.matches('.assistant')")).await;
    assert!(window.eval::<Value>("document.querySelector('#message') !== null").await.as_bool().unwrap());
    seat.leave().await;
}
