//! What a peer's event or ack carries: a JSON array, split when it is asked for, and attachments.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;
use serde::de::DeserializeOwned;

use super::{json, sequence};

/// A received event: its name and its arguments.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    pub(super) name: ByteString,
    pub(super) arguments: Arguments,
}

impl Event {
    /// The event's name. A number keeps its text; a lone surrogate is U+FFFD here.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The arguments; the name is not one of them.
    #[must_use]
    pub fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    /// The arguments, taken out; they still know the whole array, name included.
    #[must_use]
    pub fn into_arguments(self) -> Arguments {
        self.arguments
    }
}

/// Shows the name only: arguments are the users' own.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("name", &self.name)
            .field("arguments", &self.arguments)
            .finish()
    }
}

/// The arguments of an event or an ack: valid JSON that is kept as text, and the attachments its placeholders name.
///
/// Cloning is cheap, and nothing is split or parsed before it is asked for. The text shares the buffer it arrived in.
#[derive(Clone, PartialEq, Eq)]
pub struct Arguments {
    /// The whole array, without whitespace around it.
    pub(super) json: ByteString,
    /// Where the first argument starts: after the bracket, or after an event's name.
    pub(super) start: usize,
    pub(super) attachments: Vec<Bytes>,
}

impl Arguments {
    /// The JSON text of argument `index`.
    #[must_use]
    pub fn arg(&self, index: usize) -> Option<&str> {
        self.iter().nth(index)
    }

    /// The JSON text of every argument, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let bytes = self.json.as_bytes();
        let mut at = self.start;
        std::iter::from_fn(move || {
            if at + 1 >= bytes.len() {
                return None;
            }
            let end = json::skip_value(bytes, at);
            let argument = self.json.get(at..end)?;
            at = json::next_element(bytes, end);
            Some(argument)
        })
    }

    /// The text of the whole array, an event's name included.
    #[must_use]
    pub fn args_json(&self) -> &ByteString {
        &self.json
    }

    /// The text between the array's brackets, without an event's name: `1,"2"`, or nothing.
    #[must_use]
    pub fn elements_json(&self) -> &str {
        let end = self.json.len().saturating_sub(1);
        json::trim(self.json.get(self.start..end).unwrap_or_default())
    }

    /// The attachments, in the order in which they came.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// The attachment that argument `index` stands for, if it is a placeholder.
    #[must_use]
    pub fn binary(&self, index: usize) -> Option<&Bytes> {
        let attachment = json::placeholder(self.arg(index)?, self.attachments.len())?;
        self.attachments.get(attachment)
    }

    /// Parses argument `index`.
    ///
    /// # Errors
    /// [`ArgumentError::Missing`] when there are not so many, [`ArgumentError::Invalid`] when it is not a `T`. Text with
    /// an escaped lone surrogate is no `String`.
    pub fn parse<T: DeserializeOwned>(&self, index: usize) -> Result<T, ArgumentError> {
        let text = self.arg(index).ok_or(ArgumentError::Missing { index })?;
        deserialize(text).map_err(|source| ArgumentError::Invalid { index, source })
    }

    /// Parses all arguments as one sequence: a tuple with one type for each, or a `Vec`. As in JavaScript, a tuple ignores arguments that it does not want, and
    /// one that is missing at the end is null: `None` for an `Option`.
    ///
    /// # Errors
    /// [`ArgumentError::InvalidArguments`] when they are not a `T`.
    pub fn parse_all<T: DeserializeOwned>(&self) -> Result<T, ArgumentError> {
        let parsed = sequence::parse(self.iter());
        parsed.map_err(|source| ArgumentError::InvalidArguments { source })
    }
}

fn deserialize<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    // The packet's nesting was bounded when it was decoded.
    deserializer.disable_recursion_limit();
    T::deserialize(&mut deserializer)
}

/// Shows sizes only: arguments are the users' own.
impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arguments")
            .field("json_bytes", &self.json.len())
            .field("attachments", &self.attachments.len())
            .finish()
    }
}

/// An argument that is not what the program expects.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// There are fewer arguments.
    #[error("argument {index} is missing")]
    Missing {
        /// The argument that was asked for, from 0.
        index: usize,
    },
    /// The argument is of another type.
    #[error("argument {index} is not what is expected")]
    Invalid {
        /// The argument that was asked for, from 0.
        index: usize,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The arguments together are of another type, or of another number.
    #[error("the arguments are not what is expected")]
    InvalidArguments {
        /// Where and why.
        source: serde_json::Error,
    },
}
