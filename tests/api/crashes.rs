//! A crash in the middle of a reply loses at most the last second.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{ECHO, Person, TestApp};

#[tokio::test]
async fn f05_kill_in_the_middle_of_a_reply_twenty_times_keeps_the_text_up_to_a_second_before() {
    let mut app = TestApp::start(ECHO).await;
    let mut ada = app.person("ada").await;
    let script = |round: usize| {
        json!({ "pieces": [format!("round{round} ")], "repeat": 10_000, "delay_ms": 4 }).to_string()
    };

    for round in 0..20 {
        let conversation = ada.new_conversation().await;
        let reply = ada.send(&conversation, &script(round)).await;
        let mut events = ada.follow(&reply, 0).await;
        // A different moment each time, spread over two checkpoints.
        let until = Instant::now() + Duration::from_millis(200 + (round as u64 * 7919) % 1_600);
        let mut shown = Vec::new();
        while Instant::now() < until {
            let event = events.next().await.expect("the reply runs");
            shown.push((Instant::now(), event.data));
        }
        let killed_at = Instant::now();
        app = app.kill_and_restart().await;
        ada = Person { url: app.url.clone(), ..ada };

        let page = ada.page(&format!("/c/{conversation}")).await;
        let kept = ada.read(&reply).await;
        let old_enough = |at: &Instant| killed_at.duration_since(*at) > Duration::from_secs(1);
        let expected: String =
            shown.iter().filter(|(at, _)| old_enough(at)).map(|(_, data)| data.as_str()).collect();
        assert!(
            kept.len() >= expected.trim_end().len(),
            "round {round}: kept {} of {}",
            kept.len(),
            expected.len()
        );
        assert!(format!("round{round} ").repeat(10_000).starts_with(&kept), "round {round}: other text");
        assert!(
            page.contains("interrupted") && page.contains("regenerate"),
            "round {round}: no mark or no Retry"
        );
        assert!(page.contains(&format!("round{round}")), "round {round}: the message is gone");
    }
}
