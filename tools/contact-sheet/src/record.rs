//! The records of a run, read from the lines that it printed.

use serde_json::Value;

/// A record that the run has worked on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    /// The bucket of the source; empty if the entry named no object.
    pub(crate) bucket: String,
    /// The key of the source; the position in the batch if the entry named no object.
    pub(crate) key: String,
    /// The keys of the outputs, or the reason of the failure.
    pub(crate) outcome: Result<Vec<String>, String>,
}

/// All records of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    /// The written and failed ones, sorted by bucket and key: a run prints them as they end.
    pub(crate) worked_on: Vec<Record>,
    /// Number of skipped ones.
    pub(crate) skipped: usize,
}

impl Records {
    /// Reads the standard output of a run with `LOG_FORMAT=json`.
    ///
    /// # Errors
    /// A text for the user if a line is not of such a run, or if there is no record.
    pub(crate) fn parse(lines: &str) -> Result<Self, String> {
        let mut records = Self::default();
        for (number, line) in (1..).zip(lines.lines()) {
            let error = |cause: String| {
                format!(
                    "line {number} of standard input is not of a pixpipe run ({cause}); run pixpipe with \
                     LOG_FORMAT=json and give its standard output"
                )
            };
            let line: Value = serde_json::from_str(line).map_err(|cause| error(cause.to_string()))?;
            let text = |member: &str| line.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
            let key = if line.get("key").is_some() { text("key") } else { format!("entry {}", text("entry")) };
            let outcome = match text("status").as_str() {
                "written" => {
                    let outputs = line.get("outputs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                    Ok(outputs.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                }
                "failed" => Err(text("reason")),
                "skipped" => {
                    records.skipped += 1;
                    continue;
                }
                // The summary.
                _ if line.get("_aws").is_some() => continue,
                other => return Err(error(format!("its status is \"{other}\""))),
            };
            records.worked_on.push(Record { bucket: text("bucket"), key, outcome });
        }
        if records.worked_on.is_empty() {
            return Err(format!(
                "no record on standard input was written or failed ({} skipped); give the lines of a run that \
                 has worked on photos",
                records.skipped
            ));
        }
        records.worked_on.sort();
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_from_the_lines_of_a_run() {
        let lines = r#"{"status":"written","bucket":"src","key":"b.jpg","outputs":["8x8/b.jpg","9x9/b.jpg"]}
{"status":"failed","bucket":"src","key":"a.jpg","reason":"truncated","detail":"the file has only 7 bytes"}
{"status":"skipped","bucket":"src","key":"c/","reason":"folder-marker"}
{"status":"failed","entry":"/3","reason":"invalid-entry","detail":"no key"}
{"_aws":{"Timestamp":0},"written":1}
"#;
        let record = |bucket: &str, key: &str, outcome: Result<&[&str], &str>| Record {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            outcome: outcome.map(|keys| keys.iter().map(ToString::to_string).collect()).map_err(str::to_owned),
        };
        let expected = vec![
            record("", "entry /3", Err("invalid-entry")),
            record("src", "a.jpg", Err("truncated")),
            record("src", "b.jpg", Ok(&["8x8/b.jpg", "9x9/b.jpg"])),
        ];
        assert_eq!(Records::parse(lines), Ok(Records { worked_on: expected, skipped: 1 }));
    }

    #[test]
    fn lines_that_are_not_of_a_run_are_refused_with_the_way_out() {
        let cases = [
            ("nothing", "", "no record"),
            ("only skipped", r#"{"status":"skipped","key":"a"}"#, "1 skipped"),
            ("the text format", "written s3://src/a.jpg -> 8x8/a.jpg", "LOG_FORMAT=json"),
            ("another status", r#"{"status":"done"}"#, "\"done\""),
        ];
        for (label, lines, expected) in cases {
            let error = Records::parse(lines).expect_err(label);
            assert!(error.contains(expected), "{label}: {error}");
        }
    }
}
