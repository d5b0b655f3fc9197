use std::{env, error::Error};

use helpdesk::auth::Codes;
use slimy_rt::server::serve::ServeConfig;
use tokio::{net::TcpListener, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let codes = Codes::new(&env::var("AGENT_CODE")?, &env::var("GUEST_CODE")?);
    let server = helpdesk::server(codes)?;
    let listener = TcpListener::bind("127.0.0.1:3090").await?;
    println!("listening on http://{}", listener.local_addr()?);

    let stop = async {
        if let Err(error) = signal::ctrl_c().await {
            tracing::error!(%error, "nobody can press Ctrl-C");
        }
    };
    let in_time = server.run(listener, ServeConfig::default(), stop).await;
    if !in_time {
        tracing::warn!("some connections were dropped");
    }
    Ok(())
}
