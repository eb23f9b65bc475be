//! Chat messages -> the text a model was trained on, by the model's own
//! template.
//!
//! Templates come from strangers: a render has bounded fuel and no access to
//! anything but the messages and the special tokens. The date function of some
//! templates is left undefined, so that a render depends on its input alone.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Instructions of one render.
const FUEL: u64 = 5_000_000;
const NAME: &str = "chat";

/// Why a chat cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template does not parse.
    #[error("the chat template is malformed: {0}")]
    Malformed(String),
    /// The template refuses the messages, or runs too long.
    #[error("the chat template refuses these messages: {0}")]
    Render(String),
}

/// One message of a chat.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text.
    pub content: String,
    /// Calls of tools by an assistant, as templates expect them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<Json>,
    /// Which call a `tool` message answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// The name of who speaks, or of the tool that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A compiled chat template.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
}

impl ChatTemplate {
    /// Compiles a Jinja template with the conventions of model hubs.
    ///
    /// # Errors
    /// [`TemplateError::Malformed`].
    pub fn new(source: &str) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|error| TemplateError::Malformed(error.to_string()))?;
        environment.set_syntax(syntax);
        environment.set_fuel(Some(FUEL));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function(
            "raise_exception",
            |message: String| -> Result<Value, Error> {
                Err(Error::new(ErrorKind::InvalidOperation, message))
            },
        );
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| TemplateError::Malformed(error.to_string()))?;
        Ok(Self {
            environment,
            source: source.to_owned(),
        })
    }

    /// The template as it was given.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the template looks at a variable `tools`.
    #[must_use]
    pub fn has_tools(&self) -> bool {
        self.environment
            .get_template(NAME)
            .is_ok_and(|template| template.undeclared_variables(false).contains("tools"))
    }

    /// Renders `messages`; with `add_generation_prompt`, ends where the
    /// assistant's answer begins. A template sees `tools` only if there are any.
    ///
    /// # Errors
    /// [`TemplateError::Render`].
    pub fn render(
        &self,
        messages: &[ChatMessage],
        tools: &[Json],
        special_tokens: &BTreeMap<String, String>,
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let render = |error: Error| TemplateError::Render(error.to_string());
        let messages = Value::from(Serde(messages));
        let tools = (!tools.is_empty()).then(|| ("tools", Value::from(Serde(tools))));
        let tokens = special_tokens
            .iter()
            .map(|(name, token)| (name.as_str(), Value::from(token.as_str())));
        let variables = [
            ("messages", messages),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
        ];
        let template = self.environment.get_template(NAME).map_err(render)?;
        template
            .render(Value::from_pairs(tokens.chain(variables).chain(tools)))
            .map_err(render)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(role: &str, content: &str) -> ChatMessage {
        ChatMessage {
            role: role.to_owned(),
            content: content.to_owned(),
            ..ChatMessage::default()
        }
    }

    fn render(source: &str, messages: &[ChatMessage]) -> Result<String, TemplateError> {
        let tokens = BTreeMap::from([("bos_token".to_owned(), "<s>".to_owned())]);
        ChatTemplate::new(source)?.render(messages, &[], &tokens, true)
    }

    #[test]
    fn tools_and_calls_reach_the_template_as_they_are() {
        let source = "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}[{{ m.role }}:{{ m.content }}{% for c in m.tool_calls %}<{{ c.function.name }}({{ c.function.arguments.city }})>{% endfor %}{% if m.tool_call_id is defined %}={{ m.tool_call_id }}{% endif %}]{% endfor %}";
        let template = ChatTemplate::new(source).unwrap();
        assert!(template.has_tools());
        assert_eq!(template.source(), source);
        assert!(
            !ChatTemplate::new("{% for m in messages %}{% endfor %}")
                .unwrap()
                .has_tools()
        );
        let call = json!({"id": "c1", "type": "function",
            "function": {"name": "weather", "arguments": {"city": "Oulu"}}});
        let messages = [
            ChatMessage {
                tool_calls: vec![call],
                ..message("assistant", "")
            },
            ChatMessage {
                tool_call_id: Some("c1".to_owned()),
                ..message("tool", "snow")
            },
        ];
        let tools = [json!({"type": "function", "function": {"name": "weather"}})];
        let text = |tools: &[Json]| template.render(&messages, tools, &BTreeMap::new(), true);
        assert_eq!(
            text(&tools).unwrap(),
            "[{\"type\": \"function\", \"function\": {\"name\": \"weather\"}}][assistant:<weather(Oulu)>][tool:snow=c1]"
        );
        assert!(text(&[]).unwrap().starts_with("[assistant"));
    }

    #[test]
    fn the_conventions_of_published_templates_work() {
        let source = "{{- bos_token }}\n{%- for message in messages %}\n    {{- '<' + message.role + '>' + message['content'] | trim + '</>' }}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<assistant>' }}\n{%- endif %}";
        let text = render(
            source,
            &[message("system", " be brief "), message("user", "hi")],
        );
        assert_eq!(
            text.unwrap(),
            "<s><system>be brief</><user>hi</><assistant>"
        );
    }

    #[test]
    fn python_methods_and_namespaces_work() {
        let source = "{% set ns = namespace(n=0) %}{% for m in messages %}{% if m.role.startswith('u') %}{% set ns.n = ns.n + 1 %}{{ m.content.strip().split(' ')[-1] }}{% endif %}{% endfor %}{{ ns.n }}{% if strftime_now is defined %}date{% endif %}";
        assert_eq!(render(source, &[message("user", " a b ")]).unwrap(), "b1");
    }

    #[test]
    fn a_template_may_refuse_and_may_not_run_for_ever() {
        let refused = render("{{ raise_exception('roles must alternate') }}", &[]);
        assert!(
            matches!(refused, Err(TemplateError::Render(reason)) if reason.contains("alternate"))
        );
        let endless =
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(matches!(
            render(endless, &[]),
            Err(TemplateError::Render(_))
        ));
        assert!(matches!(
            render("{% for %}", &[]),
            Err(TemplateError::Malformed(_))
        ));
    }
}
