use std::ops::Range;

use uuid::Uuid;

use super::specials::Specials;

/// Marks in a text that goes through a chat template, so that afterwards the contents can be told from the template.
///
/// Each content is framed by marks that hold a fresh random number, which nobody can have typed. White space around a
/// content stays outside its frame, so that templates which trim see what they would have seen. Inside, each text of a special
/// token gets a mark into its middle: a template that cuts its contents up, and so loses the frame, still cannot put one together.
pub(super) struct Marks {
    nonce: String,
}

/// A part of a rendered template.
#[derive(Debug, PartialEq)]
pub(super) struct Part {
    /// Which content it comes from; none = the template.
    pub(super) content: Option<usize>,
    pub(super) text: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Open,
    Close,
    Break,
}

struct Mark {
    kind: Kind,
    content: usize,
    span: Range<usize>,
}

impl Marks {
    pub(super) fn new() -> Self {
        Self { nonce: Uuid::new_v4().simple().to_string() }
    }

    /// The text of content `index` for the template.
    pub(super) fn frame(&self, index: usize, text: &str, specials: &Specials) -> String {
        let (before, core, after) = trimmed(text);
        if core.is_empty() {
            return text.to_owned();
        }
        let mut framed = format!("{before}{}", self.mark('o', index));
        let mut from = 0;
        for at in specials.inner_cuts(core) {
            framed += &core[from..at];
            framed += &self.mark('b', index);
            from = at;
        }
        framed + &core[from..] + self.mark('c', index).as_str() + after
    }

    /// Takes a rendered text apart and the marks out. `contents` are the texts as they were before [`Marks::frame`]: where a
    /// content stands with the white space it came with, that belongs to its part.
    pub(super) fn parts(&self, rendered: &str, contents: &[&str]) -> Vec<Part> {
        let marks = self.find(rendered, contents.len());
        let mut parts = vec![Part { content: None, text: String::new() }];
        let mut from = 0;
        for (at, mark) in marks.iter().enumerate() {
            let text = &rendered[from..mark.span.start];
            from = mark.span.end;
            append(&mut parts, text);
            let inside = parts.last().is_some_and(|part| part.content == Some(mark.content));
            match mark.kind {
                Kind::Open if closes(&marks[at + 1..], mark.content) => {
                    parts.push(Part { content: Some(mark.content), text: String::new() });
                }
                Kind::Close if inside => parts.push(Part { content: None, text: String::new() }),
                // The frame is lost. An empty part keeps the place of the cut.
                Kind::Break if !inside => {
                    parts.push(Part { content: Some(mark.content), text: String::new() });
                    parts.push(Part { content: None, text: String::new() });
                }
                Kind::Open | Kind::Close | Kind::Break => {}
            }
        }
        append(&mut parts, &rendered[from..]);
        give_back_white_space(&mut parts, contents);
        parts.retain(|part| part.content.is_some() || !part.text.is_empty());
        parts
    }

    fn mark(&self, kind: char, index: usize) -> String {
        format!("{}{kind}{index};", self.nonce)
    }

    fn find(&self, rendered: &str, contents: usize) -> Vec<Mark> {
        let marks = rendered.match_indices(&self.nonce).filter_map(|(start, nonce)| {
            let (body, _) = rendered[start + nonce.len()..].split_once(';')?;
            let kind = match body.chars().next()? {
                'o' => Kind::Open,
                'c' => Kind::Close,
                'b' => Kind::Break,
                _ => return None,
            };
            let content = body.get(1..)?.parse().ok().filter(|&content| content < contents)?;
            Some(Mark { kind, content, span: start..start + nonce.len() + body.len() + 1 })
        });
        marks.collect()
    }
}

/// White space, what it surrounds, white space.
fn trimmed(text: &str) -> (&str, &str, &str) {
    let (before, rest) = text.split_at(text.len() - text.trim_start().len());
    let (core, after) = rest.split_at(rest.trim_end().len());
    (before, core, after)
}

/// Whether the frame of `content` is closed before another one opens.
fn closes(following: &[Mark], content: usize) -> bool {
    let end = following.iter().find(|mark| mark.kind != Kind::Break);
    end.is_some_and(|mark| mark.kind == Kind::Close && mark.content == content)
}

fn append(parts: &mut [Part], text: &str) {
    if let Some(part) = parts.last_mut() {
        part.text += text;
    }
}

fn give_back_white_space(parts: &mut [Part], contents: &[&str]) {
    for at in 0..parts.len() {
        let Some(content) = parts[at].content.filter(|_| !parts[at].text.is_empty()) else { continue };
        let (before, _, after) = trimmed(contents[content]);
        if let Some(previous) = at.checked_sub(1).map(|previous| &mut parts[previous])
            && previous.content.is_none()
            && previous.text.ends_with(before)
        {
            previous.text.truncate(previous.text.len() - before.len());
            parts[at].text.insert_str(0, before);
        }
        if let Some(next) = parts.get_mut(at + 1)
            && next.content.is_none()
            && next.text.starts_with(after)
        {
            next.text.drain(..after.len());
            parts[at].text += after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(contents: &[&str], template: impl Fn(Vec<String>) -> String) -> Vec<(Option<usize>, String)> {
        let specials = Specials::new([("<|end|>".to_owned(), false)]).unwrap();
        let marks = Marks::new();
        let framed = contents.iter().enumerate().map(|(at, text)| marks.frame(at, text, &specials)).collect();
        let parts = marks.parts(&template(framed), contents);
        parts.into_iter().map(|part| (part.content, part.text)).collect()
    }

    fn part(content: impl Into<Option<usize>>, text: &str) -> (Option<usize>, String) {
        (content.into(), text.to_owned())
    }

    #[test]
    fn contents_and_template_come_apart_again() {
        let parts = split(&["  Hi <|end|>\n", "x"], |c| format!("<u>{}<|end|>{}", c[0], c[1]));

        assert_eq!(
            parts,
            [part(None, "<u>"), part(0, "  Hi <|end|>\n"), part(None, "<|end|>"), part(1, "x")]
        );
    }

    #[test]
    fn a_template_that_trims_gets_the_trimmed_content() {
        let parts = split(&[" \n Hi \n"], |c| format!("<u>\n{}<|end|>", c[0].trim()));

        assert_eq!(parts, [part(None, "<u>\n"), part(0, "Hi"), part(None, "<|end|>")]);
    }

    #[test]
    fn white_space_only_is_left_alone() {
        assert_eq!(split(&[" \n"], |c| format!("<{}>", c[0])), [part(None, "< \n>")]);
    }

    #[test]
    fn a_content_that_lost_its_frame_keeps_the_cut_in_its_special_text() {
        let parts =
            split(&["think</t>a<|end|>b"], |c| format!("<u>{}<|end|>", c[0].split("</t>").last().unwrap()));

        assert_eq!(parts, [part(None, "<u>a<"), part(0, ""), part(None, "|end|>b<|end|>")]);
    }

    #[test]
    fn a_content_cut_short_does_not_swallow_the_template() {
        let parts = split(&["abcdef", "x"], |c| format!("<u>{}<|end|>{}", &c[0][..c[0].len() - 35], c[1]));

        assert_eq!(parts.last(), Some(&part(1, "x")));
        assert!(parts[0].0.is_none() && parts[0].1.ends_with("<|end|>"));
    }

    #[test]
    fn a_typed_mark_is_text() {
        let typed = format!("{}o0;", Uuid::new_v4().simple());

        assert_eq!(split(&[&typed], |c| c[0].clone()), [part(0, &typed)]);
    }
}
