//! The environment → [`Config`]: every variable of the contract, every fault at once.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tracing_subscriber::filter::Targets;

use crate::geometry::{Fit, Size};
use crate::object::BucketName;
use crate::spec::{Color, Decode, Encoding, Filter, Rgb, Spec, Subsampling};

/// One variable, as `--help` shows it.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name in the environment.
    pub name: &'static str,
    /// Its default, as text.
    pub default: &'static str,
    /// What it accepts.
    pub accepts: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

macro_rules! variables {
    ($($field:ident $name:literal, $default:literal, $accepts:literal, $meaning:literal;)*) => {
        /// Every variable of the contract, in its order.
        pub const VARIABLES: &[Variable] = &[$(
            Variable { name: $name, default: $default, accepts: $accepts, meaning: $meaning },
        )*];

        /// The raw environment: what is set, as text.
        #[derive(Debug, Default, Deserialize)]
        struct Raw {
            $(#[serde(default)] $field: Option<String>,)*
        }
    };
}

variables! {
    sqs_body "SQS_BODY", "required", "JSON", "the batch of events";
    dest_bucket "DEST_BUCKET", "required", "a bucket's name", "bucket that receives the results";
    dest_prefix "DEST_PREFIX", "empty", "up to 900 bytes", "put before every output key, literally";
    sizes "SIZES", "224", "a comma list of N or WxH, each 1..=4096 px a side", "sizes, all made from one decode";
    fit "FIT", "cover", "cover, contain or stretch", "fill and crop, fit and pad, or ignore the aspect ratio";
    filter "FILTER", "lanczos3", "box, bilinear, hamming, bicubic or lanczos3", "Pillow's filters, with its antialiasing";
    decode "DECODE", "fast", "fast or exact", "JPEG: DCT-scaled, at least twice the target; or full";
    color "COLOR", "srgb", "srgb or ignore", "convert embedded ICC profiles to sRGB, or keep the numbers";
    background "BACKGROUND", "000000", "RRGGBB", "padding of contain, and what transparency is composited on";
    format "FORMAT", "jpeg", "jpeg, png, webp or npy", "format of the outputs; webp is lossless, npy uint8 (H, W, 3)";
    jpeg_quality "JPEG_QUALITY", "90", "1..=100", "libjpeg's quality";
    jpeg_subsampling "JPEG_SUBSAMPLING", "420", "420 or 444", "chroma subsampling of JPEG outputs";
    max_source_bytes "MAX_SOURCE_BYTES", "268435456", "1..=17179869184 bytes", "a larger object is refused before any download";
    max_source_pixels "MAX_SOURCE_PIXELS", "268435456", "1..=17179869184 pixels", "a larger image is refused from its header";
    memory_limit_bytes "MEMORY_LIMIT_BYTES", "cgroup limit, else RAM", "67108864 bytes or more", "what the process may use in all; work waits for room";
    concurrency "CONCURRENCY", "from the CPUs", "1..=1024", "objects in flight";
    grace_seconds "GRACE_SECONDS", "90", "0..=86400", "after SIGTERM or SIGINT: how long in-flight objects may take";
    store "STORE", "s3", "s3 or dir:PATH", "where buckets are: S3, or folders PATH/<bucket>/<key>";
    source_bucket "SOURCE_BUCKET", "none", "a bucket's name", "bucket of batch entries that name only a key";
    skip_unchanged "SKIP_UNCHANGED", "true", "true or false", "leave outputs alone that are those of the source as it is";
    retry_queue_url "RETRY_QUEUE_URL", "none", "the URL of an SQS queue", "receives records that are worth retrying";
    failed_queue_url "FAILED_QUEUE_URL", "none", "the URL of an SQS queue", "receives records that failed for good";
    max_attempts "MAX_ATTEMPTS", "3", "1..=1000", "a record that was tried so often has failed for good";
    log_format "LOG_FORMAT", "json", "json or text", "how the log is written";
    rust_log "RUST_LOG", "info", "a level, or target=level, …", "verbosity of diagnostics (standard error)";
}

/// One fault of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The variable.
    pub variable: &'static str,
    /// The text received; nothing where it is not set.
    pub received: Option<String>,
    /// What is accepted.
    pub accepted: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.received {
            Some(received) => {
                let shown: String = received.chars().take(200).collect();
                write!(f, "{}={shown:?} is not accepted: {}", self.variable, self.accepted)
            }
            None => write!(f, "{} is not set: {}", self.variable, self.accepted),
        }
    }
}

