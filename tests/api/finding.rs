//! Search, pinned and archived conversations, lists and conversations that are longer than a page.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::support::{ECHO, Person, TestApp, unescape};

const DAY: i64 = 86_400_000;

fn id(number: usize) -> String {
    format!("00000000-0000-7000-8000-{number:012}")
}

/// A conversation as an export tells it: a chain of messages of these texts, by turns.
pub fn told(title: &str, at: i64, texts: &[String]) -> Value {
    let message = |(place, text): (usize, &String)| {
        json!({ "id": id(place), "parent": place.checked_sub(1).map(id), "content": text, "status": "complete",
            "role": if place % 2 == 0 { "user" } else { "assistant" }, "finish_reason": null, "error": null,
            "usage": null, "seed": null, "created_at": at })
    };
    let messages: Vec<Value> = texts.iter().enumerate().map(message).collect();
    json!({ "title": title, "created_at": at, "updated_at": at, "messages": messages })
}

pub async fn import(person: &Person, conversations: &[Value]) {
    let file = format!("{{\"fireside_export\":1,\"conversations\":{}}}", json!(conversations));
    let form = Form::new().part("file", Part::bytes(file.into_bytes()).file_name("x.json"));
    let answer = person.htmx(Method::POST, "/account/import").multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_millis().try_into().unwrap()
}

async fn page(person: &Person, path: &str) -> String {
    unescape(&person.page(path).await)
}

async fn fragment(person: &Person, path: &str) -> String {
    let answer = person.htmx(Method::GET, path).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    unescape(&answer.text().await.unwrap())
}

/// What stands between each of these and the next `"`.
fn behind<'a>(html: &'a str, before: &str) -> Vec<&'a str> {
    html.split(before).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

async fn put_on_shelf(person: &Person, conversation: &str, shelf: &str) -> reqwest::Response {
    let path = format!("/c/{conversation}/shelf");
    person.htmx(Method::PUT, &path).form(&[("shelf", shelf)]).send().await.unwrap()
}

#[tokio::test]
async fn a_search_finds_titles_and_messages_of_ones_own_and_leads_to_them() {
    let app = TestApp::start(ECHO).await;
    let (ada, bob) = (app.person("ada").await, app.person("bob").await);
    let conversation = ada.new_conversation().await;
    let reply = ada.send(&conversation, "Wie pflegt man <b>Bäume</b> im Garten?").await;
    ada.read(&reply).await;
    bob.ask(&bob.new_conversation().await, "Bäume").await;

    let found = fragment(&ada, "/search?q=baum%20gart").await;

    assert!(!found.contains("<!doctype") && found.contains("<mark>Bäume</mark>"), "{found}");
    assert!(found.contains("<mark>Garten</mark>"), "{found}");
    let raw = ada.htmx(Method::GET, "/search?q=baum").send().await.unwrap().text().await.unwrap();
    assert!(!raw.contains("<b><") && raw.contains("&lt;b&gt;"), "{raw}");
    // The message, its echo, and the title made of it.
    let places = behind(&found, "href=\"");
    assert_eq!(places.len(), 3, "{found}");
    assert!(places.iter().any(|url| *url == format!("/c/{conversation}")));
    let link = format!("/c/{conversation}?at={0}#message-{0}", reply.id);
    assert!(places.contains(&link.as_str()), "{places:?}");
    let open = page(&ada, &link).await;
    let sought = open.split("data-sought").next().unwrap().rsplit_once("id=\"message-").unwrap().1;
    assert!(sought.starts_with(&reply.id), "{sought}");

    assert_eq!(behind(&fragment(&bob, "/search?q=garten").await, "href=\"").len(), 0);
    assert!(fragment(&ada, "/search?q=gartenzaun").await.contains("Nothing found"));
    assert!(!fragment(&ada, "/search?q=%22++%22").await.contains("Nothing found"));
    let whole = page(&ada, "/search?q=garten").await;
    assert!(whole.contains("<!doctype") && whole.contains("value=\"garten\""), "{whole}");
}

