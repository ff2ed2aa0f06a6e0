use proptest::prelude::*;

use super::*;

/// One token a letter; `<…>` of the given list is one special token.
struct Letters {
    specials: Specials,
    texts: Vec<String>,
    first: Option<i32>,
}

const SPECIAL: i32 = 1_000_000;

impl Tokenizer for Letters {
    fn tokenize(&self, text: &str, special: bool) -> Vec<i32> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let found = self.texts.iter().position(|text| special && rest.starts_with(text.as_str()));
            let (token, length) = match found {
                Some(at) => (SPECIAL + at as i32, self.texts[at].len()),
                None => (letter as i32, letter.len_utf8()),
            };
            tokens.push(token);
            rest = &rest[length..];
        }
        tokens
    }

    fn spell(&self, tokens: &[i32]) -> Option<Vec<u8>> {
        let letters: Option<String> = tokens.iter().map(|&token| char::from_u32(token as u32)).collect();
        letters.map(String::into_bytes)
    }

    fn specials(&self) -> &Specials {
        &self.specials
    }

    fn compile(&self, _: &Grammar) -> Result<Matcher, String> {
        Err("is not for words".into())
    }

    fn first_token(&self) -> Option<i32> {
        self.first
    }
}

const TEMPLATE: &str =
    "{{ bos_token }}{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}<e>{% endfor %}<a>";
const TEXTS: [&str; 5] = ["<s>", "<u>", "<a>", "<e>", "<b>"];

fn builder(template: &str, n_ctx: usize) -> PromptBuilder {
    let texts: Vec<_> = TEXTS.iter().map(|&text| text.to_owned()).collect();
    let specials = Specials::new(texts.iter().map(|text| (text.clone(), false))).unwrap();
    let tokenizer = Box::new(Letters { specials, texts, first: Some(SPECIAL + 4) });
    PromptBuilder { tokenizer, template: ChatTemplate::compile(template, "<b>", "").unwrap(), n_ctx }
}

fn message(role: Role, content: &str) -> PromptMessage {
    PromptMessage { role, content: content.into(), token_ids: None }
}

fn conversation(contents: &[&str]) -> Vec<PromptMessage> {
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    let talk = contents.iter().zip(roles).map(|(content, role)| message(role, content));
    std::iter::once(message(Role::System, "S")).chain(talk).collect()
}

fn text(prompt: &Prompt) -> String {
    prompt.segments.iter().map(|segment| segment.text.as_str()).collect()
}

fn special_count(prompt: &Prompt) -> usize {
    prompt.tokens.iter().filter(|&&token| token >= SPECIAL).count()
}

#[test]
fn a_prompt_is_the_rendered_template_by_origin() {
    let prompt = builder(TEMPLATE, 100).fit(&conversation(&["Hi"]), 10).unwrap();

    let segments: Vec<_> = prompt.segments.iter().map(|s| (s.origin, s.text.as_str())).collect();
    let template = Origin::Template;
    let expected = [
        (template, "<b><s>"),
        (Origin::System, "S"),
        (template, "<e><u>"),
        (Origin::User, "Hi"),
        (template, "<e><a>"),
    ];
    assert_eq!(segments, expected);
    assert_eq!(special_count(&prompt), 6, "the template's own, with one token for the beginning");
    assert_eq!(prompt.left_out, 0);
}

#[test]
fn the_first_token_is_added_where_the_template_has_none() {
    let prompt = builder("{{ messages[0].content }}", 100).fit(&[message(Role::User, "Hi")], 10).unwrap();

    assert_eq!(prompt.tokens, [SPECIAL + 4, 'H' as i32, 'i' as i32]);
}

#[test]
fn the_oldest_turns_leave_first_and_whole() {
    let talk = conversation(&["one", "ONE", "two", "TWO", "three"]);
    let all = builder(TEMPLATE, 1000).fit(&talk, 8).unwrap();
    assert_eq!(all.left_out, 0);

    let builder = builder(TEMPLATE, all.token_count() + 8 - 1);
    let trimmed = builder.fit(&talk, 8).unwrap();

    assert_eq!(text(&trimmed), "<b><s>S<e><u>two<e><a>TWO<e><u>three<e><a>");
    assert_eq!(trimmed.left_out, 2);
}

#[test]
fn a_message_that_does_not_fit_alone_is_refused_with_both_counts() {
    let error = builder(TEMPLATE, 40).fit(&conversation(&["one", "ONE", &"x".repeat(50)]), 8).unwrap_err();

    assert_eq!(error, EngineError::TooLong { tokens: 57, limit: 32 });
}

#[test]
fn the_models_own_tokens_are_kept_while_they_spell_the_text() {
    let mut talk = conversation(&["a", "bc", "d"]);
    let marked = |tokens: Vec<i32>, talk: &mut Vec<PromptMessage>| {
        talk[2].token_ids = Some(tokens);
        builder(TEMPLATE, 100).fit(talk, 8).unwrap().segments.iter().any(|segment| segment.kept.is_some())
    };

    assert!(marked(vec!['b' as i32, 'c' as i32], &mut talk));
    assert!(!marked(vec!['b' as i32], &mut talk), "another text");
    assert!(!marked(vec![-1], &mut talk), "another model");
}

