//! Whether others in the same batch change what a conversation says: llama.cpp computes a batch of eight with other kernels
//! than a batch of one, so that sums are rounded otherwise, and of two tokens that are all but equally likely another wins.

use futures::future::try_join_all;

use super::{Goal, Measure, Sample, fresh_with};
use crate::Outcome;
use crate::client::{Message, Reply};
use crate::contestant::Contestant;
use crate::fireside::PLACES;
use crate::report::median;
use crate::text::Text;

/// Tokens of each reply.
const REPLY: u32 = 128;

/// Fireside would remember the prompts over the restart.
const NO_DISK: &[(&str, &str)] = &[("FIRESIDE_LLM__KV_DISK_MIB", "0")];

pub const MEASURES: &[Measure] = &[
    Measure {
        name: "8 at once against alone, greedy: the same text to the end",
        unit: "of 8",
        goal: Goal::RatioAtLeast(1.0),
    },
    Measure {
        name: "… where texts differ: characters that are the same, least",
        unit: "characters",
        goal: Goal::RatioAtLeast(1.0),
    },
    Measure {
        name: "… where texts differ: characters that are the same, median",
        unit: "characters",
        goal: Goal::RatioAtLeast(1.0),
    },
];

/// Both times the server was just started, so that nothing is used again.
pub async fn run(side: &Contestant, text: &mut Text) -> Outcome<Sample> {
    let prompts: Vec<_> =
        (0..PLACES).map(|_| [Message::user(text.unique(20) + " Tell a long story about this.")]).collect();

    let server = fresh_with(side, NO_DISK).await?;
    let endpoint = server.endpoint.greedy();
    let mut alone = Vec::new();
    for (person, prompt) in prompts.iter().enumerate() {
        alone.push(endpoint.chat(person, prompt, REPLY).await?);
    }
    server.stop().await?;

    let server = fresh_with(side, NO_DISK).await?;
    let endpoint = server.endpoint.greedy();
    let asked = prompts.iter().enumerate().map(|(person, prompt)| endpoint.chat(person, prompt, REPLY));
    let together = try_join_all(asked).await?;
    server.stop().await?;

    let same: Vec<f64> = alone.iter().zip(&together).filter_map(common_beginning).collect();
    let least = same.iter().copied().min_by(f64::total_cmp);
    Ok(vec![Some((PLACES - same.len()) as f64), least, median(&same)])
}

/// Characters at the beginning of two texts that are the same; none where all are.
fn common_beginning((alone, together): (&Reply, &Reply)) -> Option<f64> {
    let same = alone.text.chars().zip(together.text.chars()).take_while(|(left, right)| left == right);
    (alone.text != together.text).then(|| same.count() as f64)
}
