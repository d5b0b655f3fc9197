//! Where the program's log goes: to stderr, and to the administrators who follow it.

use std::fmt::{self, Write};

use slimy_rt::diagnostics::Logs;
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer,
    field::MakeExt,
    fmt::{FormatFields, format},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Logs this level and what is graver to stderr, unless `RUST_LOG` says otherwise; and gives what administrators can follow.
pub(crate) fn start(level: Level) -> Logs {
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .from_env_lossy();
    let stderr = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .fmt_fields(fields())
        .with_writer(std::io::stderr)
        .with_filter(filter);
    let logs = Logs::new();
    tracing_subscriber::registry()
        .with(stderr)
        .with(logs.layer())
        .init();
    logs
}

/// Writes what clients chose, such as a user's id, so that it neither begins a line of its own nor commands a terminal.
fn fields() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    let fields = format::debug_fn(|writer, field, value| {
        if field.name() != "message" {
            write!(writer, "{field}=")?;
        }
        write!(Escaped(writer), "{value:?}")
    });
    fields.delimited(" ")
}

/// Writes control characters as `\u{1b}`.
struct Escaped<'a, W>(&'a mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(char::is_control) {
            let control = part.chars().next_back().filter(|c| c.is_control());
            let plain = part.len() - control.map_or(0, char::len_utf8);
            self.0.write_str(&part[..plain])?;
            if let Some(control) = control {
                write!(self.0, "{}", control.escape_default())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        let mut text = String::new();
        let id = "ev\u{1b}[31mil\nERROR a lie\u{9b}é";
        write!(Escaped(&mut text), "user={id}").unwrap();
        assert_eq!(text, r"user=ev\u{1b}[31mil\nERROR a lie\u{9b}é");
    }
}
