//! What pages say: `texts/<language>.toml`, read once at the start.
//!
//! A text is plain but for `<b>`, `<code>` and `<kbd>`, and for places such as `{title}`, which a template fills.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use figment::Figment;
use figment::providers::{Format, Toml};
use rocket_dyn_templates::minijinja::value::{Kwargs, Value};
use rocket_dyn_templates::minijinja::{Environment, Error, State};

/// The language that has every text; others may leave some out.
const WHOLE: &str = "en";

/// Markup that a text may have. Everything else in it is escaped.
const MARKUP: [&str; 6] = ["<b>", "</b>", "<code>", "</code>", "<kbd>", "</kbd>"];

/// Texts by table and key.
type Tables = BTreeMap<String, BTreeMap<String, String>>;

/// Every text of the pages, in one language.
#[derive(Debug, Clone)]
pub struct Texts {
    language: String,
    tables: Tables,
}

/// Why the texts cannot be used: one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextsError(String);

impl Texts {
    /// Reads the texts of a language from a folder; those that it leaves out are English. The name is a plain one, without
    /// slashes or dots: the configuration sees to that.
    pub fn load(folder: &Path, language: &str) -> Result<Self, TextsError> {
        let mut tables = read(folder, WHOLE)?;
        if language != WHOLE {
            let file = format!("texts/{language}.toml");
            let missing = put_over(&mut tables, read(folder, language)?, &file).map_err(TextsError)?;
            if missing > 0 {
                tracing::warn!("{file} leaves out {missing} texts; pages have them in English");
            }
        }
        Ok(Self { language: language.to_owned(), tables })
    }

    /// Gives templates the texts as `t`, the language's name as `language`, and the filter `fill`.
    pub(super) fn add_to(&self, environment: &mut Environment<'static>) {
        // The operator's own files, whose markup is known: safe, so that an apostrophe stays one.
        let table = |table: &BTreeMap<String, String>| {
            table
                .iter()
                .map(|(key, text)| (key.clone(), Value::from_safe_string(html(text))))
                .collect::<Value>()
        };
        let texts = self.tables.iter().map(|(name, texts)| (name.clone(), table(texts)));
        environment.add_global("t", texts.collect::<Value>());
        environment.add_global("language", self.language.clone());
        environment.add_filter("fill", fill);
    }
}

/// Puts values into the places of a text, escaped like everything that a template shows.
fn fill(state: &State<'_, '_>, text: &str, values: Kwargs) -> Result<Value, Error> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, name, behind)) = next_place(rest) {
        filled.push_str(before);
        filled.push_str(&state.format(values.get::<Value>(name)?)?);
        rest = behind;
    }
    filled.push_str(rest);
    Ok(Value::from_safe_string(filled))
}

/// What stands before a place, its name, and what stands behind it.
fn next_place(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (name, behind) = rest.split_once('}')?;
    Some((before, name, behind))
}

fn places(mut text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    while let Some((_, name, behind)) = next_place(text) {
        names.push(name);
        text = behind;
    }
    names
}

/// A text as HTML, for the content of an element and for an attribute alike.
fn html(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    MARKUP.iter().fold(escaped, |html, tag| html.replace(&tag.replace('<', "&lt;"), tag))
}

fn read(folder: &Path, language: &str) -> Result<Tables, TextsError> {
    let text = fs::read_to_string(folder.join(format!("{language}.toml"))).map_err(|error| {
        let there = languages(folder).join(", ");
        TextsError(format!(
            "[default.chat] language: texts/{language}.toml cannot be read ({error}). There are: {there}."
        ))
    })?;
    Figment::from(Toml::string(&text))
        .extract()
        .map_err(|error| TextsError(format!("texts/{language}.toml: {error}. A line is key = \"text\".")))
}

/// The languages that a folder has.
fn languages(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = files.filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".toml")?.to_owned()));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Puts one language over the whole one; how many texts it leaves out, or what of it the whole one does not have.
fn put_over(whole: &mut Tables, tables: Tables, file: &str) -> Result<usize, String> {
    let mut missing: usize = whole.values().map(BTreeMap::len).sum();
    for (table, texts) in tables {
        let Some(own) = whole.get_mut(&table) else {
            return Err(unknown(file, &format!("table [{table}]"), &table, whole.keys()));
        };
        for (key, text) in texts {
            let Some(slot) = own.get_mut(&key) else {
                return Err(unknown(&format!("{file}: [{table}]"), &format!("key {key}"), &key, own.keys()));
            };
            let known = places(slot);
            if let Some(place) = places(&text).into_iter().find(|place| !known.contains(place)) {
                let known = known.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(", ");
                let known = if known.is_empty() { "none".into() } else { known };
                return Err(format!(
                    "{file}: [{table}] {key} has the place {{{place}}}; texts/{WHOLE}.toml has {known}."
                ));
            }
            *slot = text;
            missing -= 1;
        }
    }
    Ok(missing)
}

fn unknown<'a>(place: &str, what: &str, name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let nearest = known.min_by_key(|known| strsim::damerau_levenshtein(known, name));
    let nearest = nearest.map_or_else(String::new, |nearest| format!("; did you mean \"{nearest}\"?"));
    format!("{place}: texts/{WHOLE}.toml has no {what}{nearest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(toml: &str) -> Tables {
        Figment::from(Toml::string(toml)).extract().unwrap()
    }

    fn shown(toml: &str, template: &str) -> String {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| rocket_dyn_templates::minijinja::AutoEscape::Html);
        Texts { language: "en".into(), tables: tables(toml) }.add_to(&mut environment);
        environment.render_str(template, ()).unwrap()
    }

    #[test]
    fn texts_are_shown_as_they_are_and_values_escaped() {
        let toml = "[a]\nplain = \"It's “1 < 2” & \\\"so\\\" <script> <kbd>?</kbd>\"\nasks = \"Delete “{title}” of {of}? {title}\"\n";

        assert_eq!(
            shown(toml, "{{ t.a.plain }}"),
            "It's “1 &lt; 2” &amp; &quot;so&quot; &lt;script> <kbd>?</kbd>"
        );
        assert_eq!(
            shown(toml, "{{ t.a.asks | fill(title='<{of}>', of='<b>' | safe) }}"),
            "Delete “&lt;{of}&gt;” of <b>? &lt;{of}&gt;"
        );
    }

    #[test]
    fn another_language_leaves_out_what_it_likes_and_has_nothing_else() {
        let whole = || tables("[a]\none = \"One\"\ntwo = \"{count} of them\"\n[b]\nthree = \"Three\"\n");
        let over = |toml: &str| {
            let mut whole = whole();
            put_over(&mut whole, tables(toml), "texts/xx.toml")
                .map(|missing| (missing, whole["a"]["two"].clone()))
        };

        assert_eq!(over("[a]\ntwo = \"davon {count}\"\n"), Ok((2, "davon {count}".into())));
        assert_eq!(
            over("[a]\ntwoo = \"\"\n").unwrap_err(),
            "texts/xx.toml: [a]: texts/en.toml has no key twoo; did you mean \"two\"?"
        );
        assert_eq!(
            over("[c]\nx = \"\"\n").unwrap_err(),
            "texts/xx.toml: texts/en.toml has no table [c]; did you mean \"a\"?"
        );
        assert_eq!(
            over("[a]\ntwo = \"davon {zahl}\"\n").unwrap_err(),
            "texts/xx.toml: [a] two has the place {zahl}; texts/en.toml has {count}."
        );
    }
}
