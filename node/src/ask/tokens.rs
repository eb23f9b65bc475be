//! Text and token ids of a model, for programs that count or cut by tokens.
//!
//! The same tokenizer and template as in an answer; no stage is asked.

use super::Asker;
use crate::api::{
    AskError, ChatMessage, ErrorCode, Prompt, TokenizeRequest, TokenizeView, TokenizerView,
};
use crate::models::RemoteModel;
use serde_json::Value;
use talkoot_inference::AskerError;

impl Asker {
    /// The tokens of a text or of a chat.
    ///
    /// # Errors
    /// [`AskError`]: an unknown model, or what the tokenizer or the template
    /// refuses.
    pub async fn tokenize(&self, request: &TokenizeRequest) -> Result<TokenizeView, AskError> {
        let model = self.named(request.model.as_deref()).await?;
        let ids = match &request.prompt {
            Prompt::Text(text) => model
                .asker
                .encode(text, request.add_special)
                .map_err(invalid)?,
            Prompt::Chat(messages) => encode_chat(
                &model,
                messages,
                &request.tools,
                request.add_generation_prompt,
            )?,
            Prompt::Tokens(_) => {
                let message = "these are token ids already; send a text or a chat";
                return Err(AskError::new(ErrorCode::InvalidRequest, message));
            }
        };
        let tokenizer = model.asker.tokenizer();
        let name = |id: &u32| tokenizer.token_of(*id).unwrap_or_default();
        Ok(TokenizeView {
            names: ids.iter().map(name).collect(),
            ids,
            context: model.card.shape.context,
            model_name: model.card.name,
        })
    }

    /// The text of tokens, special ones left out.
    ///
    /// # Errors
    /// [`AskError`]: an unknown model, an id outside its vocabulary.
    pub async fn detokenize(&self, model: Option<&str>, ids: &[u32]) -> Result<String, AskError> {
        let model = self.named(model).await?;
        check_ids(&model, ids)?;
        let text = model.asker.tokenizer().decode(ids);
        text.map_err(|error| invalid(error.into()))
    }

    /// What is known of a model's tokenizer.
    ///
    /// # Errors
    /// [`AskError`]: an unknown model.
    pub async fn tokenizer(&self, model: Option<&str>) -> Result<TokenizerView, AskError> {
        let RemoteModel { card, asker, .. } = self.named(model).await?;
        Ok(TokenizerView {
            context: card.shape.context,
            vocabulary: card.shape.vocabulary,
            model_name: card.name,
            special_tokens: asker.config().special_tokens.clone(),
            stop_ids: asker.stop_ids().to_vec(),
            chat_template: asker.template_source().map(str::to_owned),
            has_tools: asker.has_tools(),
        })
    }

    async fn named(&self, model: Option<&str>) -> Result<RemoteModel, AskError> {
        let id = self.find_model(model)?;
        self.know_model(id).await
    }
}

/// The ids of a question's prompt.
///
/// # Errors
/// [`AskError`]: what tokenizer or template refuses, an id that is none.
pub(super) fn prompt_ids(
    model: &RemoteModel,
    prompt: &Prompt,
    tools: &[Value],
) -> Result<Vec<u32>, AskError> {
    match prompt {
        Prompt::Text(text) => model.asker.encode(text, true).map_err(invalid),
        Prompt::Tokens(ids) => check_ids(model, ids).map(|()| ids.clone()),
        Prompt::Chat(messages) => encode_chat(model, messages, tools, true),
    }
}

/// How many ids there are.
pub(super) fn count(ids: &[u32]) -> u32 {
    u32::try_from(ids.len()).unwrap_or(u32::MAX)
}

/// The ids of a chat.
///
/// # Errors
/// [`ErrorCode::Unsupported`] for tools that the template does not know, else
/// what template and tokenizer refuse.
pub(super) fn encode_chat(
    model: &RemoteModel,
    messages: &[ChatMessage],
    tools: &[Value],
    add_generation_prompt: bool,
) -> Result<Vec<u32>, AskError> {
    if !tools.is_empty() && !model.asker.has_tools() {
        let message = format!(
            "the chat template of {} knows no tools; ask without them, or choose a model made for \
             them",
            model.card.name
        );
        return Err(AskError::new(ErrorCode::Unsupported, message));
    }
    let messages: Vec<talkoot_inference::ChatMessage> = messages
        .iter()
        .map(|message| talkoot_inference::ChatMessage {
            role: message.role.clone(),
            content: message.content.clone(),
            tool_calls: message.tool_calls.clone(),
            tool_call_id: message.tool_call_id.clone(),
            name: message.name.clone(),
        })
        .collect();
    model
        .asker
        .encode_chat(&messages, tools, add_generation_prompt)
        .map_err(invalid)
}

/// Refuses ids outside the model's vocabulary.
pub(super) fn check_ids(model: &RemoteModel, ids: &[u32]) -> Result<(), AskError> {
    let vocabulary = model.card.shape.vocabulary;
    match ids.iter().find(|&&id| id >= vocabulary) {
        None => Ok(()),
        Some(id) => Err(AskError::new(
            ErrorCode::InvalidRequest,
            format!("token {id} is not in the vocabulary of {vocabulary} tokens"),
        )),
    }
}

pub(super) fn invalid(error: AskerError) -> AskError {
    AskError::new(ErrorCode::InvalidRequest, error.to_string())
}
