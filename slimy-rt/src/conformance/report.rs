//! What came out: the clauses that hold, those that do not apply, and those that are broken.

use std::{error::Error as StdError, fmt};

/// One promise of a trait's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Clause {
    /// Its name, in kebab-case. It stays the same from version to version.
    pub name: &'static str,
    /// What is promised, in a sentence.
    pub statement: &'static str,
}

impl Clause {
    pub(super) const fn new(name: &'static str, statement: &'static str) -> Self {
        Self { name, statement }
    }
}

/// A clause that could not be put to the test.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotApplicable {
    /// The clause.
    pub clause: Clause,
    /// What the backend does not claim, or what the factory does not offer.
    pub reason: String,
}

/// What was checked. `Display` shows a line for each clause.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The trait.
    pub trait_name: &'static str,
    /// The clauses that hold.
    pub held: Vec<Clause>,
    /// The clauses that do not apply.
    pub not_applicable: Vec<NotApplicable>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, other) = (self.held.len(), self.not_applicable.len());
        write!(
            f,
            "{}: {held} clauses hold, {other} do not apply",
            self.trait_name
        )?;
        for clause in &self.held {
            write!(f, "\n  holds           {}", clause.name)?;
        }
        for NotApplicable { clause, reason } in &self.not_applicable {
            write!(f, "\n  does not apply  {}: {reason}", clause.name)?;
        }
        Ok(())
    }
}

/// A broken clause. `Debug` shows the same as `Display`, since that is what a test prints.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The trait.
    pub trait_name: &'static str,
    /// The clause.
    pub clause: Clause,
    /// What was expected and what was seen.
    pub seen: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Clause { name, statement } = self.clause;
        write!(
            f,
            "{}: clause \"{name}\": {}\n  promised: {statement}",
            self.trait_name, self.seen
        )
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Failure {}

/// Every broken clause, and what became of the others. `Debug` shows the same as `Display`, since that is what a test prints.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failures {
    /// The broken clauses; at least one.
    pub broken: Vec<Failure>,
    /// The others.
    pub report: Report,
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.broken {
            writeln!(f, "{failure}")?;
        }
        write!(
            f,
            "{} clauses are broken. {}",
            self.broken.len(),
            self.report
        )
    }
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Failures {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_name_the_clause_and_what_was_seen() {
        let report = Report {
            trait_name: "SessionStore",
            held: vec![Clause::new("a", "A.")],
            not_applicable: vec![NotApplicable {
                clause: Clause::new("b", "B."),
                reason: "why not".into(),
            }],
        };
        let failures = Failures {
            broken: vec![Failure {
                trait_name: "SessionStore",
                clause: Clause::new("c", "C."),
                seen: "saw nothing".into(),
            }],
            report,
        };
        let text = "SessionStore: clause \"c\": saw nothing\n  promised: C.\n1 clauses are broken. SessionStore: 1 clauses hold, 1 do not apply\n  \
                    holds           a\n  does not apply  b: why not";
        assert_eq!(failures.to_string(), text);
        assert_eq!(format!("{failures:?}"), text);
    }
}
