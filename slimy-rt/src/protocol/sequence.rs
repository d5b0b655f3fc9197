//! All arguments of an event as one value, as a JavaScript function takes them: a tuple ignores what there is too much, and what is missing
//! is null.

use serde::{
    Deserializer,
    de::{DeserializeOwned, DeserializeSeed, SeqAccess, Visitor},
    forward_to_deserialize_any,
};

/// Parses JSON texts as one sequence.
pub(super) fn parse<'a, T: DeserializeOwned>(
    arguments: impl Iterator<Item = &'a str>,
) -> Result<T, serde_json::Error> {
    T::deserialize(Sequence(arguments))
}

struct Sequence<I>(I);

impl<'de, I: Iterator<Item = &'de str>> Deserializer<'de> for Sequence<I> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_seq(Elements {
            arguments: self.0,
            wanted: None,
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_seq(Elements {
            arguments: self.0,
            wanted: Some(len),
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq map struct enum
        identifier ignored_any
    }
}

struct Elements<I> {
    arguments: I,
    /// How many more a tuple takes.
    wanted: Option<usize>,
}

impl<'de, I: Iterator<Item = &'de str>> SeqAccess<'de> for Elements<I> {
    type Error = serde_json::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Self::Error> {
        let argument = match &mut self.wanted {
            Some(0) => None,
            Some(wanted) => {
                *wanted -= 1;
                Some(self.arguments.next().unwrap_or("null"))
            }
            None => self.arguments.next(),
        };
        let Some(text) = argument else {
            return Ok(None);
        };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        // The packet's nesting was bounded when it was decoded.
        deserializer.disable_recursion_limit();
        seed.deserialize(&mut deserializer).map(Some)
    }
}