#[tokio::test]
async fn what_was_found_comes_page_by_page() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let texts: Vec<String> = (0..50).map(|number| format!("needle {number}")).collect();
    import(&ada, &[told("Hay", now(), &texts)]).await;

    let (mut path, mut all) = ("/search?q=needle".to_owned(), Vec::new());
    loop {
        let found = fragment(&ada, &path).await;
        all.extend(behind(&found, "#message-").into_iter().map(str::to_owned));
        match behind(&found, "more\" id=\"more-").first().map(|_| behind(&found, "href=\"/search?")) {
            Some(more) => path = format!("/search?{}", more[0]),
            None => break,
        }
    }

    assert_eq!(all.len() / 2, 50, "each place is named as a link and as what htmx gets");
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 50);
}

#[tokio::test]
async fn a_message_of_another_version_says_where_it_is() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let first = ada.send(&conversation, "question").await;
    ada.read(&first).await;
    let path = format!("/c/{conversation}/messages/{}/regenerate", first.id);
    ada.htmx(Method::POST, &path).send().await.unwrap().error_for_status().unwrap();

    let open = page(&ada, &format!("/c/{conversation}?at={}", first.id)).await;

    let show = format!("action=\"/c/{conversation}/messages/{}/show\"", first.id);
    assert!(open.contains("stands in another version") && open.contains(&show), "{open}");
    ada.post(&format!("/c/{conversation}/messages/{}/show", first.id), &[]).await;
    let open = page(&ada, &format!("/c/{conversation}?at={}", first.id)).await;
    assert!(!open.contains("stands in another version"), "{open}");
}

#[tokio::test]
async fn pinned_conversations_stand_first_and_archived_ones_apart() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let titled = |title: &str| told(title, now() - 60_000, &["hello".into(), "hello".into()]);
    let all: Vec<Value> = ["one", "two", "three"].into_iter().map(titled).collect();
    import(&ada, &all).await;
    let list = fragment(&ada, "/conversations").await;
    let ids: Vec<String> = behind(&list, "id=\"open-").into_iter().map(str::to_owned).collect();
    assert_eq!(ids.len(), 3, "{list}");

    let sidebar = unescape(&put_on_shelf(&ada, &ids[2], "pinned").await.text().await.unwrap());
    assert_eq!(behind(&sidebar, "id=\"open-"), [&ids[2], &ids[0], &ids[1]]);
    assert!(sidebar.find("Pinned").unwrap() < sidebar.find("Today").unwrap(), "{sidebar}");
    let sidebar = unescape(&put_on_shelf(&ada, &ids[0], "archived").await.text().await.unwrap());
    assert_eq!(behind(&sidebar, "id=\"open-"), [&ids[2], &ids[1]]);
    assert_eq!(behind(&page(&ada, "/archive").await, "id=\"open-"), [&ids[0]]);
    assert!(fragment(&ada, "/search?q=hello").await.contains("Archived"));
    // It says where that went, and takes it back; one that was pinned is pinned again.
    assert!(sidebar.contains("is in the <a href=\"/archive\">archive</a>."), "{sidebar}");
    assert!(sidebar.contains("name=\"shelf\" value=\"listed\""), "{sidebar}");
    let pinned = unescape(&put_on_shelf(&ada, &ids[2], "archived").await.text().await.unwrap());
    assert!(pinned.contains("name=\"shelf\" value=\"pinned\""), "{pinned}");
    let undone = unescape(&put_on_shelf(&ada, &ids[2], "pinned").await.text().await.unwrap());
    assert!(!undone.contains("in the <a"), "{undone}");

    assert_eq!(put_on_shelf(&ada, &ids[1], "burnt").await.status(), 422);
    // An export tells where each stands.
    let export: Value = ada.get("/account/export").await.json().await.unwrap();
    let mut shelves: Vec<_> =
        export["conversations"].as_array().unwrap().iter().map(|c| c["shelf"].clone()).collect();
    shelves.sort_by_key(Value::to_string);
    assert_eq!(shelves, ["archived", "listed", "pinned"]);
    // Written in, it comes back.
    ada.ask(&ids[0], "again").await;
    assert_eq!(behind(&page(&ada, "/archive").await, "id=\"open-").len(), 0);
}

