//! What a client has received, in one opaque string: the offset at the end of each event.

use crate::{NodeId, broker::Position};

/// The longest offset that is read: longer than any that is written.
const MAX_LEN: usize = 1_024;

/// Says: everything up to that place in the log, and that node's own publications up to that number, wherever the log has them.
///
/// A node delivers its own publications before the log has ordered them. So a place in the log alone would not tell whether the client has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offset {
    pub(crate) position: Position,
    pub(crate) node: NodeId,
    pub(crate) sequence: u64,
}

impl Offset {
    /// Reads `<sequence>.<tail>`; see [`tail`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LEN {
            return None;
        }
        let (sequence, rest) = text.split_once('.')?;
        let (length, rest) = rest.split_once('.')?;
        let (position, node) = rest.split_at_checked(length.parse().ok()?)?;
        Some(Self {
            position: Position::new(position),
            node: NodeId::parse(node).ok()?,
            sequence: sequence.parse().ok()?,
        })
    }
}

/// What stays the same in a node's offsets for as long as it hears nothing from the log: `<length of the position>.<position><node>`.
pub(crate) fn tail(position: &Position, node: &NodeId) -> String {
    let position = position.as_str();
    format!("{}.{position}{node}", position.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (position, node) in [("e:1", "n"), ("", "1.2.3"), ("1.2", "ü.e"), ("ü:7", "n")] {
            let (position, node) = (Position::new(position), NodeId::parse(node).unwrap());
            let text = format!("18446744073709551615.{}", tail(&position, &node));
            let offset = Offset::parse(&text).unwrap();
            assert_eq!((&offset.position, &offset.node), (&position, &node));
            assert_eq!(offset.sequence, u64::MAX);
        }
    }

    #[test]
    fn anything_else_is_none() {
        let long = format!("1.3.e:1{}", "n".repeat(MAX_LEN));
        for text in [
            "",
            ".",
            "..",
            "1",
            "1.",
            "1.3",
            "1.3.",
            "1.3.e:1",
            "1.9.e:1n",
            "-1.3.e:1n",
            "x.3.e:1n",
            "1.x.e:1n",
            "1.1.ün",
            "99999999999999999999.3.e:1n",
            &long,
        ] {
            assert_eq!(Offset::parse(text), None, "{text:?}");
        }
    }
}
