//! Completing a multipart upload: which parts make up the object, and whether
//! they may.

use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::CompletedPart;
use s3s::{S3Result, s3_error};

use super::checksum::{Algorithm, Checksum, of_parts, sent_checksums};
use super::object::{BlobId, Object, Part, Piece, Upload};

/// Every part but the last has at least this many bytes.
pub(super) const MIN_PART: u64 = 5 << 20;
/// The most parts of an upload.
pub(super) const MAX_PARTS: u16 = 10_000;

/// What the client says of the object that is to be.
#[derive(Debug, Default)]
pub(super) struct Claimed {
    /// Bytes.
    pub(super) size: Option<u64>,
    pub(super) checksum: Option<(Algorithm, String)>,
    /// Whether the checksum's type is composite.
    pub(super) composite: Option<bool>,
}

/// Puts an object together from the parts that the client lists.
///
/// Returns it with the blobs of parts that were uploaded and not listed.
///
/// # Errors
/// As S3 answers: `InvalidPartOrder`, `InvalidPart`, `EntityTooSmall`,
/// `BadDigest`, `InvalidRequest`, `MalformedXML` for an empty list.
pub(super) fn assemble(
    upload: &Upload,
    uploaded: &[(u16, Part)],
    listed: Vec<CompletedPart>,
    claimed: &Claimed,
    modified_ms: i64,
) -> S3Result<(Object, Vec<BlobId>)> {
    if listed.is_empty() {
        return Err(s3_error!(
            MalformedXML,
            "The list of parts is empty: name at least one."
        ));
    }
    if claimed
        .composite
        .is_some_and(|composite| composite != upload.composite)
    {
        return Err(s3_error!(
            InvalidRequest,
            "The upload was created using the {} checksum type, and completed with another.",
            super::checksum::checksum_type(upload.composite)
        ));
    }
    let count = listed.len();
    if listed
        .windows(2)
        .any(|pair| number_of(&pair[1]) <= number_of(&pair[0]))
    {
        return Err(s3_error!(
            InvalidPartOrder,
            "The list of parts was not in ascending order. The parts list must be specified in order by part number."
        ));
    }
    let mut chosen: Vec<(u16, &Part)> = Vec::with_capacity(count);
    for mut part in listed {
        let number = number_of(&part);
        let found = find(uploaded, number)
            .filter(|found| {
                part.e_tag
                    .as_ref()
                    .is_some_and(|etag| etag.value() == found.etag)
            })
            .ok_or_else(|| invalid_part(number))?;
        let sent = sent_checksums!(part);
        if upload.composite && upload.algorithm_named && sent.is_empty() {
            return Err(s3_error!(
                InvalidRequest,
                "The upload was created using a {} checksum. The complete request must include the checksum for each part. It was missing for part {number} in the request.",
                upload.algorithm.name().to_ascii_lowercase()
            ));
        }
        for (algorithm, value) in sent {
            if found
                .checksums
                .get(&algorithm)
                .is_some_and(|known| *known != value)
            {
                return Err(invalid_part(number));
            }
        }
        chosen.push((number, found));
    }
    let all_but_last = &chosen[..count - 1];
    if let Some((number, part)) = all_but_last.iter().find(|(_, part)| part.size < MIN_PART) {
        return Err(s3_error!(
            EntityTooSmall,
            "Part {number} has {} bytes. Every part but the last must have at least {MIN_PART}.",
            part.size
        ));
    }
    let size = chosen.iter().map(|(_, part)| part.size).sum();
    if claimed.size.is_some_and(|claimed| claimed != size) {
        return Err(s3_error!(
            InvalidRequest,
            "The x-amz-mp-object-size header does not match: the parts have {size} bytes."
        ));
    }
    let checksum = whole(upload, &chosen)?;
    if let Some((algorithm, value)) = &claimed.checksum {
        // Of a composite checksum the client may leave out the number of parts.
        let matches = *value == checksum.value
            || (checksum.composite && checksum.value.split('-').next() == Some(value.as_str()));
        if *algorithm != checksum.algorithm || !matches {
            return Err(s3_error!(
                BadDigest,
                "The {} you specified did not match the calculated checksum.",
                algorithm.name()
            ));
        }
    }
    let object = Object {
        size,
        etag: etag(&chosen),
        modified_ms,
        checksum,
        pieces: chosen
            .iter()
            .map(|(number, part)| Piece {
                number: *number,
                blob: part.blob,
                size: part.size,
                checksum: part.checksums.get(&upload.algorithm).cloned(),
            })
            .collect(),
        multipart: true,
        headers: upload.headers.clone(),
    };
    let unused = uploaded
        .iter()
        .filter(|(number, _)| find_chosen(&chosen, *number).is_none())
        .filter_map(|(_, part)| part.blob)
        .collect();
    Ok((object, unused))
}

