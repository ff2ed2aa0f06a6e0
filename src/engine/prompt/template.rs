use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value, context};
use serde::Serialize;

/// The template of the models that have none of their own.
const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n\
    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Instructions that a rendering may take, so that a template that comes with a model cannot hang the server. A long
/// conversation takes some hundred thousand.
const FUEL: u64 = 10_000_000;

const NAME: &str = "chat";

/// A message as chat templates know it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::engine) struct TemplateMessage {
    pub(in crate::engine) role: &'static str,
    pub(in crate::engine) content: String,
}

/// A model's own Jinja chat template, set up as `transformers` does.
pub(in crate::engine) struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Compiles the template; `bos` and `eos` are the texts of the model's tokens for the beginning and the end.
    /// A model without a template, or with one that does not work, gets ChatML and the log a warning.
    pub(in crate::engine) fn new(source: Option<&str>, bos: &str, eos: &str) -> Self {
        match source.map(|source| Self::compile(source, bos, eos)) {
            Some(Ok(template)) => return template,
            Some(Err(error)) => {
                tracing::warn!(%error, "the model's chat template does not work here; ChatML is used instead");
            }
            None => tracing::warn!("the model has no chat template; ChatML is used"),
        }
        let mut environment = environment();
        if let Err(error) = environment.add_template(NAME, CHATML) {
            tracing::error!(%error, "the built-in chat template does not compile");
        }
        Self { environment, bos: bos.into(), eos: eos.into() }
    }

    /// Compiles a template and tries it on the shortest conversation.
    pub(in crate::engine) fn compile(source: &str, bos: &str, eos: &str) -> Result<Self, Error> {
        let mut environment = environment();
        environment.add_template_owned(NAME, without_generation_tags(source))?;
        let template = Self { environment, bos: bos.into(), eos: eos.into() };
        template.render(&[TemplateMessage { role: "user", content: "x".into() }])?;
        Ok(template)
    }

    /// The prompt, up to where the model's turn begins.
    pub(in crate::engine) fn render(&self, messages: &[TemplateMessage]) -> Result<String, Error> {
        self.environment.get_template(NAME)?.render(context! {
            messages => messages,
            add_generation_prompt => true,
            bos_token => self.bos,
            eos_token => self.eos,
            tools => (),
            documents => (),
        })
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_fuel(Some(FUEL));
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| {
        jiff::fmt::strtime::format(&format, &jiff::Zoned::now())
            .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
    });
    environment.add_filter("tojson", to_json);
    environment
}

/// JSON as Python writes it: MiniJinja's own filter escapes for HTML.
fn to_json(value: &Value, options: minijinja::value::Kwargs) -> Result<String, Error> {
    let json = match options.get::<Option<usize>>("indent")? {
        Some(_) => serde_json::to_string_pretty(value),
        None => serde_json::to_string(value),
    };
    json.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// `{% generation %}` marks what `transformers` trains on; for rendering it means nothing.
fn without_generation_tags(source: &str) -> String {
    ["generation", "endgeneration"].iter().fold(source.to_owned(), |source, tag| {
        ["{%", "{%-", "{%+"].iter().fold(source, |source, open| {
            ["%}", "-%}"].iter().fold(source, |source, close| {
                let instead = if tag.starts_with("end") { "endif" } else { "if true" };
                source.replace(&format!("{open} {tag} {close}"), &format!("{open} {instead} {close}"))
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, content: &str) -> Result<String, Error> {
        let message = TemplateMessage { role: "user", content: content.into() };
        ChatTemplate::compile(source, "<s>", "</s>")?.render(&[message])
    }

    #[test]
    fn a_template_has_what_transformers_gives_it() {
        let source = "{{ bos_token }}{%- for m in messages %}\n  {% if m['content'].strip().startswith('a') %}\n\
            [{{ m.role | upper }}]{{ m.content.split('|')[-1] }}{% endif %}\n{% if loop.last %}{% break %}{% endif %}\n\
            {% endfor %}{{ messages | tojson }}{% if tools is none and documents is none %}{{ eos_token }}{% endif %}";

        let prompt = render(source, "a|<b>").unwrap();

        assert_eq!(prompt, r#"<s>[USER]<b>[{"role":"user","content":"a|<b>"}]</s>"#);
    }

    #[test]
    fn a_template_may_ask_for_the_date_and_mark_generations() {
        let year = render("{{ strftime_now('%Y') }}{%- generation -%}!{%- endgeneration -%}", "").unwrap();

        assert!(year.ends_with('!') && year[..year.len() - 1].parse::<u32>().is_ok(), "{year}");
        assert!(render("{{ strftime_now('%~') }}", "").is_err());
    }

    #[test]
    fn a_template_that_never_ends_is_cut_off() {
        let endless = "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}";

        assert!(render(endless, "").is_err());
    }

    #[test]
    fn a_model_without_a_working_template_gets_chatml() {
        for source in [None, Some("{% for %}"), Some("{{ raise_exception('no') }}")] {
            let template = ChatTemplate::new(source, "", "");

            let prompt = template.render(&[TemplateMessage { role: "user", content: "Hi".into() }]).unwrap();

            assert_eq!(prompt, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
        }
    }
}
