//! Results: written as Athena writes them to S3, and read back by pages.
//!
//! A SELECT's result is `<id>.csv`: a header, every value in quotes, NULL as
//! nothing between the commas. Other statements write `<id>.txt`, a row a
//! line. Both are streamed in parts, and pages are read by ranges, so that no
//! result is ever held whole.

use arrow::array::RecordBatch;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use serde_json::{Value, json};

use super::fault::Fault;
use super::objects::{Location, read_range, sentence};
use super::render;
use super::types::ColumnInfo;
use crate::aws_json::NO_SPACE_CODE;

/// Size of an upload's part; the least that S3 takes is 5 MiB.
const PART: usize = 8 << 20;

/// Streams text into one object.
pub(super) struct Upload {
    s3: aws_sdk_s3::Client,
    bucket: String,
    key: String,
    content_type: &'static str,
    buffer: Vec<u8>,
    multipart: Option<String>,
    parts: Vec<aws_sdk_s3::types::CompletedPart>,
}

impl Upload {
    /// An object below `location`; nothing is sent yet.
    pub(super) fn new(
        s3: aws_sdk_s3::Client,
        location: &Location,
        name: &str,
        content_type: &'static str,
    ) -> Self {
        Self {
            s3,
            bucket: location.bucket.clone(),
            key: format!("{}{name}", location.prefix),
            content_type,
            buffer: Vec::new(),
            multipart: None,
            parts: Vec::new(),
        }
    }

    fn failed(&self, error: impl Into<aws_sdk_s3::Error>) -> Fault {
        let error = error.into();
        if error.code() == Some(NO_SPACE_CODE) {
            return Fault::no_space("write its result");
        }
        Fault::system(format!(
            "s3://{}/{} could not be written: {}",
            self.bucket,
            self.key,
            sentence(&error)
        ))
    }

    /// Appends `bytes`, sending a part when there are enough.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PART {
            self.send_part().await?;
        }
        Ok(())
    }

    async fn send_part(&mut self) -> Result<(), Fault> {
        let upload = match &self.multipart {
            Some(id) => id.clone(),
            None => {
                let created = self
                    .s3
                    .create_multipart_upload()
                    .bucket(&self.bucket)
                    .key(&self.key)
                    .content_type(self.content_type)
                    .send()
                    .await
                    .map_err(|e| self.failed(e))?;
                let id = created
                    .upload_id()
                    .ok_or_else(|| Fault::system("S3 gave no upload id"))?
                    .to_owned();
                self.multipart = Some(id.clone());
                id
            }
        };
        let number = i32::try_from(self.parts.len() + 1)
            .map_err(|_| Fault::system("the result has too many parts"))?;
        let body = std::mem::take(&mut self.buffer);
        let sent = self
            .s3
            .upload_part()
            .bucket(&self.bucket)
            .key(&self.key)
            .upload_id(upload)
            .part_number(number)
            .body(body.into())
            .send()
            .await
            .map_err(|e| self.failed(e))?;
        self.parts.push(
            aws_sdk_s3::types::CompletedPart::builder()
                .part_number(number)
                .set_e_tag(sent.e_tag().map(str::to_owned))
                .set_checksum_crc32(sent.checksum_crc32().map(str::to_owned))
                .set_checksum_crc64_nvme(sent.checksum_crc64_nvme().map(str::to_owned))
                .build(),
        );
        Ok(())
    }

    /// Makes the object appear.
    pub(super) async fn finish(mut self) -> Result<(), Fault> {
        if self.multipart.is_none() {
            let body = std::mem::take(&mut self.buffer);
            self.s3
                .put_object()
                .bucket(&self.bucket)
                .key(&self.key)
                .content_type(self.content_type)
                .body(body.into())
                .send()
                .await
                .map_err(|e| self.failed(e))?;
            return Ok(());
        }
        if !self.buffer.is_empty() {
            self.send_part().await?;
        }
        let parts = aws_sdk_s3::types::CompletedMultipartUpload::builder()
            .set_parts(Some(std::mem::take(&mut self.parts)))
            .build();
        self.s3
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(&self.key)
            .set_upload_id(self.multipart.clone())
            .multipart_upload(parts)
            .send()
            .await
            .map_err(|e| self.failed(e))?;
        Ok(())
    }

    /// Leaves nothing behind of an upload that will not be finished.
    pub(super) async fn abort(self) {
        if let Some(upload) = &self.multipart {
            let aborted = self
                .s3
                .abort_multipart_upload()
                .bucket(&self.bucket)
                .key(&self.key)
                .upload_id(upload)
                .send()
                .await;
            if let Err(e) = aborted {
                tracing::warn!(error = %self.failed(e), "an unfinished result was left in S3");
            }
        }
    }
}

