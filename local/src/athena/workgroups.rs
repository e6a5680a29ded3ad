//! Workgroups: where results go, and how much a query may scan.

use serde_json::{Value, json};

use super::objects::Location;
use super::records::{Records, WorkGroup};
use super::{PRIMARY, invalid};
use crate::aws_json::AwsError;

/// The least cutoff that Athena takes, in bytes.
const LEAST_CUTOFF: u64 = 10_000_000;

impl WorkGroup {
    /// A workgroup with Athena's defaults.
    pub(super) fn new(name: &str, created: i64) -> Self {
        Self {
            name: name.to_owned(),
            description: None,
            enabled: true,
            created,
            output: None,
            enforce: name != PRIMARY,
            cutoff: None,
            publish_metrics: false,
            requester_pays: false,
        }
    }

    /// Takes the fields that `Configuration` or `ConfigurationUpdates` gives.
    fn configure(&mut self, given: &Value) -> Result<(), AwsError> {
        let output = match given.get("ResultConfiguration") {
            Some(results) => Some(results),
            None => given.get("ResultConfigurationUpdates"),
        };
        if let Some(results) = output.filter(|r| !r.is_null()) {
            if let Some(uri) = results["OutputLocation"].as_str().filter(|u| !u.is_empty()) {
                self.output = Some(result_location(uri)?);
            }
            if results["RemoveOutputLocation"].as_bool() == Some(true) {
                self.output = None;
            }
            if let Some(field) = ["EncryptionConfiguration", "AclConfiguration"]
                .into_iter()
                .find(|f| results.get(*f).is_some_and(|v| !v.is_null()))
            {
                return Err(invalid(format!(
                    "ResultConfiguration.{field} is not supported by the local Athena."
                )));
            }
        }
        if let Some(enforce) = given["EnforceWorkGroupConfiguration"].as_bool() {
            self.enforce = enforce;
        }
        if let Some(publish) = given["PublishCloudWatchMetricsEnabled"].as_bool() {
            self.publish_metrics = publish;
        }
        if let Some(pays) = given["RequesterPaysEnabled"].as_bool() {
            self.requester_pays = pays;
        }
        if let Some(cutoff) = given
            .get("BytesScannedCutoffPerQuery")
            .filter(|c| !c.is_null())
        {
            match cutoff.as_u64() {
                Some(bytes) if bytes >= LEAST_CUTOFF => self.cutoff = Some(bytes),
                _ => {
                    return Err(invalid(format!(
                        "BytesScannedCutoffPerQuery must be at least {LEAST_CUTOFF} bytes."
                    )));
                }
            }
        }
        if given["RemoveBytesScannedCutoffPerQuery"].as_bool() == Some(true) {
            self.cutoff = None;
        }
        Ok(())
    }

    fn seconds(&self) -> f64 {
        self.created as f64 / 1000.0
    }

    fn json(&self) -> Value {
        let mut configuration = json!({
            "ResultConfiguration": {},
            "EnforceWorkGroupConfiguration": self.enforce,
            "PublishCloudWatchMetricsEnabled": self.publish_metrics,
            "RequesterPaysEnabled": self.requester_pays,
            "EngineVersion": engine_version(),
        });
        if let Some(output) = &self.output {
            configuration["ResultConfiguration"]["OutputLocation"] = json!(output);
        }
        if let Some(cutoff) = self.cutoff {
            configuration["BytesScannedCutoffPerQuery"] = json!(cutoff);
        }
        let mut workgroup = json!({
            "Name": self.name,
            "State": state(self.enabled),
            "Configuration": configuration,
            "CreationTime": self.seconds(),
        });
        if let Some(description) = &self.description {
            workgroup["Description"] = json!(description);
        }
        workgroup
    }
}

fn state(enabled: bool) -> &'static str {
    if enabled { "ENABLED" } else { "DISABLED" }
}

/// The engine that Athena would use.
pub(super) fn engine_version() -> Value {
    json!({
        "SelectedEngineVersion": "AUTO",
        "EffectiveEngineVersion": "Athena engine version 3",
    })
}

/// A result location that is an S3 URI.
pub(super) fn result_location(uri: &str) -> Result<String, AwsError> {
    match Location::parse(uri) {
        Some(_) if uri.starts_with("s3://") => Ok(uri.to_owned()),
        _ => Err(invalid(format!(
            "OutputLocation must be s3://bucket/prefix/, not {uri:?}."
        ))),
    }
}

fn name<'a>(body: &'a Value, field: &str) -> Result<&'a str, AwsError> {
    let given = body[field].as_str().unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=128).contains(&given.len()) && given.chars().all(allowed) {
        Ok(given)
    } else {
        Err(invalid(format!(
            "{field} must have 1 to 128 letters, digits, dots, hyphens or underscores."
        )))
    }
}

/// The workgroup of this name.
pub(super) fn find(records: &Records, name: &str) -> Result<WorkGroup, AwsError> {
    records
        .workgroup(name)?
        .ok_or_else(|| invalid(format!("WorkGroup {name} is not found.")))
}

fn refuse_tags(body: &Value) -> Result<(), AwsError> {
    match body.get("Tags").and_then(Value::as_array) {
        Some(tags) if !tags.is_empty() => Err(invalid(
            "Tags of workgroups are not supported by the local Athena.",
        )),
        _ => Ok(()),
    }
}

pub(super) fn create(records: &Records, body: &Value) -> Result<Value, AwsError> {
    let name = name(body, "Name")?;
    refuse_tags(body)?;
    if records.workgroup(name)?.is_some() {
        return Err(invalid(format!("WorkGroup {name} is already created.")));
    }
    let mut workgroup = WorkGroup::new(name, jiff::Timestamp::now().as_millisecond());
    workgroup.description = body["Description"].as_str().map(str::to_owned);
    workgroup.configure(&body["Configuration"])?;
    records.put_workgroup(&workgroup)?;
    Ok(json!({}))
}

