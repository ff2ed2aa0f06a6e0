//! Rocket: guards, pages, event streams, errors.
//!
//! Invariants: a handler parses, calls one service method and renders; permission is in its parameter types; no
//! GET changes anything, but for `/`, which makes the first conversation; a stream only shows what the server
//! writes anyway.

mod account;
mod account_views;
mod api;
mod assets;
mod conversations;
mod cookies;
mod csrf;
mod error;
mod export;
mod figures;
mod guards;
mod headers;
mod hosts;
mod import;
mod messages;
mod next_path;
mod operations;
mod pages;
mod parameter_views;
mod parameters;
mod plugin_form_view;
mod plugin_rows;
mod plugin_settings;
mod plugin_switches;
mod plugin_views;
mod plugins;
mod refusal;
mod rehearsal_view;
mod search;
mod sidebar_views;
mod sign_in;
mod sse;
mod texts;
mod traces;
mod versions;
mod views;
mod written;

use rocket::Route;
use rocket::fairing::AdHoc;

pub use hosts::KnownHostsOnly;
pub use texts::{Texts, TextsError};

/// Attaches pages, streams, templates and the fairings that guard them. Expects `Chat` and `Accounts` to be managed.
pub fn stage(texts: Texts, hosts: KnownHostsOnly) -> AdHoc {
    AdHoc::on_ignite("web", |rocket| async {
        rocket
            .attach(assets::stage())
            .attach(hosts)
            .attach(csrf::SameSiteOnly)
            .attach(headers::SecurityHeaders)
            .attach(pages::templates(texts))
            .mount("/", routes())
            .register("/", error::catchers())
            .mount(api::ROOT, api_routes())
            .register(api::ROOT, api::catchers())
    })
}

/// Every route, as it is mounted at `/`.
pub fn routes() -> Vec<Route> {
    let messages = [messages::routes(), versions::routes(), traces::routes()].concat();
    let chat = [conversations::routes(), search::routes(), messages].concat();
    let account = [account::routes(), export::routes(), import::routes()].concat();
    let plugins = [plugins::routes(), plugin_settings::routes(), plugin_switches::routes()].concat();
    let account = [account, parameters::routes()].concat();
    [sign_in::routes(), account, chat, plugins, operations::routes()].concat()
}

/// Every route of the API for programs, as it is mounted at `/v1`.
pub fn api_routes() -> Vec<Route> {
    api::routes()
}
