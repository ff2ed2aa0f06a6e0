//! Search, pinned and archived conversations, long lists and long conversations, as one uses them.

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::looks::inspect;
use super::support::Person;
use super::window::{ENTER, ESCAPE};
use super::{ECHO, Seat};

/// Conversations whose messages are chains of these texts, and how many minutes ago they were written.
async fn import(seat: &Seat, conversations: &[(&str, i64, Vec<String>)]) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let id = |number: usize| format!("00000000-0000-7000-8000-{number:012}");
    let told = conversations.iter().map(|(title, minutes, texts)| {
        let at = now - minutes * 60_000;
        let messages = texts.iter().enumerate().map(|(place, text)| {
            json!({ "id": id(place), "parent": place.checked_sub(1).map(id), "content": text, "status": "complete",
                "role": if place % 2 == 0 { "user" } else { "assistant" }, "finish_reason": null, "error": null,
                "usage": null, "seed": null, "created_at": at })
        });
        json!({ "title": title, "created_at": at, "updated_at": at, "messages": messages.collect::<Vec<Value>>() })
    });
    let file = json!({ "fireside_export": 1, "conversations": told.collect::<Vec<Value>>() });
    // The version stands first in a file.
    let file = format!("{{\"fireside_export\":1,\"conversations\":{}}}", file["conversations"]);
    let ada = Person::new(&seat.app.url, "ada");
    ada.sign_in().await;
    let form = Form::new().part("file", Part::bytes(file.into_bytes()).file_name("x.json"));
    let answer = ada.htmx(reqwest::Method::POST, "/account/import").multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

fn chain(texts: usize) -> Vec<String> {
    (0..texts).map(|number| format!("Text no. {number}")).collect()
}

#[tokio::test]
async fn a_search_answers_as_one_types_and_opens_at_the_message() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    let mut texts = chain(120);
    texts[10] = "Swallows sleep **in flight**, says a legend.".into();
    import(&seat, &[("On birds", 5, texts), ("On bread", 3, vec!["Flour".into(), "Water".into()])]).await;
    window.reload().await;
    let blank: String = window.eval("location.pathname").await;

    // Alt+K leads there.
    let press = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, cancelable: true, key: 'k', code: 'KeyK', altKey: true }))";
    window.eval::<Value>(press).await;
    assert_eq!(window.eval::<String>("document.activeElement.id").await, "search");
    window.keys("swallow legen").await;
    window.until("document.querySelectorAll('.found mark').length === 2").await;
    assert_eq!(window.eval::<usize>("document.querySelectorAll('.found li').length").await, 1);
    assert_eq!(
        window
            .eval::<Vec<String>>("[...document.querySelectorAll('.found mark')].map(it => it.textContent)")
            .await,
        ["Swallows", "legend"]
    );
    assert!(!window.eval::<bool>("document.querySelector('#conversations').checkVisibility()").await);
    inspect(&seat, "search").await;
    // On a phone the field was hidden with the list.
    window.eval::<Value>("document.querySelector('#search').focus()").await;
    // One letter each time: no answer to a part of what is typed comes after it and takes the focus away.
    window.keys("z").await;
    window.until("document.querySelector('.nothing')?.checkVisibility()").await;
    window.run("document.querySelector('#search').value = 'swallo'").await;
    window.keys("w").await;
    window.until("document.querySelectorAll('.found li').length === 1").await;
    let when: String = window.eval("document.querySelector('.found time').textContent").await;
    window.eval::<Value>("document.querySelector('.found a').focus()").await;
    // On a slow machine too, where not everything is painted when it is opened.
    window.slow_down(4).await;
    window.keys(ENTER).await;

    window
        .until(&format!("location.pathname !== '{blank}' && document.activeElement.matches('[data-sought]')"))
        .await;
    window.slow_down(1).await;
    let written: String = window.eval("document.querySelector('[data-sought] time').textContent").await;
    assert_eq!(when, written, "one style of dates");
    let seen = "(() => { const { top, bottom } = document.activeElement.getBoundingClientRect(); return top > 0 && bottom < innerHeight; })()";
    assert!(window.eval::<bool>(seen).await, "it is scrolled to");
    assert_eq!(
        window.eval::<String>("document.activeElement.querySelector('.rendered').textContent.trim()").await,
        "Swallows sleep in flight, says a legend."
    );
    window.reload().await;
    window.until("document.activeElement.matches('[data-sought]')").await;
    window.picture("found-1280-light").await;
    window.click("#search").await;
    window.keys("swallow").await;
    window.until("document.querySelectorAll('.found li').length === 1").await;
    window.keys(ESCAPE).await;
    window.until("document.querySelector('#conversations').checkVisibility()").await;
    seat.leave().await;
}

