//! Why the program ends, in one line, and with which exit code.

use std::{error::Error, fmt, process::ExitCode};

/// A reason to end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// A flag, a variable or a combination of them is wrong: exit code 2.
    pub(crate) fn config(text: impl Into<String>) -> Self {
        Self {
            code: 2,
            text: text.into(),
        }
    }

    /// The configuration makes sense, and yet it cannot be done: exit code 1.
    pub(crate) fn start(text: impl Into<String>) -> Self {
        Self {
            code: 1,
            text: text.into(),
        }
    }

    /// What a command was to show or to change is not there: exit code 3.
    pub(crate) fn absent(text: impl Into<String>) -> Self {
        Self {
            code: 3,
            text: text.into(),
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&e| e.source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}
