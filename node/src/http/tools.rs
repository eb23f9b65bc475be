//! Calls of tools: which a request offers, how a call is forced, and how calls
//! are read out of a model's text.
//!
//! Two forms are known: JSON between `<tool_call>` tags (Hermes, Qwen) and a
//! bare JSON object with `name` and `parameters` (Llama 3). Pure. What is not
//! exactly a call of an offered tool stays text.

use super::errors::HttpError;
use super::sampling::{invalid, unsupported};
use crate::api::{AskRequest, Grammar};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
const TOOLS_MAX: usize = 128;
const NAME_BYTES_MAX: usize = 64;

/// A function that a model may call.
#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// JSON Schema of its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameters: Option<Value>,
}

/// Whether the model must call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Choice {
    /// It need not.
    #[default]
    Auto,
    /// It does not see the tools.
    None,
    /// One of the tools.
    Any,
    /// This tool.
    Named(String),
}

impl Choice {
    /// Reads `tool_choice`, of chats and of responses.
    ///
    /// # Errors
    /// For anything else.
    pub(crate) fn read(value: &Value) -> Result<Self, HttpError> {
        let name = value
            .pointer("/function/name")
            .or_else(|| value.get("name"));
        let kind = value.get("type").and_then(Value::as_str);
        match (value.as_str(), kind, name.and_then(Value::as_str)) {
            _ if value.is_null() => Ok(Self::Auto),
            (Some("auto"), ..) => Ok(Self::Auto),
            (Some("none"), ..) => Ok(Self::None),
            (Some("required"), ..) => Ok(Self::Any),
            (None, Some("function"), Some(name)) => Ok(Self::Named(name.to_owned())),
            _ => Err(invalid(
                "tool_choice",
                "tool_choice is none, auto, required or \
                 {\"type\": \"function\", \"function\": {\"name\": …}}",
            )),
        }
    }
}

/// The tools of a request, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tools {
    functions: Vec<Function>,
    is_forced: bool,
}

impl Tools {
    /// Checks tools and choice; keeps what the model shall see.
    ///
    /// # Errors
    /// For names that cannot be, and a choice that is not there.
    pub(crate) fn new(functions: Vec<Function>, choice: &Choice) -> Result<Self, HttpError> {
        let is_name = |name: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
        };
        if functions.len() > TOOLS_MAX || !functions.iter().all(|tool| is_name(&tool.name)) {
            let message = format!(
                "tools are at most {TOOLS_MAX} functions with names of 1 to {NAME_BYTES_MAX} \
                 characters of A-Za-z0-9_-"
            );
            return Err(invalid("tools", message));
        }
        let mut functions = functions;
        match choice {
            Choice::None => functions.clear(),
            Choice::Named(name) => functions.retain(|tool| tool.name == *name),
            Choice::Auto | Choice::Any => {}
        }
        let is_forced = matches!(choice, Choice::Any | Choice::Named(_));
        if is_forced && functions.is_empty() {
            return Err(invalid(
                "tool_choice",
                "tool_choice wants a tool that is not in tools",
            ));
        }
        Ok(Self {
            functions,
            is_forced,
        })
    }

    /// Whether a call is forced.
    pub(crate) fn is_forced(&self) -> bool {
        self.is_forced
    }

    /// Shows the tools to the model.
    ///
    /// # Errors
    /// When the answer must be JSON too.
    pub(crate) fn show(&self, request: &mut AskRequest) -> Result<(), HttpError> {
        if !self.functions.is_empty() && request.grammar.is_some() {
            return Err(unsupported(
                "response_format",
                "tools and a JSON format cannot be asked for together",
            ));
        }
        let shown = |function: &Function| json!({"type": "function", "function": function});
        request.tools = self.functions.iter().map(shown).collect();
        Ok(())
    }

    /// Lets the model write one call and nothing else, in the form of its template.
    pub(crate) fn force(&self, request: &mut AskRequest, has_tags: bool) {
        let key = if has_tags { "arguments" } else { "parameters" };
        let call = |function: &Function| {
            let any = || json!({"type": "object"});
            let mut properties = serde_json::Map::new();
            properties.insert("name".to_owned(), json!({"const": function.name}));
            let arguments = function.parameters.clone().unwrap_or_else(any);
            properties.insert(key.to_owned(), arguments);
            json!({
                "type": "object",
                "properties": properties,
                "required": ["name", key],
                "additionalProperties": false,
            })
        };
        let mut schema = match self.functions.as_slice() {
            [function] => call(function),
            all => json!({"anyOf": all.iter().map(call).collect::<Vec<_>>()}),
        };
        request.grammar = Some(if has_tags {
            // As schemas that stand alone have it: a weak model that may write
            // any amount of white space writes little else.
            schema["x-guidance"] = json!({"whitespace_pattern": " "});
            let text = format!("start: \"{OPEN}\\n\" call \"\\n{CLOSE}\"\ncall: %json {schema}\n");
            Grammar::Lark(text)
        } else {
            Grammar::JsonSchema(schema.to_string())
        });
    }

    /// Reads an answer.
    pub(crate) fn reader(&self) -> CallReader {
        let names: BTreeSet<String> = self.functions.iter().map(|f| f.name.clone()).collect();
        CallReader {
            state: if names.is_empty() {
                State::Plain
            } else {
                State::Start
            },
            names,
            pending: String::new(),
            has_calls: false,
        }
    }
}

