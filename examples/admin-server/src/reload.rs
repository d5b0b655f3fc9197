//! What SIGHUP reads again, and the start reads first.

use std::{path::PathBuf, sync::Arc};

use slimy_rt::server::tls::TlsConfig;
use slimy_rt_backends::memory::MemorySessionStore;
use tokio::sync::{oneshot, watch};

use crate::{
    backends::Sessions,
    failure::{Failure, chain},
    sessions_file,
};

/// What is read again.
#[derive(Clone)]
pub(crate) struct Reload {
    sessions: Option<(PathBuf, Target)>,
    tls: Option<TlsConfig>,
}

/// Where the sessions file's sessions go.
#[derive(Clone)]
enum Target {
    /// They are all that there are.
    Memory(MemorySessionStore),
    /// They are added to a store that servers share, by a task of its own.
    Shared(watch::Sender<Arc<sessions_file::Sessions>>),
}

impl Reload {
    /// Reads the sessions file for the first time. What it gives beside itself ends when that is in a shared store, or when that has failed once.
    pub(crate) fn start(
        sessions: Sessions,
        file: Option<PathBuf>,
        tls: Option<TlsConfig>,
    ) -> Result<(Self, Option<oneshot::Receiver<()>>), Failure> {
        let Some(file) = file else {
            let sessions = None;
            return Ok((Self { sessions, tls }, None));
        };
        let read = sessions_file::read(&file).map_err(Failure::start)?;
        let (target, loaded) = match sessions {
            Sessions::Memory(store) => {
                let replaced = sessions_file::replace(&store, read);
                replaced.map_err(|error| Failure::start(chain(&error)))?;
                (Target::Memory(store), None)
            }
            Sessions::Shared(store) => {
                let (newest, changes) = watch::channel(Arc::new(read));
                let (tried, loaded) = oneshot::channel();
                tokio::spawn(sessions_file::add_forever(store, changes, tried));
                (Target::Shared(newest), Some(loaded))
            }
        };
        let sessions = Some((file, target));
        Ok((Self { sessions, tls }, loaded))
    }

    /// Reads the sessions file and the certificate again. What cannot be read stays as it was. Blocks on the file system.
    pub(crate) fn reload(&self) {
        if let Err(error) = self.reload_sessions() {
            tracing::error!("{error}; the sessions stay as they were");
        }
        if let Some(tls) = &self.tls {
            match tls.reload() {
                Ok(()) => tracing::info!("certificate loaded"),
                Err(error) => {
                    tracing::error!("{}; the certificate in use stays", chain(&error));
                }
            }
        }
    }

    fn reload_sessions(&self) -> Result<(), String> {
        let Some((file, target)) = &self.sessions else {
            return Ok(());
        };
        let sessions = sessions_file::read(file)?;
        match target {
            Target::Memory(store) => {
                sessions_file::replace(store, sessions).map_err(|error| chain(&error))
            }
            Target::Shared(newest) => {
                newest.send_replace(Arc::new(sessions));
                Ok(())
            }
        }
    }
}
