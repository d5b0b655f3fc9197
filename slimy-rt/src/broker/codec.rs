//! Publications as bytes, for brokers that carry them elsewhere.
//!
//! A version, the length of a JSON header, the header, and the attachments one after the other. The header has the attachments' lengths.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Audience, BrokerError, Publication};
use crate::{
    NodeId, Room,
    protocol::{EncodeError, EventData},
};

/// The version of this form: a byte of its own, so that nodes of different versions notice.
const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    id: Option<(NodeId, u64)>,
    #[serde(borrow)]
    namespace: Cow<'a, str>,
    rooms: Cow<'a, [Room]>,
    except: Cow<'a, [Room]>,
    #[serde(borrow)]
    event: &'a RawValue,
    attachments: Vec<usize>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    volatile: bool,
    #[serde(default, skip_serializing_if = "is_none")]
    lost: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_none(lost: &u64) -> bool {
    *lost == 0
}

impl Publication {
    /// The publication as bytes, which [`from_bytes`](Self::from_bytes) reads.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] when it is larger than 4 GiB or its event is no JSON, which only a mistaken program brings about.
    pub fn to_bytes(&self) -> Result<Bytes, BrokerError> {
        let header = Header {
            id: self.id.clone(),
            namespace: Cow::Borrowed(&self.namespace),
            rooms: Cow::Borrowed(&self.audience.rooms),
            except: Cow::Borrowed(&self.audience.except),
            event: serde_json::from_str(self.event.json()).map_err(invalid)?,
            attachments: self.event.attachments().iter().map(Bytes::len).collect(),
            volatile: self.volatile,
            lost: self.lost,
        };
        let header = serde_json::to_vec(&header).map_err(invalid)?;
        let length = u32::try_from(header.len()).map_err(invalid)?;
        let attachments = self.event.attachments();
        let size = attachments.iter().map(Bytes::len).sum::<usize>();
        let mut bytes = Vec::with_capacity(5 + header.len() + size);
        bytes.push(VERSION);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&header);
        attachments.iter().for_each(|a| bytes.extend_from_slice(a));
        Ok(bytes.into())
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote, on this node or another. Attachments share the buffer.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] when that is not what these bytes are.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, BrokerError> {
        let cut = || BrokerError::Invalid("a publication is cut short".into());
        let (&version, rest) = bytes.split_first().ok_or_else(cut)?;
        if version != VERSION {
            let text = format!("a publication has version {version}, not {VERSION}");
            return Err(BrokerError::Invalid(text.into()));
        }
        let (length, rest) = rest.split_first_chunk().ok_or_else(cut)?;
        let length = u32::from_be_bytes(*length) as usize;
        let header: Header<'_> =
            serde_json::from_slice(rest.get(..length).ok_or_else(cut)?).map_err(invalid)?;
        let mut at = 5 + length;
        let mut attachments = Vec::with_capacity(header.attachments.len().min(bytes.len()));
        for size in header.attachments {
            let end = at.checked_add(size).filter(|end| *end <= bytes.len());
            let end = end.ok_or_else(cut)?;
            attachments.push(bytes.slice(at..end));
            at = end;
        }
        if at != bytes.len() {
            return Err(BrokerError::Invalid("a publication is too long".into()));
        }
        let event = EventData::from_parts(header.event.get().to_owned().into(), attachments);
        Ok(Self {
            id: header.id,
            namespace: Arc::from(header.namespace),
            audience: Audience {
                rooms: header.rooms.into_owned(),
                except: header.except.into_owned(),
            },
            event: event.map_err(|e: EncodeError| invalid(e))?,
            volatile: header.volatile,
            lost: header.lost,
        })
    }
}

fn invalid(error: impl std::error::Error) -> BrokerError {
    BrokerError::Invalid(format!("a publication: {error}").into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::Placeholder;

    fn publication() -> Publication {
        let room = |name| Room::parse(name).unwrap();
        let audience = Audience {
            rooms: vec![room("a \"b\""), room("ü\n")],
            except: vec![room("c")],
        };
        let event = EventData::new("file", &Placeholder::new(1)).unwrap();
        let event = event.arg(&Placeholder::new(0)).unwrap();
        let attachments = vec![Bytes::from_static(b"\0\xff"), Bytes::new()];
        let event = event.with_attachments(attachments).unwrap();
        let id = Some((NodeId::parse("n").unwrap(), u64::MAX));
        Publication::new(id, "/a b".into(), audience, event).volatile(true)
    }

    fn assert_same(a: &Publication, b: &Publication) {
        assert_eq!((&a.id, &a.namespace), (&b.id, &b.namespace));
        assert_eq!((&a.audience, &a.event), (&b.audience, &b.event));
        assert_eq!(a.volatile, b.volatile);
    }

    #[test]
    fn what_was_written_is_read() {
        let small = EventData::raw("ping", &["1e400", "null", " [ ] "]).unwrap();
        let small = Publication::new(None, "/".into(), Audience::default(), small);
        for publication in [publication(), small] {
            let bytes = publication.to_bytes().unwrap();
            assert_same(&Publication::from_bytes(&bytes).unwrap(), &publication);
        }
    }

    #[test]
    fn what_is_cut_or_longer_is_refused() {
        let bytes = publication().to_bytes().unwrap();
        for end in 0..bytes.len() {
            assert!(
                Publication::from_bytes(&bytes.slice(..end)).is_err(),
                "{end}"
            );
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(Publication::from_bytes(&longer.into()).is_err());
    }

    proptest! {
        #[test]
        fn other_bytes_are_refused_without_a_panic(at in 0_usize..200, byte: u8, random: Vec<u8>) {
            let mut bytes = publication().to_bytes().unwrap().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = Publication::from_bytes(&bytes.into());
            prop_assert!(Publication::from_bytes(&random.into()).is_err());
        }
    }
}
