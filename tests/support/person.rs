use std::collections::VecDeque;

use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::{Client, Method, RequestBuilder, Response};

use super::PATIENCE;

/// A person with a browser of their own: cookies are kept, redirects are looked at.
pub struct Person {
    pub name: String,
    pub password: String,
    pub url: String,
    pub client: Client,
}

/// A reply of the server's, by its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub conversation: String,
    pub id: String,
}

impl Person {
    pub fn new(url: &str, name: &str) -> Self {
        let client =
            Client::builder().cookie_store(true).redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { name: name.into(), password: format!("correct horse {name}"), url: url.into(), client }
    }

    /// A request as this server's own page would send it.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.url))
            .header("Sec-Fetch-Site", "same-origin")
            .timeout(PATIENCE)
    }

    /// A request as htmx would send it.
    pub fn htmx(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).header("HX-Request", "true")
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub async fn page(&self, path: &str) -> String {
        self.get(path).await.text().await.unwrap()
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Response {
        self.request(Method::POST, path).form(form).send().await.unwrap()
    }

    fn credentials(&self) -> [(&str, &str); 2] {
        [("username", &self.name), ("password", &self.password)]
    }

    pub async fn register(&self) -> Response {
        self.post("/register", &self.credentials()).await
    }

    pub async fn sign_in(&self) -> Response {
        self.post("/login", &self.credentials()).await
    }

    /// Makes a conversation and returns its id.
    pub async fn new_conversation(&self) -> String {
        let answer = self.post("/c", &[]).await;
        let location = answer.headers()["location"].to_str().unwrap();
        location.strip_prefix("/c/").unwrap().to_owned()
    }

    /// Sends a message as the page does and returns the whole answer.
    pub async fn try_send(&self, conversation: &str, message: &str) -> Response {
        let path = format!("/c/{conversation}/messages");
        self.htmx(Method::POST, &path).form(&[("message", message)]).send().await.unwrap()
    }

    /// Sends a message that must be accepted.
    pub async fn send(&self, conversation: &str, message: &str) -> Reply {
        let answer = self.try_send(conversation, message).await;
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{status}: {body}");
        Reply { conversation: conversation.into(), id: reply_id(&body).expect("a live reply in the answer") }
    }

    /// Follows a reply from a position on.
    pub async fn follow(&self, reply: &Reply, position: usize) -> Events {
        let path = format!("/c/{}/messages/{}/events", reply.conversation, reply.id);
        let answer = self
            .request(Method::GET, &path)
            .header("Last-Event-ID", position.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        Events::new(answer)
    }

    /// Waits for the end of a reply and returns its text as a browser would show it.
    pub async fn read(&self, reply: &Reply) -> String {
        self.follow(reply, 0).await.rest().await.0
    }

    /// Sends and waits for the whole reply.
    pub async fn ask(&self, conversation: &str, message: &str) -> String {
        let reply = self.send(conversation, message).await;
        self.read(&reply).await
    }

    /// The reply's bubble as it stands now.
    pub async fn bubble(&self, reply: &Reply) -> String {
        self.page(&format!("/c/{}/messages/{}", reply.conversation, reply.id)).await
    }
}

/// The id of the reply that a fragment announces: the message whose event stream it connects to.
pub fn reply_id(html: &str) -> Option<String> {
    let html = unescape(html);
    let (before, _) = html.split_once("/events")?;
    Some(before.rsplit_once('/')?.1.to_owned())
}

/// The id of the reply that was begun: the live one, or the last message of the fragment where it is over already.
pub fn begun_reply(html: &str) -> Option<String> {
    let last = || {
        let html = unescape(html);
        Some(html.rsplit_once("id=\"message-")?.1.split('"').next()?.to_owned())
    };
    reply_id(html).or_else(last)
}

/// An event stream, read as the WHATWG rules say.
pub struct Events {
    bytes: BoxStream<'static, Vec<u8>>,
    buffer: Vec<u8>,
    ready: VecDeque<Event>,
}

/// One server-sent event; `name` is empty for an unnamed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: String,
}

impl Events {
    fn new(answer: Response) -> Self {
        // A connection that breaks ends the stream.
        let bytes = answer.bytes_stream().take_while(|chunk| futures::future::ready(chunk.is_ok()));
        let bytes = bytes.map(|chunk| chunk.unwrap().to_vec()).boxed();
        Self { bytes, buffer: Vec::new(), ready: VecDeque::new() }
    }

    pub async fn next(&mut self) -> Option<Event> {
        while self.ready.is_empty() {
            let chunk = tokio::time::timeout(PATIENCE, self.bytes.next()).await.expect("an event in time")?;
            self.buffer.extend(chunk);
            while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                self.ready.extend(parse(std::str::from_utf8(&block).unwrap()));
            }
        }
        self.ready.pop_front()
    }

    /// Reads to the end: the text, and the named events with their data.
    pub async fn rest(mut self) -> (String, Vec<Event>) {
        let (mut text, mut named) = (String::new(), Vec::new());
        while let Some(event) = self.next().await {
            if event.name.is_empty() {
                text.push_str(&unescape(&event.data));
                assert!(event.id.parse::<usize>().is_ok(), "a piece without a position");
            } else {
                named.push(event);
            }
        }
        (text, named)
    }

    /// Waits for the first piece of text.
    pub async fn first_text(&mut self) -> Event {
        loop {
            let event = self.next().await.expect("text before the end of the stream");
            if event.name.is_empty() {
                return event;
            }
            assert_ne!(event.name, "done", "the reply ended without text");
        }
    }
}

fn parse(block: &str) -> Option<Event> {
    let mut event = Event { name: String::new(), id: String::new(), data: String::new() };
    let mut data: Vec<&str> = Vec::new();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => event.name = value.into(),
            "id" => event.id = value.into(),
            "data" => data.push(value),
            _ => {}
        }
    }
    event.data = data.join("\n");
    (!data.is_empty()).then_some(event)
}

/// What a browser shows of escaped text.
pub fn unescape(html: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&#x2f;", "/"),
        ("&#13;", "\r"),
    ]
    .iter()
    .fold(html.to_owned(), |text, (from, to)| text.replace(from, to))
    .replace("&amp;", "&")
}
