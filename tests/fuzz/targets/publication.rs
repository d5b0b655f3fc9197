//! Publications of other nodes: what is read is written again as it was, and read as the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use slimy_rt::broker::Publication;

fuzz_target!(|input: &[u8]| {
    let Ok(read) = Publication::from_bytes(&Bytes::copy_from_slice(input)) else {
        return;
    };
    let written = read.to_bytes().expect("what was read can be written");
    let again = Publication::from_bytes(&written).expect("what was written can be read");
    assert_eq!((&read.id, &read.namespace), (&again.id, &again.namespace));
    assert_eq!(
        (&read.audience, &read.event),
        (&again.audience, &again.event)
    );
    assert_eq!(read.volatile, again.volatile);
    assert_eq!(written, again.to_bytes().expect("twice the same"));
});
