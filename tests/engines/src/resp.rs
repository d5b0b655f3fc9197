//! As much of Redis' protocol as a test needs to look at a server without a client library.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// What Redis answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A simple string, such as `OK`.
    Status(String),
    /// An error, its code first.
    Error(String),
    /// A number.
    Integer(i64),
    /// Text. Bytes that are no UTF-8 are replaced.
    Bulk(String),
    /// No value.
    Nil,
    /// Several.
    Array(Vec<Reply>),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection(BufReader<TcpStream>);

impl Reply {
    /// The text of a status or a bulk string; panics when it is something else.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Status(text) | Self::Bulk(text) => text,
            other => panic!("expected a text, got {other:?}"),
        }
    }

    /// The number; panics when it is something else.
    #[must_use]
    pub fn integer(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            other => panic!("expected a number, got {other:?}"),
        }
    }

    /// The elements; panics when it is something else.
    #[must_use]
    pub fn array(&self) -> &[Self] {
        match self {
            Self::Array(elements) => elements,
            other => panic!("expected an array, got {other:?}"),
        }
    }
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> io::Result<Self> {
        TcpStream::connect(addr).await.map(BufReader::new).map(Self)
    }

    pub(crate) async fn command(&mut self, args: &[&str]) -> io::Result<Reply> {
        let mut request = format!("*{}\r\n", args.len());
        for arg in args {
            request.push_str(&format!("${}\r\n{arg}\r\n", arg.len()));
        }
        self.0.write_all(request.as_bytes()).await?;
        self.reply().await
    }

    async fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        let Some(kind) = line.chars().next() else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let rest = line[kind.len_utf8()..].trim_end();
        let number = || rest.parse::<i64>().map_err(|_| invalid(&line));
        Ok(match kind {
            '+' => Reply::Status(rest.to_owned()),
            '-' => Reply::Error(rest.to_owned()),
            ':' => Reply::Integer(number()?),
            '$' => match usize::try_from(number()?) {
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.0.read_exact(&mut bytes).await?;
                    bytes.truncate(length);
                    Reply::Bulk(String::from_utf8_lossy(&bytes).into_owned())
                }
                Err(_) => Reply::Nil,
            },
            '*' => match usize::try_from(number()?) {
                Ok(length) => {
                    let mut elements = Vec::new();
                    for _ in 0..length {
                        elements.push(Box::pin(self.reply()).await?);
                    }
                    Reply::Array(elements)
                }
                Err(_) => Reply::Nil,
            },
            _ => return Err(invalid(&line)),
        })
    }
}

fn invalid(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not RESP: {line:?}"))
}
