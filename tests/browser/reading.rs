//! How messages are read: code, formulas, tables, reasoning, times and figures.

use serde_json::{Value, json};

use super::looks::inspect;
use super::support::ECHO;
use super::window::ENTER;
use super::{LAST, Seat, script};

/// What a page fetched that it does not need at first.
const FETCHED: &str = "performance.getEntriesByType('resource').map(entry => new URL(entry.name).pathname.split('/').pop())\
    .filter(name => /highlight|katex/i.test(name))";

/// Whether a truth holds for the last message's `r`, what is shown of it, sooner or later.
async fn shows(seat: &Seat, truth: &str) {
    seat.window.until(&format!("(r => {truth})({LAST}.querySelector('.rendered'))")).await;
}

#[tokio::test]
async fn code_has_its_language_and_can_be_wrapped_by_keyboard() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    seat.send("no code here").await;
    seat.until_over(2).await;
    assert_eq!(window.eval::<Vec<String>>(FETCHED).await, Vec::<String>::new());

    let long = "let a = 1; ".repeat(60);
    seat.send(&json!({ "pieces": [format!("```rust\n{long}\n```\n\n```\nplain\n```")] }).to_string()).await;
    seat.until_over(4).await;

    shows(&seat, "r.querySelector('.hljs-keyword')?.textContent === 'let'").await;
    assert_eq!(window.eval::<Vec<String>>(FETCHED).await, ["highlighter.js"]);
    shows(&seat, "[...r.querySelectorAll('figcaption span')].map(l => l.textContent).join() === 'rust,text'")
        .await;
    let wide = "(p => p.scrollWidth > p.clientWidth)(r.querySelector('pre'))";
    shows(&seat, wide).await;
    window.eval::<Value>(&format!("{LAST}.querySelector('[data-wrap]').focus()")).await;
    window.keys(ENTER).await;
    shows(&seat, &format!("r.querySelector('[data-wrap]').ariaPressed === 'true' && !{wide}")).await;
    window.keys(ENTER).await;
    shows(&seat, &format!("r.querySelector('[data-wrap]').ariaPressed === 'false' && {wide}")).await;
    seat.leave().await;
}

