//! Tab comes to everything that can be used, on every page and in every menu, and one sees where it is. The list of commands is
//! chosen from in the message box: see `commands.rs`.

use serde_json::Value;

use super::support::{ECHO, Home};
use super::window::{ENTER, Window};
use super::{Seat, plugin_settings};

/// Marks what has the focus, and whether one sees that, on it or around it; true when it had been reached before, or nothing has it.
const REACH: &str = "(() => {
    const here = document.activeElement;
    window.reached ??= new Map(); // not on the elements: what arrives in the meantime would take it off them
    if (here === document.body || reached.has(here)) return true;
    let seen = here.id === 'message';
    for (let it = here; it && !seen; it = it.parentElement) {
        const { outlineStyle, outlineWidth } = getComputedStyle(it);
        seen = outlineStyle !== 'none' && parseFloat(outlineWidth) > 0;
    }
    reached.set(here, seen);
    return false;
})()";

/// What can be used and was not reached, or did not show it. The scrim only repeats a button beside it, and what
/// cannot be seen is there for keys and programs that fill in passwords.
const MISSED: &str = "[...document.querySelectorAll('a[href], button, input:not([type=hidden]), textarea, select, summary, [tabindex=\"0\"]')]
    .filter(it => it.checkVisibility({ visibilityProperty: true }) && !it.disabled && !it.matches('.scrim, .unseen[tabindex=\"-1\"]'))
    .filter(it => !reached.get(it)).map(it => reached.get(it) + ': ' + it.outerHTML.slice(0, 120))";

/// From the top, as if one had just come.
const TOP: &str = "window.reached = undefined;
    document.activeElement.blur();
    document.body.tabIndex = -1;
    document.body.focus();
    document.body.removeAttribute('tabindex');";

/// Presses Tab all the way round.
async fn walk(window: &Window, name: &str) {
    window.run(TOP).await;
    for _ in 0..200 {
        window.tab().await;
        if window.eval::<bool>(REACH).await {
            break;
        }
    }
    assert_eq!(window.eval::<Vec<String>>(MISSED).await, Vec::<String>::new(), "{name}");
}

async fn open(seat: &Seat, path: &str) {
    seat.window.goto(&format!("{}{path}", seat.app.url)).await;
    seat.window.until("document.readyState === 'complete'").await;
}

/// Everything that an installation may have: plugins with settings, switches and commands, one that is broken, a preset,
/// a reply with two versions.
async fn furnish() -> (Seat, String) {
    let home = Home::new(ECHO);
    home.write("plugins/style.rhai", plugin_settings::STYLE);
    home.write("plugins/half_done.rhai", "fn on_message(ctx, text) {\n    text +\n}\n");
    home.add_plugin("examples/memory");
    let seat = Seat::take_in(home).await;
    let window = &seat.window;
    seat.send("hello").await;
    seat.until_over(2).await;
    window.click(".assistant .retry").await;
    window.until("document.querySelector('.assistant:not([aria-busy]) .versions')").await;
    let chat: String = window.eval("location.pathname").await;
    open(&seat, &format!("{chat}/parameters")).await;
    window.fill("#preset", &format!("Mild{ENTER}")).await;
    window.until("document.querySelector('.chips')").await;
    open(&seat, "/admin/plugins/style").await;
    window.click("[name=switch][type=checkbox]").await;
    window.click(".plugin-form .save").await;
    window.until("document.querySelector('.form-done')").await;
    (seat, chat)
}

