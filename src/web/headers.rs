//! Headers that every answer carries.

use rocket::fairing::{Fairing, Info, Kind};
use rocket::http::{ContentType, Header, Status};
use rocket::{Request, Response, async_trait};

/// What a page may load and where it may send: itself, and nothing inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'; manifest-src 'self'";

/// Adds the security headers that Rocket's shield leaves to the application, and says what may be cached.
pub struct SecurityHeaders;

#[async_trait]
impl Fairing for SecurityHeaders {
    fn info(&self) -> Info {
        Info { name: "security headers", kind: Kind::Response }
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        response.set_header(Header::new("Content-Security-Policy", CONTENT_SECURITY_POLICY));
        response.set_header(Header::new("Referrer-Policy", "same-origin"));
        response.set_header(Header::new("Cross-Origin-Opener-Policy", "same-origin"));
        response.set_header(Header::new("Cross-Origin-Resource-Policy", "same-origin"));
        response.set_header(Header::new("Cache-Control", cache_control(request, response)));
        if response.content_type() == Some(ContentType::EventStream) {
            // Asks a reverse proxy to pass each event on at once.
            response.set_header(Header::new("X-Accel-Buffering", "no"));
        }
    }
}

/// Static files are asked for with the hash of their content and never change under one address.
fn cache_control(request: &Request<'_>, response: &Response<'_>) -> &'static str {
    let is_versioned =
        response.status() == Status::Ok && request.uri().query().is_some_and(|query| query.starts_with("v="));
    match request.uri().path().starts_with("/static/") {
        true if is_versioned => "public, max-age=31536000, immutable",
        true => "no-cache",
        false => "no-store",
    }
}