#[tokio::test]
async fn formulas_are_typeset_and_prices_are_not() {
    let seat = Seat::echo().await;
    let markdown = r"With $E = mc^2$ and \(a_1\) it costs $5 and $6, or $5/$6; $HOME/$USER, `$x$` and \$3 stay.

$$\int_0^1 x\,dx = \frac{1}{2}$$

Before
\[ \sum_i i \]
behind. Broken: $\frac{1$ and $\href{javascript:alert(1)}{x}$ and $\includegraphics{https://example.org/x.png}$.

```math
\begin{pmatrix} a \\ b \end{pmatrix}
```

```latex
$y$
```";

    seat.send(&json!({ "pieces": [markdown] }).to_string()).await;
    seat.until_over(2).await;

    for truth in [
        "r.querySelectorAll('.formula .katex-display').length === 3",
        "[...r.querySelectorAll('annotation')].slice(0, 2).map(a => a.textContent).join('|') === 'E = mc^2|a_1'",
        "r.textContent.includes('it costs $5 and $6, or $5/$6; $HOME/$USER, $x$ and $3 stay.')",
        r"[...r.querySelectorAll('code.language-math')].some(code => code.textContent === '\\frac{1' && code.title)",
        "!r.querySelector('.katex :is(a, img), annotation[href]')",
        "r.querySelector('figure code').textContent === '$y$\\n'",
        "getComputedStyle(r.querySelector('.katex')).fontFamily.includes('KaTeX_Main')",
    ] {
        shows(&seat, truth).await;
    }
    seat.leave().await;
}

#[tokio::test]
async fn a_formula_in_a_stream_stands_once_and_a_flood_of_them_does_not_stop_the_page() {
    let seat = Seat::echo().await;
    let pieces = ["$$", "a", "^2", "$$", "\n\n", "so $x$ ", "and ", "$y$", "."];
    seat.send(&script(&pieces, 1, 40)).await;
    seat.until_over(2).await;
    shows(
        &seat,
        "r.querySelectorAll('.katex').length === 3 && r.querySelectorAll('.katex-display').length === 1",
    )
    .await;

    for (at, flood) in ["\\(".repeat(8_000), "$a$ ".repeat(7_000), "$$".repeat(12_000)].iter().enumerate() {
        seat.send(&json!({ "pieces": [flood] }).to_string()).await;
        seat.until_over(4 + 2 * at).await;
        assert!(seat.window.eval::<usize>("document.querySelectorAll('*').length").await < 60_000);
    }
    seat.leave().await;
}

#[tokio::test]
async fn reasoning_is_open_while_it_comes_and_folds_when_the_answer_begins() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    seat.send(&script(
        &["<think>\n", "The **fire** ", "is cold. ", "\n</think>\n\n", "Light ", "the ", "_fire_."],
        1,
        250,
    ))
    .await;
    window.until("document.querySelector('[aria-busy] .reasoning[open] strong')").await;
    assert!(
        !window
            .eval::<bool>(&format!("{LAST}.querySelector('.rendered').textContent.includes('think')"))
            .await
    );
    window.until("document.querySelector('[aria-busy] .reasoning:not([open])')").await;
    seat.until_over(2).await;

    for reloaded in [false, true] {
        if reloaded {
            window.reload().await;
        }
        shows(&seat, "r.querySelectorAll('.reasoning').length === 1 && !r.querySelector('.reasoning').open")
            .await;
        shows(&seat, "r.querySelector('.reasoning > div').textContent.trim() === 'The fire is cold.'").await;
        shows(&seat, "r.querySelector(':scope > p em').textContent === 'fire' && r.children.length === 2")
            .await;
    }
    assert!(seat.last_text().await.starts_with("<think>\nThe **fire**"));

    // A template opened it: what came is moved when its end shows what it is.
    seat.send(&script(&["Hm, ", "a *fire*.\n", "</think>\n", "\nYes."], 1, 100)).await;
    seat.until_over(4).await;
    shows(&seat, "r.querySelector('.reasoning > div').textContent.trim() === 'Hm, a fire.'").await;
    shows(&seat, "r.querySelector(':scope > p').textContent === 'Yes.'").await;
    // Stopped in it.
    seat.send(&script(&["<think>", "on and "], 1, 0)).await;
    seat.until_over(6).await;
    shows(&seat, "r.querySelector('.reasoning').open && r.textContent.includes('on and')").await;
    seat.leave().await;
}

#[tokio::test]
async fn a_message_says_when_it_was_written_and_on_demand_what_it_took() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    seat.send(&script(&["one ", "two ", "three "], 4, 10)).await;
    seat.until_over(2).await;

    let times = "[...document.querySelectorAll('.message time')]";
    let near = format!("{times}.every(time => Math.abs(Date.now() - new Date(time.dateTime)) < 60_000)");
    assert!(window.eval::<bool>(&format!("{times}.length === 2 && {near}")).await);
    let local = "new Date(time.dateTime).toLocaleString([], { dateStyle: 'short', timeStyle: 'short' })";
    assert!(window.eval::<bool>(&format!("{times}.every(time => time.textContent === {local})")).await);

    assert!(!window.eval::<bool>("!!document.querySelector('.took p')").await);
    window.click(".assistant .menu summary").await;
    window.until("document.querySelectorAll('.took p').length === 4").await;
    let figures: String = window.eval("document.querySelector('.took').innerText").await;
    assert!(figures.starts_with("12 tokens written\n"), "{figures}");
    assert!(figures.contains("tokens per second") && figures.contains("to the first token"), "{figures}");
    seat.leave().await;
}