#[tokio::test]
async fn on_every_page() {
    let (seat, chat) = furnish().await;
    let window = &seat.window;
    open(&seat, &chat).await;
    let trace: String = window.eval("document.querySelector('.assistant .why').pathname").await;
    let message: String = window.eval("document.querySelector('.user a.edit').pathname").await;
    let mine = ["", "/parameters", "/edit", "/plugins"].map(|page| format!("{chat}{page}"));
    let others = [
        "/account",
        "/account/parameters",
        "/archive",
        "/conversations",
        "/search?q=hello",
        "/admin/plugins",
        "/admin/plugins/style",
        "/admin/plugins/half_done",
        "/nowhere",
    ];
    for page in mine.into_iter().chain([trace, message]).chain(others.map(str::to_owned)) {
        open(&seat, &page).await;
        walk(window, &page).await;
    }

    open(&seat, "/admin/plugins/style").await;
    window.fill("#conversation", "Write to grace@example.org").await;
    window.click("#run-try").await;
    window.until("document.querySelector('.steps')").await;
    walk(window, "what plugins did to a message").await;
    open(&seat, &chat).await;
    window.click(".person button").await;
    for page in ["/login", "/register"] {
        open(&seat, page).await;
        walk(window, page).await;
    }
    assert!(
        window.console().await.iter().all(|line| line.contains("/nowhere")),
        "Chromium logs the one page that is not there"
    );
}

#[tokio::test]
async fn in_every_menu_and_form_of_the_chat() {
    let (seat, chat) = furnish().await;
    let window = &seat.window;
    open(&seat, &chat).await;
    for menu in [".bar", ".user", ".assistant"] {
        window.eval::<Value>(&format!("document.querySelector('{menu} .menu > summary').focus()")).await;
        window.keys(ENTER).await;
        window.until(&format!("document.querySelector('{menu} .menu').open")).await;
        walk(window, menu).await;
        window.run(&format!("document.querySelector('{menu} .menu').open = false")).await;
    }
    for form in ["[aria-current] ~ .button", ".user a.edit"] {
        window.eval::<Value>(&format!("document.querySelector('{form}').focus()")).await;
        window.keys(ENTER).await;
        window.until("document.activeElement.closest('.editing')").await;
        walk(window, form).await;
        window.click(".editing .cancel").await;
        window.until("!document.querySelector('.editing')").await;
    }
    window.fill("#search", "hello").await;
    window.until("document.querySelector('#found a')").await;
    walk(window, "what was found").await;

    window.resize(390, 844, false).await;
    open(&seat, &chat).await;
    walk(window, "on a phone").await;
    window.click("[data-sidebar=open]").await;
    window.until("document.activeElement.id === 'new-conversation'").await;
    walk(window, "the list on a phone").await;
    seat.leave().await;
}

#[tokio::test]
async fn what_a_form_answers_leaves_the_focus_where_one_goes_on() {
    let (seat, chat) = furnish().await;
    let window = &seat.window;
    let forms = [
        ("/account", "#key-name", "#keys .line button"),
        ("/account", "", "#sign-ins button"),
        ("/account", "#set-style-nick", "#settings-style .save"),
        ("/account", "", "#settings-style [name=reset]"),
        ("/account/parameters", "#set-top_k", ".end .save"),
        ("/account/parameters", "", "#set-top_k-from [name=reset]"),
        ("/account/parameters", "", "#presets [title=Rename]"),
        ("/admin/plugins/style", "#set-style-title", "#settings-style .save"),
        ("/admin/plugins/style", "", "#settings-style [name=reset]"),
        ("/admin/plugins/style", "", "#run-tests"),
        ("/admin/plugins/style", "#conversation", "#run-try"),
        (&format!("{chat}/plugins"), "", "#switches .save"),
        ("/admin/plugins/style", "", "#switch"),
        (&format!("{chat}/parameters"), "", ".chips button"),
    ];
    for (page, field, button) in forms {
        open(&seat, page).await;
        if !field.is_empty() {
            window.fill(field, "7").await;
        }
        window.run(&format!("(window.sent = document.querySelector('{button}')).focus()")).await;
        window.keys(ENTER).await;
        window.until("!sent.isConnected").await;
        window.until("document.activeElement !== document.body").await;
    }
    seat.leave().await;
}
