//! Checksums of objects and parts, as S3 defines them.
//!
//! Every object has exactly one checksum: of the algorithm that its client
//! named, else CRC64NVME. An object put in parts has either the checksum of
//! the whole object (the CRCs: combined from those of the parts) or the
//! checksum of the parts' checksums, followed by `-<parts>`.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use s3s::crypto::{Checksum as _, Md5, Sha1, Sha256};
use s3s::{S3Result, dto, s3_error};
use serde::{Deserialize, Serialize};

/// A checksum algorithm of S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(super) const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// As in `x-amz-checksum-algorithm`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => dto::ChecksumAlgorithm::CRC32,
            Self::Crc32c => dto::ChecksumAlgorithm::CRC32C,
            Self::Crc64Nvme => dto::ChecksumAlgorithm::CRC64NVME,
            Self::Sha1 => dto::ChecksumAlgorithm::SHA1,
            Self::Sha256 => dto::ChecksumAlgorithm::SHA256,
        }
    }

    /// The header that carries a value of this algorithm.
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// Parses the name in `x-amz-checksum-algorithm`.
    pub(super) fn parse(name: &str) -> S3Result<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| {
                s3_error!(
                    InvalidRequest,
                    "Checksum algorithm {name} is not supported; use CRC32, CRC32C, CRC64NVME, SHA1 or SHA256."
                )
            })
    }

    /// The CRC behind it, if it is one: only those of parts can be combined.
    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// Length of a value in bytes.
    fn len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    fn of(self, data: &[u8]) -> Vec<u8> {
        let mut hasher = Hasher::new(self);
        hasher.update(data);
        hasher.finish()
    }

    /// A value as base64, checked to be one of this algorithm.
    fn decode(self, value: &str) -> Option<Vec<u8>> {
        BASE64
            .decode(value)
            .ok()
            .filter(|bytes| bytes.len() == self.len())
    }
}

/// The checksum of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checksum {
    pub(super) algorithm: Algorithm,
    /// Base64; of a composite one followed by `-<parts>`.
    pub(super) value: String,
    #[serde(default)]
    pub(super) composite: bool,
}

impl Checksum {
    pub(super) fn type_name(&self) -> &'static str {
        checksum_type(self.composite)
    }

    /// The response's fields.
    pub(super) fn fields(&self) -> dto::Checksum {
        let mut fields = one_field(self.algorithm, &self.value);
        fields.checksum_type = Some(dto::ChecksumType::from_static(self.type_name()));
        fields
    }
}

/// `COMPOSITE` or `FULL_OBJECT`.
pub(super) fn checksum_type(composite: bool) -> &'static str {
    if composite {
        dto::ChecksumType::COMPOSITE
    } else {
        dto::ChecksumType::FULL_OBJECT
    }
}

/// A response's checksum fields with one of them set.
pub(super) fn one_field(algorithm: Algorithm, value: &str) -> dto::Checksum {
    let mut fields = dto::Checksum::default();
    let field = match algorithm {
        Algorithm::Crc32 => &mut fields.checksum_crc32,
        Algorithm::Crc32c => &mut fields.checksum_crc32c,
        Algorithm::Crc64Nvme => &mut fields.checksum_crc64nvme,
        Algorithm::Sha1 => &mut fields.checksum_sha1,
        Algorithm::Sha256 => &mut fields.checksum_sha256,
    };
    *field = Some(value.to_owned());
    fields
}

/// Takes the checksum fields out of a request (`PutObjectInput` and its kin)
/// as pairs of algorithm and value.
macro_rules! sent_checksums {
    ($input:expr) => {{
        use $crate::s3::checksum::Algorithm;
        [
            (Algorithm::Crc32, $input.checksum_crc32.take()),
            (Algorithm::Crc32c, $input.checksum_crc32c.take()),
            (Algorithm::Crc64Nvme, $input.checksum_crc64nvme.take()),
            (Algorithm::Sha1, $input.checksum_sha1.take()),
            (Algorithm::Sha256, $input.checksum_sha256.take()),
        ]
        .into_iter()
        .filter_map(|(algorithm, value)| value.map(|value| (algorithm, value)))
        .collect::<Vec<_>>()
    }};
}
pub(super) use sent_checksums;