#[tokio::test]
async fn the_meter_follows_each_reply_and_says_when_older_messages_are_left_out() {
    let seat = Seat::take(&format!("{ECHO}n_ctx = 256\n[default.generation]\nmax_tokens = 64\n")).await;
    let window = &seat.window;
    let value = "(document.querySelector('#context meter')?.value ?? -1)";
    assert_eq!(window.eval::<i64>(value).await, -1);

    let mut last = 0;
    for turn in 1..=2 {
        seat.send(&"word ".repeat(40)).await;
        seat.until_over(2 * turn).await;
        window.until(&format!("{value} > {last}")).await;
        last = window.eval(value).await;
    }
    assert_eq!(window.eval::<i64>("document.querySelector('#context meter').max").await, 256);
    let label: String = window.eval("document.querySelector('#context meter').ariaLabel").await;
    assert_eq!(label, format!("Context used: {last} of 256 tokens"));

    seat.send(&"word ".repeat(40)).await;
    seat.until_over(6).await;
    let note: String = window.eval(&format!("{LAST}.querySelector('.note').textContent")).await;
    assert!(note.contains("no longer fit the model's context"), "{note}");
    inspect(&seat, "context").await;
    window.reload().await;
    window.until(&format!("{value} > 0 && document.querySelectorAll('#context').length === 1")).await;
    seat.leave().await;
}

#[tokio::test]
async fn everything_that_can_be_read_is_readable_at_each_size_in_light_and_dark() {
    let seat = Seat::echo().await;
    let wide = "| Method | Time | Place | Tools | Result |\n| - | -: | - | - | - |\n\
        | In the fridge | 4 weeks | the lowest shelf | a glass jar with a lid | something to be proud of |";
    let reply = format!(
        "<think>\nThey want a **plan**.\n\n1. Look\n2. Wait $t$ hours\n</think>\n\nAs $E = mc^2$ says:\n\n\
         $$\\int_0^\\infty e^{{-x^2}}\\,dx = \\frac{{\\sqrt{{\\pi}}}}{{2}}$$\n\n{wide}\n\n\
         ```rust\nfn main() {{ println!(\"{}\"); }}\n```\n\nDone.",
        "a long line ".repeat(10)
    );
    seat.send(&json!({ "pieces": [reply] }).to_string()).await;
    seat.until_over(2).await;
    shows(&seat, "r.querySelectorAll('.katex').length === 3 && r.querySelector('.hljs-keyword')").await;

    inspect(&seat, "reading").await;
    seat.window.eval::<Value>(&format!("{LAST}.querySelector('.reasoning').open = true")).await;
    seat.window.eval::<Value>(&format!("{LAST}.querySelector('[data-wrap]').click()")).await;
    seat.window.eval::<Value>("document.querySelector('.user').remove()").await;
    seat.window.eval::<Value>("document.querySelector('#scroller').scrollTop = 0").await;
    inspect(&seat, "reading-open").await;
    seat.leave().await;
}

#[tokio::test]
async fn nothing_moves_while_a_conversation_is_opened() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    let text =
        "A paragraph that goes on over several lines of a narrow window, and says little.\n\n- a\n- b\n\n";
    for turn in 1..4 {
        seat.send(&json!({ "pieces": [text], "repeat": 5 }).to_string()).await;
        seat.until_over(2 * turn).await;
    }
    window.resize(390, 844, false).await;

    window.goto(&window.eval::<String>("location.href").await).await;
    window.run("window.moved = 0; new PerformanceObserver(list => list.getEntries().forEach(entry => { window.moved += entry.value; }))\
        .observe({ type: 'layout-shift', buffered: true })").await;
    window.until("!document.querySelector('.body:not(.painted)')").await;
    // Fonts and colours come a little later.
    window.until("performance.now() > 1500").await;

    let moved: f64 = window.eval("window.moved").await;
    assert!(moved < 0.1, "what can be seen moved by {moved}; at most 0.1 counts as good");
    seat.leave().await;
}