/// A call in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The tool.
    pub(crate) name: String,
    /// Its arguments, JSON as text.
    pub(crate) arguments: String,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// For people.
    Text(String),
    /// For a tool.
    Call(Call),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There are no tools.
    Plain,
    /// Nothing was said yet.
    Start,
    /// Outside of tags.
    Text,
    /// Between tags.
    Tagged,
    /// An object from the beginning to the end.
    Bare,
}

/// Cuts an answer into text and calls while it comes.
#[derive(Debug)]
pub(crate) struct CallReader {
    names: BTreeSet<String>,
    state: State,
    pending: String,
    has_calls: bool,
}

impl CallReader {
    /// Whether a call was read.
    pub(crate) fn has_calls(&self) -> bool {
        self.has_calls
    }

    /// Takes further text; gives what is certain.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Said> {
        let mut said = Vec::new();
        if self.state == State::Plain {
            push_text(&mut said, text);
            return said;
        }
        self.pending.push_str(text);
        if self.state == State::Start {
            match self.pending.trim_start().chars().next() {
                None => return said,
                Some('{') => self.state = State::Bare,
                Some(_) => self.state = State::Text,
            }
        }
        while self.step(&mut said) {}
        said
    }

    /// Gives the rest.
    pub(crate) fn finish(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        let rest = std::mem::take(&mut self.pending);
        match self.state {
            State::Bare => match self.bare_calls(&rest) {
                Some(calls) => said.extend(calls.into_iter().map(Said::Call)),
                None => push_text(&mut said, &rest),
            },
            State::Tagged => self.push_tagged(&mut said, &rest, ""),
            State::Plain | State::Start | State::Text => self.push_between(&mut said, &rest),
        }
        self.has_calls |= said.iter().any(|one| matches!(one, Said::Call(_)));
        said
    }

    /// Whether there may be more to do.
    fn step(&mut self, said: &mut Vec<Said>) -> bool {
        let marker = match self.state {
            State::Text => OPEN,
            State::Tagged => CLOSE,
            State::Plain | State::Start | State::Bare => return false,
        };
        let Some((before, after)) = self.pending.split_once(marker) else {
            if self.state == State::Text {
                let rest = self.pending.split_off(certain(&self.pending, marker));
                let text = std::mem::replace(&mut self.pending, rest);
                self.push_between(said, &text);
            }
            return false;
        };
        let (before, after) = (before.to_owned(), after.to_owned());
        self.pending = after;
        if self.state == State::Text {
            self.push_between(said, &before);
            self.state = State::Tagged;
        } else {
            self.push_tagged(said, &before, CLOSE);
            self.state = State::Text;
        }
        true
    }

    /// Space between calls is nobody's.
    fn push_between(&self, said: &mut Vec<Said>, text: &str) {
        if !self.has_calls || !text.trim().is_empty() {
            push_text(said, text);
        }
    }

    fn push_tagged(&mut self, said: &mut Vec<Said>, inner: &str, close: &str) {
        let call = serde_json::from_str(inner).ok();
        match call.and_then(|call| self.call(&call)) {
            Some(call) => {
                self.has_calls = true;
                said.push(Said::Call(call));
            }
            None => push_text(said, &format!("{OPEN}{inner}{close}")),
        }
    }

    fn bare_calls(&self, text: &str) -> Option<Vec<Call>> {
        let mut calls = Vec::new();
        let between = |c: char| c.is_whitespace() || c == ';';
        let mut rest = text.trim_matches(between);
        while !rest.is_empty() {
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
            let value = values.next()?.ok()?;
            calls.push(self.call(&value)?);
            rest = rest
                .get(values.byte_offset()..)?
                .trim_start_matches(between);
        }
        (!calls.is_empty()).then_some(calls)
    }

    fn call(&self, value: &Value) -> Option<Call> {
        let name = value.get("name")?.as_str()?;
        let arguments = value.get("arguments").or_else(|| value.get("parameters"));
        let arguments = match arguments {
            None => "{}".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(arguments) => arguments.to_string(),
        };
        self.names.contains(name).then(|| Call {
            name: name.to_owned(),
            arguments,
        })
    }
}

