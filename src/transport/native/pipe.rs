//! A channel as the two ends of a command.

use crate::transport::shell::Pipe;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client::Msg};
use std::{future::pending, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::oneshot,
    time::timeout,
};

/// How much waits between a channel and its reader.
const ROOM: usize = 64 * 1024;
/// How much is sent at once: small, for each of a thousand hosts has room for it.
const PART: usize = 8 * 1024;
/// How long a reader may leave it full. All channels of a connection wait for one whose room is full (the library has no
/// other way), so one that nobody reads is closed.
const STALL: Duration = Duration::from_secs(5);

/// The ends of a command that was asked for on this channel.
pub(super) fn pipe(channel: Channel<Msg>) -> Pipe {
    // two, so that either end can be dropped alone
    let ((output, mut reader), (input, mut writer)) = (tokio::io::duplex(ROOM), tokio::io::duplex(PART));
    // told when it is dropped
    let (held, dropped) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let (mut read, write) = channel.split();
        tokio::select! {
            () = inward(&mut read, &mut reader) => {}
            () = outward(&mut writer, &write) => {}
            _ = dropped => {}
        }
        // a connection that is no more needs no close
        let _closed = write.close().await.is_ok();
    });
    Pipe { input: Box::new(input), output: Box::new(output), child: Box::new(held) }
}

/// What the command writes, until it has ended or its reader has.
async fn inward(channel: &mut ChannelReadHalf, reader: &mut DuplexStream) {
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => match timeout(STALL, reader.write_all(&data)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            },
            // the command was refused, or all is said
            ChannelMsg::Failure | ChannelMsg::Eof | ChannelMsg::Close => return,
            _ => {}
        }
    }
}

/// What the command reads; its end is told, and then nothing more comes from here.
async fn outward(input: &mut DuplexStream, channel: &ChannelWriteHalf<Msg>) {
    let mut part = zeroize::Zeroizing::new(vec![0; PART]);
    loop {
        match input.read(&mut part).await {
            Ok(0) | Err(_) => break,
            Ok(size) => {
                let bytes = part.get(..size).unwrap_or_default().to_vec();
                if channel.data_bytes(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
    if channel.eof().await.is_ok() {
        pending::<()>().await;
    }
}
