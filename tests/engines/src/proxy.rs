//! A TCP proxy that cuts, stalls or slows a link.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    runtime::{Builder, Runtime},
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    port::Port,
    process::{DEADLINE, LOOK},
};

/// The most that is read at once.
const CHUNK: usize = 16 * 1024;
/// How many chunks are on their way in one direction of a slow link.
const UNDER_WAY: usize = 64;
/// Into how many pieces a second's bytes are cut on a link with a limit.
const PIECES: u64 = 20;
/// No cut is planned.
const UNLIMITED: u64 = u64::MAX;

/// A proxy on a port of 127.0.0.1 that stays the same. It has a thread of its own, so that a busy test does not slow it.
///
/// A new one passes everything on. Dropping it closes its connections and its port.
pub struct Proxy {
    link: Arc<Link>,
    port: Port,
    /// `None` in the drop alone.
    runtime: Option<Runtime>,
}

/// What passed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Connections that were accepted.
    pub connections: u64,
    /// Those of them that are open.
    pub open: u64,
    /// Bytes from clients to the server.
    pub to_server: u64,
    /// Bytes from the server to clients.
    pub to_clients: u64,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    target: SocketAddr,
    cut: bool,
    stalled: bool,
    latency: Duration,
    /// Bytes per second in each direction.
    limit: Option<u64>,
}

#[derive(Debug)]
struct Link {
    settings: watch::Sender<Settings>,
    /// Whether the port is open.
    listens: watch::Sender<bool>,
    /// Bytes until the planned cut.
    until_cut: AtomicU64,
    accepted: AtomicU64,
    open: AtomicU64,
    to_server: AtomicU64,
    to_clients: AtomicU64,
}

impl Proxy {
    /// Starts one before a server, which need not run yet.
    pub async fn start(target: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("proxy")
            .enable_all()
            .build()
            .expect("a runtime");
        let proxy = Self {
            link: Arc::new(Link::new(target)),
            port: Port::reserve(),
            runtime: Some(runtime),
        };
        if let Some(runtime) = &proxy.runtime {
            runtime.spawn(Arc::clone(&proxy.link).serve(proxy.addr()));
        }
        proxy.listens(true).await;
        proxy
    }

    /// The same for a port of 127.0.0.1.
    pub async fn start_for_port(port: u16) -> Self {
        Self::start((Ipv4Addr::LOCALHOST, port).into()).await
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Leads new connections to another server; those that there are stay where they are.
    pub fn lead_to(&self, target: SocketAddr) {
        self.link.set(|settings| settings.target = target);
    }

    /// Resets all connections and refuses new ones. Done when it returns.
    pub async fn cut(&self) {
        self.link.set(|settings| settings.cut = true);
        self.wait_for_cut().await;
    }

    /// Forgets a cut, done or planned: connections are accepted again when it returns.
    pub async fn heal(&self) {
        self.link.until_cut.store(UNLIMITED, Relaxed);
        self.link.set(|settings| settings.cut = false);
        self.listens(true).await;
    }

    /// Passes nothing on and closes nothing, until [`resume`](Self::resume). New connections are accepted and get no answer.
    pub fn stall(&self) {
        self.link.set(|settings| settings.stalled = true);
    }

    /// Goes on after a [`stall`](Self::stall); nothing is lost.
    pub fn resume(&self) {
        self.link.set(|settings| settings.stalled = false);
    }

    /// Delays every byte, in each direction, by this much. Up to 1 MiB is on its way.
    pub fn slow(&self, latency: Duration) {
        self.link.set(|settings| settings.latency = latency);
    }

    /// Lets each connection pass this many bytes a second in each direction; `None` is no limit.
    pub fn limit(&self, bytes_per_second: impl Into<Option<u64>>) {
        let limit = bytes_per_second.into().map(|limit| limit.max(PIECES));
        self.link.set(|settings| settings.limit = limit);
    }

    /// Passes exactly this many more bytes, of all connections and directions together, then does what [`cut`](Self::cut) does: somewhere within a
    /// message. [`wait_for_cut`](Self::wait_for_cut) tells when.
    pub fn cut_after(&self, bytes: u64) {
        self.link.until_cut.store(bytes, Relaxed);
        if bytes == 0 {
            self.link.set(|settings| settings.cut = true);
        }
    }

    /// Waits until everything is closed after a cut.
    pub async fn wait_for_cut(&self) {
        self.listens(false).await;
        let all_closed = async {
            while self.link.open.load(Relaxed) > 0 {
                sleep(LOOK).await;
            }
        };
        let closed = timeout(DEADLINE, all_closed).await;
        closed.expect("connections are not closed");
    }

    /// What passed so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic {
            connections: self.link.accepted.load(Relaxed),
            open: self.link.open.load(Relaxed),
            to_server: self.link.to_server.load(Relaxed),
            to_clients: self.link.to_clients.load(Relaxed),
        }
    }

    async fn listens(&self, is_so: bool) {
        let mut listens = self.link.listens.subscribe();
        let waited = timeout(DEADLINE, listens.wait_for(|now| *now == is_so)).await;
        waited
            .unwrap_or_else(|_| panic!("the proxy's port does not become open: {is_so}"))
            .expect("the sender is here");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime cannot be waited for within another.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("addr", &self.addr())
            .field("target", &self.link.settings.borrow().target)
            .field("traffic", &self.traffic())
            .finish_non_exhaustive()
    }
}

