//! A conversation that is never written to the disk, as one sees it.

use serde_json::Value;

use super::Seat;
use super::looks::inspect;

#[tokio::test]
async fn a_temporary_conversation_says_so_and_can_be_deleted() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    seat.send("kept").await;
    seat.until_over(2).await;
    let kept: String = window.eval("location.pathname").await;

    window.click("#new-temporary").await;
    window.until(&format!("location.pathname !== '{kept}' && document.querySelector('.greeting .temporary')?.checkVisibility()")).await;
    inspect(&seat, "temporary").await;
    seat.send("unkept").await;
    seat.until_over(2).await;

    assert_eq!(seat.last_text().await, "unkept");
    assert!(window.text().await.contains("Temporary"));
    let titles = "[...document.querySelectorAll('.conversation > a:first-child')].map(it => it.textContent)";
    assert_eq!(window.eval::<Vec<String>>(titles).await, ["unkept", "kept"]);
    assert_eq!(
        window.eval::<String>("document.querySelector('#conversations h2').textContent").await,
        "Temporary"
    );
    // It is there after a reload, and gone when it is deleted.
    window.reload().await;
    window.until("document.querySelectorAll('.message').length === 2").await;
    window.eval::<Value>("document.querySelector('.bar .menu').open = true").await;
    window.click(".bar .menu [hx-delete]").await;
    window.click("#confirm .danger").await;
    window
        .until(&format!(
            "location.pathname === '{kept}' && document.querySelectorAll('.message').length === 2"
        ))
        .await;
    assert_eq!(seat.last_text().await, "kept");
    seat.leave().await;
}
