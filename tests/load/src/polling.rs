//! A Socket.IO client over HTTP long-polling, on one connection.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Failure, within};

/// How long an answer that need not wait may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that has joined `/`.
#[derive(Debug)]
pub(crate) struct Polling {
    stream: TcpStream,
    addr: SocketAddr,
    cookie: String,
    sid: String,
}

impl Polling {
    pub(crate) async fn join(addr: SocketAddr, cookie: String) -> Result<Self, Failure> {
        let stream = TcpStream::connect(addr).await;
        let mut client = Self {
            stream: stream.map_err(|error| format!("cannot connect: {error}"))?,
            addr,
            cookie,
            sid: String::new(),
        };
        let open = client.get().await?;
        let sid = open
            .strip_prefix(r#"0{"sid":""#)
            .and_then(|rest| rest.split('"').next());
        client.sid = sid
            .ok_or_else(|| format!("no handshake: {open}"))?
            .to_owned();
        client.post("40").await?;
        let joined = client.get().await?;
        if !joined.starts_with("40{") {
            return Err(format!("not let in: {joined}"));
        }
        Ok(client)
    }

    async fn get(&mut self) -> Result<String, Failure> {
        self.request("GET", "").await?;
        self.ok().await
    }

    async fn post(&mut self, body: &str) -> Result<(), Failure> {
        self.request("POST", body).await?;
        self.ok().await.map(drop)
    }

    async fn request(&mut self, method: &str, body: &str) -> Result<(), Failure> {
        let Self {
            addr, cookie, sid, ..
        } = self;
        let session = if sid.is_empty() {
            String::new()
        } else {
            format!("&sid={sid}")
        };
        let request = format!(
            "{method} /socket.io/?EIO=4&transport=polling{session} HTTP/1.1\r\nHost: {addr}\r\nCookie: {cookie}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let written = self.stream.write_all(request.as_bytes()).await;
        written.map_err(|error| format!("the connection broke: {error}"))
    }

    async fn ok(&mut self) -> Result<String, Failure> {
        match within(ANSWER_TIMEOUT, "an answer", self.answer()).await?? {
            (200, body) => Ok(body),
            (status, body) => Err(format!("{status}: {body}")),
        }
    }

    /// Status and body of an answer.
    async fn answer(&mut self) -> Result<(u16, String), Failure> {
        let mut bytes = Vec::new();
        loop {
            let end = memchr::memmem::find(&bytes, b"\r\n\r\n");
            if let Some(end) = end {
                let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:"));
                let length = length.map_or(Ok(0), |length| length.trim().parse::<usize>());
                let body = end + 4..end + 4 + length.map_err(|_| "a length that is none")?;
                if let Some(body) = bytes.get(body) {
                    let status = head
                        .split(' ')
                        .nth(1)
                        .and_then(|status| status.parse().ok());
                    let body = String::from_utf8_lossy(body).into_owned();
                    return Ok((status.ok_or("no status")?, body));
                }
            }
            match self.stream.read_buf(&mut bytes).await {
                Ok(0) => return Err("closed without an answer".into()),
                Ok(_) => {}
                Err(error) => return Err(format!("the connection broke: {error}")),
            }
        }
    }

    /// Leaves with good manners: the namespace, then the session.
    pub(crate) async fn leave(mut self) -> Result<(), Failure> {
        self.post("41\u{1e}1").await
    }

    /// Cuts the connection while a poll is held. What is left is the session's address.
    pub(crate) async fn cut(mut self) -> Result<Abandoned, Failure> {
        self.request("GET", "").await?;
        let Self {
            stream,
            addr,
            cookie,
            sid,
        } = self;
        stream
            .set_zero_linger()
            .map_err(|error| error.to_string())?;
        Ok(Abandoned { addr, cookie, sid })
    }
}

/// A session that its client has left without a word.
#[derive(Debug)]
pub(crate) struct Abandoned {
    addr: SocketAddr,
    cookie: String,
    sid: String,
}

impl Abandoned {
    /// Asks whether the server has forgotten it, when it should have: asking a session that lives keeps it alive.
    pub(crate) async fn forgotten(self) -> Result<bool, Failure> {
        let stream = TcpStream::connect(self.addr).await;
        let mut client = Polling {
            stream: stream.map_err(|error| format!("cannot connect: {error}"))?,
            addr: self.addr,
            cookie: self.cookie,
            sid: self.sid,
        };
        client.request("POST", "3").await?;
        let (status, body) = within(ANSWER_TIMEOUT, "an answer", client.answer()).await??;
        Ok(status == 400 && body.contains(r#""code":1"#))
    }
}
