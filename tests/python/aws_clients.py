#!/usr/bin/env python3
"""boto3 on the local S3, Glue and Athena, as a data engineer would use them."""

import argparse
import io
import os
import time

import boto3
import botocore.exceptions
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.config import Config

BUCKET, DATABASE = "boto3-lake", "boto3_db"


def refused(code, call, **arguments):
    """Asserts that AWS's own code is the answer."""
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return
    raise AssertionError(f"{code} was expected")


def s3_story(s3):
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="a/b", Body=b"first", Metadata={"claim": "x"}, IfNoneMatch="*")
    refused("PreconditionFailed", s3.put_object, Bucket=BUCKET, Key="a/b", Body=b"second", IfNoneMatch="*")
    assert s3.get_object(Bucket=BUCKET, Key="a/b")["Body"].read() == b"first"
    assert s3.head_object(Bucket=BUCKET, Key="a/b")["Metadata"] == {"claim": "x"}
    assert s3.get_object(Bucket=BUCKET, Key="a/b", Range="bytes=1-2")["Body"].read() == b"ir"
    s3.put_object(Bucket=BUCKET, Key="a", Body=b"beside a/b")
    big = os.urandom(20 * 1024 * 1024)
    s3.upload_fileobj(io.BytesIO(big), BUCKET, "big")
    assert s3.get_object(Bucket=BUCKET, Key="big")["Body"].read() == big
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "a/b"})
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert keys == ["a", "a/b", "big", "copy"], keys
    folders = s3.list_objects_v2(Bucket=BUCKET, Delimiter="/")
    assert [p["Prefix"] for p in folders["CommonPrefixes"]] == ["a/"]
    gone = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": k} for k in keys]})
    assert len(gone["Deleted"]) == 4
    refused("NoSuchKey", s3.get_object, Bucket=BUCKET, Key="a")


def glue_story(s3, glue):
    table = pa.table({"symbol": ["AAPL", "KO", "AAPL"], "price": pa.array(["1.5", "2.5", "3.5"]).cast(pa.decimal128(18, 9))})
    for hour in ("00", "01"):
        body = io.BytesIO()
        pq.write_table(table, body)
        s3.put_object(Bucket=BUCKET, Key=f"t/dt=2026-11-20/hour={hour}/f.parquet", Body=body.getvalue())
    glue.create_database(DatabaseInput={"Name": DATABASE})
    refused("AlreadyExistsException", glue.create_database, DatabaseInput={"Name": DATABASE})
    descriptor = {
        "Columns": [{"Name": "symbol", "Type": "string"}, {"Name": "price", "Type": "decimal(18,9)"}],
        "Location": f"s3://{BUCKET}/t/",
        "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
    }
    keys = [{"Name": "dt", "Type": "string"}, {"Name": "hour", "Type": "string"}]
    glue.create_table(DatabaseName=DATABASE, TableInput={
        "Name": "t", "StorageDescriptor": descriptor, "PartitionKeys": keys, "TableType": "EXTERNAL_TABLE"})
    answer = glue.batch_create_partition(DatabaseName=DATABASE, TableName="t", PartitionInputList=[
        {"Values": ["2026-11-20", h],
         "StorageDescriptor": {**descriptor, "Location": f"s3://{BUCKET}/t/dt=2026-11-20/hour={h}/"}}
        for h in ("00", "01")])
    assert not answer.get("Errors"), answer
    assert [t["Name"] for t in glue.get_tables(DatabaseName=DATABASE)["TableList"]] == ["t"]
    some = glue.get_partitions(DatabaseName=DATABASE, TableName="t", Expression="hour > '00'")["Partitions"]
    assert [p["Values"] for p in some] == [["2026-11-20", "01"]]


def run(athena, sql):
    started = athena.start_query_execution(
        QueryString=sql, QueryExecutionContext={"Database": DATABASE},
        ResultConfiguration={"OutputLocation": f"s3://{BUCKET}/results/"})["QueryExecutionId"]
    deadline = time.monotonic() + 60
    while True:
        execution = athena.get_query_execution(QueryExecutionId=started)["QueryExecution"]
        if execution["Status"]["State"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
            return started, execution
        assert time.monotonic() < deadline, execution
        time.sleep(0.05)


def athena_story(s3, athena):
    started, execution = run(athena, "SELECT symbol, sum(price) AS total FROM t GROUP BY symbol ORDER BY symbol")
    assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
    rows = athena.get_query_results(QueryExecutionId=started)["ResultSet"]["Rows"]
    table = [[c.get("VarCharValue") for c in r["Data"]] for r in rows]
    assert table == [["symbol", "total"], ["AAPL", "10.000000000"], ["KO", "5.000000000"]], table
    location = execution["ResultConfiguration"]["OutputLocation"].removeprefix(f"s3://{BUCKET}/")
    assert s3.get_object(Bucket=BUCKET, Key=location)["Body"].read().startswith(b'"symbol","total"\n')
    _, all_hours = run(athena, "SELECT count(price) FROM t")
    _, one_hour = run(athena, "SELECT count(price) FROM t WHERE hour = '01'")
    scanned = [e["Statistics"]["DataScannedInBytes"] for e in (all_hours, one_hour)]
    assert 0 < scanned[1] < scanned[0], scanned
    _, failed = run(athena, "SELECT nothing FROM t")
    assert failed["Status"]["State"] == "FAILED", failed
    assert "nothing" in failed["Status"]["StateChangeReason"], failed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True)
    endpoint = parser.parse_args().endpoint
    s3, glue, athena = (
        boto3.client(s, endpoint_url=endpoint, region_name="us-east-1", config=Config(retries={"max_attempts": 1}))
        for s in ("s3", "glue", "athena"))
    s3_story(s3)
    glue_story(s3, glue)
    athena_story(s3, athena)
    wrong = boto3.client("glue", endpoint_url=endpoint, region_name="us-east-1",
                         aws_access_key_id="AKIAWRONG", aws_secret_access_key="wrong")
    try:
        wrong.get_databases()
        raise AssertionError("a wrong key was taken")
    except botocore.exceptions.ClientError:
        pass
    print("boto3: s3, glue, athena as expected; a wrong key is refused")


if __name__ == "__main__":
    main()
