//! A Redis of this comparison's own, on a free port and without a file.

use std::{
    env,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Failure,
    process::{self, Cpu},
};

/// The clients' processor: the servers have the other one for themselves.
const CORE: &str = "1";
/// How long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at whether it answers.
const PAUSE: Duration = Duration::from_millis(10);

/// A running Redis; it ends with this value.
pub(crate) struct Redis {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Redis {
    pub(crate) fn start() -> Result<Self, Failure> {
        let program = env::var("REDIS_BIN").map_err(|_| "REDIS_BIN names no program")?;
        let port = free_port().map_err(|error| format!("no free port: {error}"))?;
        let child = process::pinned(CORE)
            .args([&program, "--port", &port.to_string()])
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("{program} cannot be started: {error}"))?;
        let mut redis = Self {
            child,
            addr: (Ipv4Addr::LOCALHOST, port).into(),
        };
        redis.wait()?;
        Ok(redis)
    }

    pub(crate) fn cpu(&self) -> Result<Cpu, Failure> {
        Cpu::of(self.child.id())
    }

    fn wait(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        while !self.answers() {
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            if let Some(status) = ended {
                return Err(format!("Redis ended at once: {status}"));
            }
            if began.elapsed() > PATIENCE {
                return Err("Redis does not answer".to_owned());
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn answers(&self) -> bool {
        let ask = || {
            let mut stream = TcpStream::connect(self.addr)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 7];
            stream.read_exact(&mut answer)?;
            Ok::<_, std::io::Error>(answer)
        };
        ask().is_ok_and(|answer| &answer == b"+PONG\r\n")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Each fails only when it is gone already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn free_port() -> std::io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
