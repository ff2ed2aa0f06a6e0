//! Static files, compressed once at the start and kept in memory.
//!
//! Pages and event streams are not compressed: a page repeats what was asked for beside what is secret, and its length would
//! tell about both (BREACH); a stream would wait for a block to fill.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use rocket::fairing::AdHoc;
use rocket::http::{ContentType, Header, Status};
use rocket::response::{self, Responder, Response};
use rocket::{Request, State, get, routes, tokio};

use super::pages::files;

/// Where they lie, below the folder that the server runs in.
const FOLDER: &str = "static";

/// A file has to become at least this much shorter, in bytes, to be sent compressed.
const WORTH: usize = 256;

/// Every static file, by its path.
struct Assets(HashMap<PathBuf, Asset>);

/// One file, ready to be sent.
#[derive(Clone)]
struct Asset {
    kind: ContentType,
    /// Names its content, in quotes.
    tag: String,
    plain: Arc<[u8]>,
    gzip: Option<Arc<[u8]>>,
}

/// Reads and compresses the files, and serves them below `/static`.
pub(super) fn stage() -> AdHoc {
    AdHoc::try_on_ignite("static files", |rocket| async {
        match tokio::task::spawn_blocking(|| Assets::read(Path::new(FOLDER))).await {
            Ok(Ok(assets)) => Ok(rocket.manage(assets).mount("/static", routes![file])),
            Ok(Err(error)) => {
                tracing::error!(%error, "the folder {FOLDER} cannot be read");
                Err(rocket)
            }
            Err(error) => {
                tracing::error!(%error, "the static files were not prepared");
                Err(rocket)
            }
        }
    })
}

#[get("/<path..>")]
fn file(path: PathBuf, assets: &State<Assets>) -> Option<Asset> {
    assets.0.get(&path).cloned()
}

impl Assets {
    fn read(folder: &Path) -> io::Result<Self> {
        let files = files(folder)?.into_iter().map(|path| {
            let asset = Asset::new(&path, std::fs::read(&path)?)?;
            Ok((path.strip_prefix(folder).unwrap_or(&path).to_owned(), asset))
        });
        Ok(Self(files.collect::<io::Result<_>>()?))
    }
}

impl Asset {
    fn new(path: &Path, plain: Vec<u8>) -> io::Result<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let mut hasher = DefaultHasher::new();
        plain.hash(&mut hasher);
        // Fonts and pictures are compressed in their own ways.
        let gzip = match extension {
            "js" | "css" | "svg" | "md" | "txt" => Some(gzip(&plain)?),
            _ => None,
        };
        Ok(Self {
            kind: ContentType::from_extension(extension).unwrap_or(ContentType::Plain),
            tag: format!("\"{:016x}\"", hasher.finish()),
            gzip: gzip.filter(|gzip| gzip.len() + WORTH < plain.len()).map(Arc::from),
            plain: plain.into(),
        })
    }
}

fn gzip(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain)?;
    encoder.finish()
}

impl<'r> Responder<'r, 'static> for Asset {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let mut response = Response::build();
        response.raw_header("Vary", "Accept-Encoding");
        let gzip = self.gzip.filter(|_| takes_gzip(request));
        // Two encodings are two representations.
        let tag =
            if gzip.is_some() { format!("{}-gzip\"", self.tag.trim_end_matches('"')) } else { self.tag };
        let known = request.headers().get("If-None-Match").any(|tags| tags.contains(&tag));
        response.header(Header::new("ETag", tag));
        if known {
            return response.status(Status::NotModified).ok();
        }
        if gzip.is_some() {
            response.raw_header("Content-Encoding", "gzip");
        }
        let bytes = gzip.unwrap_or(self.plain);
        response.header(self.kind).sized_body(bytes.len(), Cursor::new(bytes)).ok()
    }
}

/// Whether the browser says so, and does not say `gzip;q=0`.
fn takes_gzip(request: &Request<'_>) -> bool {
    let mut offers = request.headers().get("Accept-Encoding").flat_map(|offers| offers.split(','));
    offers.any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
            && !parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)))
    })
}
