//! The bot that asks an OpenAI-compatible endpoint: `POST <base>/chat/completions`.

use std::{error::Error as StdError, fmt, time::Duration};

use async_trait::async_trait;
use http::{HeaderValue, header};
use reqwest::{Client, Response, Url, redirect};
use serde::{Deserialize, Serialize};

use super::{Bot, BotError, Question};

/// The most bytes of the endpoint's answer.
const MAX_RESPONSE_BYTES: usize = 256 * 1024;
const MAX_TOKENS: u32 = 180;
const TEMPERATURE: f32 = 0.7;

/// Asks an OpenAI-compatible endpoint.
///
/// It follows no redirect and uses no proxy of the environment, so that the key goes to the configured endpoint only. The key
/// appears neither in `Debug` nor in errors.
///
/// ```
/// use slimy_rt::chat::OpenAi;
///
/// let bot = OpenAi::builder("a-key")
///     .base_url("http://127.0.0.1:8000/v1")
///     .model("local")
///     .build()?;
/// # Ok::<(), slimy_rt::chat::OpenAiConfigError>(())
/// ```
pub struct OpenAi {
    client: Client,
    endpoint: Url,
    authorization: HeaderValue,
    model: Box<str>,
}

impl OpenAi {
    /// Starts with an API key; OpenAI's own endpoint, `gpt-4o-mini` and 20 s are the defaults.
    #[must_use]
    pub fn builder(api_key: impl Into<String>) -> OpenAiBuilder {
        OpenAiBuilder {
            api_key: api_key.into(),
            base_url: "https://api.openai.com/v1".to_owned(),
            model: "gpt-4o-mini".into(),
            timeout: Duration::from_secs(20),
        }
    }
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi")
            .field("host", &self.endpoint.host_str())
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// Builds an [`OpenAi`].
pub struct OpenAiBuilder {
    api_key: String,
    base_url: String,
    model: Box<str>,
    timeout: Duration,
}

impl OpenAiBuilder {
    /// Sets the URL to which `/chat/completions` is added.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// Sets the model.
    #[must_use]
    pub fn model(mut self, model: impl Into<Box<str>>) -> Self {
        self.model = model.into();
        self
    }

    /// Sets how long an answer may take, from connecting to its last byte.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The bot.
    ///
    /// # Errors
    /// [`OpenAiConfigError`] says what to change.
    pub fn build(self) -> Result<OpenAi, OpenAiConfigError> {
        let key = self.api_key.trim();
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(OpenAiConfigError::ApiKey);
        }
        let mut authorization = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| OpenAiConfigError::ApiKey)?;
        authorization.set_sensitive(true);

        let mut endpoint =
            Url::parse(self.base_url.trim()).map_err(|_| OpenAiConfigError::BaseUrl)?;
        let is_plain = endpoint.username().is_empty() && endpoint.password().is_none();
        if !matches!(endpoint.scheme(), "http" | "https") || !is_plain {
            return Err(OpenAiConfigError::BaseUrl);
        }
        endpoint
            .path_segments_mut()
            .map_err(|()| OpenAiConfigError::BaseUrl)?
            .pop_if_empty()
            .extend(["chat", "completions"]);

        let mut client = Client::builder()
            .timeout(self.timeout)
            .redirect(redirect::Policy::none())
            .no_proxy();
        if endpoint.scheme() == "http" {
            // Without TLS no certificates are needed, and a system that has none is no obstacle.
            client = client.tls_certs_only([]);
        }
        Ok(OpenAi {
            client: client
                .build()
                .map_err(|e| OpenAiConfigError::Client(e.into()))?,
            endpoint,
            authorization,
            model: self.model,
        })
    }
}

impl fmt::Debug for OpenAiBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiBuilder")
            .field("model", &self.model)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Why an [`OpenAi`] cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenAiConfigError {
    /// The key is empty or cannot be a header's value.
    #[error("the OpenAI API key must be visible ASCII characters")]
    ApiKey,
    /// The base URL is none.
    #[error("the OpenAI base URL must be an http or https URL without user and password")]
    BaseUrl,
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] Box<dyn StdError + Send + Sync>),
}

#[async_trait]
impl Bot for OpenAi {
    async fn reply(&self, question: &Question) -> Result<String, BotError> {
        let prompt = system_prompt(question);
        let request = Request {
            model: &self.model,
            messages: [
                Message {
                    role: "system",
                    content: &prompt,
                },
                Message {
                    role: "user",
                    content: &question.text,
                },
            ],
            max_tokens: MAX_TOKENS,
            temperature: TEMPERATURE,
        };
        let response = self
            .client
            .post(self.endpoint.clone())
            .header(header::AUTHORIZATION, self.authorization.clone())
            .json(&request)
            .send()
            .await
            .map_err(transport)?;
        if !response.status().is_success() {
            // The body is not read: an endpoint may repeat the key in it.
            return Err(BotError::Refused(response.status().to_string().into()));
        }
        answer(&body(response).await?)
    }
}

/// Says who the bot is and where it is. Names are quoted, since users choose them.
fn system_prompt(question: &Question) -> String {
    let guild = question.guild_name.as_deref();
    let guild = guild.unwrap_or(question.guild.as_str());
    format!(
        "You are slimy.ai, a friendly assistant in the admin chat of the Discord guild {guild:?}. \
         Answer in plain text, briefly and to the point."
    )
}

/// The response's body, unless it is too large.
async fn body(mut response: Response) -> Result<Vec<u8>, BotError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(BotError::Invalid("it is longer than 256 KiB".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The first choice's text. None at all is an empty answer; a body of another shape is an error.
fn answer(body: &[u8]) -> Result<String, BotError> {
    let completion: Completion = serde_json::from_slice(body).map_err(|e| {
        // The error names a position and a type, and might repeat what the endpoint sent.
        BotError::Invalid(format!("no chat completion at column {}", e.column()).into())
    })?;
    let choice = completion.choices.into_iter().next();
    let choice = choice.ok_or_else(|| BotError::Invalid("it has no choices".into()))?;
    Ok(choice.message.content.unwrap_or_default())
}

/// A failure to reach the endpoint. Its URL is left out: a query may carry a credential.
fn transport(error: reqwest::Error) -> BotError {
    if error.is_timeout() {
        return BotError::Timeout;
    }
    BotError::Unavailable(error.without_url().into())
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: [Message<'a>; 2],
    max_tokens: u32,
    temperature: f32,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Reply,
}

#[derive(Deserialize)]
struct Reply {
    content: Option<String>,
}

#[cfg(test)]
mod tests;
