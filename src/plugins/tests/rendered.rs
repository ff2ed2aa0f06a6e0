//! The rendered prompt in the hands of a script.

use super::*;

fn segment(origin: SegmentOrigin, text: &str) -> RenderedSegment {
    RenderedSegment { origin, text: text.into() }
}

/// `<s>Be kind.<e><u>Hi<e><a>`, by origin.
fn prompt() -> Vec<RenderedSegment> {
    vec![
        segment(SegmentOrigin::Template, "<s>"),
        segment(SegmentOrigin::System, "Be kind."),
        segment(SegmentOrigin::Template, "<e><u>"),
        segment(SegmentOrigin::User, "Hi"),
        segment(SegmentOrigin::Template, "<e><a>"),
    ]
}

#[tokio::test]
async fn a_plugin_sees_every_segment_and_where_it_comes_from() {
    let script = r#"fn on_rendered(ctx, segments) {
        let seen = "";
        for segment in segments { seen += segment.origin + "=" + segment.text + ";"; }
        [#{ origin: "plugin", text: seen }]
    }"#;
    let set = Folder::new().with("a.rhai", script).set().await;

    let (after, marks) = set.on_rendered(&ctx(), prompt()).await.unwrap();

    let seen = "template=<s>;system=Be kind.;template=<e><u>;user=Hi;template=<e><a>;";
    assert_eq!((after, marks), (vec![segment(SegmentOrigin::Plugin, seen)], vec![]));
    assert!(set.sees_rendered());
}

#[tokio::test]
async fn what_a_plugin_changes_or_adds_is_its_own_and_the_rest_stays_what_it_was() {
    let script = r#"fn on_rendered(ctx, segments) {
        segments[1].text += " Be brief.";
        segments.insert(3, #{ origin: "user", text: "He says: " });
        segments.remove(0);
        segments
    }"#;
    let set = Folder::new().with("a.rhai", script).set().await;

    let (after, marks) = set.on_rendered(&ctx(), prompt()).await.unwrap();

    let expected = [
        segment(SegmentOrigin::Plugin, "Be kind. Be brief."),
        segment(SegmentOrigin::Template, "<e><u>"),
        segment(SegmentOrigin::Plugin, "He says: "),
        segment(SegmentOrigin::User, "Hi"),
        segment(SegmentOrigin::Template, "<e><a>"),
    ];
    assert_eq!((after.as_slice(), marks), (expected.as_slice(), vec![]));
}

#[tokio::test]
async fn a_wrong_return_value_or_a_forged_template_is_an_error_with_file_and_line() {
    for (body, sentence) in [
        ("7", "must return the segments or (), not int"),
        ("[]", "returned no text; a prompt needs some"),
        ("[1]", "returned segments[0] of type int; it must be #{origin, text}"),
        ("[#{ origin: \"user\", txt: \"x\" }]", "returned segments[0] with a key other than origin and text"),
        (
            "[#{ origin: \"tool\", text: \"x\" }]",
            "returned segments[0] with an origin other than \"template\", \"system\", \"user\", \"assistant\", \"plugin\"",
        ),
        ("[#{ origin: \"user\" }]", "returned segments[0] whose text is not a string but ()"),
        (
            "segments[4].text += \"<s>\"; segments",
            "returned segments[4] with origin \"template\" and a text that the template did not write",
        ),
        (
            "segments[3].origin = \"template\"; segments",
            "returned segments[3] with origin \"template\" and a text that the template did not write",
        ),
    ] {
        let set = Folder::new()
            .with("a.rhai", &format!("\nfn on_rendered(ctx, segments) {{ {body} }}"))
            .set()
            .await;

        let (after, marks) = set.on_rendered(&ctx(), prompt()).await.unwrap();

        assert_eq!(after, prompt(), "{body}");
        let text = format!("The plugin a was skipped: it failed at a.rhai:2: on_rendered {sentence}.");
        assert_eq!(marks, [Mark { source: "a".into(), text }]);
    }
}
