#!/usr/bin/env python3
"""A lake of any format, read back by pyarrow, DuckDB, polars and Athena.

Every value and every type that each of them sees must be that of the ticks in
Kafka. `--feed` first sends ticks of a feed of others, whose texts and numbers
are as unkind as a format has to bear. Prints one JSON line; exits 1 on any
difference. The readers below are those of docs/guides/formats.md.
"""

import argparse
import collections
import datetime
import glob
import json
import os
import shutil
import sys
import tempfile
import time
from decimal import Decimal

import audit
import boto3
import confluent_kafka
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq
from botocore.config import Config

PRICES = ["price", "bid_price", "ask_price", "open", "high", "low", "close", "adj_close"]
SIZES = ["size", "bid_size", "ask_size", "volume"]
NUMBERS = ["seq", "source_seq", "ts_event_ns", "ts_recv_ns", "ts_ingest_ns"]
NAMES = [
    "symbol", "venue", "source", "kind", "run", "seq", "source_seq", "ts_event", "ts_event_ns", "ts_recv_ns",
    "ts_ingest_ns", "trade_date", "session", "currency", "price", "size", "side", "trade_id", "bid_price", "bid_size",
    "ask_price", "ask_size", "open", "high", "low", "close", "adj_close", "volume", "status", "conditions", "flags",
]


def typed(string, bigint, timestamp, date, price, size, integer):
    """A schema: the type of every column, in the table's order."""
    special = {"ts_event": timestamp, "trade_date": date, "flags": integer}
    special.update(dict.fromkeys(PRICES, price) | dict.fromkeys(SIZES, size) | dict.fromkeys(NUMBERS, bigint))
    return {name: special.get(name, string) for name in NAMES}


ARROW = pa.schema(typed(pa.string(), pa.int64(), pa.timestamp("ms"), pa.date32(), pa.decimal128(18, 9),
                        pa.decimal128(28, 10), pa.int32()))
DUCKDB = typed("VARCHAR", "BIGINT", "TIMESTAMP_MS", "DATE", "DECIMAL(18,9)", "DECIMAL(28,10)", "INTEGER")
POLARS = typed(pl.String, pl.Int64, pl.Datetime("ms"), pl.Date, pl.Decimal(18, 9), pl.Decimal(28, 10), pl.Int32)
ATHENA = typed("varchar", "bigint", "timestamp", "date", "decimal", "decimal", "integer")


# --- readers: files of one format in, an Arrow table out -------------------------------------------------------------

def pyarrow_reads(form, files):
    if form == "Parquet":
        return pa.concat_tables(pq.read_table(file, partitioning=None) for file in files)
    if form == "Json":
        # Dates are no type of its JSON reader.
        schema = ARROW.set(ARROW.get_field_index("trade_date"), pa.field("trade_date", pa.string()))
        options = pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
        table = pa.concat_tables(pa_json.read_json(file, parse_options=options).select(NAMES) for file in files)
        at = table.schema.get_field_index("trade_date")
        return table.set_column(at, "trade_date", table["trade_date"].cast(pa.date32()))
    options = pa_csv.ConvertOptions(
        column_types=ARROW, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False)
    return pa.concat_tables(pa_csv.read_csv(file, convert_options=options) for file in files)


def duckdb_reads(form, files):
    if form == "Parquet":
        query = duckdb.read_parquet(files, hive_partitioning=False)
    elif form == "Json":
        query = duckdb.read_json(files, columns=DUCKDB, format="newline_delimited", hive_partitioning=False)
    else:
        query = duckdb.sql(
            "SELECT * FROM read_csv($files, columns = $columns, header = true, delim = ',', quote = '\"', "
            "escape = '\"', nullstr = '', allow_quoted_nulls = false, auto_detect = false, hive_partitioning = false)",
            params={"files": files, "columns": DUCKDB})
    return query.to_arrow_table()


def polars_reads(form, files):
    if form == "Parquet":
        return pl.concat(pl.read_parquet(file, hive_partitioning=False) for file in files).to_arrow()
    if form == "Csv":
        return pl.concat(pl.read_csv(file, schema=POLARS, null_values=[]) for file in files).to_arrow()
    # Its JSON reader takes numbers through a float, which is exact to 15 digits; and no timestamps.
    texts = {name: pl.String if of == pl.Datetime("ms") or of.is_decimal() else of for name, of in POLARS.items()}
    frame = pl.concat(pl.read_ndjson(file, schema=texts) for file in files)
    decimals = [pl.col(name).cast(POLARS[name], strict=False) for name in PRICES + SIZES]
    at = pl.col("ts_event").str.to_datetime("%Y-%m-%d %H:%M:%S%.3f", time_unit="ms")
    return frame.with_columns(at, *decimals).to_arrow()


