//! Fireside: a chat server for language models on your own machine, that you can script.
//!
//! # The house
//!
//! Modules are rooms, and imports go down only. `tests/api/house.rs` fails when one does not.
//!
//! ```text
//! main -> app -> web -> { chat, accounts } -> { engine | plugins | store } -> config -> domain
//! ```
//!
//! | room | does | does not know |
//! | --- | --- | --- |
//! | [`domain`] | plain data: ids, people, messages, sampling parameters | anything else |
//! | [`config`] | typed tables of `Rocket.toml`, ranges, the sentence for what is wrong | where the values come from |
//! | [`engine`] | the one queue, whose turn it is, the model and what stays in its memory, chat templates, tokens | HTTP, SQL, scripts |
//! | [`plugins`] | Rhai: the contract of the hooks, the sandbox, loading | the model, the database |
//! | [`store`] | SQL: accounts, conversations, turns | who may ask |
//! | [`accounts`] | passwords, sign-ins, their limits, API keys | cookies, pages |
//! | [`chat`] | the life of one reply, from the message to its end in the store | HTTP |
//! | [`web`] | guards, pages, event streams, errors | SQL, llama.cpp, Rhai |
//! | [`app`] | puts the rooms together from one configuration | what they do |
//!
//! # What holds everywhere
//!
//! - **A reply belongs to the server.** It runs in a task of its own; a connection only looks at it. What was shown
//!   is stored at most a second later, and the end is stored before it is announced.
//! - **A place first.** The queue is bounded; a request without a place has written nothing.
//! - **What you typed is never code.** Only the chat template forms special tokens; pages escape; the browser
//!   sanitizes.
//! - **A held reply is invisible** to viewers and the store until its plugins have seen all of it.
//! - **Whose it is stands in the SQL**, and what a handler may do in its parameter types.
//! - **What pages say** stands in `texts/`, neither in a template nor in [`web`].
//! - **A secret of a plugin** goes to its script and to no page, no log, no export and no other plugin.
//! - **Nothing blocks the runtime:** llama.cpp has its own thread, scripts and password hashes have theirs.
//! - **There is no** unbounded channel, no global configuration, no SQL outside [`store`], no `unsafe` outside the
//!   plugins' memory counter and the engine's `ffi`, no state changed by a GET.
//!
//! # One message's walk
//!
//! 1. `POST /c/<id>/messages` ([`web`]): the guard names the person, the text is parsed into
//!    [`domain::UserText`].
//! 2. [`chat::Chat::send`] reserves a place ([`engine::Engine::reserve`]), takes the plugins as this person has them
//!    ([`plugins::PluginSet::for_person`]), asks `on_message`, opens the live reply and writes both messages in one transaction
//!    ([`store::Store::begin_turn`]). The answer is two bubbles; the second one connects to its event stream.
//! 3. A task writes the reply: history, what its person set ([`domain::ParameterLevels`]), `on_prompt`, chat template ([`engine::Model::prepare`]), `on_rendered`, queue. Each
//!    piece goes through `on_chunk` ([`plugins::ReplyStream`]) to a `watch` channel that holds the whole text
//!    ([`chat::Live`]), and to the store at each checkpoint.
//! 4. `on_response`, then [`store::Store::finish`], with the [`domain::Trace`] that the hooks ([`plugins::Recorder`]) and this task
//!    wrote down on the way, then the channel is closed.
//! 5. `GET …/events` shows the channel from `Last-Event-ID` on ([`chat::Follower`]); at `done` the bubble asks for
//!    itself as it stands in the database.
//! 6. After the first reply a plugin may name the conversation, while nobody else needs the model; the page asks for the name
//!    and waits for it.
//!
//! # A program's request
//!
//! `POST /v1/chat/completions` ([`web`]) is opened by an API key, never by a cookie. [`chat::Chat::complete`] takes it
//! through the same hooks, template and queue; the answer belongs to the connection, is stored nowhere, and ends with it.

pub mod domain;

pub mod config;

pub mod engine;
pub mod plugins;
pub mod store;

pub mod accounts;
pub mod chat;

pub mod web;

pub mod app;