#[tokio::test]
async fn a_conversation_is_pinned_archived_and_found_again_by_keyboard() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    import(&seat, &[("Older", 9, chain(2)), ("Newer", 8, chain(2))]).await;
    window.reload().await;
    let titles = "[...document.querySelectorAll('.conversation > a:first-child')].map(it => it.textContent)";
    assert_eq!(window.eval::<Vec<String>>(titles).await, ["New conversation", "Newer", "Older"]);
    let focus = |of: &str| format!("document.querySelector('[aria-label$=\"“{of}”\"]').focus()");

    window.eval::<Value>(&focus("Older")).await;
    window.keys(ENTER).await;
    window.until("document.activeElement.matches('.rename .field')").await;
    inspect(&seat, "conversation-edit").await;
    window.eval::<Value>("document.querySelector('.shelves [value=pinned]').focus()").await;
    window.keys(ENTER).await;
    window
        .until(&format!(
            "JSON.stringify({titles}) === JSON.stringify(['Older', 'New conversation', 'Newer'])"
        ))
        .await;
    // Who works by keyboard goes on where they were.
    window.until("document.activeElement.getAttribute('aria-label')?.endsWith('“Older”')").await;
    assert_eq!(
        window.eval::<String>("document.querySelector('#conversations h2').textContent").await,
        "Pinned"
    );

    window.eval::<Value>(&focus("Newer")).await;
    window.keys(ENTER).await;
    window.until("document.activeElement.matches('.rename .field')").await;
    window.keys(ESCAPE).await;
    window.until("!document.querySelector('.conversation.editing')").await;
    window.until("document.activeElement.getAttribute('aria-label')?.endsWith('“Newer”')").await;
    window.keys(ENTER).await;
    window.until("document.activeElement.matches('.rename .field')").await;
    window.eval::<Value>("document.querySelector('.shelves [value=archived]').focus()").await;
    window.keys(ENTER).await;
    // While it is edited it is not among the titles either.
    window.until("!document.querySelector('.conversation.editing')").await;
    assert_eq!(window.eval::<Vec<String>>(titles).await, ["Older", "New conversation"]);

    window.click(".search a").await;
    window.until("location.pathname === '/archive'").await;
    inspect(&seat, "archive").await;
    window.click(".conversation .button").await;
    window.until("location.pathname.endsWith('/edit')").await;
    inspect(&seat, "conversation-edit-page").await;
    window.click(".shelves [value=listed]").await;
    window
        .until(&format!(
            "JSON.stringify({titles}) === JSON.stringify(['Older', 'New conversation', 'Newer'])"
        ))
        .await;
    assert_eq!(window.eval::<String>("document.querySelector('#chat-title').textContent").await, "Newer");
    seat.leave().await;
}

#[tokio::test]
async fn a_long_list_grows_as_one_scrolls() {
    let seat = Seat::echo().await;
    let window = &seat.window;
    let titles: Vec<String> = (0..130).map(|number| format!("No. {number}")).collect();
    let all: Vec<_> = titles.iter().zip(1..).map(|(title, at)| (title.as_str(), at * 60, chain(2))).collect();
    import(&seat, &all).await;
    window.reload().await;
    let count = "document.querySelectorAll('.conversation').length";
    assert_eq!(window.eval::<usize>(count).await, 50);
    let down = "document.querySelector('#conversations').scrollTo(0, 1e6)";

    window.eval::<Value>(down).await;
    window.until(&format!("{count} === 100")).await;
    window.eval::<Value>(down).await;
    window.until(&format!("{count} === 131")).await;

    // No heading stands twice, and no conversation.
    let twice = "(all => all.length - new Set(all).size)([...document.querySelectorAll('#conversations h2, .conversation')].map(it => it.id || it.textContent))";
    assert_eq!(window.eval::<usize>(twice).await, 0);
    inspect(&seat, "long-list").await;
    // Deleting one at the end leaves the reader there.
    window.click("[aria-label$='“No. 129”']").await;
    window.click(".conversation [hx-delete]").await;
    window.click("#confirm .danger").await;
    window.until(&format!("{count} === 130")).await;
    // What is read stays where it is.
    assert!(window.eval::<bool>("document.querySelector('#chat #message') !== null").await);
    seat.send("still here").await;
    seat.until_over(2).await;
    seat.leave().await;
}

#[tokio::test]
async fn earlier_messages_come_above_what_is_read_and_stay() {
    let seat = Seat::take(ECHO).await;
    let window = &seat.window;
    import(&seat, &[("Long", 5, chain(130))]).await;
    window.reload().await;
    // Around midnight it is yesterday's, and stands in a list of its own.
    window.click("#conversations a[id^=open-]:not([aria-current])").await;
    window.until("document.querySelectorAll('.message').length === 40").await;
    window.eval::<Value>("document.querySelector('#scroller').scrollTo(0, 0)").await;
    let top = "document.querySelectorAll('.message')[document.querySelectorAll('.message').length - 40].getBoundingClientRect().top";
    let before: f64 = window.eval(top).await;
    window.picture("earlier-1280-light").await;

    window.click("#earlier").await;
    window.until("document.querySelectorAll('.message').length === 80").await;

    let after: f64 = window.eval(top).await;
    assert!((before - after).abs() < 60.0, "what was read stays where it is: {before} {after}");
    window.eval::<Value>("window.dispatchEvent(new Event('focus'))").await;
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(window.eval::<usize>("document.querySelectorAll('.message').length").await, 80);
    seat.send("one more").await;
    seat.until_over(82).await;
    assert!(window.eval::<bool>("document.querySelector('#earlier') !== null").await);
    seat.leave().await;
}