enum Hasher {
    Crc(crc_fast::Digest, usize),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Crc32 => crc_hasher(CrcAlgorithm::Crc32IsoHdlc, algorithm),
            Algorithm::Crc32c => crc_hasher(CrcAlgorithm::Crc32Iscsi, algorithm),
            Algorithm::Crc64Nvme => crc_hasher(CrcAlgorithm::Crc64Nvme, algorithm),
        }
    }

    fn update(&mut self, data: &[u8]) {
        match self {
            Self::Crc(digest, _) => digest.update(data),
            Self::Sha1(hasher) => hasher.update(data),
            Self::Sha256(hasher) => hasher.update(data),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc(digest, len) => big_endian(digest.finalize(), len),
            Self::Sha1(hasher) => AsRef::<[u8]>::as_ref(&hasher.finalize()).to_vec(),
            Self::Sha256(hasher) => AsRef::<[u8]>::as_ref(&hasher.finalize()).to_vec(),
        }
    }
}

fn crc_hasher(crc: CrcAlgorithm, algorithm: Algorithm) -> Hasher {
    Hasher::Crc(crc_fast::Digest::new(crc), algorithm.len())
}

fn big_endian(crc: u64, len: usize) -> Vec<u8> {
    crc.to_be_bytes()[8 - len..].to_vec()
}

/// The digests of one body, computed as its bytes arrive.
pub(super) struct Digests {
    md5: Md5,
    hashers: Vec<(Algorithm, Hasher)>,
}

/// The digests of a whole body.
#[derive(Clone, Debug)]
pub(super) struct Digested {
    pub(super) md5: Vec<u8>,
    /// Base64 by algorithm.
    pub(super) checksums: BTreeMap<Algorithm, String>,
}

impl Digests {
    /// MD5 and the given algorithms (each once).
    pub(super) fn new(algorithms: &[Algorithm]) -> Self {
        let mut wanted = algorithms.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        Self {
            md5: Md5::new(),
            hashers: wanted
                .into_iter()
                .map(|algorithm| (algorithm, Hasher::new(algorithm)))
                .collect(),
        }
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        self.md5.update(data);
        for (_, hasher) in &mut self.hashers {
            hasher.update(data);
        }
    }

    pub(super) fn finish(self) -> Digested {
        Digested {
            md5: AsRef::<[u8]>::as_ref(&self.md5.finalize()).to_vec(),
            checksums: self
                .hashers
                .into_iter()
                .map(|(algorithm, hasher)| (algorithm, BASE64.encode(hasher.finish())))
                .collect(),
        }
    }
}

/// What the client says that its body's digests are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Expected {
    /// `Content-MD5`, 16 bytes.
    pub(super) md5: Option<Vec<u8>>,
    /// A checksum in the request's headers.
    pub(super) value: Option<(Algorithm, String)>,
    /// A checksum that will come in the trailer after the body.
    pub(super) trailer: Option<Algorithm>,
}

impl Expected {
    /// Reads what a request says of its body.
    ///
    /// # Errors
    /// Values that cannot be one of their algorithm, and more than one.
    pub(super) fn parse(
        content_md5: Option<&str>,
        sent: Vec<(Algorithm, String)>,
        named: Option<&dto::ChecksumAlgorithm>,
        trailer: Option<&str>,
    ) -> S3Result<Self> {
        let md5 = content_md5
            .map(|value| {
                BASE64
                    .decode(value)
                    .ok()
                    .filter(|bytes| bytes.len() == 16)
                    .ok_or_else(|| {
                        s3_error!(InvalidDigest, "The Content-MD5 you specified was invalid.")
                    })
            })
            .transpose()?;
        let trailer = trailer.and_then(|names| {
            names
                .split(',')
                .map(|name| name.trim().to_ascii_lowercase())
                .find_map(|name| Algorithm::ALL.into_iter().find(|a| a.header() == name))
        });
        let count = sent.len() + usize::from(trailer.is_some());
        if count > 1 {
            return Err(s3_error!(
                InvalidRequest,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
            ));
        }
        let value = sent.into_iter().next();
        if let Some((algorithm, value)) = &value
            && algorithm.decode(value).is_none()
        {
            return Err(s3_error!(
                InvalidRequest,
                "Value for {} header is invalid.",
                algorithm.header()
            ));
        }
        if count == 0
            && let Some(named) = named
        {
            // A name alone, for instance `x-amz-checksum-algorithm: SHA256`,
            // would promise a check that nobody can make.
            Algorithm::parse(named.as_str())?;
            return Err(s3_error!(
                InvalidRequest,
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
            ));
        }
        Ok(Self {
            md5,
            value,
            trailer,
        })
    }

