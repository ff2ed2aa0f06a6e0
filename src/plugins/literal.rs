//! Values as an author would write them, and whether two of them are the same.

use std::fmt::Write;

use rhai::Dynamic;

use super::host::Verdict;
use super::value::type_name;

/// Longest literal, in bytes; the rest is cut.
const MAX_BYTES: usize = 400;

/// Whether two values are the same: alike in type and in every part. An int may be the same as a float.
pub(super) fn is_same(left: &Dynamic, right: &Dynamic) -> bool {
    if let (Ok(left), Ok(right)) = (left.as_array_ref(), right.as_array_ref()) {
        return left.len() == right.len() && left.iter().zip(right.iter()).all(|(l, r)| is_same(l, r));
    }
    if let (Ok(left), Ok(right)) = (left.as_map_ref(), right.as_map_ref()) {
        let mut entries = left.iter();
        return left.len() == right.len()
            && entries.all(|(key, value)| right.get(key).is_some_and(|other| is_same(value, other)));
    }
    if let (Some(left), Some(right)) = (left.read_lock::<Verdict>(), right.read_lock::<Verdict>()) {
        return *left == *right;
    }
    if let (Ok(left), Ok(right)) = (left.as_immutable_string_ref(), right.as_immutable_string_ref()) {
        return *left == *right;
    }
    let number = |value: &Dynamic| value.as_int().map(|int| int as f64).or_else(|_| value.as_float());
    match (left.as_int(), right.as_int(), number(left), number(right)) {
        (Ok(left), Ok(right), ..) => left == right,
        (_, _, Ok(left), Ok(right)) => left == right,
        _ if left.is_unit() => right.is_unit(),
        _ if left.is_bool() => left.as_bool() == right.as_bool(),
        _ if left.is_char() => left.as_char() == right.as_char(),
        _ => false,
    }
}

/// The value as it would stand in a script, cut where it gets long.
pub(super) fn literal(value: &Dynamic) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    if text.len() > MAX_BYTES {
        text.truncate(text.floor_char_boundary(MAX_BYTES));
        text.push('…');
    }
    text
}

fn write_value(text: &mut String, value: &Dynamic) {
    if text.len() > MAX_BYTES {
        return;
    }
    if let Ok(items) = value.as_array_ref() {
        text.push('[');
        write_all(text, items.iter(), write_value);
        text.push(']');
    } else if let Ok(entries) = value.as_map_ref() {
        text.push_str("#{");
        write_all(text, entries.iter(), |text, (key, value)| {
            text.push_str(key);
            text.push_str(": ");
            write_value(text, value);
        });
        text.push('}');
    } else if let Ok(string) = value.as_immutable_string_ref() {
        // A little more than what is shown, so that the cut shows.
        let shown = string.floor_char_boundary(MAX_BYTES + 1);
        append(text, format_args!("{:?}", &string[..shown]));
    } else if let Some(verdict) = value.read_lock::<Verdict>() {
        // `Reply("hi")` is written `reply("hi")` in a script.
        let call = format!("{:?}", *verdict);
        let name = call.chars().next().map_or(0, char::len_utf8);
        text.push_str(&call[..name].to_lowercase());
        text.push_str(&call[name..]);
    } else if let Ok(letter) = value.as_char() {
        append(text, format_args!("{letter:?}"));
    } else if value.is_unit() {
        text.push_str("()");
    } else if value.is_bool() || value.is_int() || value.is_float() {
        append(text, format_args!("{value}"));
    } else {
        text.push_str(type_name(value));
    }
}

fn write_all<T>(text: &mut String, items: impl Iterator<Item = T>, write: impl Fn(&mut String, T)) {
    for (at, item) in items.enumerate() {
        if text.len() > MAX_BYTES {
            return;
        }
        if at > 0 {
            text.push_str(", ");
        }
        write(text, item);
    }
}

fn append(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // A String takes everything.
    text.write_fmt(arguments).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::value::from_json;

    #[test]
    fn values_are_the_same_in_type_and_every_part() {
        let value = |json| from_json(&json);
        let draft = || value(serde_json::json!({"a": [1, "x", null, true, {"b": 0.5}]}));

        assert!(is_same(&draft(), &draft()));
        assert!(is_same(&value(serde_json::json!(1)), &value(serde_json::json!(1.0))));
        assert!(is_same(
            &Dynamic::from(Verdict::Reply("a".into())),
            &Dynamic::from(Verdict::Reply("a".into()))
        ));
        for (left, right) in [
            (serde_json::json!("1"), serde_json::json!(1)),
            (serde_json::json!([1]), serde_json::json!([1, 2])),
            (serde_json::json!({"a": 1}), serde_json::json!({"b": 1})),
            (serde_json::json!(null), serde_json::json!(false)),
            (serde_json::json!("a"), serde_json::json!("b")),
        ] {
            assert!(!is_same(&value(left.clone()), &value(right.clone())), "{left} {right}");
        }
        assert!(!is_same(&Dynamic::from(f64::NAN), &Dynamic::from(f64::NAN)));
        assert!(!is_same(
            &Dynamic::from(Verdict::Reply("a".into())),
            &Dynamic::from(Verdict::Deny("a".into()))
        ));
    }

    #[test]
    fn a_literal_reads_as_in_a_script_and_is_cut() {
        let value = from_json(&serde_json::json!({"a": [1, -0.5, "é\n", null, true]}));
        let long = from_json(&serde_json::json!(vec!["é".repeat(1_000); 1_000]));

        assert_eq!(literal(&value), "#{a: [1, -0.5, \"é\\n\", (), true]}");
        assert_eq!(literal(&Dynamic::from(Verdict::Deny("no".into()))), "deny(\"no\")");
        assert!(literal(&long).len() < MAX_BYTES + 8 && literal(&long).ends_with('…'));
    }
}