/// The number of a listed part; 0, which none has, if it cannot be one.
fn number_of(part: &CompletedPart) -> u16 {
    part.part_number
        .and_then(|number| u16::try_from(number).ok())
        .unwrap_or(0)
}

fn find(uploaded: &[(u16, Part)], number: u16) -> Option<&Part> {
    let at = uploaded
        .binary_search_by_key(&number, |(number, _)| *number)
        .ok()?;
    Some(&uploaded[at].1)
}

fn find_chosen(chosen: &[(u16, &Part)], number: u16) -> Option<usize> {
    chosen
        .binary_search_by_key(&number, |(number, _)| *number)
        .ok()
}

fn invalid_part(number: u16) -> s3s::S3Error {
    s3_error!(
        InvalidPart,
        "Part {number} could not be found. The part may not have been uploaded, or the specified entity tag or checksum may not match the part's."
    )
}

fn whole(upload: &Upload, chosen: &[(u16, &Part)]) -> S3Result<Checksum> {
    let mut values = Vec::with_capacity(chosen.len());
    for (number, part) in chosen {
        let value = part
            .checksums
            .get(&upload.algorithm)
            .ok_or_else(|| super::error::internal(format!("part {number} has no checksum")))?;
        values.push((value.as_str(), part.size));
    }
    of_parts(upload.algorithm, upload.composite, values.into_iter()).ok_or_else(|| {
        super::error::internal("the checksums of the parts do not combine".to_owned())
    })
}