    /// The algorithm that the client chose, if it chose one.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.value
            .as_ref()
            .map(|(algorithm, _)| *algorithm)
            .or(self.trailer)
    }

    /// Compares the body that came with what was said of it.
    ///
    /// # Errors
    /// `BadDigest`, as S3 words it; `InvalidRequest` when the promised trailer
    /// did not come.
    pub(super) fn verify(&self, came: &Digested, trailer_value: Option<&str>) -> S3Result<()> {
        if let Some(md5) = &self.md5
            && *md5 != came.md5
        {
            return Err(s3_error!(
                BadDigest,
                "The Content-MD5 you specified did not match what we received."
            ));
        }
        if let Some((algorithm, value)) = &self.value {
            verify_one(*algorithm, value, came)?;
        }
        if let Some(algorithm) = self.trailer {
            let value = trailer_value.ok_or_else(|| {
                s3_error!(
                    InvalidRequest,
                    "The request announced the trailer {} and ended without it.",
                    algorithm.header()
                )
            })?;
            verify_one(algorithm, value.trim(), came)?;
        }
        Ok(())
    }
}

fn verify_one(algorithm: Algorithm, value: &str, came: &Digested) -> S3Result<()> {
    if came.checksums.get(&algorithm).map(String::as_str) == Some(value) {
        return Ok(());
    }
    Err(s3_error!(
        BadDigest,
        "The {} you specified did not match the calculated checksum.",
        algorithm.name()
    ))
}

