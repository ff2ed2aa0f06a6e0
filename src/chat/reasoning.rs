//! Reasoning: what some models write before their answer, between `<think>` and `</think>` or their like.
//!
//! A reply is stored, shown and exported whole. Later turns are written without it, as the models were trained.
//! `static/reading.js` folds exactly what is left out here.

/// The names of the tags.
const TAGS: [&str; 3] = ["think", "thinking", "reasoning"];

/// A reply without the reasoning that it begins with; empty where that never ended.
///
/// A reply may have its end only, from a template that opened it where nobody noticed: it counts where a line ends behind it and no
/// code block is open.
pub(super) fn answer(text: &str) -> &str {
    for tag in TAGS {
        if let Some(rest) = text.trim_start().strip_prefix(&format!("<{tag}>")) {
            return rest.split_once(&format!("</{tag}>")).map_or("", |(_, answer)| answer.trim_start());
        }
    }
    match TAGS.iter().filter_map(|tag| end_of(text, tag)).min() {
        Some((at, behind)) if text[..at].matches("```").count().is_multiple_of(2) => {
            text[behind..].trim_start()
        }
        _ => text,
    }
}

/// What a reply begins with where its prompt ends in an open tag, which some chat templates write: the reply then says itself
/// what it is, to whoever reads it as it comes.
pub(super) fn opened_by(template: &str) -> Option<String> {
    let mut tags = TAGS.iter().map(|tag| format!("<{tag}>"));
    tags.find(|tag| template.trim_end().ends_with(tag)).map(|tag| tag + "\n")
}

/// Where the first closing tag at the end of a line begins and ends.
fn end_of(text: &str, tag: &str) -> Option<(usize, usize)> {
    let closing = format!("</{tag}>");
    let mut ends = text.match_indices(&closing).map(|(at, found)| (at, at + found.len()));
    ends.find(|(_, behind)| text[*behind..].trim_start_matches([' ', '\t']).starts_with('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reply_begins_with_is_left_out() {
        for tag in TAGS {
            let text = format!("\n<{tag}>\nHm, <b>.\n</{tag}>\n\nYes.\n");
            assert_eq!(answer(&text), "Yes.\n", "{tag}");
        }
        assert_eq!(answer("<think></think>Yes."), "Yes.");
    }

    #[test]
    fn reasoning_without_an_end_is_all_there_is() {
        assert_eq!(answer("<think>Hm, and"), "");
        assert_eq!(answer("<think>Hm.</thinking>\nNo."), "");
    }

    #[test]
    fn reasoning_that_the_template_opened_ends_where_its_tag_stands_at_the_end_of_a_line() {
        assert_eq!(answer("Hm.\n</think> \n\nYes."), "Yes.");
        assert_eq!(answer("Hm.</thinking>\nYes. </think>\n"), "Yes. </think>\n");
    }

    #[test]
    fn a_template_opens_reasoning_with_its_last_words_only() {
        assert_eq!(opened_by("<|im_start|>assistant\n<think>\n"), Some("<think>\n".into()));
        assert_eq!(opened_by("<reasoning>"), Some("<reasoning>\n".into()));
        assert_eq!(opened_by("<|im_start|>assistant\n<think>\n\n</think>\n\n"), None);
    }

    #[test]
    fn an_answer_about_tags_stays_whole() {
        for text in [
            "Yes.",
            "It writes <think>x</think> first.",
            "`</think>` ends it.\n",
            "```\nHm.\n</think>\n```\nSo it looks.",
            "I <think>\nso",
            "<thinker>\n</thinker>\n",
        ] {
            assert_eq!(answer(text), text);
        }
    }
}
