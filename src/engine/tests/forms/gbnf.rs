//! Grammars in GBNF, in Lark and as regular expressions, by texts that they describe and texts that they do not.

use super::*;

const ARITHMETIC: &str = r#"
# sums of sums
root ::= (expr "=" ws term "\n")+
expr ::= term ([-+*/] term)*
term ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num ::= [0-9]+ ws
ws ::= [ \t\n]*
"#;

const JSON: &str = r#"root ::= object
value ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ws
ws ::= | " " | "\n" [ \t]{0,20}"#;

/// Whether a text follows a grammar to its end.
async fn follows(grammar: &Grammar, text: &str) -> bool {
    let mut matcher = compile(grammar.clone()).await.unwrap_or_else(|error| panic!("{error}: {grammar:?}"));
    let tokens = matcher.tok_env().unwrap().tokenize_bytes(text.as_bytes());
    matcher.try_consume_tokens(&tokens).unwrap() == tokens.len() && matcher.is_accepting().unwrap()
}

#[tokio::test]
async fn a_grammar_describes_what_llama_cpp_says_that_it_does() {
    let rows: [(&str, &[&str], &[&str]); 14] = [
        (ARITHMETIC, &["a=1\n", "(a1 +2) *b= c\n", "x=y\nz=1\n"], &["a=1", "A=1\n", "=1\n", ""]),
        (
            JSON,
            &["{}", r#"{"a": [1, -2.5, "x\u00e9"], "b": {"c": null}}"#],
            &["[]", "{", r#"{"a": 1"#, r#"{a: 1}"#],
        ),
        ("root ::= \"x\"", &["x"], &["", "xx"]),
        ("root::=\"x\"|\"y\"", &["x", "y"], &["xy"]),
        ("root ::= a b\r\na ::= \"x\"\r\nb ::= \"y\"\r\n", &["xy"], &["x"]),
        ("root ::= .{3}", &["abc", "a\nb", "日本語"], &["ab", "abcd"]),
        ("root ::= [^a-c]* [\\]\\[\"]", &["xyz]", "["], &["a]", "x"]),
        ("root ::= [ぁ-ゟァ-ヿ]+", &["ひらカタ"], &["kana"]),
        // The end of a word belongs to what comes next, where it must.
        ("root ::= [a-z]* \"end\"", &["end", "theend", "endend"], &["the"]),
        ("root ::= root \"a\" | \"b\"", &["b", "baaa"], &["a", "ab"]),
        (
            "root ::= expression\nexpression ::= [0-9]+ | expression [+-] expression",
            &["1", "1+2-3"],
            &["1+", "+"],
        ),
        (
            "root ::= \"a\"{2,3} (\"b\"? \"c\"){,2} # both\n",
            &["aa", "aaabcc", "aacbc"],
            &["a", "aaaa", "aaccc"],
        ),
        ("root ::= (\n  \"yes\" |\n  \"no\"\n) \"\\x21\"\n", &["yes!", "no!"], &["yes"]),
        ("root ::= \"a\" | \"ab\" \"c\"", &["a", "abc"], &["ab"]),
    ];
    for (grammar, inside, outside) in rows {
        let rules = Grammar::Rules(grammar.into());
        for text in inside {
            assert!(follows(&rules, text).await, "{grammar}: {text:?} is in it");
        }
        for text in outside {
            assert!(!follows(&rules, text).await, "{grammar}: {text:?} is not in it");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_grammar_is_told_with_its_line() {
    let wrong = [
        ("root := \"x\"", "line 1: ::= is expected behind root, not ':'"),
        ("root ::= a\na ::= \"\\q\"", "line 2: \\q means nothing here"),
        ("root ::= (\"a\"", "line 1: ) is expected, not the end"),
        ("root ::= \"a\"{100000}", "{100000} may have numbers up to 2000"),
        ("root ::= \"a\"{3,2}", "{3,2} allows less than it asks for"),
        ("root ::= *", "there is nothing to repeat"),
        ("root ::= \"a", "it ends too early"),
        ("root ::= [b-a]", "a range ends before it begins"),
        ("root ::= [\\UFFFFFFFF]", "\\UFFFFFFFF is no character"),
        ("root ::= <[99999999]>", "99999999"),
        ("root ::= <no-such-token>", "this model has no token <no-such-token>"),
        ("root ::= \"a\"\nroot ::= \"b\"", "line 2: the rule root is there twice"),
        ("root ::= nope", "there is no rule nope"),
        ("foo ::= \"x\"", "its rule root must be there"),
        ("root ::= \"a\" x\nx ::= \"b\" x", "calls itself without end"),
        ("", "its rule root must be there"),
    ];
    for (grammar, why) in wrong {
        let error = compile(Grammar::Rules(grammar.into())).await.map(|_| ()).unwrap_err().to_string();

        assert!(error.starts_with("grammar is no grammar that can be followed: "), "{error}");
        assert!(error.contains(why), "{grammar}: {error}");
    }
}

#[tokio::test]
async fn a_token_can_be_asked_for_and_kept_out() {
    let model = real().await.model().unwrap();
    let end = model.prompts.tokenizer.tokenize("<|im_end|>", true)[0];
    let word = model.prompts.tokenizer.tokenize(" the", false)[0];

    let named = compile(Grammar::Rules(format!("root ::= <[{word}]> <|im_start|>"))).await.unwrap();
    let others = compile(Grammar::Rules(format!("root ::= !<[{word}]>"))).await.unwrap();

    assert_eq!(named.clone().compute_ff_tokens().first(), Some(&u32::try_from(word).unwrap()));
    let mask = others.clone().compute_mask().unwrap();
    assert!(!mask.is_allowed(u32::try_from(word).unwrap()) && mask.num_set() > 1_000);
    assert!(end != word);
}

#[tokio::test]
async fn lark_regular_expressions_and_choices_are_forms_too() {
    let lark = Grammar::Rules("%llguidance {}\nstart: A \"-\" A\nA: /[0-9]{2}/\n".into());
    let date = Grammar::regex(r"\d{4}/\d\d");
    let escaped = Grammar::regex("a\\/b\\\\\n");
    let choice = Grammar::choice(&["yes".into(), "no \"way\"\n".into()]);

    for (grammar, inside, outside) in [
        (lark, "12-34", "12-3"),
        (date, "2026/11", "2026-11"),
        (escaped, "a/b\\\n", "a/b"),
        (choice, "no \"way\"\n", "no"),
    ] {
        assert!(follows(&grammar, inside).await && !follows(&grammar, outside).await, "{grammar:?}");
    }
}