/// Appends a quoted value.
fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// The header line of a result.
pub(super) fn header(columns: &[ColumnInfo]) -> Vec<u8> {
    let mut line = Vec::new();
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            line.push(b',');
        }
        quote(&column.name, &mut line);
    }
    line.push(b'\n');
    line
}

/// The lines of a batch.
pub(super) fn lines(batch: &RecordBatch) -> Vec<u8> {
    let mut out = Vec::with_capacity(batch.num_rows() * 16 * batch.num_columns().max(1));
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        for (i, column) in batch.columns().iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            text.clear();
            if render::value(column, row, &mut text) {
                quote(&text, &mut out);
            }
        }
        out.push(b'\n');
    }
    out
}

/// How the rows of a result lie in its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Layout {
    /// Quoted values, a header first.
    Csv,
    /// One value a line.
    Text,
}

/// Where a result is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResultObject {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) layout: Layout,
}

/// Bytes read at once for a page.
const RANGE: u64 = 1 << 20;

/// Rows from byte `from` on, at most `count`, and where the next page starts.
///
/// # Errors
/// When the object is gone or is not a result.
pub(super) async fn page(
    s3: &aws_sdk_s3::Client,
    result: &ResultObject,
    from: u64,
    count: usize,
) -> Result<(Vec<Vec<Option<String>>>, Option<u64>), Fault> {
    let failed = |e: &aws_sdk_s3::Error| {
        Fault::system(format!(
            "the result s3://{}/{} cannot be read: {}",
            result.bucket,
            result.key,
            sentence(e)
        ))
    };
    let size = s3
        .head_object()
        .bucket(&result.bucket)
        .key(&result.key)
        .send()
        .await
        .map_err(|e| failed(&e.into()))?
        .content_length()
        .and_then(|n| u64::try_from(n).ok())
        .unwrap_or(0);
    let mut rows = Vec::new();
    let mut parser = RowParser::new(result.layout);
    let mut at = from.min(size);
    let mut next = at;
    while at < size && rows.len() < count {
        let want = RANGE.min(size - at);
        let bytes = read_range(s3, &result.bucket, &result.key, at, want)
            .await
            .map_err(|e| failed(&e))?;
        if bytes.is_empty() {
            return Err(Fault::system(format!(
                "the result s3://{}/{} has changed",
                result.bucket, result.key
            )));
        }
        for (i, byte) in bytes.iter().enumerate() {
            if let Some(row) = parser.push(*byte) {
                rows.push(row);
                next = at + i as u64 + 1;
                if rows.len() == count {
                    break;
                }
            }
        }
        at += bytes.len() as u64;
    }
    Ok((rows, (next < size).then_some(next)))
}

/// Splits a result into rows, byte by byte.
struct RowParser {
    layout: Layout,
    row: Vec<Option<String>>,
    value: Vec<u8>,
    was_quoted: bool,
    inside: bool,
}

impl RowParser {
    fn new(layout: Layout) -> Self {
        Self {
            layout,
            row: Vec::new(),
            value: Vec::new(),
            was_quoted: false,
            inside: false,
        }
    }

