//! Watches frame headers go by, for the bounds that the WebSocket library does not have.
//!
//! The library reserves a frame's size from its header alone, and counts no fragments. Both are refused here before it sees the header's
//! end. Payloads are only skipped over.

use super::{TOO_LARGE, TOO_MANY_FRAGMENTS};

/// A header is at most 2 bytes, 8 of length and 4 of mask (RFC 6455, section 5.2).
const MAX_HEADER: usize = 14;

/// What goes beyond a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("the message is too large")]
    TooLarge,
    #[error("the message has too many fragments")]
    TooManyFragments,
    /// A length in more bytes than it needs, or beyond 63 bits (RFC 6455, section 5.2).
    #[error("the length is malformed")]
    Length,
    /// A control frame that is fragmented or larger than 125 bytes (RFC 6455, section 5.5). The library would wait for its payload first.
    #[error("the control frame is malformed")]
    Control,
}

impl Violation {
    /// RFC 6455, section 7.4.1.
    pub(super) fn close_code(self) -> u16 {
        match self {
            Self::Length | Self::Control => 1002,
            Self::TooLarge => TOO_LARGE,
            Self::TooManyFragments => TOO_MANY_FRAGMENTS,
        }
    }
}

#[derive(Debug)]
pub(super) struct Meter {
    header: [u8; MAX_HEADER],
    /// How much of the header is there.
    have: u8,
    /// How much of the payload is still to come.
    payload: u64,
    /// Bytes and fragments of the message so far.
    message: u64,
    fragments: u32,
    max_payload: u64,
    max_fragments: u32,
    /// Messages, control frames among them, whose last header was seen and that were not taken yet.
    untaken: u32,
    largest: u64,
    poison: Option<Violation>,
}

impl Meter {
    pub(super) fn new(max_payload: usize, max_fragments: u32) -> Self {
        Self {
            header: [0; MAX_HEADER],
            have: 0,
            payload: 0,
            message: 0,
            fragments: 0,
            max_payload: max_payload as u64,
            max_fragments,
            untaken: 0,
            largest: 0,
            poison: None,
        }
    }

    pub(super) fn set_max_payload(&mut self, max_payload: usize) {
        self.max_payload = max_payload as u64;
    }

    /// How large a message may be.
    pub(super) fn max_payload(&self) -> usize {
        usize::try_from(self.max_payload).unwrap_or(usize::MAX)
    }

    /// The violation that was found, for a time when all before it has been read.
    pub(super) fn violation(&self) -> Option<Violation> {
        self.poison
    }

    /// The largest message since it was forgotten.
    pub(super) fn largest(&self) -> usize {
        usize::try_from(self.largest).unwrap_or(usize::MAX)
    }

    pub(super) fn forget_largest(&mut self) {
        self.largest = 0;
    }

    /// A message was taken.
    pub(super) fn take(&mut self) {
        self.untaken = self.untaken.saturating_sub(1);
    }

    /// Whether all bytes so far make whole messages that have been taken.
    pub(super) fn is_spent(&self) -> bool {
        self.untaken == 0 && self.poison.is_none() && self.is_between_messages()
    }

    /// Whether all bytes so far make whole messages.
    pub(super) fn is_between_messages(&self) -> bool {
        self.have == 0 && self.payload == 0 && self.fragments == 0
    }

    /// Takes note of bytes that were read. Says how many of them may be passed on: those before the end of a header that is a violation.
    pub(super) fn observe(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        match self.walk(&mut rest) {
            Ok(()) => bytes.len(),
            Err(violation) => {
                self.poison = Some(violation);
                bytes.len() - rest.len() - 1
            }
        }
    }

    /// Leaves what is behind a violation in `bytes`.
    fn walk(&mut self, bytes: &mut &[u8]) -> Result<(), Violation> {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skipped = usize::try_from(self.payload)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                self.payload -= skipped as u64;
                *bytes = &bytes[skipped..];
                continue;
            }
            self.header[usize::from(self.have)] = bytes[0];
            self.have += 1;
            *bytes = &bytes[1..];
            if self.have >= 2 && self.have == header_len(self.header[1]) {
                self.have = 0;
                self.begin_payload()?;
            }
        }
        Ok(())
    }

    fn begin_payload(&mut self) -> Result<(), Violation> {
        self.payload = payload_len(&self.header);
        let (is_final, opcode) = (self.header[0] & 0x80 != 0, self.header[0] & 0x0f);
        let is_minimal = match self.header[1] & 0x7f {
            126 => self.payload >= 126,
            127 => (1 << 16..1 << 63).contains(&self.payload),
            _ => true,
        };
        if !is_minimal {
            return Err(Violation::Length);
        }
        if opcode >= 8 {
            if !is_final || self.payload > 125 {
                return Err(Violation::Control);
            }
            self.untaken += 1;
            return Ok(());
        }
        self.fragments += 1;
        self.message = self.message.saturating_add(self.payload);
        if self.message > self.max_payload {
            return Err(Violation::TooLarge);
        }
        if self.fragments > self.max_fragments {
            return Err(Violation::TooManyFragments);
        }
        self.largest = self.largest.max(self.message);
        if is_final {
            self.untaken += 1;
            (self.message, self.fragments) = (0, 0);
        }
        Ok(())
    }
}