/// Listens there, although a process that another test is just starting may still hold a copy of the listener before.
async fn listen(addr: SocketAddr) -> TcpListener {
    let until = Instant::now() + DEADLINE;
    loop {
        match TcpListener::bind(addr).await {
            Ok(listener) => return listener,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                sleep(LOOK).await;
            }
            Err(error) => panic!("the proxy cannot listen on {addr}: {error}"),
        }
    }
}

impl Link {
    fn new(target: SocketAddr) -> Self {
        let settings = Settings {
            target,
            cut: false,
            stalled: false,
            latency: Duration::ZERO,
            limit: None,
        };
        Self {
            settings: watch::Sender::new(settings),
            listens: watch::Sender::new(false),
            until_cut: AtomicU64::new(UNLIMITED),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            to_server: AtomicU64::new(0),
            to_clients: AtomicU64::new(0),
        }
    }

    fn set(&self, change: impl FnOnce(&mut Settings)) {
        self.settings.send_modify(change);
    }

    async fn wait_for(&self, is_so: impl FnMut(&Settings) -> bool) {
        let mut settings = self.settings.subscribe();
        // The error would mean that this link is gone, whose sender it is.
        let _ = settings.wait_for(is_so).await;
    }

    async fn serve(self: Arc<Self>, addr: SocketAddr) {
        loop {
            self.wait_for(|settings| !settings.cut).await;
            let listener = listen(addr).await;
            self.listens.send_replace(true);
            tokio::select! {
                () = self.wait_for(|settings| settings.cut) => {}
                () = self.accept(&listener) => {}
            }
            drop(listener);
            self.listens.send_replace(false);
        }
    }

