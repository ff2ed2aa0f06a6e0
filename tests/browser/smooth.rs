//! A long reply streams smoothly.

use serde_json::json;

use super::support::ECHO;
use super::{LAST, Seat};

/// Notes every stretch in which the page's own work kept it from answering.
const WATCH: &str = "window.blocked = []; new PerformanceObserver(list => window.blocked.push(\
    ...list.getEntries().map(entry => Math.round(entry.duration)))).observe({ type: 'longtask' })";

/// Some 290 tokens of mixed Markdown.
fn section() -> Vec<String> {
    let prose =
        "The **embers** glow while `code` waits, and [a link](https://example.org) leads on. ".repeat(4);
    let code = "    let value = total + 1; // a comment\n".repeat(14);
    let text = format!(
        "## A section\n\n{prose}\n\n- first *item*\n- second with `x = 1`\n  - nested\n\n1. one\n2. two\n\n\
         | a | b | c |\n| - | - | -: |\n| 1 | x | 1 |\n| 2 | y | 2 |\n\n```rust\nfn main() {{\n{code}}}\n```\n\n\
         In line $a_1^2 + b^2$, and\n\n$$\\int_0^1 x^2\\,dx$$\n\n> quoted\n\n"
    );
    let mut pieces = Vec::<String>::new();
    for (at, letter) in text.chars().enumerate() {
        match pieces.last_mut() {
            Some(piece) if at % 4 > 0 => piece.push(letter),
            _ => pieces.push(letter.into()),
        }
    }
    pieces
}

#[tokio::test]
async fn twenty_thousand_tokens_stream_without_a_long_frame_and_leave_little_behind() {
    let toml = format!("{ECHO}n_ctx = 65536\n[default.generation]\nmax_tokens = 60000\n");
    let seat = Seat::take(&toml).await;
    let window = &seat.window;
    let section = section();
    let repeat = 20_000_usize.div_ceil(section.len());
    // The first formula and the first code bring their libraries along, which a slow machine reads for a while.
    seat.send(&json!({ "pieces": ["`x` $x$\n\n```rust\nlet x;\n```"] }).to_string()).await;
    seat.until_over(2).await;
    window.until("document.querySelector('.katex') && document.querySelector('.hljs-keyword')").await;
    window.run(WATCH).await;

    seat.send(&json!({ "pieces": section, "repeat": repeat, "delay_ms": 1 }).to_string()).await;
    let elements = "document.querySelectorAll('.message:last-child *').length";
    let headings = |count: usize| format!("document.querySelectorAll('[aria-busy] h2').length >= {count}");
    window.until(&headings(repeat / 4)).await;
    let early: usize = window.eval(elements).await;
    window.until(&headings(repeat / 2)).await;
    let halfway: usize = window.eval(elements).await;
    seat.until_over(4).await;
    window.until("!document.querySelector('.message:last-child code.language-math')").await;

    assert!(window.eval::<bool>(&format!("{LAST}.querySelector('.source').hidden")).await);
    assert_eq!(window.eval::<usize>(&format!("{LAST}.querySelectorAll('h2').length")).await, repeat);
    assert_eq!(window.eval::<usize>(&format!("{LAST}.querySelectorAll('.katex').length")).await, 2 * repeat);
    let whole: usize = window.eval(elements).await;
    assert!(whole < 5 * early && whole < 3 * halfway, "elements grew from {early} over {halfway} to {whole}");
    let blocked: Vec<u32> = window.eval("window.blocked").await;
    assert!(
        blocked.iter().all(|&milliseconds| milliseconds <= 100),
        "the page stood still for {blocked:?} ms"
    );
    seat.leave().await;
}

/// What a frame costs grows with the elements that a browser lays out for it, in sight or not: a long reply above must add few.
#[tokio::test]
async fn on_a_phone_a_reply_of_twenty_thousand_tokens_is_laid_out_only_where_it_is_in_sight() {
    let toml = format!("{ECHO}n_ctx = 65536\n[default.generation]\nmax_tokens = 60000\n");
    let seat = Seat::take(&toml).await;
    let window = &seat.window;
    window.resize(390, 844, false).await;
    let section = section();
    let repeat = 20_000_usize.div_ceil(section.len());
    seat.send(&json!({ "pieces": [section.concat()], "repeat": repeat, "delay_ms": 20 }).to_string()).await;
    seat.until_over(2).await;
    window
        .until("document.querySelector('.hljs-keyword') && !document.querySelector('code.language-math')")
        .await;

    seat.send(&json!({ "pieces": section, "repeat": 40, "delay_ms": 10 }).to_string()).await;
    window.until("document.querySelectorAll('[aria-busy] h2').length >= 3").await;
    let elements = "[...document.querySelectorAll('.message *')]";
    let all: usize = window.eval(&format!("{elements}.length")).await;
    let laid_out =
        format!("{elements}.filter(it => it.checkVisibility({{ contentVisibilityAuto: true }})).length");
    let laid_out: usize = window.eval(&laid_out).await;
    assert!(laid_out * 4 < all, "{laid_out} of {all} elements are laid out");
    seat.leave().await;
}
