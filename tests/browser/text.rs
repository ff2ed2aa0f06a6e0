//! What was written is what is read: no markup, no script, no lost space.

use serde_json::{Value, json};

use super::{LAST, Seat};

/// Keeps what a reply's bubble held when its stream ended.
const LISTEN: &str = "document.addEventListener('done', event => { \
    window.streamed = event.target.querySelector('.source').textContent; })";

#[tokio::test]
async fn a_reply_arrives_byte_for_byte_while_it_streams_and_after() {
    let seat = Seat::echo().await;
    let script = json!({ "delay_ms": 30, "pieces": [
        "Hello", "\n", "\n", "- a", "\n", "  ", "  ", "- b\n", "```\n", "    indented", "\n\t", "tab\n", "```", " ",
        [240, 159], [166, 128], "👩‍", "👩‍👧", "<script>alert(1)</script>", "<b hx-get='/evil' hx-trigger=load>&amp;", "\r",
        "x\u{a0}", "\n", "<|im_end|>", "end",
    ]});
    let expected = "Hello\n\n- a\n    - b\n```\n    indented\n\ttab\n``` 🦀👩‍👩‍👧<script>alert(1)</script>\
        <b hx-get='/evil' hx-trigger=load>&amp;\rx\u{a0}\n<|im_end|>end";

    seat.window.eval::<Value>(LISTEN).await;
    seat.send(&script.to_string()).await;
    seat.until_over(2).await;

    assert_eq!(seat.window.eval::<String>("window.streamed").await, expected, "as it streamed");
    assert_eq!(seat.last_text().await, expected, "from the database");
    assert!(!seat.window.eval::<bool>("!!document.querySelector('.rendered :is(script, b)')").await);
    seat.leave().await;
}

#[tokio::test]
async fn s14_markdown_becomes_harmless_html() {
    let seat = Seat::echo().await;
    let markdown = "# Title\n\none\ntwo\n\n| a | b |\n| - | -: |\n| 1 | 2 |\n\n```rust\nlet x = 1;\n```\n\n\
        3. three\n- [x] done\n\n[good](https://example.org) [bad](javascript:alert(1)) ![far](https://example.org/x.png)\n\n\
        <img src=x onerror=alert(1)> <div class=\"button\" style=\"position:fixed\" id=\"chat\">*x*</div>";

    seat.send(&json!({ "pieces": [markdown] }).to_string()).await;
    seat.until_over(2).await;

    let shown = |question: &str| format!("(r => {question})({LAST}.querySelector('.rendered'))");
    // What colours code comes with the first of it.
    seat.window.until("document.querySelector('.hljs-keyword')").await;
    for truth in [
        "r.querySelector('h1').textContent === 'Title'",
        "r.querySelector('p br') !== null",
        "r.querySelector('td[align=right]').textContent === '2'",
        "r.querySelector('ol').start === 3",
        "r.querySelector('figure figcaption span').textContent === 'rust'",
        "r.querySelector('.hljs-keyword').textContent === 'let'",
        "r.textContent.includes('☑ done')",
        "r.querySelector('a[href=\"https://example.org\"]').rel.includes('noopener')",
        "![...r.querySelectorAll('a')].some(a => a.protocol === 'javascript:')",
        "!r.querySelector('img, div:not(.table), input, form, [id], [style], [onerror], .button:not([data-copy])')",
        "r.textContent.includes('<img src=x onerror=alert(1)>')",
        "r.closest('.body').querySelector('.rendered').hasAttribute('hx-ignore')",
    ] {
        assert!(seat.window.eval::<bool>(&shown(truth)).await, "{truth}");
    }
    seat.leave().await;
}

#[tokio::test]
async fn a_code_block_is_copied_as_it_was_written() {
    let seat = Seat::echo().await;
    seat.send(&json!({ "pieces": ["```python\nif x < 1:\n    print('&amp;')\n```"] }).to_string()).await;
    seat.until_over(2).await;
    seat.window
        .eval::<Value>(
            "navigator.clipboard.writeText = text => { window.copied = text; return Promise.resolve() }",
        )
        .await;

    seat.window.click("figure [data-copy]").await;

    seat.window.until("window.copied === \"if x < 1:\\n    print('&amp;')\\n\"").await;
    seat.window.until("document.querySelector('figure [data-copy]').textContent === 'Copied'").await;
    seat.leave().await;
}

#[tokio::test]
async fn s15_markdown_bombs_are_shown_as_plain_text_and_do_not_stop_the_page() {
    let seat = Seat::echo().await;
    let wide = format!("|{}\n|{}\n{}", "a|".repeat(1_500), "-|".repeat(1_500), "|\n".repeat(4_000));
    let bombs = [">".repeat(20_000), "> ".repeat(4_000), "*a_".repeat(7_000), "[".repeat(20_000), wide];

    for (number, bomb) in bombs.iter().enumerate() {
        seat.send(&json!({ "pieces": [bomb] }).to_string()).await;
        seat.until_over(2 * number + 2).await;

        assert_eq!(seat.last_text().await.trim(), bomb.trim());
        assert!(seat.window.eval::<usize>("document.querySelectorAll('*').length").await < 60_000);
    }
    seat.leave().await;
}
