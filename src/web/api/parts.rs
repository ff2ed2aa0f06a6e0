use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rocket::futures::stream::{BoxStream, Stream, StreamExt};
use rocket::http::ContentType;
use rocket::response::{self, Responder};
use rocket::tokio::io::{AsyncRead, ReadBuf};
use rocket::{Request, Response};

/// A body that is sent in parts, each as soon as it is there and in one piece.
///
/// Rocket reads a body into buffers of 4 KiB and would cut a part wherever one is full. Clients that take a chunk of HTTP for
/// an event, and there are such, then lose it. So what is left of a buffer is filled with line ends, which mean nothing
/// between two events or before JSON, and the part begins the next one.
pub(super) struct Parts {
    kind: ContentType,
    reader: Reader,
}

struct Reader {
    parts: BoxStream<'static, Vec<u8>>,
    /// The part that is being sent.
    part: Vec<u8>,
    /// Bytes of it that are out.
    sent: usize,
    /// Whether this part has a buffer of its own already; a longer one is cut after all.
    padded: bool,
}

impl Parts {
    pub(super) fn new(kind: ContentType, parts: impl Stream<Item = Vec<u8>> + Send + 'static) -> Self {
        let reader = Reader { parts: parts.boxed(), part: Vec::new(), sent: 0, padded: false };
        Self { kind, reader }
    }
}

impl<'r> Responder<'r, 'static> for Parts {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Response::build().header(self.kind).streamed_body(self.reader).ok()
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.sent == self.part.len() {
            let Some(part) = ready!(self.parts.poll_next_unpin(context)) else { return Poll::Ready(Ok(())) };
            (self.part, self.sent, self.padded) = (part, 0, false);
        }
        let left = &self.part[self.sent..];
        if left.len() > buffer.remaining() && !self.padded {
            buffer.initialize_unfilled().fill(b'\n');
            buffer.advance(buffer.remaining());
            self.padded = true;
        } else {
            let length = left.len().min(buffer.remaining());
            buffer.put_slice(&left[..length]);
            self.sent += length;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use rocket::futures::stream;
    use rocket::tokio::io::AsyncReadExt;

    use super::*;

    /// What a reader with buffers of `size` bytes gets, buffer by buffer, as Rocket fills them.
    async fn chunks(parts: &[&str], size: usize) -> Vec<String> {
        let parts: Vec<_> = parts.iter().map(|part| part.as_bytes().to_vec()).collect();
        let mut reader = Parts::new(ContentType::JSON, stream::iter(parts)).reader;
        let (mut chunks, mut room) = (Vec::new(), size);
        loop {
            let mut buffer = vec![0; room];
            let length = reader.read(&mut buffer).await.unwrap();
            if length == 0 {
                return chunks;
            }
            chunks.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            room = if length == room { size } else { room - length };
        }
    }

    #[tokio::test]
    async fn a_part_is_never_cut_unless_it_is_longer_than_a_buffer() {
        assert_eq!(chunks(&["abcd", "efgh", "", "ij"], 6).await, ["abcd", "\n\n", "efgh", "ij"]);
        assert_eq!(chunks(&["ab", "cdefghij", "k"], 6).await, ["ab", "\n\n\n\n", "cdefgh", "ij", "k"]);
    }
}
