//! Tests of the packets.