    async fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            // An error is of one connection that was given up before.
            let Ok((client, _)) = listener.accept().await else {
                continue;
            };
            self.accepted.fetch_add(1, Relaxed);
            self.open.fetch_add(1, Relaxed);
            tokio::spawn(Arc::clone(self).carry(client));
        }
    }

    /// One connection from its beginning to its end.
    async fn carry(self: Arc<Self>, mut client: TcpStream) {
        let mut server = None;
        let passed = tokio::select! {
            biased;
            () = self.wait_for(|settings| settings.cut) => false,
            passed = self.pass(&mut client, &mut server) => passed.is_ok(),
        };
        if !passed {
            // With this, closing is a reset. It fails only when the peer was faster.
            let _ = client.set_zero_linger();
            if let Some(server) = &server {
                let _ = server.set_zero_linger();
            }
        }
        drop((client, server));
        self.open.fetch_sub(1, Relaxed);
    }

    async fn pass(&self, client: &mut TcpStream, server: &mut Option<TcpStream>) -> io::Result<()> {
        self.wait_for(|settings| !settings.stalled).await;
        let target = self.settings.borrow().target;
        let server = server.insert(TcpStream::connect(target).await?);
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::try_join!(
            self.direction(from_client, to_server, &self.to_server),
            self.direction(from_server, to_client, &self.to_clients),
        )?;
        Ok(())
    }

    async fn direction(
        &self,
        from: ReadHalf<'_>,
        to: WriteHalf<'_>,
        counter: &AtomicU64,
    ) -> io::Result<()> {
        let (under_way, arriving) = mpsc::channel(UNDER_WAY);
        tokio::try_join!(
            self.read(from, under_way),
            self.write(to, arriving, counter)
        )?;
        Ok(())
    }

    async fn read(
        &self,
        mut from: ReadHalf<'_>,
        under_way: mpsc::Sender<(Instant, Vec<u8>)>,
    ) -> io::Result<()> {
        loop {
            self.wait_for(|settings| !settings.stalled).await;
            let mut chunk = Vec::with_capacity(CHUNK);
            if from.read_buf(&mut chunk).await? == 0 {
                return Ok(());
            }
            let due = Instant::now() + self.settings.borrow().latency;
            if under_way.send((due, chunk)).await.is_err() {
                // The writer tells why.
                return Ok(());
            }
        }
    }

    async fn write(
        &self,
        mut to: WriteHalf<'_>,
        mut arriving: mpsc::Receiver<(Instant, Vec<u8>)>,
        counter: &AtomicU64,
    ) -> io::Result<()> {
        while let Some((due, chunk)) = arriving.recv().await {
            // A timer takes a millisecond even when it is due.
            if due > Instant::now() {
                sleep_until(due).await;
            }
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                self.wait_for(|settings| !settings.stalled).await;
                let limit = self.settings.borrow().limit;
                let most = limit.map_or(rest.len(), |limit| (limit / PIECES) as usize);
                let piece = self.allowed(rest.len().min(most));
                to.write_all(&rest[..piece]).await?;
                counter.fetch_add(piece as u64, Relaxed);
                if self.until_cut.load(Relaxed) == 0 {
                    self.set(|settings| settings.cut = true);
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                rest = &rest[piece..];
                if limit.is_some() {
                    sleep(Duration::from_secs(1) / PIECES as u32).await;
                }
            }
        }
        self.wait_for(|settings| !settings.stalled).await;
        to.shutdown().await
    }

    /// How many of these bytes may still pass before the planned cut; they count as passed.
    fn allowed(&self, wanted: usize) -> usize {
        let wanted = wanted as u64;
        let take = |left: u64| (left != UNLIMITED).then(|| left.saturating_sub(wanted));
        let before = self.until_cut.fetch_update(Relaxed, Relaxed, take);
        before.map_or(wanted, |left| left.min(wanted)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends back what it gets.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        addr
    }

    async fn connect(proxy: &Proxy) -> TcpStream {
        TcpStream::connect(proxy.addr()).await.unwrap()
    }

    async fn round_trip(stream: &mut TcpStream, bytes: &[u8]) {
        stream.write_all(bytes).await.unwrap();
        let mut back = vec![0; bytes.len()];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(back, bytes);
    }

    async fn until_open(proxy: &Proxy, open: u64) {
        crate::process::until("connections", || proxy.traffic().open == open).await;
    }

    const SHORT: Duration = Duration::from_millis(150);

    #[tokio::test]
    async fn everything_passes_and_is_counted() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = connect(&proxy).await;
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        let (mut from, mut to) = stream.split();
        let (sent, back) = tokio::join!(
            async {
                to.write_all(&bytes).await.unwrap();
                to.shutdown().await
            },
            async {
                let mut back = Vec::new();
                from.read_to_end(&mut back).await.unwrap();
                back
            }
        );
        sent.unwrap();
        assert!(back == bytes);
        until_open(&proxy, 0).await;
        let counted = Traffic {
            connections: 1,
            open: 0,
            to_server: 100_000,
            to_clients: 100_000,
        };
        assert_eq!(proxy.traffic(), counted);
    }

    #[tokio::test]
    async fn a_cut_resets_and_refuses_until_it_heals() {
        let proxy = Proxy::start(echo().await).await;
        let port = proxy.port();
        let mut stream = connect(&proxy).await;
        round_trip(&mut stream, b"before").await;
        proxy.cut().await;
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let error = TcpStream::connect(proxy.addr()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        proxy.heal().await;
        assert_eq!(proxy.port(), port);
        round_trip(&mut connect(&proxy).await, b"after").await;
    }

    #[tokio::test]
    async fn a_stall_holds_everything_back_and_loses_nothing() {
        let proxy = Proxy::start(echo().await).await;
        let mut old = connect(&proxy).await;
        round_trip(&mut old, b"before").await;
        proxy.stall();
        let mut new = connect(&proxy).await;
        old.write_all(b"old").await.unwrap();
        new.write_all(b"new").await.unwrap();
        for stream in [&mut old, &mut new] {
            assert!(timeout(SHORT, stream.read_u8()).await.is_err());
        }
        proxy.resume();
        for (stream, expected) in [(&mut old, b"old"), (&mut new, b"new")] {
            let mut back = [0; 3];
            stream.read_exact(&mut back).await.unwrap();
            assert_eq!(&back, expected);
        }
    }

    #[tokio::test]
    async fn a_link_that_is_not_slow_takes_no_time() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = connect(&proxy).await;
        let mut shortest = Duration::MAX;
        // On a busy machine some take longer.
        for _ in 0..200 {
            let begin = Instant::now();
            round_trip(&mut stream, b"fast").await;
            shortest = shortest.min(begin.elapsed());
        }
        assert!(shortest < Duration::from_micros(900), "{shortest:?}");
    }

    #[tokio::test]
    async fn a_slow_link_delays_both_ways() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = connect(&proxy).await;
        round_trip(&mut stream, b"fast").await;
        proxy.slow(SHORT);
        let begin = Instant::now();
        round_trip(&mut stream, b"slow").await;
        assert!(begin.elapsed() >= SHORT * 2, "{:?}", begin.elapsed());
        proxy.slow(Duration::ZERO);
        let begin = Instant::now();
        round_trip(&mut stream, b"fast").await;
        assert!(begin.elapsed() < SHORT, "{:?}", begin.elapsed());
    }

    #[tokio::test]
    async fn a_limit_is_kept() {
        let proxy = Proxy::start(echo().await).await;
        proxy.limit(100_000);
        let mut stream = connect(&proxy).await;
        let begin = Instant::now();
        round_trip(&mut stream, &[7; 30_000]).await;
        let took = begin.elapsed();
        let expected = Duration::from_millis(250)..Duration::from_secs(2);
        assert!(expected.contains(&took), "{took:?}");
    }

    #[tokio::test]
    async fn a_planned_cut_comes_within_a_message() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = connect(&proxy).await;
        round_trip(&mut stream, b"12345").await;
        proxy.cut_after(7);
        stream.write_all(b"12345").await.unwrap();
        let mut back = Vec::new();
        let error = stream.read_to_end(&mut back).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(back, b"12");
        proxy.wait_for_cut().await;
        let traffic = proxy.traffic();
        assert_eq!((traffic.to_server, traffic.to_clients), (10, 7));
        proxy.heal().await;
        round_trip(&mut connect(&proxy).await, b"after").await;
    }

    #[tokio::test]
    async fn without_a_server_connections_are_reset() {
        let nobody = Port::reserve();
        let proxy = Proxy::start(nobody.addr()).await;
        // The reset may come before the connection is known to be one.
        let read = async { TcpStream::connect(proxy.addr()).await?.read_u8().await };
        let error = read.await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
