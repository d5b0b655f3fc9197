//! Requests of administrators: objects, whose mistakes are told in words of the request and none of the program's.

use serde_json::{Map, Value};

use crate::{events::Rejection, protocol::Arguments};

/// A refusal that says what is wrong with a request.
pub(super) fn invalid(why: impl Into<String>) -> Rejection {
    Rejection::new("invalid_request", why.into())
}

/// The fields of an event's first argument.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// None, or null, counts as an object without fields.
    pub(super) fn of(arguments: &Arguments) -> Result<Self, Rejection> {
        match arguments.arg(0).map(serde_json::from_str) {
            None | Some(Ok(Value::Null)) => Ok(Self(Map::new())),
            Some(Ok(Value::Object(fields))) => Ok(Self(fields)),
            Some(_) => Err(invalid("The request is not an object.")),
        }
    }

    /// A text; one that is missing, or null, is none.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Rejection> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(invalid(format!("`{name}` is not a text."))),
        }
    }

    /// A whole number that is not negative; one that is missing, or null, is none.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Rejection> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(invalid(format!("`{name}` is not a whole number."))),
            },
        }
    }
}

#[cfg(test)]
impl From<Value> for Fields {
    fn from(value: Value) -> Self {
        match value {
            Value::Object(fields) => Self(fields),
            other => panic!("{other} is not an object"),
        }
    }
}
