//! Messages on a request-response stream: a 4-byte little-endian length, then
//! that many bytes.
//!
//! The length is judged before anything is allocated, and the buffer grows with
//! what really arrives. A broken frame is a value, not an I/O error: libp2p
//! reports nothing when reading a request fails, and the sender's mark would be
//! lost.

use crate::exchange::{FrameFault, Protocol};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response;
use std::io;

/// The bytes of a message, or how its frame was broken.
pub(crate) type Message = Result<Vec<u8>, FrameFault>;

/// The codec of one protocol.
#[derive(Debug, Clone)]
pub(super) struct ByteCodec {
    protocol: Protocol,
}

impl ByteCodec {
    pub(super) const fn new(protocol: Protocol) -> Self {
        Self { protocol }
    }
}

async fn read<T: AsyncRead + Unpin + Send>(io: &mut T, limit: usize) -> io::Result<Message> {
    let mut prefix = [0; 4];
    io.read_exact(&mut prefix).await?;
    let length = u32::from_le_bytes(prefix);
    if length as usize > limit {
        return Ok(Err(FrameFault::OverLimit { length, limit }));
    }
    let mut bytes = Vec::new();
    io.take(u64::from(length)).read_to_end(&mut bytes).await?;
    if bytes.len() < length as usize {
        return Ok(Err(FrameFault::Truncated));
    }
    Ok(Ok(bytes))
}

async fn write<T: AsyncWrite + Unpin + Send>(io: &mut T, message: Message) -> io::Result<()> {
    let bytes = match message {
        Ok(bytes) => bytes,
        // A rogue of the tests ends its message early.
        #[cfg(test)]
        Err(FrameFault::Truncated) => {
            io.write_all(&[9, 0, 0, 0, 1, 2, 3]).await?;
            return io.close().await;
        }
        // Nobody sends broken frames on purpose.
        Err(fault) => return Err(io::Error::other(fault)),
    };
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    io.write_all(&length.to_le_bytes()).await?;
    io.write_all(&bytes).await?;
    io.close().await
}

impl request_response::Codec for ByteCodec {
    type Protocol = StreamProtocol;
    type Request = Message;
    type Response = Message;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Message>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, self.protocol.request_bytes_max()).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Message>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, self.protocol.response_bytes_max()).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Message,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, request).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Message,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, response).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::io::Cursor;

    #[test]
    fn frames_survive_and_broken_ones_are_named() {
        let mut wire = Cursor::new(Vec::new());
        block_on(write(&mut wire, Ok(vec![1, 2, 3]))).unwrap();
        let wire = wire.into_inner();
        let read_all = |bytes: &[u8], limit| block_on(read(&mut Cursor::new(bytes), limit));
        assert_eq!(read_all(&wire, 3).unwrap(), Ok(vec![1, 2, 3]));
        assert_eq!(
            read_all(&wire, 2).unwrap(),
            Err(FrameFault::OverLimit {
                length: 3,
                limit: 2
            })
        );
        assert_eq!(read_all(&wire[..6], 3).unwrap(), Err(FrameFault::Truncated));
        // Nothing at all is a lost connection, not a message.
        assert!(read_all(&wire[..2], 3).is_err());
        // A length of 4 GiB allocates nothing.
        assert!(matches!(
            read_all(&[0xff; 8], 1 << 20).unwrap(),
            Err(FrameFault::OverLimit {
                length: u32::MAX,
                ..
            })
        ));
    }
}
