//! The clients that people have, on the local cloud: Apache Kafka's own tools, librdkafka and kafka-python on its
//! broker; the AWS command line, s3fs, awswrangler and PyAthena on its lake. docs/guides/local-cloud.md tells what
//! each may expect.

use stockpipe_tests::python;
use stockpipe_tests::real_kafka::Tools;
use stockpipe_tests::stack::Cloud;

use crate::real;

const REQUIREMENTS: &str = "clients-requirements.txt";

/// A run of one of Kafka's tools on a broker.
struct Broker<'a> {
    tools: Tools,
    bootstrap: &'a str,
}

impl Broker<'_> {
    fn tool(&self, class: &str, args: &[&str]) -> String {
        self.fed(class, args, "")
    }

    fn fed(&self, class: &str, args: &[&str], input: &str) -> String {
        let all = [&["--bootstrap-server", self.bootstrap], args].concat();
        self.tools.run(class, &all, input)
    }

    fn groups(&self, args: &[&str]) -> String {
        self.tool(
            "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
            args,
        )
    }
}

#[test]
fn the_tools_of_apache_kafka_work_on_the_local_broker() {
    if !real::enabled() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(home.path());
    let broker = Broker {
        tools: Tools::prepared(),
        bootstrap: &cloud.services().kafka,
    };
    let topics = "org.apache.kafka.tools.TopicCommand";
    let topic = ["--topic", "java"];
    let with = |args: &[&'static str]| [args, &topic].concat();

    broker.tool(topics, &with(&["--create", "--partitions", "2"]));
    broker.tool(topics, &with(&["--alter", "--partitions", "3"]));
    let listed = broker.tool(topics, &["--list"]);
    assert!(listed.lines().any(|line| line == "java"), "{listed}");
    let described = broker.tool(topics, &with(&["--describe"]));
    assert!(described.contains("PartitionCount: 3"), "{described}");

    let configs = "kafka.admin.ConfigCommand";
    let entity = ["--entity-type", "topics", "--entity-name", "java"];
    let retention = ["--alter", "--add-config", "retention.ms=3600000"];
    broker.tool(configs, &[&entity[..], &retention].concat());
    let described = broker.tool(configs, &[&entity[..], &["--describe"]].concat());
    assert!(described.contains("retention.ms=3600000"), "{described}");

    // By the console, each codec once; keys decide on partitions.
    let producer = "org.apache.kafka.tools.ConsoleProducer";
    let mut sent = Vec::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let lines: Vec<String> = (0..20).map(|n| format!("{n}:{codec}-{n}")).collect();
        let options = [
            "--compression-codec",
            codec,
            "--reader-property",
            "parse.key=true",
            "--reader-property",
            "key.separator=:",
        ];
        broker.fed(producer, &with(&options), &(lines.join("\n") + "\n"));
        sent.extend((0..20).map(|n| format!("{codec}-{n}")));
    }
    let consumer = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    let count = sent.len().to_string();
    let options = ["--group", "java-readers", "--from-beginning"];
    let ends = ["--timeout-ms", "60000", "--max-messages", &count];
    let read = broker.tool(consumer, &[&topic[..], &options, &ends].concat());
    let mut read: Vec<String> = read
        .lines()
        .filter(|line| sent.iter().any(|s| s == line))
        .map(str::to_owned)
        .collect();
    read.sort();
    sent.sort();
    assert_eq!(read, sent);

    let listed = broker.groups(&["--list"]);
    assert!(listed.contains("java-readers"), "{listed}");
    let group = ["--group", "java-readers"];
    let lag = |described: &str| -> Vec<u64> {
        let rows = described
            .lines()
            .filter(|line| line.starts_with("java-readers"));
        rows.map(|row| row.split_whitespace().nth(5).unwrap().parse().unwrap())
            .collect()
    };
    let described = broker.groups(&[&group[..], &["--describe"]].concat());
    assert_eq!(lag(&described), [0, 0, 0], "{described}");
    let state = broker.groups(&[&group[..], &["--describe", "--state"]].concat());
    assert!(state.contains("Empty"), "{state}");
    let back = ["--reset-offsets", "--to-earliest", "--execute"];
    broker.groups(&[&group[..], &topic, &back].concat());
    let described = broker.groups(&[&group[..], &["--describe"]].concat());
    assert_eq!(lag(&described).iter().sum::<u64>(), 100, "{described}");
    broker.groups(&[&group[..], &["--delete"]].concat());
    let listed = broker.groups(&["--list"]);
    assert!(!listed.contains("java-readers"), "{listed}");

    let offsets = broker.tool("org.apache.kafka.tools.GetOffsetShell", &topic);
    let ends: u64 = offsets
        .lines()
        .filter_map(|line| {
            line.strip_prefix("java:")?
                .rsplit(':')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum();
    assert_eq!(ends, 100, "{offsets}");

    let speed = ["--num-records", "200000", "--record-size", "200"];
    let all = [&speed[..], &["--throughput", "-1"], &topic].concat();
    let told = broker.tool("org.apache.kafka.tools.ProducerPerformance", &all);
    assert!(told.contains("200000 records sent"), "{told}");
    println!("kafka-producer-perf-test: {}", told.lines().last().unwrap());
    let all = [&topic[..], &["--num-records", "200000"]].concat();
    let told = broker.tool("org.apache.kafka.tools.ConsumerPerformance", &all);
    assert!(!told.contains("Exiting before consuming"), "{told}");
    println!("kafka-consumer-perf-test: {}", told.lines().last().unwrap());

    broker.tool(topics, &with(&["--delete"]));
    let listed = broker.tool(topics, &["--list"]);
    assert!(!listed.lines().any(|line| line == "java"), "{listed}");
}

#[test]
fn librdkafka_and_kafka_python_work_on_the_local_broker() {
    if !real::enabled() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(home.path());
    let services = cloud.services();
    let output = python::command_with(REQUIREMENTS, "kafka_clients.py", &services.key)
        .args(["--bootstrap", &services.kafka])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", python::text(&output));
    println!("{}", python::text(&output));
}

#[test]
fn the_clients_of_s3_glue_and_athena_find_every_row_of_a_landed_lake() {
    if !real::enabled() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(home.path());
    let services = cloud.services();
    let name = "clients";
    let pipeline = real::ticks_land_exactly_once(name, services, "Parquet", "Snappy", "classic");
    let rows = pipeline.assert_verified().rows;
    let output = python::command_with(REQUIREMENTS, "lake_clients.py", &services.key)
        .args(["--endpoint", &services.aws, "--bucket", &pipeline.bucket()])
        .args(["--prefix", &pipeline.prefix(), "--database", "stockpipe"])
        .args(["--table", "clients_ticks", "--rows", &rows.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", python::text(&output));
    println!("{}", python::text(&output));
}
