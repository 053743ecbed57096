//! A validator for the embedded metric format of `CloudWatch`, for one log line.
//!
//! Source: "Specification: Embedded metric format" in the Amazon `CloudWatch` User Guide; `MetricDatum` in its API
//! reference for the units, and `Dimension` there for a dimension's value.

use serde_json::Value;

/// Largest size of a log event, and so of the whole line.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
const MAX_METRICS: usize = 100;
const MAX_METRIC_VALUES: usize = 100;
const MAX_DIMENSIONS: usize = 30;
const MAX_NAME_CHARS: usize = 255;
const MAX_DIMENSION_VALUE_CHARS: usize = 1024;

/// The units of `MetricDatum` that exist on their own only.
const UNITS: [&str; 5] = ["Seconds", "Microseconds", "Milliseconds", "Percent", "None"];
/// The units of `MetricDatum` that also exist with `/Second`.
const UNITS_ALSO_PER_SECOND: [&str; 11] = [
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Count",
];

/// All rules that the document breaks, each as a sentence. Empty for a valid document.
pub fn broken_rules(document: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    if document.to_string().len() > MAX_DOCUMENT_BYTES {
        broken.push(format!("the document has more than {MAX_DOCUMENT_BYTES} bytes"));
    }
    let Some(metadata) = document.get("_aws").and_then(Value::as_object) else {
        broken.push("`_aws` is not an object at the top level".to_owned());
        return broken;
    };
    if metadata.get("Timestamp").and_then(Value::as_u64).is_none() {
        broken.push("`Timestamp` is not a whole number of milliseconds since 1970".to_owned());
    }
    match metadata.get("CloudWatchMetrics").and_then(Value::as_array) {
        Some(directives) => directives.iter().for_each(|directive| check_directive(document, directive, &mut broken)),
        None => broken.push("`CloudWatchMetrics` is not an array".to_owned()),
    }
    broken
}

/// The names of all metrics that `CloudWatch` would extract from the document.
pub fn metric_names(document: &Value) -> Vec<String> {
    let directives = document.pointer("/_aws/CloudWatchMetrics").and_then(Value::as_array).into_iter().flatten();
    let metrics = directives.filter_map(|directive| directive.get("Metrics")?.as_array()).flatten();
    metrics.filter_map(|metric| Some(metric.get("Name")?.as_str()?.to_owned())).collect()
}

fn check_directive(document: &Value, directive: &Value, broken: &mut Vec<String>) {
    if !directive.get("Namespace").is_some_and(is_name) {
        broken.push(format!("`Namespace` is not a string of 1..={MAX_NAME_CHARS} characters"));
    }
    match directive.get("Dimensions").and_then(Value::as_array).map(Vec::as_slice) {
        None | Some([]) => broken.push("`Dimensions` is not an array of at least one set".to_owned()),
        Some(sets) => sets.iter().for_each(|set| check_dimension_set(document, set, broken)),
    }
    match directive.get("Metrics").and_then(Value::as_array) {
        None => broken.push("`Metrics` is not an array".to_owned()),
        Some(metrics) => {
            if metrics.len() > MAX_METRICS {
                broken.push(format!("there are {} metrics, more than {MAX_METRICS}", metrics.len()));
            }
            for metric in metrics {
                check_metric(document, metric, broken);
            }
        }
    }
}

fn check_dimension_set(document: &Value, set: &Value, broken: &mut Vec<String>) {
    let Some(set) = set.as_array() else {
        broken.push(format!("the dimension set {set} is not an array"));
        return;
    };
    if set.len() > MAX_DIMENSIONS {
        broken.push(format!("there are {} dimensions in a set, more than {MAX_DIMENSIONS}", set.len()));
    }
    for dimension in set {
        let value = dimension.as_str().filter(|_| is_name(dimension)).and_then(|name| document.get(name));
        match value.and_then(Value::as_str) {
            None => broken.push(format!("the dimension {dimension} does not name a string at the top level")),
            Some(value) if !is_dimension_value(value) => {
                broken.push(format!("the value {value:?} of {dimension} is empty, too long, or not printable ASCII"));
            }
            Some(_) => {}
        }
    }
}

