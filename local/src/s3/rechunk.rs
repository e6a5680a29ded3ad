//! aws-chunked bodies, kept in small chunks.
//!
//! A client may send its whole body as one chunk (the SDK for Go does), and
//! s3s holds a chunk in memory until it has come whole. Unsigned chunks may be
//! cut anywhere, so large ones are cut here, before s3s sees them. Signed ones
//! may not: one that is too large is refused.

use std::collections::VecDeque;
use std::io;

use bytes::{Buf as _, Bytes, BytesMut};

/// Largest unsigned chunk that is passed on, bytes.
const PIECE: u64 = 256 << 10;
/// Largest signed chunk, bytes.
const MAX_SIGNED: u64 = 16 << 20;
/// Longest line before a chunk.
const MAX_LINE: usize = 1024;

/// Cuts the chunks of one body.
#[derive(Debug)]
pub(super) struct Rechunk {
    signed: bool,
    state: State,
    line: BytesMut,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// In the line before a chunk.
    Line,
    /// In a chunk's data, with so many bytes to come.
    Data(u64),
    /// In a chunk that is passed on as it is, CR LF included.
    Whole(u64),
    /// At the CR LF after data that was cut.
    Crlf(u8),
    /// After the last chunk: the trailer.
    Rest,
}

impl Rechunk {
    /// For a body whose chunks are signed, or not.
    pub(super) fn new(signed: bool) -> Self {
        Self {
            signed,
            state: State::Line,
            line: BytesMut::new(),
        }
    }

    /// Takes bytes as they came, and gives them as they are passed on.
    ///
    /// # Errors
    /// A line that is no chunk's, and a signed chunk that is too large. The
    /// words are those by which the receiver tells errors apart.
    pub(super) fn push(&mut self, mut bytes: Bytes) -> io::Result<VecDeque<Bytes>> {
        let mut out = VecDeque::new();
        while !bytes.is_empty() {
            match self.state {
                State::Rest => out.push_back(bytes.split_to(bytes.len())),
                State::Line => {
                    let end = bytes
                        .iter()
                        .position(|byte| *byte == b'\n')
                        .map(|at| at + 1);
                    self.line
                        .extend_from_slice(&bytes.split_to(end.unwrap_or(bytes.len())));
                    if self.line.len() > MAX_LINE {
                        return Err(io::Error::other("ChunkMetaTooLarge"));
                    }
                    if end.is_some() {
                        self.start_chunk(&mut out)?;
                    }
                }
                State::Whole(left) => {
                    let taken = take(&mut bytes, left);
                    self.state = match left - taken.len() as u64 {
                        0 => State::Line,
                        left => State::Whole(left),
                    };
                    out.push_back(taken);
                }
                State::Data(left) => {
                    let taken = take(&mut bytes, left.min(PIECE));
                    let left = left - taken.len() as u64;
                    out.push_back(format!("{:x}\r\n", taken.len()).into());
                    out.push_back(taken);
                    out.push_back(Bytes::from_static(b"\r\n"));
                    self.state = if left == 0 {
                        State::Crlf(2)
                    } else {
                        State::Data(left)
                    };
                }
                State::Crlf(left) => {
                    if bytes.get_u8() != if left == 2 { b'\r' } else { b'\n' } {
                        return Err(io::Error::other("FormatError"));
                    }
                    self.state = if left == 2 {
                        State::Crlf(1)
                    } else {
                        State::Line
                    };
                }
            }
        }
        Ok(out)
    }

    fn start_chunk(&mut self, out: &mut VecDeque<Bytes>) -> io::Result<()> {
        let line = self.line.split().freeze();
        let digits = line
            .split(|byte| matches!(byte, b';' | b'\r' | b'\n'))
            .next()
            .unwrap_or_default();
        let size = std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or_else(|| io::Error::other("FormatError"))?;
        self.state = match size {
            0 => State::Rest,
            size if size <= PIECE || (self.signed && size <= MAX_SIGNED) => State::Whole(size + 2),
            _ if self.signed => return Err(io::Error::other("signed ChunkTooLarge")),
            size => {
                self.state = State::Data(size);
                return Ok(());
            }
        };
        out.push_back(line);
        Ok(())
    }
}

fn take(bytes: &mut Bytes, most: u64) -> Bytes {
    let len = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
    bytes.split_to(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes a body in steps of `step` bytes.
    fn pushed(signed: bool, body: &[u8], step: usize) -> io::Result<Vec<u8>> {
        let mut rechunk = Rechunk::new(signed);
        let mut out = Vec::new();
        for bytes in body.chunks(step) {
            for piece in rechunk.push(Bytes::copy_from_slice(bytes))? {
                out.extend_from_slice(&piece);
            }
        }
        Ok(out)
    }

    /// The data and the trailer of a body, and its largest chunk.
    fn decoded(mut body: &[u8]) -> (Vec<u8>, Vec<u8>, usize) {
        let (mut data, mut largest) = (Vec::new(), 0);
        loop {
            let end = body.iter().position(|byte| *byte == b'\n').unwrap() + 1;
            let line = std::str::from_utf8(&body[..end]).unwrap().trim();
            let size = usize::from_str_radix(line.split(';').next().unwrap(), 16).unwrap();
            body = &body[end..];
            if size == 0 {
                return (data, body.to_vec(), largest);
            }
            largest = largest.max(size);
            data.extend_from_slice(&body[..size]);
            assert_eq!(&body[size..size + 2], b"\r\n");
            body = &body[size + 2..];
        }
    }

    #[test]
    fn large_unsigned_chunk_is_cut() {
        let data: Vec<u8> = (0..1_000_000_u32).map(|i| i as u8).collect();
        let body = [
            b"5\r\nhello\r\nF4240\r\n".as_slice(),
            &data,
            b"\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
        ]
        .concat();
        for step in [1_000, 65_536, 262_147, body.len()] {
            let (got, trailer, largest) = decoded(&pushed(false, &body, step).unwrap());
            assert_eq!(got, [b"hello".as_slice(), &data].concat());
            assert_eq!(trailer, b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n");
            assert!(largest as u64 <= PIECE);
        }
    }

    #[test]
    fn small_and_signed_chunks_pass_as_they_are() {
        let big = vec![7; 300_000];
        for (signed, body) in [
            (false, b"3\r\nabc\r\n0\r\n\r\n".to_vec()),
            (
                true,
                [
                    b"493e0;chunk-signature=x\r\n".as_slice(),
                    &big,
                    b"\r\n0;chunk-signature=y\r\n\r\n",
                ]
                .concat(),
            ),
        ] {
            for step in [1, 7, 70_000] {
                assert_eq!(pushed(signed, &body, step).unwrap(), body);
            }
        }
    }

    #[test]
    fn chunks_that_cannot_be_are_refused() {
        assert!(pushed(false, b"zz\r\n", 9).is_err());
        assert!(pushed(true, b"ffffffff;chunk-signature=x\r\n", 99).is_err());
        assert!(pushed(false, &[b'1'; 2000], 99).is_err());
        let body = [b"80000\r\n".as_slice(), &vec![0; 0x80000], b"XX"].concat();
        assert!(pushed(false, &body, 4096).is_err());
    }
}