/// `<MD5 of the parts' MD5s>-<parts>`.
fn etag(chosen: &[(u16, &Part)]) -> String {
    let mut md5 = Md5::new();
    for (_, part) in chosen {
        // The index holds what this store wrote: 32 hexadecimal digits.
        md5.update(&hex::decode(&part.etag).unwrap_or_default());
    }
    format!("{}-{}", hex::encode(md5.finalize()), chosen.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::checksum::Digests;
    use s3s::dto::ETag;

    const BIG: usize = MIN_PART as usize;

    fn part(data: &[u8]) -> Part {
        let mut digests = Digests::new(&[Algorithm::Crc64Nvme, Algorithm::Sha256]);
        digests.update(data);
        let digested = digests.finish();
        Part {
            blob: Some(BlobId::new()),
            size: data.len() as u64,
            etag: hex::encode(digested.md5),
            modified_ms: 0,
            checksums: digested.checksums,
        }
    }

    fn upload(algorithm: Algorithm, composite: bool) -> Upload {
        Upload {
            bucket: "b".to_owned(),
            key: "k".to_owned(),
            id: "u".to_owned(),
            initiated_ms: 0,
            algorithm,
            composite,
            algorithm_named: composite,
            headers: Default::default(),
        }
    }

    fn listed(parts: &[(u16, Part)], numbers: &[u16]) -> Vec<CompletedPart> {
        numbers
            .iter()
            .map(|number| CompletedPart {
                part_number: Some(i32::from(*number)),
                e_tag: find(parts, *number).map(|part| ETag::Strong(part.etag.clone())),
                ..Default::default()
            })
            .collect()
    }

    fn code(result: S3Result<(Object, Vec<BlobId>)>) -> String {
        result.unwrap_err().code().as_str().to_owned()
    }

    #[test]
    fn object_is_its_parts_in_order() {
        let (one, two) = (vec![1; BIG], vec![2; 10]);
        let parts = [(1, part(&one)), (3, part(b"unused")), (7, part(&two))];
        let plain = upload(Algorithm::Crc64Nvme, false);
        let (object, unused) = assemble(
            &plain,
            &parts,
            listed(&parts, &[1, 7]),
            &Claimed::default(),
            5,
        )
        .unwrap();
        assert_eq!(object.size, BIG as u64 + 10);
        assert_eq!(
            object.blobs(),
            [parts[0].1.blob.unwrap(), parts[2].1.blob.unwrap()]
        );
        assert_eq!(unused, [parts[1].1.blob.unwrap()]);
        assert!(object.etag.ends_with("-2"));
        let whole = part(&[one, two].concat());
        assert_eq!(
            object.checksum.value,
            whole.checksums[&Algorithm::Crc64Nvme]
        );
    }

    #[test]
    fn lists_that_s3_refuses_are_refused() {
        let parts = [
            (1, part(&vec![1; BIG])),
            (2, part(b"small")),
            (3, part(b"last")),
        ];
        let plain = upload(Algorithm::Crc64Nvme, false);
        let attempt = |list| code(assemble(&plain, &parts, list, &Claimed::default(), 0));
        assert_eq!(attempt(vec![]), "MalformedXML");
        assert_eq!(attempt(listed(&parts, &[3, 1])), "InvalidPartOrder");
        assert_eq!(attempt(listed(&parts, &[1, 1])), "InvalidPartOrder");
        assert_eq!(attempt(listed(&parts, &[1, 4])), "InvalidPart");
        assert_eq!(attempt(listed(&parts, &[1, 2, 3])), "EntityTooSmall");
        let mut wrong = listed(&parts, &[1]);
        wrong[0].e_tag = Some(ETag::Strong("0".repeat(32)));
        assert_eq!(attempt(wrong), "InvalidPart");
        let mut wrong = listed(&parts, &[1]);
        wrong[0].checksum_crc64nvme = Some("AAAAAAAAAAA=".to_owned());
        assert_eq!(attempt(wrong), "InvalidPart");
    }

    #[test]
    fn claims_about_the_object_are_checked() {
        let parts = [(1, part(b"only"))];
        let plain = upload(Algorithm::Crc64Nvme, false);
        let attempt =
            |claimed: Claimed| assemble(&plain, &parts, listed(&parts, &[1]), &claimed, 0);
        let value = parts[0].1.checksums[&Algorithm::Crc64Nvme].clone();
        attempt(Claimed {
            size: Some(4),
            checksum: Some((Algorithm::Crc64Nvme, value)),
            composite: Some(false),
        })
        .unwrap();
        let size = Claimed {
            size: Some(5),
            ..Default::default()
        };
        assert_eq!(code(attempt(size)), "InvalidRequest");
        let composite = Claimed {
            composite: Some(true),
            ..Default::default()
        };
        assert_eq!(code(attempt(composite)), "InvalidRequest");
        let checksum = Claimed {
            checksum: Some((Algorithm::Crc64Nvme, "AAAAAAAAAAA=".to_owned())),
            ..Default::default()
        };
        assert_eq!(code(attempt(checksum)), "BadDigest");
    }

    #[test]
    fn composite_upload_wants_the_checksum_of_each_part() {
        let parts = [(1, part(b"only"))];
        let composite = upload(Algorithm::Sha256, true);
        let bare = assemble(
            &composite,
            &parts,
            listed(&parts, &[1]),
            &Claimed::default(),
            0,
        );
        assert_eq!(code(bare), "InvalidRequest");
        let mut list = listed(&parts, &[1]);
        list[0].checksum_sha256 = parts[0].1.checksums.get(&Algorithm::Sha256).cloned();
        let (object, _) = assemble(&composite, &parts, list, &Claimed::default(), 0).unwrap();
        assert!(object.checksum.composite && object.checksum.value.ends_with("-1"));
    }
}
