//! What scripts rely on: JSON where they ask for it, and commands that do not fall over each other.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use stockpipe_tests::process::{Process, binary};
use stockpipe_tests::python::text;

use crate::up::{stockpipe, up};

fn json(home: &Path, code: i32, args: &[&str]) -> Value {
    let output = stockpipe(home, &[args, &["--output", "json"]].concat());
    assert_eq!(output.status.code(), Some(code), "{}", text(&output));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{args:?}: {e}: {}", text(&output)))
}

#[test]
fn every_answer_that_a_script_may_want_is_one_json_document() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let head =
        "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {name: p}\nspec:\n";
    std::fs::write(
        home.join("good.yaml"),
        format!("{head}  lake: {{bucket: lake-1}}\n"),
    )
    .unwrap();
    std::fs::write(
        home.join("bad.yaml"),
        format!("{head}  lake: {{bucket: lake-1, fromat: Json}}\n"),
    )
    .unwrap();
    let checked = json(home, 1, &["validate", "good.yaml", "bad.yaml"]);
    assert_eq!(
        (&checked[0]["valid"], &checked[0]["pipeline"]),
        (&true.into(), &"p".into())
    );
    let problem = &checked[1]["problems"][0];
    assert_eq!(
        (&problem["line"], &problem["column"]),
        (&5.into(), &26.into()),
        "{checked}"
    );
    assert_eq!(problem["field"], "spec.lake.fromat");

    let row = "AAPL,2026-11-20T14:30:00Z";
    let prices = format!("symbol,time,price\n{row},272.500000001\n{row},much\n{row},1\n");
    std::fs::write(home.join("prices.csv"), prices).unwrap();
    let proposed = json(home, 0, &["replay", "--infer", "prices.csv"]);
    assert_eq!(
        proposed["source"]["replay"]["columns"]["price"], "price",
        "{proposed}"
    );
    assert_eq!(proposed["bad"], 1, "{proposed}");

    let mut running = up(home, &[]);
    running.wait_for("all of it", |l| {
        l.starts_with("All of it landed").then_some(())
    });
    let keys = json(home, 0, &["aws-env"]);
    let url = keys["AWS_ENDPOINT_URL"].as_str().unwrap();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    // Files in S3, by a pattern: what has landed needs no mapping.
    let uri = "s3://quickstart/quickstart/ticks/dt=*/hour=03/*.parquet";
    let proposed = json(home, 0, &["replay", "--infer", uri]);
    let replay = &proposed["source"]["replay"];
    assert_eq!(
        (&replay["uri"], &replay["columns"]),
        (&uri.into(), &Value::Null)
    );
    assert_eq!(proposed["ticks"].as_array().unwrap().len(), 10);
    let nothing = stockpipe(
        home,
        &["replay", "--infer", "s3://quickstart/nothing/*.csv"],
    );
    assert!(
        text(&nothing).contains("matches no file"),
        "{}",
        text(&nothing)
    );
    let day = jiff::Zoned::now()
        .with_time_zone(jiff::tz::TimeZone::UTC)
        .date();
    let day = (day - jiff::Span::new().days(1)).to_string();
    let sent = json(home, 0, &["replay", "--day", &day, "--to", "again.ticks"]);
    // A quiet day has a third of the mean.
    assert!(sent["ticks"].as_u64().unwrap() > 100_000, "{sent}");
    running.stop();
    let report = json(home, 0, &["verify"]);
    assert_eq!(report["sequences"]["missing"], 0);
}

#[test]
fn a_query_and_a_start_at_the_same_moment_wait_for_each_other() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let mut first = up(home, &[]);
    first.wait_for("first file", |l| l.starts_with("First file").then_some(()));
    first.stop();
    let query = || {
        let mut command = Command::new(binary("stockpipe"));
        command
            .current_dir(home)
            .args(["query", "SELECT count(*) FROM quickstart_ticks"]);
        Process::start("stockpipe query", &mut command)
    };
    // Queries alone, which each bring servers of their own; then some around the start of a pipeline.
    for starts in [false, true, true] {
        let mut queries = vec![query(), query()];
        let running = starts.then(|| up(home, &["--for", "5s"]));
        queries.push(query());
        for mut query in queries {
            assert!(query.wait().success(), "{}", query.output());
        }
        if let Some(mut running) = running {
            assert!(running.wait().success(), "{}", running.output());
        }
    }
    let verify = stockpipe(home, &["verify"]);
    assert!(verify.status.success(), "{}", text(&verify));
}

#[test]
fn completions_manual_pages_and_exit_codes_are_there() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stockpipe(home, &["completions", shell]);
        assert!(script.status.success(), "{}", text(&script));
        for part in ["replay", "infer", "verify"] {
            assert!(text(&script).contains(part), "{shell}: {part}");
        }
    }
    let main = text(&stockpipe(home, &["man"]));
    assert!(
        main.contains(".TH stockpipe 1") && main.contains("Exit codes"),
        "{main}"
    );
    assert!(stockpipe(home, &["man", "pages"]).status.success());
    let help = text(&stockpipe(home, &["help"]));
    for command in help.lines().filter_map(|l| l.strip_prefix("  ")) {
        let name = command.split_whitespace().next().unwrap_or_default();
        let is_command = command.starts_with(|c: char| c.is_ascii_lowercase()) && name != "help";
        let page = home.join(format!("pages/stockpipe-{name}.1"));
        assert!(
            !is_command || page.is_file(),
            "{} is missing",
            page.display()
        );
    }
    assert!(help.contains("up") && help.contains("validate"), "{help}");
    for (code, args) in [
        (0, &["--version"][..]),
        (1, &["validate", "nothing.yaml"]),
        (2, &["validate"]),
        (2, &["fly"]),
    ] {
        let output = stockpipe(home, args);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            text(&output)
        );
    }
    let long = text(&stockpipe(home, &["--help"]));
    for code in [
        "0    done",
        "1    it failed",
        "2    the command line",
        "3    `verify`",
        "130",
    ] {
        assert!(long.contains(code), "{code}: {long}");
    }
}

#[test]
fn a_command_whose_reader_has_gone_ends_without_a_word() {
    // The definition is larger than any pipe.
    let line = "set -o pipefail; \"$0\" crd | head -n 1";
    let output = Command::new("bash")
        .args(["-c", line])
        .arg(binary("stockpipe"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(output.stderr.is_empty(), "{}", text(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
}