pub(super) fn get(records: &Records, body: &Value) -> Result<Value, AwsError> {
    let workgroup = find(records, name(body, "WorkGroup")?)?;
    Ok(json!({"WorkGroup": workgroup.json()}))
}

pub(super) fn list(records: &Records, body: &Value) -> Result<Value, AwsError> {
    let most = body["MaxResults"].as_u64().unwrap_or(50).clamp(1, 50) as usize;
    let after = body["NextToken"].as_str().unwrap_or_default();
    let mut rest = records.workgroups()?;
    rest.retain(|w| w.name.as_str() > after);
    let more = rest.len() > most;
    rest.truncate(most);
    let mut answer = json!({
        "WorkGroups": rest.iter().map(|w| {
            let mut summary = json!({
                "Name": w.name,
                "State": state(w.enabled),
                "CreationTime": w.seconds(),
                "EngineVersion": engine_version(),
            });
            if let Some(description) = &w.description {
                summary["Description"] = json!(description);
            }
            summary
        }).collect::<Vec<_>>(),
    });
    if more && let Some(last) = rest.last() {
        answer["NextToken"] = json!(last.name);
    }
    Ok(answer)
}

pub(super) fn update(records: &Records, body: &Value) -> Result<Value, AwsError> {
    let mut workgroup = find(records, name(body, "WorkGroup")?)?;
    if let Some(description) = body["Description"].as_str() {
        workgroup.description = Some(description.to_owned());
    }
    match body["State"].as_str() {
        None => {}
        Some("ENABLED") => workgroup.enabled = true,
        Some("DISABLED") => workgroup.enabled = false,
        Some(other) => {
            return Err(invalid(format!(
                "State is ENABLED or DISABLED, not {other}."
            )));
        }
    }
    workgroup.configure(&body["ConfigurationUpdates"])?;
    records.put_workgroup(&workgroup)?;
    Ok(json!({}))
}

pub(super) fn delete(records: &Records, body: &Value) -> Result<Value, AwsError> {
    let name = name(body, "WorkGroup")?;
    if name == PRIMARY {
        return Err(invalid("The workgroup primary cannot be deleted."));
    }
    find(records, name)?;
    let recursive = body["RecursiveDeleteOption"].as_bool().unwrap_or(false);
    if records.delete_workgroup(name, recursive)? {
        Ok(json!({}))
    } else {
        Err(invalid(format!(
            "WorkGroup {name} is not empty: set RecursiveDeleteOption to delete its query executions, too."
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(dir: &tempfile::TempDir) -> Records {
        Records::open(dir.path(), &WorkGroup::new(PRIMARY, 0), 0).unwrap()
    }

    #[test]
    fn workgroups_keep_their_configuration_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        {
            let records = records(&dir);
            create(
                &records,
                &json!({"Name": "reports", "Description": "small", "Configuration": {
                    "ResultConfiguration": {"OutputLocation": "s3://results/r/"},
                    "BytesScannedCutoffPerQuery": 10_485_760,
                }}),
            )
            .unwrap();
        }
        let records = records(&dir);
        let found = get(&records, &json!({"WorkGroup": "reports"})).unwrap();
        let configuration = &found["WorkGroup"]["Configuration"];
        assert_eq!(
            configuration["ResultConfiguration"]["OutputLocation"],
            "s3://results/r/"
        );
        assert_eq!(configuration["BytesScannedCutoffPerQuery"], 10_485_760);
        assert_eq!(configuration["EnforceWorkGroupConfiguration"], true);
        let listed = list(&records, &json!({"MaxResults": 1})).unwrap();
        assert_eq!(listed["WorkGroups"][0]["Name"], "primary");
        assert_eq!(listed["NextToken"], "primary");
    }

    #[test]
    fn updates_set_and_remove() {
        let dir = tempfile::tempdir().unwrap();
        let records = records(&dir);
        update(
            &records,
            &json!({"WorkGroup": "primary", "ConfigurationUpdates": {
                "ResultConfigurationUpdates": {"OutputLocation": "s3://a/"},
                "BytesScannedCutoffPerQuery": 10_000_000,
            }}),
        )
        .unwrap();
        update(
            &records,
            &json!({"WorkGroup": "primary", "ConfigurationUpdates": {
                "ResultConfigurationUpdates": {"RemoveOutputLocation": true},
                "RemoveBytesScannedCutoffPerQuery": true,
            }}),
        )
        .unwrap();
        let primary = find(&records, "primary").unwrap();
        assert_eq!((primary.output, primary.cutoff), (None, None));
    }

    #[test]
    fn wrong_requests_are_told_what_to_write() {
        let dir = tempfile::tempdir().unwrap();
        let records = records(&dir);
        for (body, words) in [
            (json!({"Name": "a b"}), "letters, digits"),
            (json!({"Name": "primary"}), "already created"),
            (
                json!({"Name": "x", "Configuration": {"BytesScannedCutoffPerQuery": 5}}),
                "at least 10000000",
            ),
            (
                json!({"Name": "x", "Configuration": {"ResultConfiguration": {"OutputLocation": "/tmp"}}}),
                "s3://bucket/prefix/",
            ),
        ] {
            let error = create(&records, &body).unwrap_err();
            assert_eq!(error.code, "InvalidRequestException");
            assert!(error.message.contains(words), "{}", error.message);
        }
        assert!(delete(&records, &json!({"WorkGroup": "primary"})).is_err());
        assert!(get(&records, &json!({"WorkGroup": "nope"})).is_err());
    }
}
