//! frame
/// Placeholder until the codec lands.
#[derive(Clone, Debug)]
pub struct EventData;