/// Where outputs go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The bucket.
    pub bucket: BucketName,
    /// Put before every key, literally; may be empty.
    pub prefix: String,
}

/// `s3://bucket/prefix`: the dimension of the metrics.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// Where buckets are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreKind {
    /// S3, or what speaks its protocol at `AWS_ENDPOINT_URL`.
    S3,
    /// Folders under this path.
    Dir(PathBuf),
}

/// The least that `MEMORY_LIMIT_BYTES` accepts: the process itself, and a photo of a few megapixels.
pub const LEAST_MEMORY_BYTES: u64 = 64 << 20;

/// What bounds the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest source, in bytes.
    pub source_bytes: u64,
    /// Largest source, in pixels.
    pub source_pixels: u64,
    /// What the process may use in all, in bytes; nothing: as the machine allows.
    pub memory_bytes: Option<u64>,
    /// Objects in flight; nothing: from the CPUs.
    pub concurrency: Option<usize>,
    /// How long in-flight objects may take after a signal.
    pub grace: Duration,
}

/// Whether outputs are made again that are those of the source as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unchanged {
    /// They are left alone.
    Skip,
    /// They are made again.
    Remake,
}

/// Where records go that this task does not finish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandBack {
    /// The queue of records that are worth retrying.
    pub retry_url: Option<String>,
    /// The queue of records that failed for good.
    pub failed_url: Option<String>,
    /// A record that was tried so often has failed for good.
    pub max_attempts: u32,
}

impl HandBack {
    /// What of a grace is left for records in flight, once the time for handing back is set aside: a quarter, at most
    /// 12 s, as long as one request may take.
    #[must_use]
    pub fn grace_for_work(&self, grace: Duration) -> Duration {
        if self.retry_url.is_none() && self.failed_url.is_none() {
            return grace;
        }
        grace.saturating_sub((grace / 4).min(Duration::from_secs(12)))
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON document a line.
    Json,
    /// For people.
    Text,
}

/// The environment, validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// The batch, not yet read.
    pub batch: String,
    /// Where outputs go.
    pub destination: Destination,
    /// What is made.
    pub spec: Spec,
    /// What bounds the work.
    pub limits: Limits,
    /// Where buckets are.
    pub store: StoreKind,
    /// The bucket of entries that name only a key.
    pub source_bucket: Option<BucketName>,
    /// What happens to outputs that are up to date.
    pub unchanged: Unchanged,
    /// Where unfinished records go.
    pub hand_back: HandBack,
    /// How the log is written.
    pub log_format: LogFormat,
    /// Which diagnostics are written.
    pub log_filter: Targets,
}

impl Config {
    /// Reads the variables of the contract from `vars`; others are left alone. An empty text counts as not set, except
    /// in `SQS_BODY`, where it is an empty batch.
    ///
    /// # Errors
    /// Every fault there is, in the order of the contract.
    pub fn from_vars(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut texts = Vec::new();
        for (name, value) in vars {
            let Some(variable) = VARIABLES.iter().find(|variable| *variable.name == *name) else { continue };
            match value.into_string() {
                Ok(text) => texts.push((variable.name.to_owned(), text)),
                Err(value) => faults.push(Fault {
                    variable: variable.name,
                    received: Some(value.to_string_lossy().into_owned()),
                    accepted: "text in UTF-8",
                }),
            }
        }
        let raw: Raw = envy::from_iter(texts).unwrap_or_default();
        let mut reader = Reader { faults };
        let config = reader.config(raw);
        match config {
            Some(config) if reader.faults.is_empty() => Ok(config),
            _ => {
                let order = |fault: &Fault| VARIABLES.iter().position(|variable| variable.name == fault.variable);
                reader.faults.sort_by_key(order);
                reader.faults.dedup_by_key(|fault| fault.variable);
                Err(reader.faults)
            }
        }
    }
}

/// The largest limit on a source that can be configured, and the default: bytes, or pixels.
const MAX_SOURCE: u64 = 1 << 34;
const DEFAULT_SOURCE: u64 = 1 << 28;

/// Collects faults, so that reading goes on after the first.
struct Reader {
    faults: Vec<Fault>,
}

impl Reader {
    fn fault(&mut self, name: &'static str, received: Option<String>) {
        let accepted = VARIABLES.iter().find(|variable| variable.name == name).map_or("", |variable| variable.accepts);
        self.faults.push(Fault { variable: name, received, accepted });
    }

