//! `compare`: measures `admin-server`, the kernel's limit and two peers with one load generator, and writes down what it found.
//!
//! `benches/compare/run` builds everything, pins this program and calls it.

mod chart;

mod contender;
mod field;
mod histogram;
mod modes;
mod nodes;
mod process;
mod redis;
mod report;
mod results;
mod swarm;
mod talks;
mod targets;
mod waves;
mod wire;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use self::{
    contender::Contender,
    modes::{churn, cluster, fanout, growth, handshakes, idle},
    results::Results,
};

/// What went wrong, in words.
type Failure = String;

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// Everything in under five minutes.
    Quick,
    Full,
}

impl Scale {
    fn is_quick(self) -> bool {
        self == Self::Quick
    }

    /// How long one round of load is.
    fn round(self) -> Duration {
        Duration::from_millis(if self.is_quick() { 500 } else { 1_000 })
    }

    /// How often contenders that run beside each other take turns.
    fn rounds(self) -> usize {
        if self.is_quick() { 5 } else { 15 }
    }

    /// How often contenders with two nodes take turns.
    fn cluster_rounds(self) -> usize {
        if self.is_quick() { 3 } else { 9 }
    }

    /// How often everything else is done.
    fn repeats(self) -> usize {
        if self.is_quick() { 1 } else { 5 }
    }
}

/// What all modes need to know.
struct Setup {
    scale: Scale,
    /// Who is measured.
    contenders: Vec<Contender>,
    /// How long slimy-rt's broadcasts are; the limit program's are as long.
    frame_bytes: usize,
}

type Run = fn(&Setup, &mut Results) -> Result<(), Failure>;

const MODES: [(&str, Run); 10] = [
    ("one-room", fanout::one_room),
    ("large-room", fanout::large_room),
    ("rooms", fanout::many_rooms),
    ("stalled", fanout::stalled),
    ("churn", churn::run),
    ("handshakes", handshakes::run),
    ("idle", idle::run),
    ("growth", growth::run),
    ("workers", fanout::two_workers),
    ("cluster", cluster::run),
];

struct Options {
    scale: Scale,
    only: Option<String>,
    contenders: Vec<Contender>,
    folder: PathBuf,
}

fn main() -> ExitCode {
    let done = options().and_then(|options| {
        let results = measure(&options)?;
        report::write(&results, options.scale, &options.folder)
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("compare: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, Failure> {
    let mut options = Options {
        scale: Scale::Full,
        only: None,
        contenders: Contender::ALL.to_vec(),
        folder: PathBuf::from("."),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{argument} wants a value"))
        };
        match argument.as_str() {
            "--quick" => options.scale = Scale::Quick,
            "--only" => options.only = Some(value()?),
            "--contenders" => {
                options.contenders = value()?
                    .split(',')
                    .map(Contender::parse)
                    .collect::<Result<_, _>>()?
            }
            "--folder" => options.folder = value()?.into(),
            _ => {
                let names: Vec<_> = MODES.iter().map(|(name, _)| *name).collect();
                return Err(format!(
                    "usage: [--quick] [--only MODE] [--contenders limit,slimy-rt,socketioxide,socket.io] [--folder DIR]; modes: {}",
                    names.join(", ")
                ));
            }
        }
    }
    Ok(options)
}

fn measure(options: &Options) -> Result<Results, Failure> {
    let mut results = Results::default();
    let setup = Setup {
        scale: options.scale,
        contenders: options.contenders.clone(),
        frame_bytes: fanout::frame_bytes()?,
    };
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    let modes: Vec<_> = MODES.iter().filter(|(name, _)| wanted(name)).collect();
    if modes.is_empty() {
        return Err("there is no such mode".to_owned());
    }
    for (name, run) in modes {
        eprintln!("{name} …");
        run(&setup, &mut results).map_err(|failure| format!("{name}: {failure}"))?;
    }
    Ok(results)
}
