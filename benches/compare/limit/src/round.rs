//! What one look at the sockets brought: how many messages, and which acks their senders get.

use crate::frames::text_frame;

/// The messages that go out together, in one write per client.
#[derive(Default)]
pub(crate) struct Round {
    messages: usize,
    senders: Vec<Sender>,
}

pub(crate) struct Sender {
    pub(crate) slot: u32,
    /// Frames that follow this sender's own copies.
    pub(crate) acks: Vec<u8>,
}

impl Round {
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    /// A message of `slot`'s; `rest` is what follows its `42`.
    pub(crate) fn add(&mut self, slot: u32, rest: &[u8]) {
        self.messages += 1;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let id = match str::from_utf8(&rest[..digits]) {
            Ok(id) if !id.is_empty() => id,
            _ => return,
        };
        let ack = text_frame(&format!(r#"43{id}[{{"ok":true}}]"#));
        match self.senders.last_mut() {
            Some(sender) if sender.slot == slot => sender.acks.extend(ack),
            _ => self.senders.push(Sender { slot, acks: ack }),
        }
    }

    pub(crate) fn senders(&self) -> &[Sender] {
        &self.senders
    }
}