#[tokio::test]
async fn the_list_is_divided_by_day_and_comes_page_by_page() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let blank = ada.new_conversation().await;
    let times = (0..120).map(|place| now() - DAY * if place < 70 { 1 } else { 400 } - place);
    let all: Vec<Value> =
        times.enumerate().map(|(n, at)| told(&format!("No. {n}"), at, &["x".into()])).collect();
    import(&ada, &all).await;

    let first = page(&ada, &format!("/c/{blank}")).await;
    let (mut titles, mut headings) = (behind(&first, "Rename, pin, archive or delete “").len(), Vec::new());
    headings.extend(behind(&first.replace("</h2>", "\""), "<h2>").into_iter().map(str::to_owned));
    let mut more = behind(&first, "href=\"/conversations?").first().map(|it| it.to_string());
    assert_eq!(titles, 50);
    while let Some(at) = more {
        let next = fragment(&ada, &format!("/conversations?{at}")).await;
        titles += behind(&next, "Rename, pin, archive or delete “").len();
        headings.extend(behind(&next.replace("</h2>", "\""), "<h2>").into_iter().map(str::to_owned));
        more = behind(&next, "href=\"/conversations?").first().map(|it| it.to_string());
    }

    assert_eq!(titles, 121);
    assert_eq!(headings.len(), 3, "{headings:?}");
    assert_eq!(headings[..2], ["Today", "Yesterday"]);
    // Whoever has no JavaScript leafs through pages.
    assert!(page(&ada, "/conversations?behind=nonsense").await.contains("<!doctype"));
}

#[tokio::test]
async fn a_long_conversation_comes_from_its_end_a_stretch_at_a_time() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let texts: Vec<String> = (0..200).map(|number| format!("text {number}.")).collect();
    import(&ada, &[told("Long", now(), &texts)]).await;
    let list = fragment(&ada, "/conversations").await;
    let conversation = behind(&list, "id=\"open-")[0];
    let texts_of = |html: &str| -> Vec<usize> {
        let texts = html.split("<div class=\"source\">text ").skip(1);
        texts.map(|rest| rest.split('.').next().unwrap().parse().unwrap()).collect()
    };

    let end = page(&ada, &format!("/c/{conversation}")).await;

    assert_eq!(texts_of(&end), (160..200).collect::<Vec<_>>());
    let earlier = behind(&end, "hx-get=\"").into_iter().find(|url| url.ends_with("/before")).unwrap();
    let before = fragment(&ada, earlier).await;
    assert_eq!(texts_of(&before), (120..160).collect::<Vec<_>>());
    let earliest = behind(&before, "id=\"message-")[0];
    // What another tab changed comes without what is shown already going away.
    let since = fragment(&ada, &format!("/c/{conversation}?since={earliest}")).await;
    assert_eq!(texts_of(&since), (120..200).collect::<Vec<_>>());
    let around = page(&ada, &format!("/c/{conversation}?at={earliest}")).await;
    assert_eq!(texts_of(&around), (114..200).collect::<Vec<_>>());
    // Whoever has no JavaScript goes back by links, and to the end again.
    let to = page(&ada, &format!("/c/{conversation}?to={earliest}")).await;
    assert_eq!(texts_of(&to), (81..121).collect::<Vec<_>>());
    assert!(to.contains("Show the latest messages") && !end.contains("Show the latest messages"));
    // Something done to an early message shows that message.
    let path = format!("/c/{conversation}/messages/{earliest}/show");
    let shown = ada.htmx(Method::POST, &path).send().await.unwrap().text().await.unwrap();
    assert_eq!(texts_of(&shown), (114..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_conversation_is_renamed_put_away_and_deleted_without_javascript() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    ada.ask(&conversation, "hello").await;
    let path = format!("/c/{conversation}");
    assert!(page(&ada, &format!("{path}/edit")).await.contains("<!doctype"));

    let renamed = ada.post(&path, &[("_method", "put"), ("title", "Embers")]).await;
    assert_eq!(
        (renamed.status().as_u16(), renamed.headers()["location"].to_str().unwrap()),
        (303, path.as_str())
    );
    let shelved = ada.post(&format!("{path}/shelf"), &[("_method", "put"), ("shelf", "archived")]).await;
    assert_eq!(shelved.headers()["location"], "/archive", "where it went");
    assert!(page(&ada, "/archive").await.contains("Embers"));
    let deleted = ada.post(&path, &[("_method", "delete")]).await;
    assert_eq!(deleted.status(), 303);
    assert_eq!(ada.get(&path).await.status(), 404);
}
