//! What a schema asks of one value of its answer all at once.
//!
//! Where several regular expressions meet, each step looks at all combinations of what each of them may do: the cost is
//! exponential in their number, and nothing bounds it once it runs. A number that must be a multiple has a state for each
//! remainder. So schemas that ask for too much of either are refused.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

/// Most expressions that may meet in one text.
const MOST: usize = 3;

/// Largest divisor of a number, without its decimal point; where several meet, their product.
const LARGEST_DIVISOR: f64 = 1_000.0;

/// Most places of a schema that are looked at, counted again for each way that leads to them.
const MOST_PLACES: usize = 20_000;

/// Why a schema costs too much; none if it does not.
pub(super) fn too_costly(schema: &Value) -> Option<String> {
    let mut walk = Walk { root: schema, open: HashSet::new(), places: 0 };
    match walk.place(schema) {
        _ if walk.places > MOST_PLACES => {
            Some("it is too complex: its references lead to too many places".into())
        }
        demands if demands.any(&|demands| demands.expressions > MOST) => {
            Some(format!("more than {MOST} patterns or formats meet in one text"))
        }
        demands if demands.any(&|demands| demands.divisor > LARGEST_DIVISOR) => {
            Some(format!("multipleOf may go up to {LARGEST_DIVISOR}, digits behind the point included"))
        }
        _ => None,
    }
}

/// What meets at a place of an answer, and below it.
struct Demands {
    expressions: usize,
    divisor: f64,
    below: BTreeMap<String, Demands>,
}

impl Default for Demands {
    fn default() -> Self {
        Self { expressions: 0, divisor: 1.0, below: BTreeMap::new() }
    }
}

impl Demands {
    fn any(&self, is_too_much: &dyn Fn(&Self) -> bool) -> bool {
        is_too_much(self) || self.below.values().any(|below| below.any(is_too_much))
    }

    /// Both must match.
    fn and(&mut self, other: Self) {
        self.expressions += other.expressions;
        self.divisor *= other.divisor;
        for (name, below) in other.below {
            self.below.entry(name).or_default().and(below);
        }
    }

    /// One of them must match.
    fn or(&mut self, other: Self) {
        self.expressions = self.expressions.max(other.expressions);
        self.divisor = self.divisor.max(other.divisor);
        for (name, below) in other.below {
            self.below.entry(name).or_default().or(below);
        }
    }
}

struct Walk<'a> {
    root: &'a Value,
    /// References on the way to the present place.
    open: HashSet<&'a str>,
    places: usize,
}

impl<'a> Walk<'a> {
    fn place(&mut self, schema: &'a Value) -> Demands {
        self.places += 1;
        let mut found = Demands::default();
        let Value::Object(schema) = schema else { return found };
        if self.places > MOST_PLACES {
            return found;
        }
        found.divisor = schema.get("multipleOf").map_or(1.0, divisor);
        found.expressions = ["pattern", "format"].iter().filter(|&&key| schema.contains_key(key)).count();
        self.children(schema, &mut found);
        for part in parts(schema, "allOf") {
            let part = self.place(part);
            found.and(part);
        }
        for key in ["anyOf", "oneOf"] {
            let mut any = Demands::default();
            for part in parts(schema, key) {
                let part = self.place(part);
                any.or(part);
            }
            found.and(any);
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str)
            && self.open.insert(reference)
        {
            if let Some(target) =
                reference.rsplit_once('#').and_then(|(_, pointer)| self.root.pointer(&decoded(pointer)))
            {
                let target = self.place(target);
                found.and(target);
            }
            self.open.remove(reference);
        }
        found
    }

    fn children(&mut self, schema: &'a Map<String, Value>, found: &mut Demands) {
        let named = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        for (name, child) in named {
            let child = self.place(child);
            found.below.entry(format!("property {name}")).or_default().and(child);
        }
        // What one pattern of names allows, all others must not match.
        let patterns = schema.get("patternProperties").and_then(Value::as_object);
        let names = found.below.entry("name".into()).or_default();
        names.expressions = patterns.map_or(0, Map::len);
        for (name, child) in patterns.into_iter().flatten() {
            let child = self.place(child);
            found.below.entry(format!("pattern {name}")).or_default().and(child);
        }
        for key in ["items", "additionalItems", "additionalProperties"] {
            if let Some(child) = schema.get(key) {
                let child = self.place(child);
                found.below.entry(key.into()).or_default().and(child);
            }
        }
        for (at, child) in parts(schema, "prefixItems").iter().enumerate() {
            let child = self.place(child);
            found.below.entry(format!("item {at}")).or_default().and(child);
        }
    }
}

fn parts<'a>(schema: &'a Map<String, Value>, key: &str) -> &'a [Value] {
    schema.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The whole number that has the digits of this one.
fn divisor(number: &Value) -> f64 {
    let text = number.to_string();
    let digits: String =
        text.strip_suffix(".0").unwrap_or(&text).chars().filter(char::is_ascii_digit).collect();
    match text.contains(['e', 'E']) {
        true => f64::INFINITY,
        false => digits.parse().unwrap_or(f64::INFINITY),
    }
}

/// A pointer as it stands in a reference, which writes some characters as in an address.
fn decoded(pointer: &str) -> String {
    pointer.replace("%25", "%").replace("%22", "\"").replace("%20", " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expressions_are_counted_where_they_meet() {
        let pattern = |n: usize| json!({ "type": "string", "pattern": format!("a{n}") });
        let all = |n: usize| json!({ "allOf": (0..n).map(pattern).collect::<Vec<_>>() });
        let apart =
            json!({ "properties": { "a": pattern(1), "b": pattern(2), "c": pattern(3), "d": pattern(4) } });
        let below = json!({ "allOf": (0..4).map(|n| json!({ "properties": { "a": pattern(n) } })).collect::<Vec<_>>() });
        let any = json!({ "anyOf": (0..9).map(pattern).collect::<Vec<_>>() });
        let itself =
            json!({ "$defs": { "a": { "$ref": "#/$defs/a", "pattern": "a" } }, "$ref": "#/$defs/a" });

        assert_eq!([&all(3), &apart, &any, &itself].map(too_costly), [None, None, None, None]);
        assert!(too_costly(&all(4)).is_some() && too_costly(&below).is_some());
    }

    #[test]
    fn divisors_that_meet_are_multiplied() {
        let of = |number: f64| json!({ "multipleOf": number });

        assert_eq!([of(0.01), of(2.5), of(999.0)].map(|schema| too_costly(&schema)), [None, None, None]);
        for costly in [
            of(1_001.0),
            of(1e-9),
            json!({ "allOf": [of(97.0), of(89.0)] }),
            json!({ "items": of(12_345.0) }),
        ] {
            assert!(too_costly(&costly).unwrap().contains("multipleOf"), "{costly}");
        }
    }

    #[test]
    fn references_that_double_are_not_followed_to_their_end() {
        let mut parts: Map<String, Value> = (0..60)
            .map(|n| (format!("d{n}"), json!({ "allOf": [{ "$ref": format!("#/$defs/d{}", n + 1) }, { "$ref": format!("#/$defs/d{}", n + 1) }] })))
            .collect();
        parts.insert("d60".into(), json!({ "type": "null" }));

        assert!(
            too_costly(&json!({ "$defs": parts, "$ref": "#/$defs/d0" })).unwrap().contains("too complex")
        );
    }
}
