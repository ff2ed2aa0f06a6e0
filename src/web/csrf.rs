//! Cross-site requests that would change something are refused before any route sees them.

use rocket::fairing::{Fairing, Info, Kind};
use rocket::http::Method;
use rocket::http::uri::{Absolute, Origin};
use rocket::{Data, Request, async_trait, uri};

/// Sends every unsafe request from another site to a route that answers 403.
///
/// `Sec-Fetch-Site` decides where a browser sends it (HTTPS and localhost), else `Origin` against `Host`. A
/// request with neither comes from a program; it passes when no cookie rides along.
pub struct SameSiteOnly;

#[async_trait]
impl Fairing for SameSiteOnly {
    fn info(&self) -> Info {
        Info { name: "same-site requests only", kind: Kind::Request }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        let safe = matches!(request.method(), Method::Get | Method::Head | Method::Options | Method::Trace);
        // A cookie opens nothing in the API, so no other site can use one there.
        if !safe && !super::api::is_under_root(request) && !is_same_site(request) {
            request.set_uri(refusal());
            request.set_method(Method::Get);
        }
    }
}

fn refusal() -> Origin<'static> {
    uri!(super::operations::cross_site)
}

fn is_same_site(request: &Request<'_>) -> bool {
    let header = |name| request.headers().get_one(name);
    match (header("Sec-Fetch-Site"), header("Origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => is_own_origin(origin, header("Host")),
        (None, None) => request.headers().get("Cookie").next().is_none(),
    }
}

fn is_own_origin(origin: &str, host: Option<&str>) -> bool {
    let authority = Absolute::parse(origin).ok().and_then(|uri| uri.authority().map(ToString::to_string));
    authority.is_some() && authority.as_deref() == host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_host_and_port_is_the_own_origin() {
        assert!(is_own_origin("http://10.0.0.5:8000", Some("10.0.0.5:8000")));
        for foreign in ["http://10.0.0.5:8001", "http://evil.example", "null", ""] {
            assert!(!is_own_origin(foreign, Some("10.0.0.5:8000")), "{foreign} passed");
        }
        assert!(!is_own_origin("null", None));
    }
}
