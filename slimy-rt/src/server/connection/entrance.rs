//! A socket's way into its namespace: who it is, what it may see, what it missed.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use crate::{
    Pid, SocketId, UserId,
    auth::{AuthError, Handshake, Role},
    events::{ConnectError, Handlers, Socket, SocketInner},
    protocol::Frame,
    server::{
        Access, Bound,
        authorization::Refusal,
        core::Core,
        link::LinkRef,
        recovery::{Claim, Taken},
        sequencer::Entered,
        stats::Refused,
        worker::{Admitted, Back},
    },
};

/// Finds out who the client is and what it may see, and asks the program's middleware.
pub(super) async fn admit(
    core: Arc<Core>,
    link: LinkRef,
    namespace: Arc<str>,
    handshake: Handshake,
    handlers: Arc<Handlers>,
) -> Result<Admitted, ConnectError> {
    let (within, address) = (core.config.admission_timeout, handshake.remote_addr());
    let (new_id, known) = (SocketId::random(), OnceLock::new());
    let admit = async {
        let identity = core.authorization.identify(&handshake).await?;
        known.get_or_init(|| identity.user.id.clone());
        let recovery = core.recovery.as_ref();
        let taken = match recovery.zip(Claim::read(handshake.auth())) {
            Some((recovery, claim)) => recovery.take(&core, claim, &identity, &namespace).await,
            None => None,
        };
        let id = taken.as_ref().and_then(Taken::socket_id);
        let nothing = Access {
            role: Role::Member,
            guilds: Vec::new(),
        };
        let socket = Socket::new(SocketInner::new(
            id.unwrap_or_else(|| new_id.clone()),
            Arc::clone(&core),
            link,
            namespace,
            handshake,
            identity,
            nothing,
        ));
        // Indexed before the look, so that no change after it is missed.
        core.authorization.insert(&socket);
        let indexed = Indexed {
            core: &core,
            socket: Some(socket.clone()),
        };
        socket.set_access(core.authorization.admit(socket.identity()).await?);
        for middleware in &handlers.connect_middleware {
            if let Err(error) = middleware(socket.clone()).await {
                core.stats.add_refused(Refused::Program);
                let user = &socket.identity().user.id;
                tracing::info!(socket = %socket.id(), %user, %address, %error, "refused by the program");
                return Ok(Err(error));
            }
        }
        let back = match taken {
            Some(taken) => {
                let pid = taken.pid().clone();
                let owed = taken.missed(&core, &socket).await;
                owed.map(|owed| Box::new(Back { pid, owed }))
            }
            None => None,
        };
        indexed.keep();
        Ok(Ok(Admitted { socket, back }))
    };
    let admitted: Result<_, Refusal> = match tokio::time::timeout(within, admit).await {
        Ok(admitted) => admitted,
        Err(elapsed) => {
            core.stats.reached(Bound::AdmissionTimeout);
            Err(Refusal::Unavailable(elapsed.into()))
        }
    };
    admitted.unwrap_or_else(|refusal| {
        core.stats.add_refused(Refused::of(&refusal));
        log_refusal(&refusal, &new_id, known.get(), address);
        Err(match refusal {
            Refusal::NotAuthorized(AuthError::Refused(error)) => error,
            refusal => ConnectError::coded(refusal.code()),
        })
    })
}

/// Lets a socket into its namespace, back if it can be; says whether it is in.
pub(super) fn enter(core: &Core, socket: &Socket, back: Option<Box<Back>>) -> bool {
    let welcome = |pid: Option<&Pid>| {
        let (namespace, id) = (socket.namespace(), socket.id().as_str());
        Arc::new(Frame::connect(namespace, id, pid.map(Pid::as_str)))
    };
    if let Some(back) = back {
        let Back { pid, owed } = *back;
        match core
            .sequencer
            .enter(socket, welcome(Some(&pid)), Some(&owed), true)
        {
            Entered::Yes => {
                socket.set_pid(pid.clone(), true);
                core.stats.add_recovered();
                if let Some(recovery) = &core.recovery {
                    recovery.entered(&pid, socket, owed.received.clone());
                }
                return true;
            }
            Entered::TooManyNamespaces => return false,
            Entered::TooLate => core.stats.add_recovery_refused(),
        }
    }
    // Before it comes in: whatever is said from then on may be missed.
    let recovery = core.recovery.as_ref().zip(core.sequencer.moment());
    let pid = recovery.as_ref().map(|_| Pid::random());
    let welcome = welcome(pid.as_ref());
    if core.sequencer.enter(socket, welcome, None, pid.is_some()) != Entered::Yes {
        return false;
    }
    if let (Some((recovery, said)), Some(pid)) = (recovery, pid) {
        socket.set_pid(pid.clone(), false);
        recovery.entered(&pid, socket, said);
    }
    true
}

/// Takes a socket out of the index unless it was let in.
struct Indexed<'a> {
    core: &'a Core,
    socket: Option<Socket>,
}

impl Indexed<'_> {
    fn keep(mut self) {
        self.socket = None;
    }
}

impl Drop for Indexed<'_> {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.core.authorization.remove(&socket);
            socket.clear_data();
        }
    }
}

/// `socket` is the id that it would have had; the user is known once the authenticator has accepted it.
fn log_refusal(refusal: &Refusal, socket: &SocketId, user: Option<&UserId>, address: IpAddr) {
    let cause = crate::server::cluster::chain(refusal);
    let user = user.map(UserId::as_str);
    match refusal {
        Refusal::Unavailable(_) => {
            tracing::error!(%socket, user, %address, cause, "refused: it cannot be found out who may connect")
        }
        _ => tracing::info!(%socket, user, %address, cause, code = refusal.code(), "refused"),
    }
}
