//! What the server's events and acks carry, serialised once.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{
    arguments::{Arguments, Event},
    json,
    packet::{PacketLimits, event_name, reserved_event},
};

/// An event or ack that cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The name is one of [`RESERVED_EVENTS`](super::packet::RESERVED_EVENTS).
    #[error("{0:?} is a reserved event name")]
    ReservedEventName(&'static str),
    /// An argument does not serialise to JSON.
    #[error("an argument cannot be serialised")]
    Serialize(#[source] serde_json::Error),
    /// A text that should be JSON is not, or nests deeper than 128 levels.
    #[error("an argument is not JSON")]
    IllegalJson,
    /// A text that should be an event's array is not: it needs a name first.
    #[error("not the array of an event")]
    NotAnEvent,
    /// A text that should be an answer's array is not.
    #[error("not the array of an answer")]
    NotAnArray,
    /// There are more attachments than clients accept: 10.
    #[error("too many attachments")]
    TooManyAttachments,
    /// A placeholder names no attachment.
    #[error("placeholder without attachment")]
    IllegalPlaceholder,
}

/// Stands for an attachment among an event's arguments: `{"_placeholder":true,"num":0}`.
///
/// ```
/// use slimy_rt::protocol::{EventData, Placeholder};
///
/// let event = EventData::new("file", &("a.png", Placeholder::new(0)))?
///     .with_attachments(vec![vec![1, 2, 3].into()])?;
/// assert_eq!(&**event.json(), r#"["file",["a.png",{"_placeholder":true,"num":0}]]"#);
/// # Ok::<(), slimy_rt::protocol::EncodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placeholder {
    #[serde(rename = "_placeholder", deserialize_with = "marked")]
    marker: bool,
    num: usize,
}

fn marked<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match bool::deserialize(deserializer)? {
        true => Ok(true),
        false => Err(D::Error::custom("no placeholder")),
    }
}

impl Placeholder {
    /// Stands for attachment `num`, from 0.
    #[must_use]
    pub const fn new(num: usize) -> Self {
        Self { marker: true, num }
    }

    /// The attachment that it stands for, from 0.
    #[must_use]
    pub const fn num(self) -> usize {
        self.num
    }
}

/// An array of arguments and its attachments.
#[derive(Clone, PartialEq, Eq)]
struct Array {
    json: ByteString,
    attachments: Vec<Bytes>,
}

impl Array {
    fn new(json: String) -> Self {
        Self {
            json: json.into(),
            attachments: Vec::new(),
        }
    }

    fn push(self, argument: &str) -> Self {
        let mut json = String::from(self.json);
        json.pop();
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(argument);
        json.push(']');
        Self {
            json: json.into(),
            attachments: self.attachments,
        }
    }

    fn with_attachments(mut self, attachments: Vec<Bytes>) -> Result<Self, EncodeError> {
        if attachments.len() > PacketLimits::default().max_attachments {
            return Err(EncodeError::TooManyAttachments);
        }
        if !attachments.is_empty() {
            // Arguments may hold raw JSON of any depth, and looking for placeholders is recursive.
            check(&self.json)?;
            if !json::placeholders_fit(&self.json, attachments.len()) {
                return Err(EncodeError::IllegalPlaceholder);
            }
        }
        self.attachments = attachments;
        Ok(self)
    }
}

fn check(text: &str) -> Result<(), EncodeError> {
    json::validate(text, json::MAX_DEPTH).map_err(|_| EncodeError::IllegalJson)
}

/// Room for an ordinary message, so that writing it does not move it several times.
const USUAL_BYTES: usize = 512;

fn serialize(argument: &(impl Serialize + ?Sized)) -> Result<String, EncodeError> {
    let mut text = Vec::with_capacity(USUAL_BYTES);
    serde_json::to_writer(&mut text, argument).map_err(EncodeError::Serialize)?;
    // What comes from serde_json is UTF-8.
    String::from_utf8(text).map_err(|_| EncodeError::IllegalJson)
}

fn check_name(name: &str) -> Result<(), EncodeError> {
    match reserved_event(name) {
        Some(reserved) => Err(EncodeError::ReservedEventName(reserved)),
        None => Ok(()),
    }
}

/// `["<name>"` and `elements`, with the bracket closed.
fn named<'a>(
    name: &str,
    elements: impl IntoIterator<Item = &'a str>,
) -> Result<String, EncodeError> {
    check_name(name)?;
    let mut json = String::from("[");
    json::write_string(&mut json, name);
    for element in elements {
        json.push(',');
        json.push_str(element);
    }
    json.push(']');
    Ok(json)
}