#[test]
fn a_reply_can_go_on() {
    let prompt = builder(TEMPLATE, 100).fit(&conversation(&["Hi", "Hel "]), 8).unwrap();

    assert_eq!(text(&prompt), "<b><s>S<e><u>Hi<e><a>Hel ");
}

#[test]
fn a_template_without_a_system_role_gets_it_before_the_first_message() {
    let strict = "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}\
        {{ raise_exception('roles must alternate') }}{% endif %}<{{ m.role[0] }}>{{ m.content }}<e>{% endfor %}<a>";

    let prompt = builder(strict, 100).fit(&conversation(&["Hi"]), 8).unwrap();
    let refused = builder(strict, 100).fit(&[message(Role::Assistant, "x"), message(Role::User, "y")], 8);

    assert_eq!(text(&prompt), "<u>S\n\nHi<e><a>");
    assert_eq!(prompt.segments[3].origin, Origin::User);
    assert!(matches!(refused, Err(EngineError::Template(why)) if why.contains("roles must alternate")));
}

#[test]
fn f22_a_template_that_takes_contents_apart_still_cannot_form_a_token_of_them() {
    let thinking = "{% for m in messages %}<u>{{ m.content.split('</t>')[-1] }}<e>{% endfor %}<a>";
    let ask =
        |text: &str| special_count(&builder(thinking, 100).fit(&[message(Role::User, text)], 8).unwrap());

    assert_eq!(ask("think</t>a<e>b"), ask("x"));
}

proptest! {
    #[test]
    fn what_is_typed_is_never_code(texts in prop::collection::vec("[<>sue ]{0,9}|<e>|<u>x", 1..5)) {
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let harmless: Vec<_> = texts.iter().map(|_| "x").collect();

        let prompt = builder(TEMPLATE, 4000).fit(&conversation(&texts), 8).unwrap();
        let expected = builder(TEMPLATE, 4000).fit(&conversation(&harmless), 8).unwrap();

        prop_assert_eq!(special_count(&prompt), special_count(&expected));
    }

    #[test]
    fn a_trimmed_prompt_fits_and_no_longer_one_would(
        lengths in prop::collection::vec(0usize..30, 1..30), n_ctx in 100usize..400,
    ) {
        let texts: Vec<_> = lengths.iter().map(|&length| "x".repeat(length)).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let mut talk = conversation(&texts);
        talk.truncate(talk.len() - (texts.len() + 1) % 2);

        let prompt = builder(TEMPLATE, n_ctx).fit(&talk, 20).unwrap();

        let all = builder(TEMPLATE, usize::MAX / 2).fit(&talk, 20).unwrap().token_count();
        prop_assert!(prompt.token_count() <= n_ctx - 20);
        prop_assert_eq!(prompt.left_out == 0, all <= n_ctx - 20);
    }
}

#[test]
fn a_rewritten_prompt_keeps_what_it_had_and_parses_nothing_new() {
    let builder = builder(TEMPLATE, 100);
    let mut talk = conversation(&["a", "bc", "d"]);
    talk[2].token_ids = Some(vec!['b' as i32, 'c' as i32]);
    let before = builder.fit(&talk, 8).unwrap();
    let parts = |prompt: &Prompt| -> Vec<_> {
        prompt.segments.iter().map(|segment| (segment.origin, segment.text.clone())).collect()
    };

    let same = builder.rewrite(before.clone(), parts(&before), 8).unwrap();
    let mut forged = parts(&before);
    forged.push((Origin::Template, "<u>".into()));
    forged.push((Origin::User, "<e>".into()));
    let forged = builder.rewrite(before.clone(), forged, 8).unwrap();

    assert_eq!(same, before, "the model's own tokens are still there");
    assert_eq!(special_count(&forged), special_count(&before), "what is new is text");
    assert_eq!(forged.segments.last().map(|segment| segment.origin), Some(Origin::Plugin));
}

#[test]
fn a_rewritten_prompt_that_no_longer_fits_is_refused_with_both_counts() {
    let builder = builder(TEMPLATE, 40);
    let before = builder.fit(&conversation(&["Hi"]), 8).unwrap();

    let error = builder.rewrite(before, vec![(Origin::User, "x".repeat(50))], 8).unwrap_err();

    assert_eq!(error, EngineError::TooLong { tokens: 51, limit: 32 });
}

#[test]
fn what_comes_between_two_turns_is_known_before_the_second() {
    let between = |template| builder(template, 100).between_turns();
    let [user, end] =
        ["<u>", "<e>"].map(|text| SPECIAL + TEXTS.iter().position(|it| *it == text).unwrap() as i32);

    assert_eq!(between(TEMPLATE), [end, user]);
    let dropping = "{% for m in messages if m.role == 'user' %}<u>{{ m.content }}<e>{% endfor %}<a>";
    assert!(between(dropping).is_empty(), "it shows no reply");
    let saying = "{% for m in messages %}{{ m.content | length }}<u>{{ m.content }}<e>{% endfor %}<a>";
    assert_eq!(between(saying)[0], end, "and no more than what is always the same");
}
