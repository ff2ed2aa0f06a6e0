//! The administrator's pages for plugins.

use super::Seat;
use super::looks::inspect;
use super::support::{ECHO, Home};
use super::window::Window;

const HOUSE_STYLE: &str = r#"const PLUGIN = #{
    name: "House style",
    version: "1.0",
    description: "Asks for the tone of the house.",
    priority: 50,
};

// <script>document.title = "broken into"</script>
fn on_prompt(ctx, draft) {
    draft.messages[0].content += "\nBe friendly, and call the user " + ctx.user + ".";
    draft.params.temperature = 0.2;
    draft
}

fn on_response(ctx, text) {
    if text == "bad" { throw "That is no answer." }
    text + "\n\nYours, the house"
}

fn test_the_name_is_called() {
    let draft = on_prompt(test_ctx(), test_draft());
    assert("ada" in draft.messages[0].content, "the name is missing");
}

fn test_the_house_signs() {
    assert_eq(on_response(test_ctx(), "Hi"), "Hi\n\nYours, the house");
}
"#;

async fn take_seat() -> Seat {
    let home = Home::new(ECHO);
    home.add_plugin("clock");
    home.add_plugin("examples/redact");
    home.add_plugin("examples/word_filter");
    home.write("plugins/style.rhai", HOUSE_STYLE);
    home.write("plugins/half_done.rhai", "fn on_message(ctx, text) {\n    text.trim();\n    text +\n}\n");
    Seat::take_in(home).await
}

async fn fill(window: &Window, selector: &str, text: &str) {
    let set = format!("(document.querySelector({selector:?}).value = {}, true)", serde_json::json!(text));
    window.eval::<bool>(&set).await;
}

#[tokio::test]
async fn an_administrator_walks_from_the_list_to_a_plugin_disables_it_tests_it_and_tries_it() {
    let seat = take_seat().await;
    let window = &seat.window;
    seat.send("Hello").await;
    seat.until_over(2).await;
    assert!(seat.last_text().await.ends_with("Yours, the house"));

    window.click(".person [href='/admin/plugins']").await;
    window.until("document.querySelectorAll('.plugin').length === 5").await;
    window.click("a[href='/admin/plugins/style']").await;
    window.until("location.pathname === '/admin/plugins/style' && window.htmx").await;
    assert_eq!(window.eval::<String>("document.title").await, "House style · Plugins · Fireside");

    window.click("#tests button").await;
    window.until("document.querySelector('#tests .verdict')?.textContent === '2 of 2 passed.'").await;
    window.click("#state form[action$=disable] button").await;
    window.until("document.querySelector('#state .pill.off')?.textContent === 'disabled'").await;
    fill(window, "#conversation", "user: Hello\nassistant: Hi\nuser: Write to grace@example.org").await;
    fill(window, "#answer", "I wrote to grace@example.org.").await;
    window.click("#try form button").await;
    window.until("document.querySelectorAll('.step.own').length === 2").await;
    let texts: Vec<String> = window
        .eval("[...document.querySelectorAll('.step .row.new code')].map(line => line.textContent)")
        .await;
    for line in ["Write to [e-mail removed]", "params.temperature = 0.2", "Yours, the house"] {
        assert!(texts.iter().any(|text| text.contains(line)), "{line}: {texts:?}");
    }

    // From the next message on it is passed by.
    window.goto(&seat.app.url).await;
    window.until("document.querySelector('#message')").await;
    seat.send("Hello again").await;
    seat.until_over(4).await;
    assert_eq!(seat.last_text().await, "Hello again");
    seat.leave().await;
}

#[tokio::test]
async fn the_pages_are_readable_at_each_size_in_light_and_dark() {
    let seat = take_seat().await;
    let window = &seat.window;
    for (turn, message) in (1..).zip(["Hello", "bad", "bad", "bad"]) {
        seat.send(message).await;
        seat.until_over(2 * turn).await;
    }
    seat.app.home.write("plugins/clock.rhai", "fn on_prompt(ctx, draft) {\n    draft.messages.insert(0, #{ role: \"system\" content: \"It is late.\" });\n    draft\n}\n");

    for plugin in ["", "/style", "/clock", "/half_done"] {
        window.goto(&format!("{}/admin/plugins{plugin}", seat.app.url)).await;
        window.until("window.htmx").await;
        inspect(&seat, &format!("plugins{}", plugin.replace('/', "-"))).await;
        if plugin == "/clock" {
            window.eval::<bool>("(document.querySelector('#wrong').scrollIntoView(), true)").await;
            inspect(&seat, "plugins-line").await;
        }
    }
    window.goto(&format!("{}/admin/plugins/style", seat.app.url)).await;
    window.until("window.htmx").await;
    fill(window, "#conversation", "user: Hello\nassistant: Hi\nuser: Write to grace@example.org").await;
    fill(window, "#answer", "I wrote to grace@example.org.").await;
    window.click("#try form button").await;
    window.until("document.querySelector('.steps')").await;
    window.eval::<bool>("(document.querySelector('#tests').scrollIntoView(), true)").await;
    inspect(&seat, "plugins-form").await;
    window.eval::<bool>("(document.querySelector('.steps').scrollIntoView(), true)").await;
    inspect(&seat, "plugins-try").await;
    seat.leave().await;
}