/// An event to send: the JSON array of its name and arguments, made once, and attachments.
///
/// Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct EventData(Array);

impl EventData {
    /// An event with one argument.
    ///
    /// # Errors
    /// [`EncodeError::ReservedEventName`] and [`EncodeError::Serialize`].
    pub fn new(name: &str, argument: &(impl Serialize + ?Sized)) -> Result<Self, EncodeError> {
        check_name(name)?;
        Ok(Self(Array::new(serialize(&(name, argument))?)))
    }

    /// An event without arguments; [`EventData::arg`] adds some.
    ///
    /// # Errors
    /// [`EncodeError::ReservedEventName`].
    pub fn empty(name: &str) -> Result<Self, EncodeError> {
        Ok(Self(Array::new(named(name, [])?)))
    }

    /// An event for no client.
    pub(crate) fn nothing() -> Self {
        Self(Array::new(r#"["nothing"]"#.into()))
    }

    /// An event with several arguments: a tuple, or whatever else serialises to an array; `()` is none.
    ///
    /// ```
    /// use slimy_rt::protocol::EventData;
    ///
    /// let event = EventData::args("moved", &("e2", "e4"))?;
    /// assert_eq!(&**event.json(), r#"["moved","e2","e4"]"#);
    /// # Ok::<(), slimy_rt::protocol::EncodeError>(())
    /// ```
    ///
    /// # Errors
    /// [`EncodeError::ReservedEventName`], [`EncodeError::Serialize`], and [`EncodeError::NotAnArray`].
    pub fn args(name: &str, arguments: &(impl Serialize + ?Sized)) -> Result<Self, EncodeError> {
        let text = serialize(arguments)?;
        let elements = elements(&text)?;
        let elements = Some(elements).filter(|elements| !elements.is_empty());
        Ok(Self(Array::new(named(name, elements)?)))
    }

    /// An event whose arguments are JSON texts already.
    ///
    /// # Errors
    /// [`EncodeError::ReservedEventName`], and [`EncodeError::IllegalJson`] when one of them is not one JSON value.
    pub fn raw(name: &str, arguments: &[&str]) -> Result<Self, EncodeError> {
        arguments.iter().try_for_each(|argument| check(argument))?;
        Ok(Self(Array::new(named(name, arguments.iter().copied())?)))
    }

    /// Received arguments under another name, attachments included.
    ///
    /// # Errors
    /// [`EncodeError::ReservedEventName`].
    pub fn from_arguments(name: &str, arguments: &Arguments) -> Result<Self, EncodeError> {
        let elements = Some(arguments.elements_json()).filter(|elements| !elements.is_empty());
        Ok(Self(Array {
            json: named(name, elements)?.into(),
            attachments: arguments.attachments().to_vec(),
        }))
    }

    /// An event that someone else serialised: the text of its array, name first, and its attachments.
    ///
    /// # Errors
    /// Everything that would make a client refuse it: see [`EncodeError`].
    pub fn from_parts(json: ByteString, attachments: Vec<Bytes>) -> Result<Self, EncodeError> {
        check(&json)?;
        let json = json.slice_ref(json::trim(&json));
        if !json.starts_with('[') {
            return Err(EncodeError::NotAnEvent);
        }
        let (name, _) = event_name(&json).ok_or(EncodeError::NotAnEvent)?;
        check_name(&name)?;
        let array = Array {
            json,
            attachments: Vec::new(),
        };
        array.with_attachments(attachments).map(Self)
    }

    /// Adds an argument at the end.
    ///
    /// # Errors
    /// [`EncodeError::Serialize`].
    pub fn arg(self, argument: &(impl Serialize + ?Sized)) -> Result<Self, EncodeError> {
        Ok(Self(self.0.push(&serialize(argument)?)))
    }

    /// Sets the attachments, which the arguments name by [`Placeholder`]s.
    ///
    /// # Errors
    /// [`EncodeError::TooManyAttachments`], [`EncodeError::IllegalPlaceholder`], and [`EncodeError::IllegalJson`] when the
    /// arguments nest too deeply.
    pub fn with_attachments(self, attachments: Vec<Bytes>) -> Result<Self, EncodeError> {
        self.0.with_attachments(attachments).map(Self)
    }

    /// The event's name.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        event_name(&self.0.json).map_or(Cow::Borrowed(""), |(name, _)| name)
    }

    /// The text of the array: the name, then the arguments.
    #[must_use]
    pub fn json(&self) -> &ByteString {
        &self.0.json
    }

    /// The attachments.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        &self.0.attachments
    }
}