/// The checksum of an object from those of its parts, in order, with their
/// sizes in bytes. `None` if a part's value is none of the algorithm, or the
/// algorithm has no checksum of that type.
pub(super) fn of_parts<'a>(
    algorithm: Algorithm,
    composite: bool,
    parts: impl Iterator<Item = (&'a str, u64)>,
) -> Option<Checksum> {
    let value = if composite {
        let mut joined = Vec::new();
        let mut count = 0_usize;
        for (value, _) in parts {
            joined.extend(algorithm.decode(value)?);
            count += 1;
        }
        format!("{}-{count}", BASE64.encode(algorithm.of(&joined)))
    } else {
        let crc = algorithm.crc()?;
        let mut whole: Option<u64> = None;
        for (value, size) in parts {
            let part = algorithm
                .decode(value)?
                .iter()
                .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
            whole = Some(match whole {
                None => part,
                Some(before) => crc_fast::checksum_combine(crc, before, part, size),
            });
        }
        BASE64.encode(big_endian(whole?, algorithm.len()))
    };
    Some(Checksum {
        algorithm,
        value,
        composite,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(algorithm: Algorithm, data: &[u8]) -> String {
        let mut digests = Digests::new(&[algorithm]);
        digests.update(data);
        digests.finish().checksums[&algorithm].clone()
    }

    #[test]
    fn values_are_the_published_check_values() {
        // The check input of every CRC catalogue, and FIPS 180 by `sha1sum`.
        for (algorithm, hexadecimal) in [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (
                Algorithm::Sha256,
                "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
            ),
        ] {
            let expected = BASE64.encode(hex::decode(hexadecimal).unwrap());
            assert_eq!(
                digest(algorithm, b"123456789"),
                expected,
                "{}",
                algorithm.name()
            );
        }
    }

    #[test]
    fn crc_of_the_whole_is_combined_from_the_parts() {
        let data: Vec<u8> = (0..100_000_u32).map(|i| (i * 7 % 251) as u8).collect();
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let parts: Vec<(String, u64)> = data
                .chunks(33_333)
                .map(|part| (digest(algorithm, part), part.len() as u64))
                .collect();
            let whole = of_parts(
                algorithm,
                false,
                parts.iter().map(|(v, n)| (v.as_str(), *n)),
            )
            .unwrap();
            assert_eq!(
                whole.value,
                digest(algorithm, &data),
                "{}",
                algorithm.name()
            );
            assert_eq!(whole.type_name(), "FULL_OBJECT");
        }
    }

    #[test]
    fn empty_part_leaves_the_crc_as_it_is() {
        let one = digest(Algorithm::Crc64Nvme, b"abc");
        let none = digest(Algorithm::Crc64Nvme, b"");
        let whole = of_parts(
            Algorithm::Crc64Nvme,
            false,
            [(one.as_str(), 3), (none.as_str(), 0)].into_iter(),
        )
        .unwrap();
        assert_eq!(whole.value, one);
    }

    #[test]
    fn composite_is_the_checksum_of_checksums_with_the_number_of_parts() {
        let parts = [
            digest(Algorithm::Sha256, b"one"),
            digest(Algorithm::Sha256, b"two"),
        ];
        let whole = of_parts(
            Algorithm::Sha256,
            true,
            parts.iter().map(|v| (v.as_str(), 3)),
        )
        .unwrap();
        let mut joined = BASE64.decode(&parts[0]).unwrap();
        joined.extend(BASE64.decode(&parts[1]).unwrap());
        assert_eq!(
            whole.value,
            format!("{}-2", digest(Algorithm::Sha256, &joined))
        );
        assert_eq!(whole.type_name(), "COMPOSITE");
    }

    #[test]
    fn sha_has_no_checksum_of_the_whole_from_parts() {
        let part = digest(Algorithm::Sha1, b"one");
        assert_eq!(
            of_parts(Algorithm::Sha1, false, [(part.as_str(), 3)].into_iter()),
            None
        );
    }

    #[test]
    fn wrong_digests_are_refused() {
        let mut digests = Digests::new(&[Algorithm::Crc32]);
        digests.update(b"abc");
        let came = digests.finish();
        let good = came.checksums[&Algorithm::Crc32].clone();
        let expect = |value: &str| {
            Expected::parse(None, vec![(Algorithm::Crc32, value.to_owned())], None, None)
                .unwrap()
                .verify(&came, None)
        };
        expect(&good).unwrap();
        assert_eq!(expect("AAAAAA==").unwrap_err().code().as_str(), "BadDigest");

        let md5 = Expected::parse(Some("1B2M2Y8AsgTpgAmY7PhCfg=="), vec![], None, None).unwrap();
        assert_eq!(
            md5.verify(&came, None).unwrap_err().code().as_str(),
            "BadDigest"
        );
    }

    #[test]
    fn promised_trailer_must_come() {
        let expected = Expected::parse(None, vec![], None, Some("x-amz-checksum-crc32")).unwrap();
        assert_eq!(expected.algorithm(), Some(Algorithm::Crc32));
        let came = Digests::new(&[Algorithm::Crc32]).finish();
        assert_eq!(
            expected.verify(&came, None).unwrap_err().code().as_str(),
            "InvalidRequest"
        );
        expected.verify(&came, Some(" AAAAAA== ")).unwrap();
    }

    #[test]
    fn digests_that_cannot_be_are_refused_before_the_body_is_read() {
        for (md5, sent, named, code) in [
            (Some("notbase64"), vec![], None, "InvalidDigest"),
            (Some("AAAA"), vec![], None, "InvalidDigest"),
            (
                None,
                vec![(Algorithm::Sha256, "AAAA".to_owned())],
                None,
                "InvalidRequest",
            ),
            (
                None,
                vec![
                    (Algorithm::Crc32, "AAAAAA==".to_owned()),
                    (Algorithm::Crc32c, "AAAAAA==".to_owned()),
                ],
                None,
                "InvalidRequest",
            ),
            (
                None,
                vec![],
                Some(dto::ChecksumAlgorithm::from_static("SHA256")),
                "InvalidRequest",
            ),
        ] {
            let error = Expected::parse(md5, sent, named.as_ref(), None).unwrap_err();
            assert_eq!(error.code().as_str(), code);
        }
    }
}
