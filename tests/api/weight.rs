//! What a browser has to fetch for the first page, and how much JavaScript of our own there is.

use std::collections::BTreeSet;
use std::fs;

use reqwest::Client;

use crate::support::{ECHO, TestApp, repository, unescape};

/// Bytes that come over the wire for the first page of a conversation, without formulas and colours of code.
const FIRST_PAGE: usize = 150 << 10;

/// Bytes of our own scripts, were they minified: 12 KiB for what the pages do, and 7 for what keeps any text from stopping them
/// (`slices.js`, and the bounds in `formulas.js` and `markdown.js`).
const OWN_SCRIPTS: usize = 19 << 10;

/// What a page links to below `/static`.
fn linked(page: &str) -> Vec<String> {
    let parts = page.split(['"', '\'']);
    let linked: BTreeSet<_> = parts.filter(|part| part.starts_with("/static/")).collect();
    linked.into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_first_page_is_light_and_what_it_needs_later_is_not_part_of_it() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    let page = ada.page(&format!("/c/{conversation}")).await;
    let links = linked(&unescape(&page));
    let named: Vec<_> = links.iter().map(|link| link.split(['/', '?']).nth_back(1).unwrap()).collect();
    assert!(
        named.contains(&"app.js") && named.contains(&"app.css") && named.contains(&"htmx.min.js"),
        "{named:?}"
    );
    assert!(!links.iter().any(|link| link.contains("katex") || link.contains("highlight")), "{links:?}");

    let mut bytes = vec![("the page".to_owned(), page.len())];
    for link in links {
        let request = Client::new().get(format!("{}{link}", app.url)).header("Accept-Encoding", "br, gzip");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{link}");
        assert!(answer.headers()["cache-control"].to_str().unwrap().contains("immutable"), "{link}");
        bytes.push((link, answer.bytes().await.unwrap().len()));
    }

    let whole: usize = bytes.iter().map(|(_, bytes)| bytes).sum();
    println!("{whole} bytes: {bytes:#?}");
    assert!(whole <= FIRST_PAGE, "{whole} bytes: {bytes:#?}");
}

#[tokio::test]
async fn static_files_are_compressed_where_a_browser_takes_that_and_not_sent_twice() {
    let app = TestApp::start(ECHO).await;
    let get = async |path: &str, header: (&'static str, String)| {
        let request = Client::new().get(format!("{}/static/{path}", app.url)).header(header.0, header.1);
        request.send().await.unwrap()
    };
    let file = fs::read(repository().join("static/vendor/marked.umd.js")).unwrap();

    let plain = get("vendor/marked.umd.js", ("Accept-Encoding", "br".into())).await;
    let refused = get("vendor/marked.umd.js", ("Accept-Encoding", "gzip;q=0, br".into())).await;
    let gzip = get("vendor/marked.umd.js", ("Accept-Encoding", "deflate, gzip;q=0.8".into())).await;
    for answer in [&plain, &refused] {
        assert!(!answer.headers().contains_key("content-encoding"));
    }
    assert_eq!(gzip.headers()["content-encoding"], "gzip");
    assert_eq!(gzip.headers()["vary"], "Accept-Encoding");
    assert!(gzip.headers()["content-type"].to_str().unwrap().starts_with("text/javascript"));
    let tags = [&plain, &gzip].map(|answer| answer.headers()["etag"].to_str().unwrap().to_owned());
    assert_ne!(tags[0], tags[1]);
    assert!(gzip.content_length().unwrap() < file.len() as u64 / 2);
    assert_eq!(plain.bytes().await.unwrap(), file);

    let again = get("vendor/marked.umd.js", ("If-None-Match", tags[0].clone())).await;
    assert_eq!((again.status().as_u16(), again.bytes().await.unwrap().len()), (304, 0));
    let font = get("vendor/katex/fonts/KaTeX_Main-Regular.woff2", ("Accept-Encoding", "gzip".into())).await;
    assert_eq!(font.headers()["content-type"], "font/woff2");
    assert!(!font.headers().contains_key("content-encoding"));
    for path in ["nope.js", "../Rocket.toml", "%2e%2e/Rocket.toml", "vendor", ""] {
        assert_eq!(get(path, ("Accept-Encoding", "gzip".into())).await.status(), 404, "{path}");
    }
}

#[test]
fn there_is_little_javascript_of_our_own() {
    let files = fs::read_dir(repository().join("static")).unwrap().map(|file| file.unwrap().path());
    let scripts = files.filter(|path| path.extension().is_some_and(|extension| extension == "js"));
    let sizes: Vec<_> = scripts.map(|path| (minified(&fs::read_to_string(&path).unwrap()), path)).collect();

    let whole: usize = sizes.iter().map(|(bytes, _)| bytes).sum();
    println!("{whole} bytes: {sizes:?}");
    assert!(whole <= OWN_SCRIPTS, "{whole} bytes: {sizes:?}");
}

/// How long a script would be, minified: without comments and white space, with names of its own one letter long. A minifier
/// gets a few hundredths further, because it also rewrites expressions.
fn minified(script: &str) -> usize {
    let lines = script.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let code = lines.map(|line| line.split(" // ").next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
    let own = own_names(&code);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut bytes, mut word, mut before, mut space) = (0, String::new(), ' ', false);
    for c in code.chars().chain(['\n']) {
        if is_word(c) {
            // Two words stay apart.
            if word.is_empty() && space && is_word(before) {
                bytes += 1;
            }
            if word.is_empty() && !space && before == '.' {
                word.push('.');
            }
            word.push(c);
            space = false;
            continue;
        }
        if !word.is_empty() {
            let name = word.strip_prefix('.');
            bytes += name.map_or(if own.contains(word.as_str()) { 1 } else { word.len() }, str::len);
            before = 'w';
            word.clear();
        }
        space = c.is_whitespace();
        if !space {
            bytes += c.len_utf8();
            before = c;
        }
    }
    bytes
}

/// Names that a script declares: constants, variables, functions, parameters.
fn own_names(code: &str) -> BTreeSet<&str> {
    let declared = behind_keywords(code, &["const ", "let ", "function "]);
    let arrows = code.match_indices("=>").flat_map(|(at, _)| {
        let before = code[..at].trim_end();
        let from = match before.strip_suffix(')') {
            Some(list) => list.rfind('(').map_or(0, |open| open + 1),
            None => before.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |end| end + 1),
        };
        names(&before[from..])
    });
    declared.into_iter().chain(arrows).collect()
}

/// The names behind keywords: one, or those of a pattern or of a list of parameters.
fn behind_keywords<'a>(code: &'a str, keywords: &[&str]) -> Vec<&'a str> {
    let behind = keywords
        .iter()
        .flat_map(|keyword| code.match_indices(keyword).map(|(at, _)| &code[at + keyword.len()..]));
    behind
        .flat_map(|rest| {
            let end = match rest.chars().next() {
                Some('{' | '[') => rest.find('='),
                _ => rest.find(['=', ';', '{']),
            };
            names(&rest[..end.unwrap_or(0)])
        })
        .collect()
}

fn names(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with(|c: char| c.is_alphabetic()) && !["of", "new"].contains(word))
        .collect()
}