/// An event of another node, to be read like a client's.
impl From<EventData> for Event {
    fn from(event: EventData) -> Self {
        let Array { json, attachments } = event.0;
        let (name, start) = event_name(&json).unwrap_or((Cow::Borrowed(""), json.len()));
        Self {
            name: ByteString::from(&*name),
            arguments: Arguments {
                start,
                json: json.clone(),
                attachments,
            },
        }
    }
}

/// An answer of another node, to be read like a client's.
impl From<AckData> for Arguments {
    fn from(ack: AckData) -> Self {
        let Array { json, attachments } = ack.0;
        Self {
            start: json::skip_whitespace(json.as_bytes(), 1),
            json,
            attachments,
        }
    }
}

/// A received event, to be sent on as it is.
impl From<Event> for EventData {
    fn from(event: Event) -> Self {
        Self(Array {
            json: event.arguments.json,
            attachments: event.arguments.attachments,
        })
    }
}

impl fmt::Debug for EventData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventData")
            .field("name", &self.name())
            .field("json_bytes", &self.0.json.len())
            .field("attachments", &self.0.attachments.len())
            .finish()
    }
}

/// What stands between an array's brackets; what serialises to null, as `()` does, is an empty array.
fn elements(text: &str) -> Result<&str, EncodeError> {
    match text {
        "null" => Ok(""),
        array => {
            let inner = array.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
            inner.ok_or(EncodeError::NotAnArray)
        }
    }
}

/// The answer to a client's event: the JSON array of its arguments, and attachments.
#[derive(Clone, PartialEq, Eq)]
pub struct AckData(Array);

impl AckData {
    /// An answer with one argument.
    ///
    /// # Errors
    /// [`EncodeError::Serialize`].
    pub fn new(argument: &(impl Serialize + ?Sized)) -> Result<Self, EncodeError> {
        Ok(Self(Array::new(serialize(&(argument,))?)))
    }

    /// An answer with several arguments: a tuple, as in `AckData::args(&(error, result))`, or whatever else serialises to an array; `()` is none.
    ///
    /// # Errors
    /// [`EncodeError::Serialize`] and [`EncodeError::NotAnArray`].
    pub fn args(arguments: &(impl Serialize + ?Sized)) -> Result<Self, EncodeError> {
        let text = serialize(arguments)?;
        Ok(Self(Array::new(format!("[{}]", elements(&text)?))))
    }

    /// An answer without arguments; [`AckData::arg`] adds some.
    #[must_use]
    pub fn empty() -> Self {
        Self(Array {
            json: ByteString::from_static("[]"),
            attachments: Vec::new(),
        })
    }

    /// An answer that someone else serialised: the text of its array and its attachments.
    ///
    /// # Errors
    /// Everything that would make a client refuse it: see [`EncodeError`].
    pub fn from_parts(json: ByteString, attachments: Vec<Bytes>) -> Result<Self, EncodeError> {
        check(&json)?;
        let json = json.slice_ref(json::trim(&json));
        if !json.starts_with('[') {
            return Err(EncodeError::NotAnArray);
        }
        let array = Array {
            json,
            attachments: Vec::new(),
        };
        array.with_attachments(attachments).map(Self)
    }

    /// Received arguments as the answer, attachments included.
    #[must_use]
    pub fn from_arguments(arguments: &Arguments) -> Self {
        Self(Array {
            json: format!("[{}]", arguments.elements_json()).into(),
            attachments: arguments.attachments().to_vec(),
        })
    }

    /// Adds an argument at the end.
    ///
    /// # Errors
    /// [`EncodeError::Serialize`].
    pub fn arg(self, argument: &(impl Serialize + ?Sized)) -> Result<Self, EncodeError> {
        Ok(Self(self.0.push(&serialize(argument)?)))
    }

    /// Sets the attachments, which the arguments name by [`Placeholder`]s.
    ///
    /// # Errors
    /// As [`EventData::with_attachments`].
    pub fn with_attachments(self, attachments: Vec<Bytes>) -> Result<Self, EncodeError> {
        self.0.with_attachments(attachments).map(Self)
    }

    /// The text of the array.
    #[must_use]
    pub fn json(&self) -> &ByteString {
        &self.0.json
    }

    /// The attachments.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        &self.0.attachments
    }
}

impl fmt::Debug for AckData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AckData")
            .field("json_bytes", &self.0.json.len())
            .field("attachments", &self.0.attachments.len())
            .finish()
    }
}
