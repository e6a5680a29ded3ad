#!/usr/bin/env python3
"""awscli, s3fs with pyarrow, awswrangler and PyAthena on a lake that a pipeline has landed.

All must find the same rows. Prints one JSON line per client.
"""

import argparse
import datetime
import decimal
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import awswrangler as wr
import boto3
import pandas as pd
import pyarrow.dataset as ds
import pyathena
import s3fs
from pyathena.pandas.cursor import PandasCursor

REGION = "us-east-1"


class Lake:
    def __init__(self, arguments):
        self.endpoint, self.bucket, self.prefix = arguments.endpoint, arguments.bucket, arguments.prefix
        self.database, self.table = arguments.database, arguments.table
        self.results = f"s3://{self.bucket}/results/"

    def by_symbol(self):
        return f"SELECT symbol, count(*) AS n, sum(price) AS total, max(ts_event) AS latest FROM {self.table} GROUP BY symbol ORDER BY symbol"


def awscli(lake):
    """The command line: its own S3 transfer manager, JSON and table outputs, and waiting for Athena by hand."""

    def aws(*words):
        command = [sys.executable, "-m", "awscli", "--endpoint-url", lake.endpoint, "--region", REGION, "--output", "json", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"aws {' '.join(words)}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip().startswith(("{", "[")) else done.stdout

    listed = aws("s3", "ls", f"s3://{lake.bucket}/{lake.prefix}/", "--recursive")
    files = [line.split()[-1] for line in listed.splitlines() if line.endswith(".parquet")]
    assert files, listed
    with tempfile.TemporaryDirectory() as folder:
        aws("s3", "sync", f"s3://{lake.bucket}/{lake.prefix}/", folder, "--only-show-errors")
        rows = ds.dataset([str(p) for p in Path(folder).rglob("*.parquet")]).count_rows()
        big = Path(folder) / "big"
        big.write_bytes(os.urandom(20 << 20))
        aws("s3", "cp", str(big), f"s3://{lake.bucket}/awscli/big", "--only-show-errors")
        back = Path(folder) / "back"
        aws("s3", "cp", f"s3://{lake.bucket}/awscli/big", str(back), "--only-show-errors")
        assert back.read_bytes() == big.read_bytes()
        aws("s3", "rm", f"s3://{lake.bucket}/awscli/", "--recursive", "--only-show-errors")
    tables = aws("glue", "get-tables", "--database-name", lake.database)["TableList"]
    assert lake.table in [t["Name"] for t in tables], tables
    partitions = aws("glue", "get-partitions", "--database-name", lake.database, "--table-name", lake.table)["Partitions"]
    assert partitions
    started = aws("athena", "start-query-execution", "--query-string", f"SELECT count(*) FROM {lake.table}",
                  "--result-configuration", f"OutputLocation={lake.results}", "--query-execution-context", f"Database={lake.database}")["QueryExecutionId"]
    deadline = time.monotonic() + 60
    while True:
        status = aws("athena", "get-query-execution", "--query-execution-id", started)["QueryExecution"]["Status"]
        if status["State"] not in ("QUEUED", "RUNNING"):
            break
        assert time.monotonic() < deadline, status
    assert status["State"] == "SUCCEEDED", status
    result = aws("athena", "get-query-results", "--query-execution-id", started)["ResultSet"]["Rows"]
    assert int(result[1]["Data"][0]["VarCharValue"]) == rows, (result, rows)
    return rows


def s3fs_and_pyarrow(lake):
    """A dataset straight off the object store, partitions from the names of the folders."""
    fs = s3fs.S3FileSystem(endpoint_url=lake.endpoint, client_kwargs={"region_name": REGION})
    folder = f"{lake.bucket}/{lake.prefix}"
    assert fs.isdir(folder)
    dataset = ds.dataset(sorted(fs.glob(f"{folder}/**/*.parquet")), filesystem=fs, format="parquet", partitioning="hive")
    rows = dataset.count_rows()
    seen = dataset.to_table(columns=["symbol", "price"])
    assert seen.num_rows == rows and str(seen.schema.field("price").type).startswith("decimal128"), seen.schema
    with fs.open(f"{lake.bucket}/s3fs/note", "wb") as file:
        file.write(b"x" * (6 << 20))
    assert fs.info(f"{lake.bucket}/s3fs/note")["size"] == 6 << 20
    assert fs.cat(f"{lake.bucket}/s3fs/note", start=0, end=3) == b"xxx"
    fs.rm(f"{lake.bucket}/s3fs", recursive=True)
    assert not fs.exists(f"{lake.bucket}/s3fs/note")
    return rows


def wrangler(lake):
    """pandas on AWS: catalog, SQL by both of its ways of fetching, and writing a table of one's own."""
    for service in ("s3", "glue", "athena", "sts"):
        setattr(wr.config, f"{service}_endpoint_url", lake.endpoint)
    session = boto3.Session(region_name=REGION)
    tables = [t["Name"] for t in wr.catalog.get_tables(database=lake.database, boto3_session=session)]
    assert lake.table in tables, tables
    types = wr.catalog.get_table_types(database=lake.database, table=lake.table, boto3_session=session)
    assert types["symbol"] == "string" and types["price"].startswith("decimal"), types
    query = {"database": lake.database, "s3_output": lake.results, "boto3_session": session}
    frame = wr.athena.read_sql_query(lake.by_symbol(), ctas_approach=False, **query)
    assert isinstance(frame["total"][0], decimal.Decimal), frame.dtypes
    assert pd.api.types.is_datetime64_any_dtype(frame["latest"]) or isinstance(frame["latest"][0], datetime.datetime), frame.dtypes
    rows = int(frame["n"].sum())
    chunks = wr.athena.read_sql_query(f"SELECT symbol, price FROM {lake.table}", ctas_approach=False, chunksize=100_000, **query)
    assert sum(len(c) for c in chunks) == rows
    named = wr.athena.read_sql_query(f"SELECT count(*) AS n FROM {lake.table} WHERE symbol = :symbol", ctas_approach=False,
                                     params={"symbol": str(frame["symbol"][0])}, paramstyle="named", **query)
    assert int(named["n"][0]) == int(frame["n"][0])
    own = pd.DataFrame({"symbol": ["A", "B"], "weight": [0.25, 0.75], "dt": ["2026-11-20", "2026-11-21"]})
    wr.s3.to_parquet(own, path=f"s3://{lake.bucket}/wrangler/weights/", dataset=True, database=lake.database,
                     table="weights", partition_cols=["dt"], boto3_session=session)
    back = wr.athena.read_sql_query("SELECT symbol, weight, dt FROM weights ORDER BY symbol", ctas_approach=False, **query)
    assert back.to_dict("list") == own.to_dict("list"), back
    assert wr.catalog.delete_table_if_exists(database=lake.database, table="weights", boto3_session=session)
    wr.s3.delete_objects(f"s3://{lake.bucket}/wrangler/", boto3_session=session)
    assert not wr.s3.list_objects(f"s3://{lake.bucket}/wrangler/", boto3_session=session)
    return rows


def py_athena(lake):
    """DB-API 2.0, with parameters, types, the pandas cursor, and an error as an exception."""
    arguments = {"s3_staging_dir": lake.results, "schema_name": lake.database, "region_name": REGION,
                 "endpoint_url": lake.endpoint, "poll_interval": 0.05}
    with pyathena.connect(**arguments) as connection, connection.cursor() as cursor:
        cursor.execute(lake.by_symbol())
        names = [d[0] for d in cursor.description]
        assert names == ["symbol", "n", "total", "latest"], names
        found = cursor.fetchall()
        symbol, n, total, latest = found[0]
        assert isinstance(n, int) and isinstance(total, decimal.Decimal), found[0]
        assert isinstance(latest, datetime.datetime), found[0]
        rows = sum(row[1] for row in found)
        cursor.execute(f"SELECT count(*) FROM {lake.table} WHERE symbol = %(symbol)s", {"symbol": symbol})
        assert cursor.fetchone() == (n,)
        assert cursor.data_scanned_in_bytes > 0
        try:
            cursor.execute("SELECT nothing FROM nowhere")
            raise AssertionError("a query on nothing was taken")
        except pyathena.error.DatabaseError as error:
            assert "nowhere" in str(error), error
    with pyathena.connect(cursor_class=PandasCursor, **arguments) as connection:
        frame = connection.cursor().execute(f"SELECT symbol, price FROM {lake.table} LIMIT 1000").as_pandas()
        assert len(frame) == 1000
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("endpoint", "bucket", "prefix", "database", "table"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--rows", type=int, required=True)
    arguments = parser.parse_args()
    lake = Lake(arguments)
    os.environ["AWS_ENDPOINT_URL"] = lake.endpoint
    for client in (awscli, s3fs_and_pyarrow, wrangler, py_athena):
        started = time.monotonic()
        try:
            rows = client(lake)
        except BaseException as error:
            error.add_note(f"client {client.__name__}")
            raise
        assert rows == arguments.rows, f"{client.__name__} found {rows} rows of {arguments.rows}"
        print(json.dumps({"client": client.__name__, "rows": rows, "seconds": round(time.monotonic() - started, 2)}), flush=True)


if __name__ == "__main__":
    main()