fn check_metric(document: &Value, metric: &Value, broken: &mut Vec<String>) {
    let name = metric.get("Name").filter(|name| is_name(name)).and_then(Value::as_str);
    match name.and_then(|name| document.get(name)) {
        Some(Value::Number(_)) => {}
        Some(Value::Array(values)) if values.len() <= MAX_METRIC_VALUES && values.iter().all(Value::is_number) => {}
        _ => broken.push(format!(
            "the metric {metric} does not name a number, or up to {MAX_METRIC_VALUES} numbers, at the top level"
        )),
    }
    if metric.get("Unit").is_some_and(|unit| !unit.as_str().is_some_and(is_unit)) {
        broken.push(format!("the metric {metric} has a unit that CloudWatch does not know"));
    }
    if metric.get("StorageResolution").is_some_and(|seconds| !matches!(seconds.as_u64(), Some(1 | 60))) {
        broken.push(format!("the metric {metric} has a storage resolution other than 1 or 60 seconds"));
    }
}

fn is_name(value: &Value) -> bool {
    value.as_str().is_some_and(|name| (1..=MAX_NAME_CHARS).contains(&name.chars().count()))
}

fn is_dimension_value(value: &str) -> bool {
    let is_printable = value.chars().all(|char| char.is_ascii() && !char.is_ascii_control());
    value.len() <= MAX_DIMENSION_VALUE_CHARS && is_printable && !value.trim().is_empty()
}

fn is_unit(unit: &str) -> bool {
    UNITS.contains(&unit) || UNITS_ALSO_PER_SECOND.contains(&unit.strip_suffix("/Second").unwrap_or(unit))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::broken_rules;

    fn valid() -> serde_json::Value {
        json!({
            "_aws": {
                "Timestamp": 1_574_109_732_004_u64,
                "CloudWatchMetrics": [{
                    "Namespace": "app",
                    "Dimensions": [["version"], []],
                    "Metrics": [{ "Name": "time", "Unit": "Milliseconds" }, { "Name": "rate", "Unit": "Bytes/Second" }],
                }],
            },
            "version": "1", "time": 100, "rate": [1.5, 2], "other": { "anything": null },
        })
    }

    #[test]
    fn a_valid_document_breaks_no_rule() {
        assert_eq!(broken_rules(&valid()), Vec::<String>::new());
    }

    #[test]
    fn every_single_mistake_is_found() {
        let directive = "/_aws/CloudWatchMetrics/0";
        let cases = [
            ("/_aws", json!([])),
            ("/_aws/Timestamp", json!("1574109732004")),
            ("/_aws/Timestamp", json!(1_574_109_732.004)),
            ("/_aws/CloudWatchMetrics", json!({})),
            (&format!("{directive}/Namespace"), json!("")),
            (&format!("{directive}/Dimensions"), json!([])),
            (&format!("{directive}/Dimensions"), json!(["version"])),
            (&format!("{directive}/Dimensions/0"), json!(["absent"])),
            (&format!("{directive}/Dimensions/0"), json!(["time"])),
            (&format!("{directive}/Dimensions/0"), json!(vec!["version"; 31])),
            (&format!("{directive}/Metrics"), json!(null)),
            (&format!("{directive}/Metrics"), json!(vec![json!({ "Name": "time" }); 101])),
            (&format!("{directive}/Metrics/0/Name"), json!("absent")),
            (&format!("{directive}/Metrics/0/Name"), json!("version")),
            (&format!("{directive}/Metrics/0/Unit"), json!("milliseconds")),
            (&format!("{directive}/Metrics/0/Unit"), json!("Seconds/Second")),
            ("/time", json!("100")),
            ("/time", json!({ "value": 100 })),
            ("/rate", json!(vec![1; 101])),
            ("/version", json!(1)),
            ("/version", json!(" ")),
            ("/version", json!("größer")),
            ("/version", json!("a\nb")),
            ("/version", json!("1".repeat(1025))),
            ("/other", json!("x".repeat(300_000))),
        ];
        for (pointer, wrong) in cases {
            let mut document = valid();
            *document.pointer_mut(pointer).expect("every pointer of this table exists") = wrong.clone();
            assert!(!broken_rules(&document).is_empty(), "{pointer} = {wrong} was accepted");
        }
    }
}
