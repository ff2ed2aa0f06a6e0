//! Requests for a host that this server is not known by are refused before any route sees them.
//!
//! A page of another site can have its own name lead to this machine (DNS rebinding). The browser then takes the page and
//! this server for one site; only the name in `Host` tells them apart.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use rocket::fairing::{Fairing, Info, Kind};
use rocket::http::Method;
use rocket::request::{FromRequest, Outcome};
use rocket::{Data, Request, async_trait, uri};

/// Longest name that there can be.
const LONGEST_NAME: usize = 253;

/// Most names that are logged: whoever sends requests invents as many as they like.
const MOST_LOGGED: usize = 100;

/// Sends every request for a foreign host to a route that answers 421. A request without a host comes from a program.
pub struct KnownHostsOnly {
    /// In lower case.
    known: Vec<String>,
    logged: Mutex<HashSet<String>>,
}

impl KnownHostsOnly {
    /// The configured `hosts`, and the names under which `machine` is known in its own network.
    pub fn new(hosts: &[String], machine: &str) -> Self {
        let known = hosts.iter().cloned().chain([machine.to_owned(), format!("{machine}.local")]);
        Self { known: known.map(|name| name.to_lowercase()).collect(), logged: Mutex::default() }
    }

    fn knows(&self, host: &str) -> bool {
        let name = host.strip_suffix('.').unwrap_or(host).to_lowercase();
        let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        // A rebound name is one that somebody owns: never an address, and never a name that is no public one.
        literal.parse::<IpAddr>().is_ok() || is_private(&name) || self.known.contains(&name)
    }

    fn log(&self, host: &str) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() < MOST_LOGGED && logged.insert(host.to_owned()) {
            tracing::warn!(host, "requests for this host are refused: it does not stand in [default] hosts");
        }
    }
}

/// Names of one label, and those below what is reserved for one's own machine (RFC 6761) or network (ICANN, 2024).
fn is_private(name: &str) -> bool {
    !name.contains('.') || name.ends_with(".localhost") || name.ends_with(".internal")
}

#[async_trait]
impl Fairing for KnownHostsOnly {
    fn info(&self) -> Info {
        Info { name: "known hosts only", kind: Kind::Request }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        let asked = match request.host() {
            Some(host) if host.domain().len() <= LONGEST_NAME => Some(host.domain().to_string()),
            None if !request.headers().contains("Host") => None,
            _ => Some(String::new()),
        };
        let Some(foreign) = asked.filter(|host| host.is_empty() || !self.knows(host)) else { return };
        self.log(&foreign);
        let from_program = super::api::is_under_root(request);
        request.local_cache(|| ForeignHost { name: foreign, from_program });
        request.set_uri(uri!(super::operations::foreign_host));
        if request.method() != Method::Head {
            request.set_method(Method::Get);
        }
    }
}

/// What a refused request was for.
#[derive(Debug, Clone, Default)]
pub struct ForeignHost {
    /// Empty when it is no name at all.
    name: String,
    /// Whether the request was for the API.
    pub from_program: bool,
}

#[async_trait]
impl<'r> FromRequest<'r> for ForeignHost {
    type Error = Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Infallible> {
        Outcome::Success(request.local_cache(Self::default).clone())
    }
}

impl std::fmt::Display for ForeignHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name.as_str() {
            "" => f.write_str("This request does not say for which host it is."),
            host => write!(
                f,
                "This server does not know itself as {host}. Whoever runs it adds this to Rocket.toml, \
                 below [default]: hosts = [\"{host}\"]."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_private_names_and_configured_ones_are_known_and_nothing_else() {
        let hosts = KnownHostsOnly::new(&["Chat.Example.org".into()], "hearth");

        for known in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "fireside.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.5",
            "[::1]",
            "[2001:db8::1]",
            "hearth",
            "hearth.local",
            "Hearth.LOCAL",
            "mypc",
            "chat.example.org",
            "chat.example.org.",
            "host.docker.internal",
        ] {
            assert!(hosts.knows(known), "{known}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "chat.example.org.evil.example",
            "evil.chat.example.org",
            "other.local",
            "evilhearth.local",
            "1.2.3",
            "[evil.example]",
            "a.b",
        ] {
            assert!(!hosts.knows(foreign), "{foreign}");
        }
    }

    #[test]
    fn names_that_are_logged_are_bounded() {
        let hosts = KnownHostsOnly::new(&[], "hearth");
        for n in 0..2 * MOST_LOGGED {
            hosts.log(&format!("{n}.evil.example"));
        }

        assert_eq!(hosts.logged.lock().unwrap().len(), MOST_LOGGED);
    }
}