READERS = {"pyarrow": pyarrow_reads, "duckdb": duckdb_reads, "polars": polars_reads}


# --- Athena ----------------------------------------------------------------------------------------------------------

def athena_reads(athena, pipeline):
    """Rows and types of a SELECT of everything; a table of CSV is cast as the guide says."""
    columns = NAMES
    if pipeline.form == "Csv":
        casts = typed("", "bigint", "timestamp", "date", "decimal(18,9)", "decimal(28,10)", "integer")
        text = {name: f"NULLIF({name}, '')" for name in NAMES}
        columns = [f"CAST({text[n]} AS {of}) AS {n}" if of else f"{text[n]} AS {n}" for n, of in casts.items()]
    query = athena.start_query_execution(
        QueryString=f"SELECT {', '.join(columns)} FROM {pipeline.table}",
        QueryExecutionContext={"Database": "stockpipe"},
        ResultConfiguration={"OutputLocation": f"s3://{pipeline.bucket}/_answers/"},
    )["QueryExecutionId"]
    while True:
        status = athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
        if status["State"] not in ("QUEUED", "RUNNING"):
            break
        time.sleep(0.05)
    if status["State"] != "SUCCEEDED":
        raise SystemExit(f"formats: Athena on {pipeline.table}: {status}")
    rows, types = [], {}
    for page in athena.get_paginator("get_query_results").paginate(QueryExecutionId=query):
        info = page["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
        types = {column["Name"]: column["Type"] for column in info}
        for row in page["ResultSet"]["Rows"]:
            rows.append([cell.get("VarCharValue") for cell in row["Data"]])
    # The first row of the first page has the names.
    return [dict(zip(NAMES, map(parsed, NAMES, row))) for row in rows[1:]], types


def parsed(name, text):
    of = ATHENA[name]
    if text is None or of == "varchar":
        return text
    if of == "decimal":
        return Decimal(text)
    if of == "timestamp":
        return datetime.datetime.fromisoformat(text)
    if of == "date":
        return datetime.date.fromisoformat(text)
    return int(text)


# --- what was sent ---------------------------------------------------------------------------------------------------

EPOCH = datetime.datetime(1970, 1, 1)


def expected(record):
    """A record of the topic as the row that it must be."""
    row = dict.fromkeys(NAMES)
    row.update(json.loads(record, parse_float=Decimal))
    for name in PRICES + SIZES:
        row[name] = None if row[name] is None else Decimal(row[name])
    row["trade_date"] = datetime.date.fromisoformat(row["trade_date"])
    row["ts_event"] = EPOCH + datetime.timedelta(milliseconds=row["ts_event_ns"] // 1_000_000)
    return row


def is_a_line(row):
    """Whether CSV can hold it: no text has a line break."""
    return not any(isinstance(value, str) and any(ord(c) < 32 for c in value) for value in row.values())


def feed(bootstrap, topic):
    """Ticks of another feed: every kind that the simulator rarely makes, and what formats stumble over."""
    at = 1_763_650_800_123_456_789
    unkind = [
        {"kind": "bar", "open": "1.5", "high": "2", "low": "0.000000001", "close": "1.75", "adj_close": "1.5",
         "volume": "123456789012345678.0123456789"},
        {"kind": "gap", "source_seq": 2**63 - 1, "size": "3"},
        {"kind": "corporate_action", "status": "split", "size": "4"},
        {"symbol": "NA", "venue": "", "conditions": '@,"I" \\ é'},
        {"symbol": "NULL", "venue": "null", "status": " spaces ", "conditions": '"', "trade_id": "007"},
        {"symbol": "nan", "status": "''", "currency": "a\\\"b,", "conditions": "#,;|\u2028 日本"},
        {"symbol": "true", "price": "999999999.999999999", "size": "-999999999999999999.9999999999"},
        {"symbol": "1E5", "price": "-0.000000001", "flags": -1, "session": "pre", "side": "sell", "trade_id": "1e5"},
        {"ts_event_ns": -1, "trade_date": "1969-12-31", "ts_recv_ns": 0, "ts_ingest_ns": -(2**63)},
        {"status": "two\nlines"},
    ]
    producer = confluent_kafka.Producer({"bootstrap.servers": bootstrap})
    for seq, tick in enumerate(unkind):
        tick = {"symbol": "A", "source": "unkind", "kind": "trade", "run": "unkind", "seq": seq, "ts_event_ns": at + seq,
                "trade_date": "2025-11-20"} | tick
        # Decimals are numbers on the wire.
        numbers = [f'"{name}":{tick.pop(name)}' for name in PRICES + SIZES if name in tick]
        record = "{" + ",".join([json.dumps(tick)[1:-1], *numbers]) + "}"
        producer.produce(topic, key=tick["symbol"], value=record.encode())
    if producer.flush(30) > 0:
        raise SystemExit(f"formats: {topic} took no ticks")


# --- comparing -------------------------------------------------------------------------------------------------------

def order(row):
    return row["source"], row["run"], row["symbol"], row["seq"]


def digits(number):
    return len(number.normalize().as_tuple().digits)


def differences(rows, wanted, through_float=False):
    """Sentences, the first few of them."""
    if len(rows) != len(wanted):
        return [f"{len(rows)} rows, {len(wanted)} were sent"]
    found = []
    for row, want in zip(sorted(rows, key=order), wanted):
        for name in NAMES:
            beyond = through_float and isinstance(want[name], Decimal) and digits(want[name]) > 15
            if row[name] != want[name] and not beyond:
                found.append(f"{order(want)}: {name} is {row[name]!r}, {want[name]!r} was sent")
    return found[:5]


def alike(of):
    """A type without what is a reader's own: wide offsets, a finer unit of time."""
    return str(of).replace("large_string", "string").replace("timestamp[us]", "timestamp[ms]")


class Pipeline:
    def __init__(self, text):
        self.name, self.form, self.compression = text.split(":")
        self.topic, self.bucket, self.prefix = f"{self.name}.ticks", f"lake-{self.name}", f"{self.name}/ticks"
        self.table = f"{self.name.replace('-', '_')}_ticks"

    def files(self, s3, folder):
        """Its files in `folder`, and how many bytes they have."""
        names, size = [], 0
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + "/"):
            for item in page.get("Contents", []):
                name = os.path.join(folder, os.path.basename(item["Key"]))
                s3.download_file(self.bucket, item["Key"], name)
                names.append(name)
                size += item["Size"]
        return names, size


def check(pipeline, bootstrap, s3, athena, folder):
    sent = [expected(record) for record in audit.records(bootstrap, pipeline.topic)[0]]
    wanted = sorted((row for row in sent if pipeline.form != "Csv" or is_a_line(row)), key=order)
    names, size = pipeline.files(s3, folder)
    wrong = []
    for reader, read in READERS.items():
        table = read(pipeline.form, names)
        for field in ARROW:
            of = table.schema.field(field.name).type
            if alike(of) != alike(field.type):
                wrong.append(f"{reader}: {field.name} is {of}, and should be {field.type}")
        through_float = (reader, pipeline.form) == ("polars", "Json")
        wrong += [f"{reader}: {what}" for what in differences(table.to_pylist(), wanted, through_float)]
    rows, types = athena_reads(athena, pipeline)
    wrong += [f"athena: {name} is {types[name]}" for name in NAMES if types[name] != ATHENA[name]]
    # What is null and what is empty is one in a table of OpenCSVSerde.
    if pipeline.form == "Csv":
        wanted = [{name: None if value == "" else value for name, value in row.items()} for row in wanted]
    wrong += [f"athena: {what}" for what in differences(rows, wanted)]
    for what in wrong:
        print(f"{pipeline.name}: {what}", file=sys.stderr)
    return {
        "name": pipeline.name, "sent": len(sent), "rows": len(wanted), "bytes": size, "files": len(names),
        "kinds": sorted(collections.Counter(row["kind"] for row in wanted)), "wrong": len(wrong),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bootstrap", "endpoint"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--feed", action="store_true", help="send the unkind ticks, and nothing else")
    parser.add_argument("--keep", help="folder for one file of each pipeline")
    parser.add_argument("pipelines", nargs="+", type=Pipeline, metavar="NAME:FORMAT:COMPRESSION")
    args = parser.parse_args()
    if args.feed:
        for pipeline in args.pipelines:
            feed(args.bootstrap, pipeline.topic)
        return 0
    path = Config(s3={"addressing_style": "path"})
    s3, athena = (boto3.client(service, endpoint_url=args.endpoint, region_name="us-east-1", config=path)
                  for service in ("s3", "athena"))
    results = []
    for pipeline in args.pipelines:
        with tempfile.TemporaryDirectory() as folder:
            results.append(check(pipeline, args.bootstrap, s3, athena, folder))
            if args.keep:
                largest = max(glob.glob(f"{folder}/*"), key=os.path.getsize)
                shutil.copy(largest, os.path.join(args.keep, f"{pipeline.name}.{os.path.basename(largest).split('.', 1)[1]}"))
    print(json.dumps(results))
    return 1 if any(result["wrong"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
