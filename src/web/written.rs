//! Texts as they were written, in HTML that a browser lays out in a short time.

use rocket_dyn_templates::minijinja::{HtmlEscape, Value};
use unicode_normalization::char::is_combining_mark;

/// The most lines and bytes of a part: a browser lays out those near its window only. `static/slices.js` does the same.
const MOST_LINES: usize = 100;
const MOST_BYTES: usize = 4_000;

const PART: &str = r#"<span class="part">"#;

/// So many marks may stand on one letter: thousands take a browser seconds.
const MOST_MARKS: usize = 32;

/// So many parts stand in another one: each that does not has a price in every frame.
const TOGETHER: usize = 30;

/// The filter of templates. What a reader copies, and what a script reads, is the exact text.
pub(super) fn written(text: &str) -> Value {
    let mut html = String::with_capacity(text.len() + text.len() / 8);
    if part_end(text) == text.len() {
        push(&mut html, text);
        return Value::from_safe_string(html);
    }
    let mut rest = text;
    while !rest.is_empty() {
        html.push_str(PART);
        for _ in 0..TOGETHER {
            let (part, behind) = rest.split_at(part_end(rest));
            if !part.is_empty() {
                html.push_str(PART);
                push(&mut html, part);
                html.push_str("</span>");
            }
            rest = behind;
        }
        html.push_str("</span>");
    }
    Value::from_safe_string(html)
}

fn part_end(text: &str) -> usize {
    let window = &text[..text.floor_char_boundary(MOST_BYTES)];
    let ends = || window.match_indices('\n').map(|(at, _)| at + 1);
    if window.len() == text.len() && ends().nth(MOST_LINES - 1).is_none() {
        return text.len();
    }
    ends().take(MOST_LINES).last().unwrap_or(window.len())
}

fn push(html: &mut String, text: &str) {
    let mut marks = 0;
    let mut start = 0;
    for (at, character) in text.char_indices() {
        if !is_combining_mark(character) {
            marks = 0;
        } else if marks == MOST_MARKS {
            escape(html, &text[start..at]);
            // A place where a line may break ends the letter, and is no part of the text.
            html.push_str("<wbr>");
            (start, marks) = (at, 1);
        } else {
            marks += 1;
        }
    }
    escape(html, &text[start..]);
}

fn escape(html: &mut String, text: &str) {
    // A parser of HTML turns a bare carriage return into a newline; as a reference it stays what it is.
    for (at, piece) in text.split('\r').enumerate() {
        if at > 0 {
            html.push_str("&#13;");
        }
        html.push_str(&HtmlEscape(piece).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(html: &str) -> String {
        let tags = [PART, "</span>", "<wbr>"];
        let text = tags.iter().fold(html.to_owned(), |html, tag| html.replace(tag, ""));
        text.replace("&#13;", "\r").replace("&lt;", "<").replace("&amp;", "&")
    }

    #[test]
    fn a_short_text_is_only_escaped() {
        assert_eq!(written("a <b>\r\n& é\u{301}").to_string(), "a &lt;b&gt;&#13;\n&amp; é\u{301}");
    }

    #[test]
    fn a_long_text_stands_in_parts_and_loses_nothing() {
        for text in [
            "a\n".repeat(1_000),
            "ä<".repeat(9_000),
            format!("{}\n\r", "line\n\n".repeat(700)),
            "\n".repeat(150),
        ] {
            let html = written(&text).to_string();
            assert_eq!(text_of(&html), text);
            let longest = html.split("</span>").map(|part| part.matches('\n').count()).max();
            assert!(longest <= Some(MOST_LINES), "{longest:?}");
        }
    }

    #[test]
    fn marks_without_end_are_broken_up() {
        let text = format!("a{}b{}", "\u{301}".repeat(100), "\u{301}".repeat(MOST_MARKS));
        let html = written(&text).to_string();
        assert_eq!((html.matches("<wbr>").count(), text_of(&html)), (3, text));
    }
}
