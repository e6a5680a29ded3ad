#!/usr/bin/env python3
"""confluent-kafka (librdkafka) and kafka-python on one broker, as a developer would use them.

Prints one JSON line per client. Every story asserts what the client itself says.
"""

import argparse
import json
import threading
import time

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic as PyTopic
from kafka.errors import TopicAlreadyExistsError

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
RECORDS = 500
PATIENCE = 60


def until(what, look):
    deadline = time.monotonic() + PATIENCE
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.05)


def payload(codec, n):
    return f"{codec}-{n:06d}-{'x' * (n % 97)}".encode()


def expected(start=0):
    """Keys and values of every codec, sorted."""
    return sorted((f"{n % 7}".encode(), payload(c, n)) for c in CODECS for n in range(start, RECORDS))


class Librdkafka:
    """confluent-kafka."""

    name = "confluent-kafka"

    def __init__(self, bootstrap):
        self.bootstrap = {"bootstrap.servers": bootstrap}
        self.admin = AdminClient(self.bootstrap)
        self.topic = "librdkafka"

    def topics(self):
        made = self.admin.create_topics([NewTopic(self.topic, 3, 1, config={"retention.ms": "-1"})])
        made[self.topic].result(PATIENCE)
        again = self.admin.create_topics([NewTopic(self.topic, 3, 1)])[self.topic]
        assert again.exception(PATIENCE).args[0].code() == ck.KafkaError.TOPIC_ALREADY_EXISTS
        self.admin.create_partitions([NewPartitions(self.topic, 4)])[self.topic].result(PATIENCE)
        until("4 partitions", lambda: len(self.admin.list_topics(self.topic).topics[self.topic].partitions) == 4)
        resource = ConfigResource(ConfigResource.Type.TOPIC, self.topic)
        read = self.admin.describe_configs([resource])[resource].result(PATIENCE)
        assert read["retention.ms"].value == "-1", read["retention.ms"]
        cluster = self.admin.describe_cluster().result(PATIENCE)
        assert len(cluster.nodes) == 1 and cluster.cluster_id, cluster

    def produce(self):
        for codec in CODECS:
            producer = ck.Producer({**self.bootstrap, "enable.idempotence": True, "compression.type": codec, "linger.ms": 5})
            failed = []
            for n in range(RECORDS):
                producer.produce(self.topic, payload(codec, n), key=f"{n % 7}", timestamp=1_000_000 + n,
                                 headers={"codec": codec}, on_delivery=lambda e, _: failed.append(e) if e else None)
            assert producer.flush(PATIENCE) == 0 and not failed, failed

    def consumer(self, group, **more):
        return ck.Consumer({**self.bootstrap, "group.id": group, "auto.offset.reset": "earliest",
                            "enable.auto.commit": False, "session.timeout.ms": 6000, "heartbeat.interval.ms": 200,
                            "check.crcs": True, **more})

    def consume(self):
        consumer = self.consumer("librdkafka-readers")
        consumer.subscribe([self.topic])
        read = []
        until("every record", lambda: read.extend(consumer.consume(1000, 0.2)) or len(read) >= RECORDS * len(CODECS))
        assert not [m.error() for m in read if m.error()]
        assert sorted((m.key(), m.value()) for m in read) == expected()
        assert all(dict(m.headers())["codec"] == m.value().split(b"-")[0] for m in read)
        consumer.commit(asynchronous=False)
        committed = consumer.committed(consumer.assignment())
        assert sum(p.offset for p in committed if p.offset > 0) == len(read), committed
        listed = [g.group_id for g in self.admin.list_consumer_groups().result(PATIENCE).valid]
        assert "librdkafka-readers" in listed, listed
        group = self.admin.describe_consumer_groups(["librdkafka-readers"])["librdkafka-readers"].result(PATIENCE)
        assert group.state.name == "STABLE" and len(group.members) == 1, group
        assert len(group.members[0].assignment.topic_partitions) == 4
        consumer.close()
        self.admin.delete_consumer_groups(["librdkafka-readers"])["librdkafka-readers"].result(PATIENCE)
        left = [g.group_id for g in self.admin.list_consumer_groups().result(PATIENCE).valid]
        assert "librdkafka-readers" not in left, left

    def rebalance(self):
        """Two members share the partitions, one leaves, the other has all (cooperative)."""
        members = [self.consumer("librdkafka-shared", **{"partition.assignment.strategy": "cooperative-sticky"}) for _ in range(2)]
        for member in members:
            member.subscribe([self.topic])

        def sizes(of):
            for member in of:
                member.poll(0.02)
            return sorted(len(m.assignment()) for m in of)

        until("2 and 2 partitions", lambda: sizes(members) == [2, 2])
        members[0].close()
        until("all 4 partitions", lambda: sizes(members[1:]) == [4])
        members[1].close()

    def static_member(self):
        """A static member that comes back within its session has its partitions without a rebalance, leader or not."""
        for leads in (False, True):
            group = f"librdkafka-static-{leads}"
            revoked = []

            def other():
                consumer = self.consumer(group, **{"group.instance.id": "other"})
                consumer.subscribe([self.topic], on_revoke=lambda _, partitions: revoked.append(partitions))
                return consumer

            def fixed():
                consumer = self.consumer(group, **{"group.instance.id": "fixed", "session.timeout.ms": 30000})
                consumer.subscribe([self.topic])
                return consumer

            def sizes(of):
                for member in of:
                    member.poll(0.02)
                return [len(member.assignment()) for member in of]

            # Who has all partitions leads the group.
            first = fixed() if leads else other()
            until("all 4 partitions", lambda: sizes([first]) == [4])
            member, beside = (first, other()) if leads else (fixed(), first)
            until("2 and 2 partitions", lambda: sizes([beside, member]) == [2, 2])
            had = sorted(p.partition for p in member.assignment())
            revoked.clear()
            member.close()
            member = fixed()
            until("its partitions again", lambda: sizes([beside, member])[1] == 2)
            assert sorted(p.partition for p in member.assignment()) == had
            # As long as a heartbeat or two, with which a rebalance would be told.
            end = time.monotonic() + 4
            while time.monotonic() < end:
                assert sizes([beside, member]) == [2, 2]
            assert not revoked, "the other member was disturbed"
            beside.close()
            member.close()

    def offsets_by_time(self):
        consumer = self.consumer("librdkafka-times")
        asked = [ck.TopicPartition(self.topic, p, 1_000_000 + RECORDS - 1) for p in range(4)]
        found = {p.partition: p.offset for p in consumer.offsets_for_times(asked, timeout=PATIENCE)}
        after = [ck.TopicPartition(self.topic, p, 2_000_000) for p in range(4)]
        for p in consumer.offsets_for_times(after, timeout=PATIENCE):
            assert p.offset == ck.OFFSET_END, p
        hits = 0
        for partition, offset in found.items():
            if offset < 0:
                continue
            consumer.assign([ck.TopicPartition(self.topic, partition, offset)])
            message = until("the record", lambda: consumer.poll(0.2))
            assert message.timestamp()[1] == 1_000_000 + RECORDS - 1, message.timestamp()
            hits += 1
        assert hits >= 1
        consumer.close()

    def end(self):
        self.admin.delete_topics([self.topic])[self.topic].result(PATIENCE)
        until("no topic", lambda: self.topic not in self.admin.list_topics().topics)


