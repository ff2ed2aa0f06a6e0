//! The one place that turns reply events into server-sent events.

use rocket::response::stream::Event;

use crate::chat::ReplyEvent;

/// Encodes one step of a reply.
///
/// Rule (WHATWG HTML, 9.2.6): a client strips one leading space of a `data` line, and Rocket writes none. So every
/// line begins with a space of ours, and the client gets back each space and newline.
pub fn event(event: ReplyEvent) -> Event {
    match event {
        ReplyEvent::Text { piece, position } => Event::data(lines(&piece)).id(position.to_string()),
        ReplyEvent::Status(sentence) => Event::data(lines(&sentence)).event("status"),
        ReplyEvent::Failed(sentence) => Event::data(lines(&sentence)).event("failed"),
        ReplyEvent::Done => Event::data(" ").event("done"),
    }
}

/// HTML-escaped text as the lines of a `data` field.
fn lines(text: &str) -> String {
    let mut lines = String::with_capacity(text.len() + 8);
    lines.push(' ');
    for c in text.chars() {
        match c {
            '&' => lines.push_str("&amp;"),
            '<' => lines.push_str("&lt;"),
            '>' => lines.push_str("&gt;"),
            '"' => lines.push_str("&quot;"),
            '\'' => lines.push_str("&#39;"),
            // A bare carriage return would end the line.
            '\r' => lines.push_str("&#13;"),
            '\n' => lines.push_str("\n "),
            c => lines.push(c),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_begins_with_the_space_that_the_client_strips() {
        assert_eq!(lines("    x\n\n\ty\n"), "     x\n \n \ty\n ");
    }

    #[test]
    fn markup_is_text() {
        assert_eq!(lines("<b hx-get='/x'>&\r"), " &lt;b hx-get=&#39;/x&#39;&gt;&amp;&#13;");
    }
}