    fn end_value(&mut self) {
        let bytes = std::mem::take(&mut self.value);
        let given = self.layout == Layout::Text || self.was_quoted || !bytes.is_empty();
        self.row
            .push(given.then(|| String::from_utf8_lossy(&bytes).into_owned()));
        self.was_quoted = false;
    }

    fn push(&mut self, byte: u8) -> Option<Vec<Option<String>>> {
        if self.layout == Layout::Csv {
            match byte {
                b'"' if self.inside => {
                    self.inside = false;
                    return None;
                }
                b'"' => {
                    // A quote right after one is a quote of the text.
                    if self.was_quoted {
                        self.value.push(b'"');
                    }
                    self.was_quoted = true;
                    self.inside = true;
                    return None;
                }
                b',' if !self.inside => {
                    self.end_value();
                    return None;
                }
                _ => {}
            }
        }
        if byte == b'\n' && !self.inside {
            self.end_value();
            return Some(std::mem::take(&mut self.row));
        }
        self.value.push(byte);
        None
    }
}

/// `ResultSetMetadata` of these columns.
pub(super) fn metadata(columns: &[ColumnInfo]) -> Value {
    let columns: Vec<Value> = columns
        .iter()
        .map(|c| {
            json!({
                "CatalogName": "hive",
                "SchemaName": "",
                "TableName": "",
                "Name": c.name,
                "Label": c.name,
                "Type": c.of,
                "Precision": c.precision,
                "Scale": c.scale,
                "Nullable": "UNKNOWN",
                "CaseSensitive": c.case_sensitive,
            })
        })
        .collect();
    json!({"ColumnInfo": columns})
}

/// Rows as `GetQueryResults` gives them: NULL is a datum without a value.
pub(super) fn rows_json(rows: Vec<Vec<Option<String>>>) -> Value {
    rows.into_iter()
        .map(|row| {
            let data: Vec<Value> = row
                .into_iter()
                .map(|value| match value {
                    Some(text) => json!({"VarCharValue": text}),
                    None => json!({}),
                })
                .collect();
            json!({"Data": data})
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn rows_come_back_as_they_were_written() {
        let batch = RecordBatch::try_from_iter([
            (
                "text",
                Arc::new(StringArray::from(vec![
                    Some("a \"quoted\", text\nof two lines"),
                    Some(""),
                    None,
                    Some("\""),
                ])) as _,
            ),
            (
                "n",
                Arc::new(Int64Array::from(vec![Some(1), None, Some(-3), Some(4)])) as _,
            ),
        ])
        .unwrap();
        let written = lines(&batch);
        assert!(written.starts_with(b"\"a \"\"quoted\"\", text\nof two lines\",\"1\"\n\"\",\n,"));
        let mut parser = RowParser::new(Layout::Csv);
        let rows: Vec<_> = written.iter().filter_map(|b| parser.push(*b)).collect();
        let text = |s: &str| Some(s.to_owned());
        assert_eq!(
            rows,
            [
                vec![text("a \"quoted\", text\nof two lines"), text("1")],
                vec![text(""), None],
                vec![None, text("-3")],
                vec![text("\""), text("4")],
            ]
        );
    }

    #[test]
    fn text_rows_are_lines() {
        let mut parser = RowParser::new(Layout::Text);
        let rows: Vec<_> = b"dt=1,\"x\"\n\n"
            .iter()
            .filter_map(|b| parser.push(*b))
            .collect();
        assert_eq!(
            rows,
            [
                vec![Some("dt=1,\"x\"".to_owned())],
                vec![Some(String::new())]
            ]
        );
    }

    #[test]
    fn null_is_a_datum_without_a_value() {
        assert_eq!(
            rows_json(vec![vec![Some("a".into()), None]]),
            json!([{"Data": [{"VarCharValue": "a"}, {}]}])
        );
    }
}
