//! JSON for scripts. What a text holds is measured while it is read, so that no text becomes more than a value may be.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};

use rhai::{Array, Dynamic, EvalAltResult, Map, NativeCallContext};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::budget;
use super::fault::host_error;
use super::value::{MAX_DEPTH, to_json};

type Fallible<T> = Result<T, Box<EvalAltResult>>;

pub(super) fn register(engine: &mut rhai::Engine) {
    engine
        .register_fn("json_parse", |ctx: NativeCallContext, text: &str| parse(text, ctx.engine()))
        .register_fn("json_stringify", |ctx: NativeCallContext, value: Dynamic| {
            stringify(&value, ctx.engine().max_string_size())
        });
}

/// Reads a text within the engine's limits; the error names a place and never what stands there.
pub(super) fn parse(text: &str, engine: &rhai::Engine) -> Fallible<Dynamic> {
    let left = Left { items: Cell::new(engine.max_array_size()), entries: Cell::new(engine.max_map_size()) };
    let mut reader = serde_json::Deserializer::from_str(text);
    let parsed = Reading { left: &left, depth: 0 }.deserialize(&mut reader);
    parsed.and_then(|value| reader.end().map(|()| value)).map_err(|error| {
        host_error(match error.classify() {
            Category::Data => error.to_string(),
            _ => format!("the text is no JSON at line {} column {}", error.line(), error.column()),
        })
    })
}

/// Writes a value as a text of at most `max_bytes`.
pub(super) fn stringify(value: &Dynamic, max_bytes: usize) -> Fallible<String> {
    let json = to_json(value, max_bytes).map_err(host_error)?;
    let mut writing = Writing { bytes: Vec::new(), max_bytes };
    match serde_json::to_writer(&mut writing, &json) {
        Ok(()) => Ok(String::from_utf8_lossy(&writing.bytes).into_owned()),
        Err(_) => Err(host_error("a text is longer than max_string_bytes allows")),
    }
}

/// What may still come of a whole value, as the engine would count it.
struct Left {
    items: Cell<usize>,
    entries: Cell<usize>,
}

fn take<E: Error>(left: &Cell<usize>, limit: &str) -> Result<(), E> {
    let less = left.get().checked_sub(1);
    left.set(less.ok_or_else(|| E::custom(format_args!("a value is larger than {limit} allows")))?);
    budget::exceeded().map_or(Ok(()), |why| Err(E::custom(why)))
}

#[derive(Clone, Copy)]
struct Reading<'a> {
    left: &'a Left,
    depth: usize,
}

impl Reading<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("a value nests deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Dynamic;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Dynamic, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Dynamic;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Dynamic, E> {
        Ok(Dynamic::UNIT)
    }

    fn visit_bool<E>(self, it: bool) -> Result<Dynamic, E> {
        Ok(it.into())
    }

    fn visit_i64<E>(self, it: i64) -> Result<Dynamic, E> {
        Ok(it.into())
    }

    /// A number that is too large for a script's integers becomes a float.
    fn visit_u64<E>(self, it: u64) -> Result<Dynamic, E> {
        Ok(i64::try_from(it).map_or_else(|_| Dynamic::from(it as f64), Dynamic::from))
    }

    fn visit_f64<E>(self, it: f64) -> Result<Dynamic, E> {
        Ok(it.into())
    }

    fn visit_str<E>(self, it: &str) -> Result<Dynamic, E> {
        Ok(it.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Dynamic, A::Error> {
        let (inner, mut array) = (self.deeper::<A::Error>()?, Array::new());
        while let Some(item) = items.next_element_seed(inner)? {
            take::<A::Error>(&self.left.items, "max_array_len")?;
            array.push(item);
        }
        Ok(Dynamic::from_array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Dynamic, A::Error> {
        let (inner, mut map) = (self.deeper::<A::Error>()?, Map::new());
        while let Some(key) = entries.next_key::<String>()? {
            take::<A::Error>(&self.left.entries, "max_map_len")?;
            map.insert(key.into(), entries.next_value_seed(inner)?);
        }
        Ok(Dynamic::from_map(map))
    }
}

/// A text that stops growing at its limit.
struct Writing {
    bytes: Vec<u8>,
    max_bytes: usize,
}

impl Write for Writing {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > self.max_bytes {
            return Err(io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
