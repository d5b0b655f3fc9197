use std::{env, error::Error, time::Duration};

use helpdesk::auth::Codes;
use slimy_rt::server::serve::{ServeConfig, serve};
use tokio::{net::TcpListener, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let codes = Codes::new(&env::var("AGENT_CODE")?, &env::var("GUEST_CODE")?);
    let server = helpdesk::server(codes)?;
    let listener = TcpListener::bind("127.0.0.1:3090").await?;
    println!("listening on http://{}", listener.local_addr()?);

    let stop = CancellationToken::new();
    let service = server.service();
    let serving = tokio::spawn(serve(
        listener,
        service,
        ServeConfig::default(),
        stop.clone(),
    ));

    signal::ctrl_c().await?;
    stop.cancel(); // nobody else gets in
    let in_time = server.shutdown(Duration::from_secs(8)).await; // clients are told, output is written
    if !in_time {
        tracing::warn!("some connections were dropped");
    }
    serving.await?;
    Ok(())
}
