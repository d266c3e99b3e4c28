//! The unit on the wire: `length: u32 | kind: u8 | id: u64 | code: u8 | deadline: u32 | payload`, little endian.
//!
//! The length counts what follows it. TCP guards against damage on the way and snapshots carry digests, so frames have no checksum.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The most a frame may carry. Log entries are cut into messages of at most 1 MiB and snapshots into smaller chunks; the rest is
/// room for one entry of the largest value plus its envelope, and for a batch of samples of some ten thousand replicas.
pub const MAX_FRAME_BYTES: usize = 16 << 20;

/// Bytes between the length and the payload.
const HEADER_BYTES: usize = 1 + 8 + 1 + 4;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `code` is the service.
    Request,
    /// `code` is a [`Status`].
    Response,
}

/// How a request went, as far as the transport can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// The payload is the handler's answer.
    Answered,
    /// Too many requests at once.
    Busy,
    /// Nobody registered for the service.
    NoSuchService,
    /// The handler did not answer in time.
    DeadlineExceeded,
    /// The handler's answer would not fit a frame.
    AnswerTooLarge,
}

impl Status {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Answered => 0,
            Self::Busy => 1,
            Self::NoSuchService => 2,
            Self::DeadlineExceeded => 3,
            Self::AnswerTooLarge => 4,
        }
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        [Self::Answered, Self::Busy, Self::NoSuchService, Self::DeadlineExceeded, Self::AnswerTooLarge]
            .into_iter()
            .find(|status| status.code() == code)
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// Ties a response to its request; unique on its connection.
    pub(super) id: u64,
    /// Service or status.
    pub(super) code: u8,
    /// Of a request: how long the answer is of use, in milliseconds.
    pub(super) deadline_ms: u32,
    pub(super) payload: Bytes,
}

impl Frame {
    /// Appends the encoded frame.
    pub(super) fn encode(&self, out: &mut BytesMut) {
        out.reserve(4 + HEADER_BYTES + self.payload.len());
        let length = u32::try_from(HEADER_BYTES + self.payload.len()).unwrap_or(u32::MAX);
        out.put_u32_le(length);
        out.put_u8(match self.kind {
            Kind::Request => 0,
            Kind::Response => 1,
        });
        out.put_u64_le(self.id);
        out.put_u8(self.code);
        out.put_u32_le(self.deadline_ms);
        out.put_slice(&self.payload);
    }

    /// Reads one frame; none at a clean end. A frame over the limit or of no known kind is an error: the connection is lost, as what
    /// follows can't be told apart any more.
    pub(super) async fn read(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let length = match input.read_u32_le().await {
            Ok(length) => length as usize,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        };
        if !(HEADER_BYTES..=HEADER_BYTES + MAX_FRAME_BYTES).contains(&length) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a frame of {length} bytes is outside the limits; is this a peer of Isobar?"),
            ));
        }
        let mut body = BytesMut::with_capacity(length);
        while body.len() < length {
            let missing = length - body.len();
            if input.read_buf(&mut (&mut body).limit(missing)).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let mut body = body.freeze();
        let kind = match body.get_u8() {
            0 => Kind::Request,
            1 => Kind::Response,
            other => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("there is no frame of kind {other}")));
            }
        };
        let (id, code, deadline_ms) = (body.get_u64_le(), body.get_u8(), body.get_u32_le());
        Ok(Some(Self { kind, id, code, deadline_ms, payload: body }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_reads_what_it_writes() {
        let frames = [
            Frame { kind: Kind::Request, id: 7, code: 3, deadline_ms: 1500, payload: Bytes::from_static(b"abc") },
            Frame { kind: Kind::Response, id: u64::MAX, code: 0, deadline_ms: 0, payload: Bytes::new() },
        ];
        let mut wire = BytesMut::new();
        frames.iter().for_each(|frame| frame.encode(&mut wire));
        let mut input = wire.as_ref();
        for frame in &frames {
            assert_eq!(Frame::read(&mut input).await.unwrap().as_ref(), Some(frame));
        }
        assert_eq!(Frame::read(&mut input).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_frame_over_the_limit_is_refused_before_it_is_held() {
        let mut wire = BytesMut::new();
        wire.put_u32_le(u32::MAX);
        assert_eq!(Frame::read(&mut wire.as_ref()).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_frame_cut_short_is_an_error() {
        let mut wire = BytesMut::new();
        Frame { kind: Kind::Request, id: 1, code: 1, deadline_ms: 1, payload: Bytes::from_static(b"abc") }
            .encode(&mut wire);
        let mut short = &wire[..wire.len() - 1];
        assert_eq!(Frame::read(&mut short).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