    /// The value of a text that is set; nothing where it is not set, or not accepted (and then noted).
    fn optional<T>(
        &mut self,
        name: &'static str,
        text: Option<String>,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = text.filter(|text| !text.is_empty())?;
        let value = parse(&text);
        if value.is_none() {
            self.fault(name, Some(text));
        }
        value
    }

    fn required<T>(
        &mut self,
        name: &'static str,
        text: Option<String>,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        if text.as_ref().is_none_or(String::is_empty) {
            self.fault(name, text);
            return None;
        }
        self.optional(name, text, parse)
    }

    fn choice<T: Copy>(&mut self, name: &'static str, text: Option<String>, choices: &[(&str, T)]) -> Option<T> {
        self.optional(name, text, |text| choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value))
    }

    fn number(
        &mut self,
        name: &'static str,
        text: Option<String>,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        self.optional(name, text, |text| digits(text).filter(|number| range.contains(number)))
    }

    fn config(&mut self, raw: Raw) -> Option<Config> {
        if raw.sqs_body.is_none() {
            self.fault("SQS_BODY", None);
        }
        let bucket = self.required("DEST_BUCKET", raw.dest_bucket, |text| BucketName::parse(text).ok());
        let prefix = self
            .optional("DEST_PREFIX", raw.dest_prefix, |text| (text.len() <= 900).then(|| text.to_owned()))
            .unwrap_or_default();
        let spec = self.spec(SpecTexts {
            sizes: raw.sizes,
            fit: raw.fit,
            filter: raw.filter,
            decode: raw.decode,
            color: raw.color,
            background: raw.background,
            format: raw.format,
            jpeg_quality: raw.jpeg_quality,
            jpeg_subsampling: raw.jpeg_subsampling,
        });
        let limits = Limits {
            source_bytes: self
                .number("MAX_SOURCE_BYTES", raw.max_source_bytes, 1..=MAX_SOURCE)
                .unwrap_or(DEFAULT_SOURCE),
            source_pixels: self
                .number("MAX_SOURCE_PIXELS", raw.max_source_pixels, 1..=MAX_SOURCE)
                .unwrap_or(DEFAULT_SOURCE),
            memory_bytes: self.number("MEMORY_LIMIT_BYTES", raw.memory_limit_bytes, LEAST_MEMORY_BYTES..=u64::MAX),
            concurrency: self
                .number("CONCURRENCY", raw.concurrency, 1..=1024)
                .and_then(|number| usize::try_from(number).ok()),
            grace: Duration::from_secs(self.number("GRACE_SECONDS", raw.grace_seconds, 0..=86400).unwrap_or(90)),
        };
        let store = self.optional("STORE", raw.store, |text| match text.strip_prefix("dir:") {
            Some(path) if !path.is_empty() => Some(StoreKind::Dir(path.into())),
            _ => (text == "s3").then_some(StoreKind::S3),
        });
        let source_bucket = self.optional("SOURCE_BUCKET", raw.source_bucket, |text| BucketName::parse(text).ok());
        let unchanged = self.choice(
            "SKIP_UNCHANGED",
            raw.skip_unchanged,
            &[("true", Unchanged::Skip), ("false", Unchanged::Remake)],
        );
        let hand_back = HandBack {
            retry_url: self.optional("RETRY_QUEUE_URL", raw.retry_queue_url, queue_url),
            failed_url: self.optional("FAILED_QUEUE_URL", raw.failed_queue_url, queue_url),
            max_attempts: self
                .number("MAX_ATTEMPTS", raw.max_attempts, 1..=1000)
                .and_then(|number| u32::try_from(number).ok())
                .unwrap_or(3),
        };
        let log_format =
            self.choice("LOG_FORMAT", raw.log_format, &[("json", LogFormat::Json), ("text", LogFormat::Text)]);
        let log_filter = self.optional("RUST_LOG", raw.rust_log, |text| text.parse::<Targets>().ok());
        Some(Config {
            batch: raw.sqs_body?,
            destination: Destination { bucket: bucket?, prefix },
            spec,
            limits,
            store: store.unwrap_or(StoreKind::S3),
            source_bucket,
            unchanged: unchanged.unwrap_or(Unchanged::Skip),
            hand_back,
            log_format: log_format.unwrap_or(LogFormat::Json),
            log_filter: log_filter.unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO)),
        })
    }

    fn spec(&mut self, texts: SpecTexts) -> Spec {
        let quality = self.number("JPEG_QUALITY", texts.jpeg_quality, 1..=100).unwrap_or(90);
        let subsampling = self
            .choice(
                "JPEG_SUBSAMPLING",
                texts.jpeg_subsampling,
                &[("420", Subsampling::Half), ("444", Subsampling::None)],
            )
            .unwrap_or(Subsampling::Half);
        let jpeg = Encoding::Jpeg { quality: u8::try_from(quality).unwrap_or(100), subsampling };
        let encodings = [("jpeg", jpeg), ("png", Encoding::Png), ("webp", Encoding::Webp), ("npy", Encoding::Npy)];
        let fits = [("cover", Fit::Cover), ("contain", Fit::Contain), ("stretch", Fit::Stretch)];
        let filters = [
            ("box", Filter::Box),
            ("bilinear", Filter::Bilinear),
            ("hamming", Filter::Hamming),
            ("bicubic", Filter::Bicubic),
            ("lanczos3", Filter::Lanczos3),
        ];
        Spec {
            sizes: self.optional("SIZES", texts.sizes, sizes).unwrap_or_else(|| sizes("224").unwrap_or_default()),
            fit: self.choice("FIT", texts.fit, &fits).unwrap_or(Fit::Cover),
            filter: self.choice("FILTER", texts.filter, &filters).unwrap_or(Filter::Lanczos3),
            decode: self
                .choice("DECODE", texts.decode, &[("fast", Decode::Fast), ("exact", Decode::Exact)])
                .unwrap_or(Decode::Fast),
            color: self
                .choice("COLOR", texts.color, &[("srgb", Color::Srgb), ("ignore", Color::Ignore)])
                .unwrap_or(Color::Srgb),
            background: self.optional("BACKGROUND", texts.background, |text| text.parse().ok()).unwrap_or(Rgb([0; 3])),
            encoding: self.choice("FORMAT", texts.format, &encodings).unwrap_or(jpeg),
        }
    }
}

