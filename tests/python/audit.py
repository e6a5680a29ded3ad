#!/usr/bin/env python3
"""Audits a lake against its topic with nothing of stockpipe's own.

Reads every record of the topic with a Kafka client and every object under the
prefix with boto3 and pyarrow, and demands that the two hold the same ticks,
each exactly once, with the same values. Prints one JSON line; exits 1 on any
difference.
"""

import argparse
import collections
import gzip
import io
import json
import sys
from decimal import Decimal

import boto3
import pyarrow.parquet as pq
from botocore.config import Config
from confluent_kafka import Consumer, TopicPartition

DECIMALS = {
    "price", "size", "bid_price", "bid_size", "ask_price", "ask_size",
    "open", "high", "low", "close", "adj_close", "volume",
}
# Written at the lander from `ts_event_ns`; the wire has only the nanoseconds.
LAKE_ONLY = {"ts_event"}


def normal(row):
    """One tick as a hashable value: absent is None, decimals by value, dates as text."""
    out = []
    for name, value in row.items():
        if value is None or name in LAKE_ONLY:
            continue
        if name in DECIMALS:
            value = Decimal(str(value)).normalize()
        elif isinstance(value, list):
            value = tuple(value)
        elif name == "trade_date":
            value = str(value)
        out.append((name, value))
    return tuple(sorted(out))


def records(bootstrap, topic):
    """The values of every tick of a topic, and how many heartbeats are beside them."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": "audit", "enable.auto.commit": False,
        "isolation.level": "read_committed", "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
    })
    metadata = consumer.list_topics(topic, timeout=30).topics[topic]
    if metadata.error is not None:
        raise SystemExit(f"audit: topic {topic}: {metadata.error}")
    open_partitions = set(metadata.partitions)
    consumer.assign([TopicPartition(topic, p, 0) for p in open_partitions])
    values, heartbeats = [], 0
    while open_partitions:
        for message in consumer.consume(5000, timeout=10):
            if message.error() is not None:
                if message.error().name() == "_PARTITION_EOF":
                    open_partitions.discard(message.partition())
                    continue
                raise SystemExit(f"audit: {message.error()}")
            if dict(message.headers() or []).get("stockpipe-kind") == b"heartbeat":
                heartbeats += 1
                continue
            values.append(message.value())
    consumer.close()
    return values, heartbeats


def from_kafka(bootstrap, topic):
    values, heartbeats = records(bootstrap, topic)
    ticks = collections.Counter(normal(json.loads(value, parse_float=Decimal)) for value in values)
    return ticks, heartbeats


def from_lake(s3, bucket, prefix):
    ticks, files = collections.Counter(), 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + "/"):
        for item in page.get("Contents", []):
            body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
            files += 1
            if item["Key"].endswith(".parquet"):
                rows = pq.read_table(io.BytesIO(body)).to_pylist()
            elif item["Key"].endswith((".json.gz", ".json")):
                text = gzip.decompress(body) if item["Key"].endswith(".gz") else body
                rows = [json.loads(line, parse_float=Decimal) for line in text.splitlines()]
            else:
                raise SystemExit(f"audit: {item['Key']} is of no known format")
            for row in rows:
                ticks[normal(row)] += 1
    return ticks, files


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bootstrap", "topic", "endpoint", "bucket", "prefix"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--expect", type=int, help="how many ticks there must be at least")
    args = parser.parse_args()
    s3 = boto3.client("s3", endpoint_url=args.endpoint, region_name="us-east-1",
                      config=Config(s3={"addressing_style": "path"}))
    kafka, heartbeats = from_kafka(args.bootstrap, args.topic)
    lake, files = from_lake(s3, args.bucket, args.prefix)
    lost, extra = kafka - lake, lake - kafka
    result = {
        "kafka": sum(kafka.values()), "lake": sum(lake.values()), "distinct": len(lake),
        "heartbeats": heartbeats, "files": files,
        "lost": sum(lost.values()), "extra_or_doubled": sum(extra.values()),
    }
    print(json.dumps(result))
    for what, some in (("lost", lost), ("extra", extra)):
        for tick in list(some)[:3]:
            print(f"{what}: {dict(tick)}", file=sys.stderr)
    repeated = [t for t, n in kafka.items() if n > 1]
    if repeated:
        print(f"repeated in Kafka: {dict(repeated[0])}", file=sys.stderr)
    enough = args.expect is None or result["lake"] >= args.expect
    return 0 if not lost and not extra and not repeated and enough else 1


if __name__ == "__main__":
    sys.exit(main())