fn push_text(said: &mut Vec<Said>, text: &str) {
    if !text.is_empty() {
        said.push(Said::Text(text.to_owned()));
    }
}

/// Bytes of `text` before what may be the beginning of `marker`.
fn certain(text: &str, marker: &str) -> usize {
    let longest = marker.len().min(text.len());
    (1..=longest)
        .rev()
        .filter_map(|length| marker.get(..length))
        .find(|beginning| text.ends_with(beginning))
        .map_or(text.len(), |beginning| text.len() - beginning.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(choice: &Choice) -> Tools {
        let function = |name: &str| Function {
            name: name.to_owned(),
            description: None,
            parameters: None,
        };
        Tools::new(vec![function("now"), function("add")], choice).unwrap()
    }

    fn read(pieces: &[&str]) -> Vec<Said> {
        let mut reader = tools(&Choice::Auto).reader();
        let mut said: Vec<Said> = Vec::new();
        let mut all: Vec<Said> = pieces.iter().flat_map(|piece| reader.push(piece)).collect();
        all.extend(reader.finish());
        for one in all {
            match (said.last_mut(), one) {
                (Some(Said::Text(text)), Said::Text(more)) => text.push_str(&more),
                (_, one) => said.push(one),
            }
        }
        said
    }

    fn text(text: &str) -> Said {
        Said::Text(text.to_owned())
    }

    fn call(name: &str, arguments: &str) -> Said {
        Said::Call(Call {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        })
    }

    #[test]
    fn calls_are_the_same_however_the_text_is_cut() {
        let cases = [
            ("hello", vec![text("hello")]),
            (
                "Well.<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>\n\
                 <tool_call>{\"name\": \"now\"}</tool_call>",
                vec![text("Well."), call("add", "{\"a\":1}"), call("now", "{}")],
            ),
            (
                " {\"name\": \"add\", \"parameters\": {\"a\": 1}}; {\"name\": \"now\"}",
                vec![call("add", "{\"a\":1}"), call("now", "{}")],
            ),
            // No offered tool, no JSON, no end: text, to the byte.
            ("{\"name\": \"rm\"}", vec![text("{\"name\": \"rm\"}")]),
            ("a < b <tool", vec![text("a < b <tool")]),
            (
                "<tool_call>{</tool_call>x",
                vec![text("<tool_call>{</tool_call>x")],
            ),
            ("<tool_call>{\"name\": \"now\"}", vec![call("now", "{}")]),
        ];
        for (whole, expected) in cases {
            assert_eq!(read(&[whole]), expected, "{whole}");
            let mut buffer = [0; 4];
            let pieces: Vec<String> = whole
                .chars()
                .map(|c| c.encode_utf8(&mut buffer).to_owned())
                .collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            assert_eq!(read(&pieces), expected, "{whole} in characters");
        }
    }

    #[test]
    fn text_is_not_held_back_longer_than_needed() {
        let mut reader = tools(&Choice::Auto).reader();
        assert_eq!(reader.push("so <"), [text("so ")]);
        assert_eq!(reader.push("x"), [text("<x")]);
        let mut plain = tools(&Choice::None).reader();
        assert_eq!(plain.push("<tool_call>"), [text("<tool_call>")]);
    }

    #[test]
    fn a_forced_call_has_the_form_of_the_template() {
        let prompt = crate::api::Prompt::Text(String::new());
        let mut request = AskRequest::plain(None, prompt);
        tools(&Choice::Named("now".to_owned())).force(&mut request, true);
        let Some(Grammar::Lark(grammar)) = &request.grammar else {
            panic!("a grammar");
        };
        assert!(grammar.starts_with("start: \"<tool_call>\\n\" call \"\\n</tool_call>\"\n"));
        assert!(grammar.contains("\"name\":{\"const\":\"now\"}"));
        tools(&Choice::Any).force(&mut request, false);
        let Some(Grammar::JsonSchema(schema)) = &request.grammar else {
            panic!("a schema");
        };
        assert!(schema.starts_with("{\"anyOf\":[") && schema.contains("\"parameters\""));
    }
}
