//! The rendered prompt on its way into a script and back.

use rhai::{Dynamic, Map};

use super::draft;
use super::hooks::{Context, Denied, Hook, RenderedSegment, SegmentOrigin};
use super::set::{PluginSet, Step};
use super::value::type_name;
use crate::domain::Mark;

impl PluginSet {
    /// Whether a plugin wants to see the rendered prompt.
    pub fn sees_rendered(&self) -> bool {
        self.chain.has(Hook::OnRendered)
    }

    /// The chat template was rendered, and the prompt becomes tokens next.
    ///
    /// # Errors
    /// [`Denied`] when a plugin that must not be skipped failed.
    pub async fn on_rendered(
        &self,
        ctx: &Context,
        segments: Vec<RenderedSegment>,
    ) -> Result<(Vec<RenderedSegment>, Vec<Mark>), Denied> {
        let passed = self.pass(Hook::OnRendered, ctx, segments, |plugin, sandbox, ctx, segments: &Vec<_>| {
            let read = |returned| step(&returned, segments);
            plugin.call(sandbox, Hook::OnRendered, ctx, || to_script(segments), read)
        });
        passed.await.map(|passed| (passed.value, passed.marks))
    }
}

fn to_script(segments: &[RenderedSegment]) -> Dynamic {
    let segment = |segment: &RenderedSegment| {
        let entries: [(&str, Dynamic); 2] =
            [("origin", segment.origin.as_str().into()), ("text", segment.text.clone().into())];
        Dynamic::from_map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect::<Map>())
    };
    Dynamic::from_array(segments.iter().map(segment).collect())
}

fn step(returned: &Dynamic, given: &[RenderedSegment]) -> Result<Step<Vec<RenderedSegment>>, String> {
    if returned.is_unit() {
        return Ok(Step::Unchanged);
    }
    let Ok(returned) = returned.as_array_ref() else {
        return Err(format!("must return the segments or (), not {}", type_name(returned)));
    };
    let segments: Vec<_> = returned
        .iter()
        .enumerate()
        .map(|(at, value)| segment(value, given).map_err(|why| format!("returned segments[{at}] {why}")))
        .collect::<Result<_, _>>()?;
    if segments.iter().all(|segment| segment.text.is_empty()) {
        return Err("returned no text; a prompt needs some".into());
    }
    Ok(Step::Changed(segments))
}

/// Whatever is not as it was given is the plugin's own; only what the template wrote may claim to be the template's.
fn segment(returned: &Dynamic, given: &[RenderedSegment]) -> Result<RenderedSegment, String> {
    let Ok(returned) = returned.as_map_ref() else {
        return Err(format!("of type {}; it must be #{{origin, text}}", type_name(returned)));
    };
    if returned.keys().any(|key| key != "origin" && key != "text") {
        return Err("with a key other than origin and text".into());
    }
    let origin = returned.get("origin").and_then(|origin| origin.clone().into_string().ok());
    let Some(origin) = origin.as_deref().and_then(SegmentOrigin::parse) else {
        let known = SegmentOrigin::ALL.map(|origin| format!("\"{}\"", origin.as_str())).join(", ");
        return Err(format!("with an origin other than {known}"));
    };
    let text = draft::text(returned.get("text").unwrap_or(&Dynamic::UNIT))
        .map_err(|why| format!("whose text {why}"))?;
    let segment = RenderedSegment { origin, text };
    match given.contains(&segment) {
        true => Ok(segment),
        false if origin == SegmentOrigin::Template => {
            Err("with origin \"template\" and a text that the template did not write".into())
        }
        false => Ok(RenderedSegment { origin: SegmentOrigin::Plugin, ..segment }),
    }
}