class PurePython:
    """kafka-python."""

    name = "kafka-python"

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        self.topic = "kafka-python"

    def topics(self):
        # Its records are of 1970: with the broker's retention they would go at once.
        self.admin.create_topics([PyTopic(self.topic, 3, 1, topic_configs={"retention.ms": "-1"})])
        try:
            self.admin.create_topics([PyTopic(self.topic, 3, 1)])
            raise AssertionError("the topic was made twice")
        except TopicAlreadyExistsError:
            pass
        self.admin.create_partitions({self.topic: 4})
        until("4 partitions", lambda: len(self.admin.describe_topics([self.topic])[0]["partitions"]) == 4)
        assert self.topic in self.admin.list_topics()
        assert len(self.admin.describe_cluster()["brokers"]) == 1

    def produce(self):
        for codec in CODECS:
            producer = KafkaProducer(bootstrap_servers=self.bootstrap, enable_idempotence=True, acks="all",
                                     compression_type=None if codec == "none" else codec, linger_ms=5)
            sent = [producer.send(self.topic, payload(codec, n), key=f"{n % 7}".encode(), timestamp_ms=1_000_000 + n,
                                  headers=[("codec", codec.encode())]) for n in range(RECORDS)]
            producer.flush(PATIENCE)
            assert len({(s.get(PATIENCE).partition, s.get().offset) for s in sent}) == RECORDS
            producer.close()

    def consumer(self, group, **more):
        return KafkaConsumer(bootstrap_servers=self.bootstrap, group_id=group, auto_offset_reset="earliest",
                             enable_auto_commit=False, session_timeout_ms=6000, heartbeat_interval_ms=200, **more)

    def consume(self):
        consumer = self.consumer("python-readers")
        consumer.subscribe([self.topic])
        read = []
        until("every record", lambda: [read.extend(b) for b in consumer.poll(200).values()] is not None
              and len(read) >= RECORDS * len(CODECS))
        assert sorted((m.key, m.value) for m in read) == expected()
        assert all(dict(m.headers)["codec"] == m.value.split(b"-")[0] for m in read)
        consumer.commit()
        assert sum(consumer.committed(p) or 0 for p in consumer.assignment()) == len(read)
        described = str(self.admin.describe_groups(["python-readers"]))
        assert "Stable" in described, described
        assert "python-readers" in str(self.admin.list_groups())
        consumer.close()
        self.admin.delete_groups(["python-readers"])
        assert "python-readers" not in str(self.admin.list_groups())

    def rebalance(self):
        members = [self.consumer("python-shared") for _ in range(2)]
        for member in members:
            member.subscribe([self.topic])

        def sizes(of):
            # Each polls in a thread of its own: a member that waits for the others must not keep them from joining.
            threads = [threading.Thread(target=m.poll, args=(200,)) for m in of]
            [t.start() for t in threads]
            [t.join() for t in threads]
            return sorted(len(m.assignment()) for m in of)

        until("2 and 2 partitions", lambda: sizes(members) == [2, 2])
        members[0].close()
        until("all 4 partitions", lambda: sizes(members[1:]) == [4])
        members[1].close()

    def static_member(self):
        member = self.consumer("python-static", group_instance_id="fixed")
        member.subscribe([self.topic])
        until("its partitions", lambda: member.poll(200) is not None and len(member.assignment()) == 4)
        described = str(self.admin.describe_groups(["python-static"]))
        assert "fixed" in described, described
        member.close()

    def offsets_by_time(self):
        consumer = self.consumer(None)
        partitions = [TopicPartition(self.topic, p) for p in range(4)]
        found = consumer.offsets_for_times({p: 1_000_000 + RECORDS - 1 for p in partitions})
        hits = [f for f in found.values() if f is not None]
        assert hits and all(f.timestamp == 1_000_000 + RECORDS - 1 for f in hits), found
        assert all(f is None for f in consumer.offsets_for_times({p: 2_000_000 for p in partitions}).values())
        ends, starts = consumer.end_offsets(partitions), consumer.beginning_offsets(partitions)
        assert sum(ends.values()) - sum(starts.values()) == RECORDS * len(CODECS)
        consumer.close()

    def end(self):
        self.admin.delete_topics([self.topic])
        until("no topic", lambda: self.topic not in self.admin.list_topics())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    bootstrap = parser.parse_args().bootstrap
    for client in (Librdkafka(bootstrap), PurePython(bootstrap)):
        took = {}
        for story in ("topics", "produce", "consume", "rebalance", "static_member", "offsets_by_time", "end"):
            started = time.monotonic()
            try:
                getattr(client, story)()
            except BaseException as error:
                error.add_note(f"client {client.name}, story {story}")
                raise
            took[story] = round(time.monotonic() - started, 2)
        print(json.dumps({"client": client.name, "seconds": took}), flush=True)


if __name__ == "__main__":
    main()
