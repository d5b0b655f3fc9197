//! The meter of WebSocket headers sees the same however the bytes are cut, and the same as a plain reader of frames.
#![no_main]

use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use slimy_rt::fuzzing::meter;

#[derive(Arbitrary, Debug)]
struct Scenario<'a> {
    max_payload: u16,
    max_fragments: u8,
    cut: u8,
    bytes: &'a [u8],
}

fuzz_target!(|scenario: Scenario| {
    let Scenario {
        max_payload,
        max_fragments,
        cut,
        bytes,
    } = scenario;
    let (max_payload, max_fragments) = (usize::from(max_payload), u32::from(max_fragments));
    let whole = meter(max_payload, max_fragments, [bytes]);
    assert_eq!(
        whole,
        meter(
            max_payload,
            max_fragments,
            bytes.chunks(usize::from(cut).max(1))
        )
    );
    assert_eq!(whole, meter(max_payload, max_fragments, bytes.chunks(1)));
    assert_eq!(whole, plain(max_payload as u128, max_fragments, bytes));
});

/// RFC 6455, sections 5.2 and 5.5, read from a buffer that holds everything.
fn plain(
    max_payload: u128,
    max_fragments: u32,
    bytes: &[u8],
) -> Result<(usize, bool), (u16, usize)> {
    let mut rest = bytes;
    let (mut size, mut fragments, mut largest) = (0_u128, 0, 0);
    loop {
        let [first, second, behind @ ..] = rest else {
            return Ok((largest, rest.is_empty() && fragments == 0));
        };
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let Some((header, payload)) = behind.split_at_checked(extended + mask) else {
            return Ok((largest, false));
        };
        let length = match extended {
            0 => u128::from(second & 0x7f),
            _ => header[..extended]
                .iter()
                .fold(0, |all, byte| all << 8 | u128::from(*byte)),
        };
        let before_its_end = bytes.len() - payload.len() - 1;
        let violation = |code| Err((code, before_its_end));
        let is_minimal = match extended {
            0 => true,
            2 => length >= 126,
            _ => (1 << 16..1 << 63).contains(&length),
        };
        let is_whole_control = first & 0x80 != 0 && length <= 125;
        if !is_minimal || (first & 0x08 != 0 && !is_whole_control) {
            return violation(1002);
        }
        if first & 0x08 == 0 {
            fragments += 1;
            size += length;
            if size > max_payload {
                return violation(1009);
            }
            if fragments > max_fragments {
                return violation(1008);
            }
            largest = largest.max(size as usize);
            if first & 0x80 != 0 {
                (size, fragments) = (0, 0);
            }
        }
        if length > payload.len() as u128 {
            return Ok((largest, false));
        }
        rest = &payload[length as usize..];
    }
}
