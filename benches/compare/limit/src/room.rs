//! Who gets broadcasts. A broadcast walks over one dense list of numbers and looks at nothing else of a client.

/// Members by slot, those that can be written to apart from those whose socket is full.
#[derive(Default)]
pub(crate) struct Room {
    ready: Vec<u32>,
    waiting: Vec<u32>,
    /// Where each slot's number stands, for everything that is no broadcast.
    places: Vec<Place>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Place {
    #[default]
    Outside,
    Ready(u32),
    Waiting(u32),
}

impl Room {
    pub(crate) fn ready(&self) -> &[u32] {
        &self.ready
    }

    pub(crate) fn waiting(&self) -> &[u32] {
        &self.waiting
    }

    pub(crate) fn is_member(&self, slot: u32) -> bool {
        self.place(slot) != Place::Outside
    }

    pub(crate) fn is_ready(&self, slot: u32) -> bool {
        matches!(self.place(slot), Place::Ready(_))
    }

    pub(crate) fn join(&mut self, slot: u32, waits: bool) {
        self.leave(slot);
        if self.places.len() <= slot as usize {
            self.places.resize(slot as usize + 1, Place::Outside);
        }
        self.places[slot as usize] = match waits {
            false => Place::Ready(push(&mut self.ready, slot)),
            true => Place::Waiting(push(&mut self.waiting, slot)),
        };
    }

    pub(crate) fn leave(&mut self, slot: u32) {
        match self.place(slot) {
            Place::Outside => return,
            Place::Ready(index) => {
                self.ready.swap_remove(index as usize);
                if let Some(&moved) = self.ready.get(index as usize) {
                    self.places[moved as usize] = Place::Ready(index);
                }
            }
            Place::Waiting(index) => {
                self.waiting.swap_remove(index as usize);
                if let Some(&moved) = self.waiting.get(index as usize) {
                    self.places[moved as usize] = Place::Waiting(index);
                }
            }
        }
        self.places[slot as usize] = Place::Outside;
    }

    /// Lets a ready member change places with the one that stands at `index` of the ready.
    pub(crate) fn bring_to(&mut self, index: usize, slot: u32) {
        let Place::Ready(from) = self.place(slot) else {
            return;
        };
        self.ready.swap(from as usize, index);
        for index in [from, index as u32] {
            self.places[self.ready[index as usize] as usize] = Place::Ready(index);
        }
    }

    fn place(&self, slot: u32) -> Place {
        self.places.get(slot as usize).copied().unwrap_or_default()
    }
}

fn push(list: &mut Vec<u32>, slot: u32) -> u32 {
    list.push(slot);
    list.len() as u32 - 1
}
