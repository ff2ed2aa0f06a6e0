//! A long prompt arrives while somebody else reads a running reply.

use std::cell::RefCell;
use std::time::Instant;

use futures::future::{Either, select};
use tokio::sync::Notify;

use super::{Goal, Measure, Sample, fresh, note};
use crate::Outcome;
use crate::client::{Message, milliseconds};
use crate::contestant::Contestant;
use crate::text::Text;

pub const MEASURES: &[Measure] = &[
    Measure {
        name: "1,700-token prompt arrives: longest gap in a running stream",
        unit: "ms",
        goal: Goal::RatioAtMost(0.05),
    },
    Measure {
        name: "1,700-token prompt arrives: its own first token",
        unit: "ms",
        goal: Goal::RatioAtMost(1.1),
    },
];

/// Pieces after which the running reply counts as running.
const RUNNING: usize = 20;

/// Longer than any prompt takes to be read.
const ENDLESS: u32 = 1500;

pub async fn run(side: &Contestant, text: &mut Text) -> Outcome<Sample> {
    let server = fresh(side).await?;
    let story = [Message::user(format!("{} Tell a long story.", text.unique(12)))];
    let long = [Message::user(text.unique(1520) + " Summarize this.")];

    let arrivals = RefCell::new(Vec::new());
    let running = Notify::new();
    let watched = server.endpoint.stream(0, &story, ENDLESS, true, |now| {
        arrivals.borrow_mut().push(now);
        if arrivals.borrow().len() == RUNNING {
            running.notify_one();
        }
    });
    let disturbing = async {
        running.notified().await;
        server.endpoint.chat(1, &long, 16).await
    };
    let disturbed = match select(std::pin::pin!(watched), std::pin::pin!(disturbing)).await {
        Either::Left((ended, _)) => {
            ended?;
            return Err("the running reply ended before the long prompt was read".into());
        }
        // Dropping the other future hangs up on the endless reply.
        Either::Right((reply, _)) => reply?,
    };
    note(&disturbed);
    server.stop().await?;

    let gap = longest_gap(&arrivals.borrow(), disturbed.sent, disturbed.arrivals[0]);
    Ok(vec![gap, Some(disturbed.ttft_ms())])
}

/// The longest time between two pieces, of which a part lies between `from` and `to`, in milliseconds.
fn longest_gap(arrivals: &[Instant], from: Instant, to: Instant) -> Option<f64> {
    let touching = arrivals.windows(2).filter(|pair| pair[1] > from && pair[0] < to);
    touching.map(|pair| milliseconds(pair[1] - pair[0])).reduce(f64::max)
}
