//! How it looks: pictures to look at, and what can be measured about them.

use serde_json::{Value, json};

use super::Seat;
use super::window::ESCAPE;

const SIZES: [(u32, u32); 3] = [(1440, 900), (820, 1180), (390, 844)];

/// Visible texts whose contrast with what lies behind them is below a bound.
const FLAWS: &str = r"(bound => {
    const numbers = color => color.match(/[\d.]+/g).map(Number);
    const light = color => {
        const [r, g, b] = color.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = element => {
        for (; element; element = element.parentElement) {
            const style = getComputedStyle(element);
            if (style.backgroundImage.includes('gradient')) return style.backgroundImage.match(/rgba?\([^)]*\)/g).map(numbers);
            const color = numbers(style.backgroundColor);
            if (color.length < 4 || color[3] === 1) return [color];
        }
        return [[255, 255, 255]];
    };
    const flaws = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode.data.trim(), element = texts.currentNode.parentElement;
        if (!text || !element.checkVisibility({ visibilityProperty: true })) continue;
        const ink = light(numbers(getComputedStyle(element).color));
        for (const ground of behind(element).map(light)) {
            const contrast = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
            if (contrast < bound) flaws.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`);
        }
    }
    return flaws;
})";

/// What WCAG 2.2 asks for at level AA, and at level AAA.
const ENOUGH: f64 = 4.5;
const MORE: f64 = 7.0;

async fn flaws(seat: &Seat, bound: f64) -> Vec<String> {
    let settled = "document.getAnimations().every(animation => animation.playState === 'finished')";
    seat.window.until(settled).await;
    seat.window.eval(&format!("{FLAWS}({bound})")).await
}

/// axe-core's rules for WCAG 2.2 AA and its own best practices; `vendor/README.md` says where it comes from.
const AXE: &str = include_str!("vendor/axe.min.js");

/// What axe-core finds serious or critical, with the element.
const VIOLATIONS: &str = r"axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    // What is chosen from with the keys of the message box need not take the focus.
    .flatMap(({ id, nodes }) => nodes.filter(({ html }) => id !== 'scrollable-region-focusable' || !html.includes('listbox')).map(({ html }) => `${id}: ${html.slice(0, 160)}`)))";

pub async fn inspect(seat: &Seat, name: &str) {
    for (width, height) in SIZES {
        for dark in [false, true] {
            seat.window.resize(width, height, dark).await;
            let colours = if dark { "dark" } else { "light" };
            seat.window.picture(&format!("{name}-{width}-{colours}")).await;
            assert_eq!(
                flaws(seat, ENOUGH).await,
                Vec::<String>::new(),
                "{name} at {width} pixels, {colours}"
            );
            if dark == (width < 600) {
                seat.window.run(AXE).await;
                let violations: Vec<String> = seat.window.promised(VIOLATIONS).await;
                assert_eq!(violations, Vec::<String>::new(), "{name} at {width} pixels, {colours}");
            }
            // Not innerWidth: on a phone that grows with the page.
            let wide: u32 = seat.window.eval("document.documentElement.scrollWidth").await;
            assert!(wide <= width, "{name} is {wide} pixels wide at {width}, {colours}");
        }
    }
    seat.window.resize(1280, 800, false).await;
}

#[tokio::test]
async fn s13_every_page_is_readable_at_each_size_in_light_and_dark() {
    let seat = Seat::echo().await;
    inspect(&seat, "blank").await;
    let code = "```rust\n/// Sums.\nfn sum(all: &[u32]) -> u32 {\n    let mut total = 0; // \"text\"\n    for n in all { total += n; }\n    total\n}\n```";
    let reply = format!(
        "## A plan\n\n1. **Feed** it\n2. *Wait*\n\n> Patience.\n\n| Method | Time |\n| - | -: |\n| Fridge | 4 weeks |\n\n{code}\n\nUse `sleep 4h` and read [this](https://example.org)."
    );
    seat.send(&json!({ "pieces": [reply] }).to_string()).await;
    seat.until_over(2).await;
    inspect(&seat, "chat").await;
    seat.send(&json!({ "pieces": ["half"], "fail": "The wood was wet." }).to_string()).await;
    seat.until_over(4).await;
    inspect(&seat, "failed").await;
    seat.leave().await;
}

#[tokio::test]
async fn whoever_asks_for_more_contrast_gets_it() {
    let seat = Seat::echo().await;
    let reply = "## Plan\n\n> *Wait* for `it`\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n```rust\n/// Sums.\nfn sum() -> u32 { 40 + 2 } // \"text\"\n```";
    seat.send(&json!({ "pieces": [reply] }).to_string()).await;
    seat.until_over(2).await;
    seat.window.until("document.querySelector('.hljs-keyword')").await;
    let chat: String = seat.window.eval("location.pathname").await;
    let trace: String = seat.window.eval("document.querySelector('.why').pathname").await;
    for page in
        [chat.clone(), format!("{chat}/parameters"), trace, "/account".into(), "/admin/plugins".into()]
    {
        seat.window.goto(&format!("{}{page}", seat.app.url)).await;
        for dark in [false, true] {
            seat.window.prefer(dark, "prefers-contrast", "more").await;
            let name = page.rsplit('/').next().unwrap();
            seat.window.picture(&format!("contrast-{}-{dark}", &name[..name.len().min(10)])).await;
            assert_eq!(flaws(&seat, MORE).await, Vec::<String>::new(), "{page}, dark: {dark}");
        }
        // Where the system paints with its own colours, what shadows showed has a line.
        seat.window.prefer(false, "forced-colors", "active").await;
        let flat = "[...document.querySelectorAll('.button, .field')].filter(it => it.checkVisibility() && getComputedStyle(it).borderTopWidth === '0px').length";
        assert_eq!(seat.window.eval::<usize>(flat).await, 0, "{page}");
    }
    seat.leave().await;
}

#[tokio::test]
async fn the_pages_before_the_chat_are_readable_too() {
    let seat = Seat::echo().await;
    seat.window.click(".person button").await;
    seat.window.until("location.pathname === '/login'").await;
    for page in ["login", "register", "nowhere"] {
        seat.window.goto(&format!("{}/{page}", seat.app.url)).await;
        inspect(&seat, page).await;
    }
}

#[tokio::test]
async fn on_a_phone_the_sidebar_folds_away() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    seat.send("hello").await;
    seat.until_over(2).await;
    window.resize(390, 844, false).await;
    let hidden = "!document.querySelector('#new-conversation').checkVisibility({ visibilityProperty: true })";
    window.until(hidden).await;

    window.click("[data-sidebar=open]").await;
    window.until("document.activeElement.id === 'new-conversation'").await;
    window.picture("sidebar-390-light").await;
    assert_eq!(
        window.eval::<Value>("document.querySelector('[data-sidebar=open]').ariaExpanded").await,
        "true"
    );
    window.keys(ESCAPE).await;
    window.until(hidden).await;
    assert_eq!(window.eval::<Value>("document.activeElement.dataset.sidebar").await, "open");

    window.click("[data-sidebar=open]").await;
    window.click("#new-conversation").await;
    window.until(&format!("{hidden} && document.querySelectorAll('.conversation').length === 2")).await;
    seat.leave().await;
}
