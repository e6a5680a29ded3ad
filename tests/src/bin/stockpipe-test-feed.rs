//! A feed that speaks as Coinbase Exchange does, for a test that kills it: `stockpipe-test-feed PORT`.
//!
//! Its market goes on by the clock on the wall, whoever listens and however often it is killed: trade `n` of a product
//! happens 20 ms after trade `n - 1`. A connection begins with the last trade, goes on with each that follows, tells the
//! last one each second, now and then says one twice, and now and then breaks. It knows all products but `NO-SUCH`.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Milliseconds between two trades of a product.
const EVERY: i64 = 20;
/// Trades of the market's first day happened before this, in milliseconds since 1970.
const BEGAN: i64 = 1_760_000_000_000;
/// A connection breaks after so many trades of a product.
const BREAKS: i64 = 400;

#[tokio::main]
async fn main() {
    let port = std::env::args().nth(1).expect("a port");
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .expect("the port is free");
    println!("listening");
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            if let Ok(socket) = tokio_tungstenite::accept_async(stream).await {
                // It ends where the client goes away.
                let _ = serve(socket).await;
            }
        });
    }
}

fn last() -> i64 {
    (Timestamp::now().as_millisecond() - BEGAN) / EVERY
}

fn trade(kind: &str, product: &str, number: i64) -> Message {
    let at = Timestamp::from_millisecond(BEGAN + number * EVERY).expect("within time");
    let cents = number % 1000;
    Message::text(format!(
        r#"{{"type":"{kind}","trade_id":{number},"sequence":{},"product_id":"{product}","time":"{at}","size":"0.00{:03}","price":"400.{cents:03}","side":"{}"}}"#,
        number * 7,
        cents + 1,
        if number % 2 == 0 { "buy" } else { "sell" }
    ))
}

async fn serve(mut socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
    let mut products: Vec<String> = Vec::new();
    let mut next = i64::MAX;
    let mut began = 0;
    let mut clock = tokio::time::interval(Duration::from_millis(10));
    let mut heartbeat = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            message = socket.next() => {
                let Some(message) = message else { return Ok(()) };
                let Message::Text(text) = message? else { continue };
                let asked: Value = serde_json::from_str(&text).unwrap_or_default();
                if asked["channels"][0] == "matches" {
                    let asked = asked["product_ids"].as_array().cloned().unwrap_or_default();
                    products = asked.iter().filter_map(|p| p.as_str().map(str::to_owned)).collect();
                    if products.iter().any(|product| product == "NO-SUCH") {
                        let refusal = r#"{"type":"error","message":"Failed to subscribe","reason":"NO-SUCH is not a valid product"}"#;
                        socket.send(Message::text(refusal)).await?;
                        return Ok(());
                    }
                    began = last();
                    next = began + 1;
                    for product in &products {
                        socket.send(trade("last_match", product, began)).await?;
                    }
                }
                socket.send(Message::text(r#"{"type":"subscriptions","channels":[]}"#)).await?;
            }
            _ = clock.tick() => {
                while next <= last() {
                    for product in &products {
                        socket.send(trade("match", product, next)).await?;
                        if next % 50 == 0 {
                            socket.send(trade("match", product, next)).await?;
                        }
                    }
                    next += 1;
                    if next - began > BREAKS {
                        return Ok(());
                    }
                }
            }
            _ = heartbeat.tick() => {
                for product in &products {
                    let text = format!(
                        r#"{{"type":"heartbeat","sequence":1,"last_trade_id":{},"product_id":"{product}","time":"{}"}}"#,
                        next - 1,
                        Timestamp::now()
                    );
                    socket.send(Message::text(text)).await?;
                }
            }
        }
    }
}
