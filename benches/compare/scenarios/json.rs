//! A reply that must follow a JSON schema.

use serde_json::json;

use super::{Goal, Measure, Sample, fresh, note};
use crate::Outcome;
use crate::client::Message;
use crate::contestant::Contestant;
use crate::text::Text;

/// Most tokens of each reply.
const REPLY: u32 = 160;

pub const MEASURES: &[Measure] = &[
    Measure { name: "JSON by a schema: speed", unit: "tokens/s", goal: Goal::RatioAtLeast(1.0) },
    Measure { name: "JSON by a schema: speed against none", unit: "×", goal: Goal::AtLeast(0.95) },
];

/// The same question with a schema and without one, one after the other.
pub async fn run(side: &Contestant, text: &mut Text) -> Outcome<Sample> {
    let server = fresh(side).await?;
    let schema = json!({
        "type": "array", "minItems": 20, "maxItems": 20, "items": {
            "type": "object",
            "properties": {
                "name": { "type": "string", "maxLength": 16 },
                "age": { "type": "integer", "minimum": 1, "maximum": 99 },
                "is_member": { "type": "boolean" },
            },
            "required": ["name", "age", "is_member"],
            "additionalProperties": false,
        }
    });
    let mut question =
        || format!("{} List twenty people as JSON, with name, age and is_member.", text.unique(20));
    let questions: Vec<_> =
        std::iter::repeat_with(&mut question).take(2).map(|said| [Message::user(said)]).collect();
    let formed = server.endpoint.with_schema(schema).stream(0, &questions[0], REPLY, false, |_| ()).await?;
    note(&formed);
    let free = server.endpoint.chat(0, &questions[1], REPLY).await?;
    server.stop().await?;
    let [formed, free] = [formed.tokens_per_second(), free.tokens_per_second()];
    Ok(vec![Some(formed), Some(formed / free)])
}
