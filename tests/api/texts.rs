//! What pages say stands in one place, and in any language.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use figment::Figment;
use figment::providers::{Format, Toml};
use regex::Regex;

use crate::support::{ECHO, Home, TestApp, repository};

/// What is the same in every language: names, keys, units. Then words of markup that a macro or a block makes.
const NO_TEXT: [&str; 8] = ["Fireside", "Enter", "Shift", "Alt", "Esc", "ms", "app", "autofocus"];

/// Names and texts of the files below a folder.
fn files(folder: &Path, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

fn templates() -> Vec<(String, String)> {
    let comment = Regex::new(r"(?s)\{#.*?#\}").unwrap();
    let templates = files(&repository().join("templates"), "j2").into_iter();
    let templates: Vec<_> =
        templates.map(|(name, text)| (name, comment.replace_all(&text, "").into())).collect();
    assert!(templates.len() > 50, "the templates were not found");
    templates
}

fn english() -> BTreeMap<String, BTreeMap<String, String>> {
    Figment::from(Toml::file_exact(repository().join("texts/en.toml"))).extract().unwrap()
}

/// Whether a template chooses among the texts of a table by a name that the program gives it: the program has that name as a
/// string, or as a variant.
fn is_named(key: &str, program: &str) -> bool {
    let variant: String = key.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
    program.contains(&format!("\"{key}\"")) || program.contains(&format!("    {variant},"))
}

#[test]
fn every_text_that_a_template_asks_for_is_there_and_each_one_is_asked_for() {
    let english = english();
    let by_key = Regex::new(r"\bt\.([a-z_]+)\.([a-z_]+)\b").unwrap();
    let by_name = Regex::new(r"\bt\.([a-z_]+)\[").unwrap();
    let (mut asked, mut chosen) = (BTreeSet::new(), BTreeSet::new());
    for (_, template) in templates() {
        asked.extend(by_key.captures_iter(&template).map(|found| (found[1].to_owned(), found[2].to_owned())));
        chosen.extend(by_name.captures_iter(&template).map(|found| found[1].to_owned()));
    }
    let program: String = files(&repository().join("src"), "rs").into_iter().map(|(_, text)| text).collect();

    let there =
        |(table, key): &&(String, String)| english.get(table).is_some_and(|texts| texts.contains_key(key));
    let missing: Vec<_> = asked.iter().filter(|text| !there(text)).collect();
    let missing_tables: Vec<_> = chosen.iter().filter(|table| !english.contains_key(*table)).collect();
    let texts =
        english.iter().flat_map(|(table, texts)| texts.keys().map(move |key| (table.clone(), key.clone())));
    let unused: Vec<_> = texts
        .filter(|text| !asked.contains(text))
        .filter(|(table, key)| !chosen.contains(table) || !is_named(key, &program))
        .collect();

    assert!(asked.len() > 200 && missing.is_empty(), "{missing:?}");
    assert!(missing_tables.is_empty(), "{missing_tables:?}");
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn places_of_a_text_are_filled_wherever_it_stands() {
    let english = english();
    let used = Regex::new(r"\bt\.([a-z_]+)\.([a-z_]+)( \| fill\(([^{}]*)\))?").unwrap();
    let place = Regex::new(r"\{([a-z_]+)\}").unwrap();
    let mut wrong = Vec::new();
    for (name, template) in templates() {
        for found in used.captures_iter(&template) {
            let text = &english[&found[1]][&found[2]];
            let wanted: BTreeSet<_> = place.captures_iter(text).map(|place| place[1].to_owned()).collect();
            let filled = found.get(4).map_or("", |arguments| arguments.as_str());
            if wanted.is_empty() != found.get(3).is_none()
                || wanted.iter().any(|place| !filled.contains(&format!("{place}=")))
            {
                wrong.push(format!("{name}: {}", &found[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_template_and_no_script_has_a_text_of_its_own() {
    let code = Regex::new(r"(?s)\{%.*?%\}|\{\{.*?\}\}").unwrap();
    let tag = Regex::new(r"(?s)<[a-zA-Z/!][^>]*>").unwrap();
    let attribute = Regex::new(r#"[\w:-]+="[^"]*""#).unwrap();
    let shown = Regex::new(r#"\b(?:aria-label|title|placeholder|alt|hx-confirm)="([^"]*)""#).unwrap();
    let word = Regex::new(r"\p{L}{2,}").unwrap();
    let string = Regex::new(r#""([^"]*)""#).unwrap();
    let sentence = Regex::new(r"^\p{Lu}|\pL \pL").unwrap();
    let mut found = Vec::new();
    for (name, template) in templates() {
        let markup = code.replace_all(&template, "");
        let content = tag.replace_all(&markup, " ");
        let content = attribute.replace_all(&content, " ");
        let attributes = shown.captures_iter(&markup).map(|shown| shown[1].to_owned());
        for text in [content.to_string()].into_iter().chain(attributes) {
            let words = word.find_iter(&text).filter(|word| !NO_TEXT.contains(&word.as_str()));
            found.extend(words.map(|word| format!("{name}: {}", word.as_str())));
        }
        for code in code.find_iter(&template) {
            let strings = string.captures_iter(code.as_str()).map(|string| string[1].to_owned());
            found.extend(
                strings.filter(|string| sentence.is_match(string)).map(|string| format!("{name}: {string}")),
            );
        }
    }
    let spoken = Regex::new(r#"["'`][A-Z][a-z]+,? [^"'`]*["'`]"#).unwrap();
    for script in ["app.js", "slices.js", "formulas.js", "markdown.js", "highlighter.js", "reading.js"] {
        let text = fs::read_to_string(repository().join("static").join(script)).unwrap();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        found.extend(lines.filter(|line| spoken.is_match(line)).map(|line| format!("{script}: {line}")));
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// A folder with texts in a language besides English.
fn home_with(language: &str, toml: &str) -> Home {
    let home = Home::new(&format!("{ECHO}[default.chat]\nlanguage = \"{language}\"\n"));
    let folder = home.path().join("texts");
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    fs::copy(repository().join("texts/en.toml"), folder.join("en.toml")).unwrap();
    home.write("texts/xx.toml", toml);
    home
}

/// What the program says when it does not start.
fn complaint(home: &Home) -> String {
    let output = home.program().output().unwrap();
    assert_eq!(output.status.code(), Some(1), "it started");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn pages_are_in_another_language_and_what_that_leaves_out_is_english() {
    let home = home_with(
        "xx",
        "[chat]\nsend = \"S'end<it>\"\n[conversation]\ndelete_question = \"“{title}” wech?\"\n[period]\ntoday = \"Heut\"\n",
    );
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    ada.send(&conversation, "Tom & <Jerry>").await;

    let page = ada.page(&format!("/c/{conversation}")).await;
    let form = ada.htmx(reqwest::Method::GET, &format!("/c/{conversation}/edit")).send().await.unwrap();
    let form = form.text().await.unwrap();

    assert!(page.contains("<html lang=\"xx\">") && page.contains("aria-label=\"S'end&lt;it>\""), "{page}");
    assert!(page.contains("<h2>Heut</h2>") && page.contains("placeholder=\"Write a message\""), "{page}");
    assert!(form.contains("hx-confirm=\"“Tom &amp; &lt;Jerry&gt;” wech?\""), "{form}");
    let log = app.home.log();
    assert!(log.contains("texts/xx.toml leaves out ") && log.matches("leaves out").count() == 1, "{log}");
}

#[test]
fn a_text_that_nobody_shows_stops_the_start_with_the_right_key() {
    let misspelled = complaint(&home_with("xx", "[chat]\nsent = \"Wech\"\n"));
    let lost = complaint(&home_with("xx", "[conversation]\ndelete_question = \"“{titel}” wech?\"\n"));
    let broken = complaint(&home_with("xx", "[chat]\nsend = Wech\n"));

    assert_eq!(
        misspelled,
        "fireside: texts/xx.toml: [chat]: texts/en.toml has no key sent; did you mean \"send\"?\n"
    );
    assert_eq!(
        lost,
        "fireside: texts/xx.toml: [conversation] delete_question has the place {titel}; texts/en.toml has {title}.\n"
    );
    assert!(broken.starts_with("fireside: texts/xx.toml: ") && broken.contains("key = \"text\""), "{broken}");
}

#[test]
fn a_language_that_is_not_there_is_told_with_those_that_are() {
    let missing = complaint(&home_with("de", ""));
    let elsewhere = complaint(&home_with("../xx", ""));

    assert!(
        missing.contains("[default.chat] language: texts/de.toml cannot be read")
            && missing.contains("There are: en, xx."),
        "{missing}"
    );
    assert_eq!(
        elsewhere,
        "fireside: Rocket.toml: [default.chat] language must be the name of a language such as en, de or pt-BR, not \"../xx\".\n"
    );
}
