//! Queries as they run: tokens, budgets, stopping, restarts.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_makes_one_execution() {
    let cloud = Cloud::start().await;
    let token = "0123456789abcdef0123456789abcdef";
    let start = |sql: &'static str| {
        cloud
            .athena
            .start_query_execution()
            .query_string(sql)
            .client_request_token(token)
            .result_configuration(
                ResultConfiguration::builder()
                    .output_location("s3://results/")
                    .build(),
            )
            .send()
    };
    let first = start("SELECT 1").await.unwrap();
    let again = start("SELECT 1").await.unwrap();
    assert_eq!(first.query_execution_id(), again.query_execution_id());
    let other = start("SELECT 2").await.unwrap_err();
    assert_eq!(other.code(), Some("InvalidRequestException"));
    let listed = cloud.athena.list_query_executions().send().await.unwrap();
    assert_eq!(listed.query_execution_ids().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workgroups_cutoff_stops_a_query() {
    use aws_sdk_athena::types::WorkGroupConfiguration;
    let cloud = Cloud::start().await;
    cloud.table("wide", JSON, &[("text", "string")], &[]).await;
    let line = format!("{{\"text\":\"{}\"}}\n", "x".repeat(1000));
    cloud
        .put("wide/a.json", line.repeat(12_000).into_bytes())
        .await;
    cloud
        .athena
        .create_work_group()
        .name("small")
        .configuration(
            WorkGroupConfiguration::builder()
                .bytes_scanned_cutoff_per_query(10_000_000)
                .result_configuration(
                    ResultConfiguration::builder()
                        .output_location("s3://results/small/")
                        .build(),
                )
                .build(),
        )
        .send()
        .await
        .unwrap();
    let started = cloud
        .athena
        .start_query_execution()
        .query_string("SELECT count(text) FROM market.wide")
        .work_group("small")
        .send()
        .await
        .unwrap();
    let execution = cloud.finished(started.query_execution_id().unwrap()).await;
    let status = execution.status().unwrap();
    assert_eq!(status.state(), Some(&QueryExecutionState::Cancelled));
    assert_eq!(
        status.state_change_reason(),
        Some("Bytes scanned limit was exceeded")
    );
    assert!(scanned(&execution) > 10_000_000 && scanned(&execution) < 12_000_000);
    let free = cloud.run("SELECT count(text) FROM wide").await;
    assert!(scanned(&free) > 12_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_query_is_stopped() {
    let cloud = Cloud::start().await;
    cloud.ticks().await;
    // A product of 3600 × 3600 × 3600 rows takes longer than anyone waits.
    let id = cloud
        .submit("SELECT count(*) FROM ticks a, ticks b, ticks c WHERE a.ts_event < b.ts_event AND b.ts_event < c.ts_event")
        .await
        .unwrap();
    cloud
        .athena
        .stop_query_execution()
        .query_execution_id(&id)
        .send()
        .await
        .unwrap();
    let execution = cloud.finished(&id).await;
    assert_eq!(
        execution.status().unwrap().state(),
        Some(&QueryExecutionState::Cancelled)
    );
    let results = cloud
        .athena
        .get_query_results()
        .query_execution_id(&id)
        .send()
        .await;
    assert!(
        results
            .unwrap_err()
            .message()
            .unwrap()
            .contains("CANCELLED")
    );
    assert_eq!(cloud.one("SELECT 1").await, "1", "its place is free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executions_outlive_a_restart_and_interrupted_ones_failed() {
    let cloud = Cloud::start().await;
    cloud.ticks().await;
    let done = cloud.submit("SELECT count(*) FROM ticks").await.unwrap();
    cloud.finished(&done).await;
    let Cloud {
        server,
        credentials,
        dir,
        ..
    } = cloud;
    server.shutdown().await;
    // What a process leaves that was killed: an execution that says it runs.
    let id = uuid::Uuid::new_v4().to_string();
    {
        let now = 0;
        let records = crate::athena::records::Records::open(
            &dir.path().join("athena"),
            &crate::athena::records::WorkGroup::new("primary", now),
            now,
        );
        // The file is free only once the server let it go.
        let records = records.unwrap();
        let mut running = records.execution(&done).unwrap().unwrap();
        running.id = id.clone();
        running.state = crate::athena::records::State::Running;
        running.completed = None;
        assert!(records.submit(&running, None).unwrap().is_none());
    }
    let cloud = Cloud::open(dir, credentials).await;
    let execution = cloud.finished(&id).await;
    let status = execution.status().unwrap();
    assert_eq!(status.state(), Some(&QueryExecutionState::Failed));
    assert!(
        status
            .state_change_reason()
            .unwrap()
            .contains("stopped while the query was running")
    );
    assert!(status.athena_error().unwrap().retryable());
    let results = cloud
        .athena
        .get_query_results()
        .query_execution_id(&done)
        .send()
        .await
        .unwrap();
    assert_eq!(
        results.result_set().unwrap().rows()[1].data()[0].var_char_value(),
        Some("3600")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_without_an_output_location_is_told_where_to_set_one() {
    let cloud = Cloud::start().await;
    let refused = cloud
        .athena
        .start_query_execution()
        .query_string("SELECT 1")
        .send()
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("InvalidRequestException"));
    assert!(
        refused
            .message()
            .unwrap()
            .contains("output location is required")
    );
}