fn header_len(second: u8) -> u8 {
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + mask
}

fn payload_len(header: &[u8; MAX_HEADER]) -> u64 {
    match header[1] & 0x7f {
        126 => u64::from(u16::from_be_bytes([header[2], header[3]])),
        127 => header[2..10]
            .iter()
            .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        length => u64::from(length),
    }
}

/// Lets a meter see these pieces: the largest message and whether the last one is whole; or a violation's close code and how many bytes before
/// it are passed on.
#[cfg(fuzzing)]
pub fn meter<'a>(
    max_payload: usize,
    max_fragments: u32,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(usize, bool), (u16, usize)> {
    let (mut meter, mut passed) = (Meter::new(max_payload, max_fragments), 0);
    for piece in pieces {
        passed += meter.observe(piece);
        if let Some(violation) = meter.violation() {
            return Err((violation.close_code(), passed));
        }
    }
    Ok((meter.largest(), meter.is_between_messages()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload {
            0..126 => bytes.push(0x80 | payload as u8),
            126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend((payload as u16).to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((payload as u64).to_be_bytes());
            }
        }
        bytes.extend([0; 4]);
        bytes.extend(vec![7; payload]);
        bytes
    }

    #[test]
    fn whole_messages_pass_in_any_pieces() {
        let bytes = [
            frame(0x81, 5),
            frame(0x82, 300),
            frame(0x89, 3),
            frame(0x81, 70_000),
        ]
        .concat();
        for piece in [1, 2, 3, 7, 1024] {
            let mut meter = Meter::new(100_000, 1);
            assert!(
                bytes
                    .chunks(piece)
                    .all(|chunk| meter.observe(chunk) == chunk.len())
            );
            assert!(meter.is_between_messages());
            assert_eq!(meter.largest(), 70_000);
        }
    }

    fn refused(meter: &mut Meter, bytes: &[u8]) -> Option<Violation> {
        meter.observe(bytes);
        meter.violation()
    }

    #[test]
    fn what_is_before_a_violation_may_be_passed_on() {
        let good = frame(0x81, 5);
        let bytes = [&good[..], &frame(0x09, 1)].concat();
        let mut meter = Meter::new(100, 10);
        assert_eq!(
            meter.observe(&bytes),
            good.len() + 5,
            "all but the header's last byte"
        );
        assert_eq!(meter.violation(), Some(Violation::Control));
    }

    #[test]
    fn a_claimed_size_is_refused_at_the_header() {
        let mut meter = Meter::new(1_000, 10);
        let found = refused(&mut meter, &frame(0x81, 1_001)[..8]);
        assert_eq!(found, Some(Violation::TooLarge));
        let mut meter = Meter::new(1_000, 10);
        assert_eq!(refused(&mut meter, &frame(0x01, 600)), None);
        let control = refused(&mut meter, &frame(0x89, 100));
        assert_eq!(control, None, "control frames do not count");
        let found = refused(&mut meter, &frame(0x80, 600)[..8]);
        assert_eq!(found, Some(Violation::TooLarge));
    }

    #[test]
    fn a_malformed_length_or_control_frame_is_refused_at_the_header() {
        let refused = |bytes: &[u8]| refused(&mut Meter::new(1_000, 10), bytes);
        let long = |length: u64| [&[0x81, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
        for length in [0, 125, 126, 65_535, 1 << 63, u64::MAX] {
            assert_eq!(refused(&long(length)), Some(Violation::Length), "{length}");
        }
        assert_eq!(
            refused(&[0x81, 0xfe, 0, 125, 0, 0, 0, 0]),
            Some(Violation::Length)
        );
        assert_eq!(refused(&long(65_536)), Some(Violation::TooLarge));
        assert_eq!(refused(&frame(0x89, 126)), Some(Violation::Control));
        assert_eq!(refused(&frame(0x09, 1)), Some(Violation::Control));
    }

    #[test]
    fn fragments_are_counted() {
        let mut meter = Meter::new(1_000, 3);
        for last in [frame(0x80, 1), frame(0x00, 1)] {
            let three = [frame(0x01, 0), frame(0x00, 0), last].concat();
            assert_eq!(refused(&mut meter, &three), None);
        }
        let found = refused(&mut meter, &frame(0x80, 0));
        assert_eq!(found, Some(Violation::TooManyFragments));
    }
}