/// The variables of which a [`Spec`] is made.
struct SpecTexts {
    sizes: Option<String>,
    fit: Option<String>,
    filter: Option<String>,
    decode: Option<String>,
    color: Option<String>,
    background: Option<String>,
    format: Option<String>,
    jpeg_quality: Option<String>,
    jpeg_subsampling: Option<String>,
}

/// An absolute URL with a host and a path.
fn queue_url(text: &str) -> Option<String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let (host, path) = rest.split_once('/')?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    (!host.is_empty() && !path.is_empty() && is_plain).then(|| text.to_owned())
}

/// A comma list of sizes; one that is given twice counts once.
fn sizes(text: &str) -> Option<Vec<Size>> {
    let mut sizes = Vec::new();
    for part in text.split(',') {
        let size = part.trim().parse().ok()?;
        if !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    Some(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> Result<Config, Vec<Fault>> {
        let required = [("SQS_BODY", "[]"), ("DEST_BUCKET", "out")];
        let all = required.iter().filter(|(name, _)| vars.iter().all(|(other, _)| name != other)).chain(vars);
        Config::from_vars(all.map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let config = config(&[("UNRELATED", "x"), ("SIZES", "")]).expect("valid");
        let size = |side| Size::new(side, side).expect("not zero");
        let spec = Spec {
            sizes: vec![size(224)],
            fit: Fit::Cover,
            filter: Filter::Lanczos3,
            decode: Decode::Fast,
            color: Color::Srgb,
            background: Rgb([0; 3]),
            encoding: Encoding::Jpeg { quality: 90, subsampling: Subsampling::Half },
        };
        assert_eq!(config.spec, spec);
        let limits = Limits {
            source_bytes: 268_435_456,
            source_pixels: 268_435_456,
            memory_bytes: None,
            concurrency: None,
            grace: Duration::from_secs(90),
        };
        assert_eq!(config.limits, limits);
        assert_eq!(
            (config.store, config.unchanged, config.log_format),
            (StoreKind::S3, Unchanged::Skip, LogFormat::Json)
        );
        assert_eq!((config.source_bucket, config.destination.prefix.as_str()), (None, ""));
    }

    #[test]
    fn every_variable_refuses_what_it_does_not_accept() {
        let cases: &[(&str, &[&str])] = &[
            ("DEST_BUCKET", &["", "a b", "a/b"]),
            ("DEST_PREFIX", &[&"x".repeat(901)]),
            ("SIZES", &["0", "4097", "224,", ",", "224x", "axb", "-1", "224;299"]),
            ("FIT", &["Cover", "fill"]),
            ("FILTER", &["lanczos", "nearest"]),
            ("DECODE", &["full"]),
            ("COLOR", &["sRGB"]),
            ("BACKGROUND", &["#000000", "fff", "black"]),
            ("FORMAT", &["jpg", "JPEG"]),
            ("JPEG_QUALITY", &["0", "101", "90.0", "+90", " 90"]),
            ("JPEG_SUBSAMPLING", &["422", "4:2:0"]),
            ("MAX_SOURCE_BYTES", &["0", "-1", "1k", "99999999999999999999"]),
            ("MAX_SOURCE_PIXELS", &["0", "1e9"]),
            ("MEMORY_LIMIT_BYTES", &["0", "67108863", "512M"]),
            ("CONCURRENCY", &["0", "1025"]),
            ("GRACE_SECONDS", &["-1", "1.5", "86401"]),
            ("STORE", &["S3", "dir", "dir:", "file:/x"]),
            ("SOURCE_BUCKET", &["a b"]),
            ("SKIP_UNCHANGED", &["yes", "1", "True"]),
            (
                "RETRY_QUEUE_URL",
                &["my-queue", "https://", "https://host", "https://host/", "arn:aws:sqs:x:1:q", "https://h/a b"],
            ),
            ("FAILED_QUEUE_URL", &["ftp://host/queue"]),
            ("MAX_ATTEMPTS", &["0", "1001"]),
            ("LOG_FORMAT", &["JSON", "pretty"]),
            ("RUST_LOG", &["pixpipe=loud"]),
        ];
        for (name, texts) in cases {
            for text in *texts {
                let faults = config(&[(name, text)]).expect_err(text);
                assert_eq!(faults.len(), 1, "{name}={text}: {faults:?}");
                assert_eq!((faults[0].variable, faults[0].received.as_deref()), (*name, Some(*text)));
                assert!(!faults[0].accepted.is_empty());
            }
        }
    }

    #[test]
    fn a_part_of_the_grace_is_for_handing_back() {
        let grace = |seconds: &str, queue: &[(&str, &str)]| {
            let vars = [&[("GRACE_SECONDS", seconds)], queue].concat();
            let config = config(&vars).expect("valid");
            config.hand_back.grace_for_work(config.limits.grace).as_secs()
        };
        let queue = [("RETRY_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/q")];
        assert_eq!((grace("90", &[]), grace("90", &queue), grace("20", &queue), grace("0", &queue)), (90, 78, 15, 0));
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let faults = Config::from_vars([("FIT".into(), "x".into()), ("SIZES".into(), "y".into())]).expect_err("faults");
        let names: Vec<_> = faults.iter().map(|fault| fault.variable).collect();
        assert_eq!(names, ["SQS_BODY", "DEST_BUCKET", "SIZES", "FIT"]);
        assert_eq!(faults[3].to_string(), "FIT=\"x\" is not accepted: cover, contain or stretch");
        assert_eq!(faults[0].to_string(), "SQS_BODY is not set: JSON");
    }

    #[test]
    fn text_that_is_not_utf_8_is_a_fault() {
        use std::os::unix::ffi::OsStringExt;
        let vars = [("SQS_BODY", b"[]".to_vec()), ("DEST_BUCKET", b"out".to_vec()), ("FIT", b"\xff".to_vec())];
        let vars = vars.map(|(name, value)| (name.into(), OsString::from_vec(value)));
        let faults = Config::from_vars(vars).expect_err("a fault");
        assert_eq!((faults.len(), faults[0].variable, faults[0].accepted), (1, "FIT", "text in UTF-8"));
    }

    #[test]
    fn values_are_read() {
        let config = config(&[
            ("SIZES", "224, 299x300,224"),
            ("STORE", "dir:/tmp/x"),
            ("SKIP_UNCHANGED", "false"),
            ("BACKGROUND", "ff0080"),
            ("FORMAT", "npy"),
        ])
        .expect("valid");
        let sizes: Vec<String> = config.spec.sizes.iter().map(ToString::to_string).collect();
        assert_eq!(sizes, ["224x224", "299x300"]);
        assert_eq!(config.store, StoreKind::Dir("/tmp/x".into()));
        assert_eq!((config.unchanged, config.spec.background), (Unchanged::Remake, Rgb([255, 0, 128])));
        assert_eq!(config.spec.encoding, Encoding::Npy);
    }
}
