//! The environment → [`Config`]: every variable of the contract, every fault at once.

mod misspelt;
mod preset;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use pixpipe_pixels::geometry::{CropRound, Fit, MAX_ASPECT, OutputSize, OutputSizeError};
use pixpipe_pixels::spec::{Color, Decode, Encoding, Filter, Rgb, Spec, Subsampling};
use serde::Deserialize;
use tracing_subscriber::filter::Targets;

pub use self::misspelt::Misspelt;
use self::misspelt::meant;
pub use self::preset::Preset;
use crate::destination::Destination;
use crate::object::BucketName;
use crate::one_line::one_line;

/// One variable, as `--help` and docs/contract.md show it.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name in the environment.
    pub name: &'static str,
    /// Its value if it is not set.
    pub default: DefaultValue,
    /// The texts that are accepted.
    pub accepts: &'static str,
    /// The meaning, in Markdown.
    pub meaning: &'static str,
}

/// The value of a variable that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// There is none: the variable is required.
    Required,
    /// This text, read as if it had been set.
    Text(&'static str),
    /// No value. The text describes the behaviour without one.
    None(&'static str),
}

impl fmt::Display for DefaultValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "required",
            Self::Text("") => "empty",
            Self::Text(text) | Self::None(text) => text,
        })
    }
}

/// A row of the table below: one variable, and the function that reads its text.
struct Row<T> {
    variable: &'static Variable,
    parse: fn(&str) -> Option<T>,
}

impl<T> Row<T> {
    /// The value of a text, or of the default if it is not set; `None` if it is not accepted, and then noted.
    fn read(&self, text: Option<&String>, faults: &mut Vec<Fault>) -> Option<T> {
        let is_required = self.variable.default == DefaultValue::Required;
        let value = match (text, self.variable.default) {
            (Some(text), _) if is_required || !text.is_empty() => (self.parse)(text),
            (_, DefaultValue::Text(text)) => (self.parse)(text),
            (_, DefaultValue::None(_)) => (self.parse)(""),
            (_, DefaultValue::Required) => None,
        };
        if value.is_none() {
            let Variable { name, accepts, meaning, .. } = *self.variable;
            let accepted = match text {
                Some(text) => remedy(name, text).unwrap_or_else(|| accepts.to_owned() + &meant(accepts, text)),
                None => inside_a_sentence(meaning),
            };
            faults.push(Fault { variable: name, received: text.cloned(), accepted });
        }
        value
    }

    /// Whether a value is another than that of a variable that is not set.
    fn is_changed(&self, value: &T) -> bool
    where
        T: PartialEq,
    {
        match self.variable.default {
            DefaultValue::Required => false,
            DefaultValue::Text(text) => (self.parse)(text).as_ref() != Some(value),
            DefaultValue::None(_) => (self.parse)("").as_ref() != Some(value),
        }
    }
}

macro_rules! variables {
    ($($field:ident: $type:ty = $name:literal, $default:expr, $parse:expr, $accepts:literal, $meaning:literal;)*) => {
        /// Every variable of the contract, in its order.
        pub const VARIABLES: &[Variable] = &[$(
            Variable { name: $name, default: $default, accepts: $accepts, meaning: $meaning },
        )*];

        /// The texts that are set. `envy` finds a variable by the name of its field.
        #[derive(Debug, Deserialize)]
        struct Texts {
            $($field: Option<String>,)*
        }

        /// The values of all variables.
        struct Values {
            $($field: $type,)*
        }

        impl Values {
            /// Reads every variable before it gives up. Gives the settings with the values, in the order of
            /// [`VARIABLES`].
            fn read(texts: Texts, faults: &mut Vec<Fault>) -> Option<(Self, Vec<Setting>)> {
                let mut variables = VARIABLES.iter();
                let mut settings = Vec::with_capacity(VARIABLES.len());
                $(
                    let row = Row::<$type> { variable: variables.next()?, parse: $parse };
                    let $field = row.read(texts.$field.as_ref(), faults);
                    settings.push(Setting {
                        text: texts.$field.filter(|text| !text.is_empty()),
                        is_changed: $field.as_ref().is_some_and(|value| row.is_changed(value)),
                        preset: None,
                    });
                )*
                Some((Self { $($field: $field?,)* }, settings))
            }
        }
    };
}

variables! {
    sqs_body: String = "SQS_BODY", DefaultValue::Required, text,
        "JSON, or one entry a line",
        "The batch of events, for example `[\"s3://bucket/key\"]`. `--batch` reads it from a file instead.";
    dest_bucket: BucketName = "DEST_BUCKET", DefaultValue::Required, bucket,
        "the name, alias or ARN of a bucket, without s3:// (a folder goes into DEST_PREFIX)",
        "The bucket that receives the results.";
    dest_prefix: String = "DEST_PREFIX", DefaultValue::Text(""), prefix,
        "at most 900 bytes",
        "The start of every output key, taken literally: `thumbs/` or `thumbs-`.";
    manifest_prefix: Option<String> = "MANIFEST_PREFIX", DefaultValue::None("none"), |text| optional(text, prefix),
        "at most 900 bytes",
        "The start of the key of an object in `DEST_BUCKET` that tells what came of each record: one JSON Lines object \
         a task.";
    preset: Option<Preset> = "PRESET", DefaultValue::None("none"), |text| optional(text, Preset::parse),
        "torchvision-256-224, torchvision-232-224, torchvision-342-299, timm-875-224, timm-900-224, timm-950-224, \
         timm-965-224, clip-224, hf-clip-224, hf-vit-224 or fid-299",
        "The picture that a library would have made: a name for `SIZES`, `FIT`, `CROP_ROUND` and `FILTER`, which may \
         not be set beside it, and for `DECODE=exact`, `COLOR=ignore` and `FORMAT=png`, which may.";
    sizes: Vec<OutputSize> = "SIZES", DefaultValue::Text("224"), |text| sizes(text).ok(),
        "a comma list of N, WxH, N@R or WxH@R, each number 1 to 4096 px",
        "The sizes of the outputs, separated by commas: `N` (N×N) or `WxH`, placed by `FIT`; `N@R` or `WxH@R` scales \
         the short side to R and cuts the centre out. All are made from one decode.";
    fit: FitWord = "FIT", DefaultValue::Text("cover"), |text| one_of(&FitWord::ALL, FitWord::as_str, text),
        "cover, contain, stretch or short",
        "`cover` fills the output and crops the centre. `contain` fits the image inside and pads with `BACKGROUND`. \
         `stretch` ignores the aspect ratio. The output is exactly W×H in all three. `short` scales the short side to \
         N and keeps the aspect ratio. Small sources are enlarged.";
    crop_round: CropRound = "CROP_ROUND", DefaultValue::Text("even"),
        |text| one_of(&CropRound::ALL, CropRound::as_str, text),
        "even or floor",
        "Where `N@R` cuts if half a pixel is left: `even` as torchvision, timm and open_clip, `floor` as transformers.";
    filter: Filter = "FILTER", DefaultValue::Text("lanczos3"), |text| one_of(&Filter::ALL, Filter::as_str, text),
        "box, bilinear, hamming, bicubic or lanczos3",
        "The resampling filter of Pillow, with its antialiasing. `bicubic` is Catmull-Rom (a = −0.5).";
    decode: Decode = "DECODE", DefaultValue::Text("fast"), |text| one_of(&Decode::ALL, Decode::as_str, text),
        "fast or exact",
        "JPEG only. `fast` decodes at a reduced scale (DCT) of at least twice the output on each side. `exact` decodes \
         every pixel.";
    color: Color = "COLOR", DefaultValue::Text("srgb"), |text| one_of(&Color::ALL, Color::as_str, text),
        "srgb or ignore",
        "`srgb` converts an embedded ICC profile to sRGB (relative colorimetric). `ignore` keeps the numbers as \
         stored.";
    background: Rgb = "BACKGROUND", DefaultValue::Text("000000"), |text| text.parse().ok(),
        "RRGGBB, hexadecimal",
        "The colour of the padding of `contain`; transparent pixels are composited on it.";
    format: Format = "FORMAT", DefaultValue::Text("jpeg"), |text| one_of(&Format::ALL, Format::as_str, text),
        "jpeg, png, webp or npy",
        "The file format of the outputs. `webp` is lossless; `npy` is uint8 of shape (H, W, 3) in C order.";
    jpeg_quality: u8 = "JPEG_QUALITY", DefaultValue::Text("90"), |text| u8::try_from(number(text, 1, 100)?).ok(),
        "1 to 100",
        "The quality of JPEG outputs, on libjpeg's scale.";
    jpeg_subsampling: Subsampling = "JPEG_SUBSAMPLING", DefaultValue::Text("420"),
        |text| one_of(&Subsampling::ALL, Subsampling::as_str, text),
        "420 or 444",
        "The chroma subsampling of JPEG outputs.";
    max_source_bytes: u64 = "MAX_SOURCE_BYTES", DefaultValue::Text("268435456"), |text| number(text, 1, MAX_SOURCE),
        "1 to 17179869184 bytes",
        "A larger object is refused, before any download if the event carries its size.";
    max_source_pixels: u64 = "MAX_SOURCE_PIXELS", DefaultValue::Text("268435456"), |text| number(text, 1, MAX_SOURCE),
        "1 to 17179869184 pixels",
        "A larger image is refused from its header.";
    memory_limit_bytes: Option<u64> = "MEMORY_LIMIT_BYTES", DefaultValue::None("cgroup limit, else RAM"),
        |text| optional(text, |text| number(text, LEAST_MEMORY_BYTES, u64::MAX)),
        "at least 67108864 bytes",
        "The memory of the whole process. Work waits for room.";
    concurrency: Option<usize> = "CONCURRENCY", DefaultValue::None("32 × CPUs"),
        |text| optional(text, |text| usize::try_from(number(text, 1, 1024)?).ok()),
        "1 to 1024",
        "The number of objects in flight: fewer if `MEMORY_LIMIT_BYTES` has less than 1 MiB for each.";
    grace_seconds: u64 = "GRACE_SECONDS", DefaultValue::Text("90"), |text| number(text, 0, 86_400),
        "0 to 86400 seconds",
        "The time that objects in flight have after SIGTERM or SIGINT. A second signal ends them at once.";
    time_limit_seconds: Option<Duration> = "TIME_LIMIT_SECONDS", DefaultValue::None("none"),
        |text| optional(text, |text| number(text, 1, 604_800).map(Duration::from_secs)),
        "1 to 604800 seconds",
        "The time after which the task ends as after SIGTERM, so that none hangs for ever.";
    store: StoreKind = "STORE", DefaultValue::Text("s3"), store,
        "s3 or dir:PATH",
        "`s3`, or `dir:PATH` for trying it without AWS: folders as buckets, `PATH/<bucket>/<key>`, with metadata in \
         `PATH/.pixpipe`.";
    source_bucket: Option<BucketName> = "SOURCE_BUCKET", DefaultValue::None("none"), |text| optional(text, bucket),
        "the name, alias or ARN of a bucket",
        "The bucket of batch entries that name only a key.";
    skip_unchanged: Existing = "SKIP_UNCHANGED", DefaultValue::Text("true"), existing,
        "true or false",
        "`true` leaves outputs alone that were made from the source as it is, with these settings. `false` makes them \
         again.";
    retry_queue_url: Option<String> = "RETRY_QUEUE_URL", DefaultValue::None("none"), |text| optional(text, queue_url),
        "the URL of a standard SQS queue (not FIFO)",
        "The SQS queue that receives records that are worth retrying.";
    failed_queue_url: Option<String> = "FAILED_QUEUE_URL", DefaultValue::None("none"), |text| optional(text, queue_url),
        "the URL of a standard SQS queue (not FIFO)",
        "The SQS queue that receives records that failed for good.";
    max_attempts: u32 = "MAX_ATTEMPTS", DefaultValue::Text("3"), |text| u32::try_from(number(text, 1, 1000)?).ok(),
        "1 to 1000",
        "A record that was tried this often goes to `FAILED_QUEUE_URL`.";
    log_format: LogFormat = "LOG_FORMAT", DefaultValue::Text("json"),
        |text| one_of(&LogFormat::ALL, LogFormat::as_str, text),
        "json or text",
        "The format of the log: `json` for machines, `text` for people.";
    rust_log: Targets = "RUST_LOG", DefaultValue::Text("info"), log_targets,
        "a level (error, warn, info, debug, trace, off) or target=level,…",
        "The verbosity of diagnostics on standard error.";
}

/// One fault of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The variable.
    pub variable: &'static str,
    /// The text received; `None` if it is not set.
    pub received: Option<String>,
    /// The texts that are accepted; the meaning of a variable that is not set.
    pub accepted: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.received {
            Some(received) => {
                let shown = one_line(&received.chars().take(200).collect::<String>());
                write!(f, "{}=\"{shown}\" is not accepted: use {}", self.variable, self.accepted)
            }
            None => write!(f, "{} is required: {}", self.variable, self.accepted),
        }
    }
}

/// The place of buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreKind {
    /// S3, or a server that speaks its protocol at `AWS_ENDPOINT_URL`.
    S3,
    /// Folders under this path.
    Dir(PathBuf),
}

/// The least that `MEMORY_LIMIT_BYTES` accepts: the process itself, and a photo of a few megapixels.
pub const LEAST_MEMORY_BYTES: u64 = 64 << 20;

/// The largest limit on a source that can be configured: bytes, or pixels.
const MAX_SOURCE: u64 = 1 << 34;

/// The bounds of the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest source, in bytes.
    pub source_bytes: u64,
    /// Largest source, in pixels.
    pub source_pixels: u64,
    /// Memory of the process, in bytes; `None`: as the machine allows.
    pub memory_bytes: Option<u64>,
    /// Objects in flight; `None`: from the CPUs.
    pub concurrency: Option<usize>,
    /// Time for objects in flight after a signal.
    pub grace: Duration,
    /// Time of the whole task.
    pub time: Option<Duration>,
}

/// The fate of existing outputs that were made from the source as it is, with these settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// They are left alone.
    Skip,
    /// They are made again.
    Remake,
}

/// The destination of records that this task does not finish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandBack {
    /// The queue of records that are worth retrying.
    pub retry_url: Option<String>,
    /// The queue of records that failed for good.
    pub failed_url: Option<String>,
    /// A record that was tried this often has failed for good.
    pub max_attempts: u32,
}

impl HandBack {
    /// Whether any queue is named.
    #[must_use]
    pub const fn has_queue(&self) -> bool {
        self.retry_url.is_some() || self.failed_url.is_some()
    }

    /// The part of a grace that is left for records in flight, once the time for handing back is set aside: a quarter,
    /// at most 12 s, as long as one request may take.
    #[must_use]
    pub fn grace_for_work(&self, grace: Duration) -> Duration {
        if self.has_queue() { grace.saturating_sub((grace / 4).min(Duration::from_secs(12))) } else { grace }
    }
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON document a line.
    Json,
    /// For people.
    Text,
}

impl LogFormat {
    const ALL: [Self; 2] = [Self::Json, Self::Text];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

/// The words of `FIT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FitWord {
    /// Outputs of an exact size.
    Exact(Fit),
    /// Outputs that follow the source's aspect ratio.
    Short,
}

impl FitWord {
    const ALL: [Self; 4] = [Self::Exact(Fit::Cover), Self::Exact(Fit::Contain), Self::Exact(Fit::Stretch), Self::Short];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Exact(fit) => fit.as_str(),
            Self::Short => "short",
        }
    }
}

/// The words of `FORMAT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Jpeg,
    Png,
    Webp,
    Npy,
}

impl Format {
    const ALL: [Self; 4] = [Self::Jpeg, Self::Png, Self::Webp, Self::Npy];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Webp => "webp",
            Self::Npy => "npy",
        }
    }

    const fn encoding(self, quality: u8, subsampling: Subsampling) -> Encoding {
        match self {
            Self::Jpeg => Encoding::Jpeg { quality, subsampling },
            Self::Png => Encoding::Png,
            Self::Webp => Encoding::Webp,
            Self::Npy => Encoding::Npy,
        }
    }
}

/// The environment, validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// The batch, not yet read; `None` if it is not in the environment.
    pub batch: Option<String>,
    /// The place of outputs.
    pub destination: Destination,
    /// The start of the key of the manifest; `None` for none.
    pub manifest_prefix: Option<String>,
    /// The settings of outputs.
    pub spec: Spec,
    /// The bounds of the work.
    pub limits: Limits,
    /// The place of buckets.
    pub store: StoreKind,
    /// The bucket of entries that name only a key.
    pub source_bucket: Option<BucketName>,
    /// The fate of outputs that are up to date.
    pub existing: Existing,
    /// The destination of unfinished records.
    pub hand_back: HandBack,
    /// The format of the log.
    pub log_format: LogFormat,
    /// The diagnostics that are written.
    pub log_filter: Targets,
    /// The setting of each of [`VARIABLES`], in their order.
    pub settings: Vec<Setting>,
}

/// One variable as it was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its text; `None` if it is not set.
    pub text: Option<String>,
    /// Whether its value is another than the default.
    pub is_changed: bool,
    /// The preset that its text is from; `None` if it was set by itself, or not at all.
    pub preset: Option<&'static str>,
}

impl Config {
    /// Reads the variables of the contract from `vars`; others are left alone. An empty text counts as not set, except
    /// in those that are required. Of two variables of one name the first counts, as it does for getenv(3).
    ///
    /// # Errors
    /// Every fault there is, in the order of the contract.
    pub fn from_vars(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, Vec<Fault>> {
        Self::read(vars, true)
    }

    /// As [`Config::from_vars`], for a batch that comes from elsewhere, or for none.
    ///
    /// # Errors
    /// Every fault there is, in the order of the contract.
    pub fn without_batch(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, Vec<Fault>> {
        Self::read(vars, false)
    }

    fn read(vars: impl IntoIterator<Item = (OsString, OsString)>, needs_batch: bool) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut texts: BTreeMap<&'static str, String> = BTreeMap::new();
        for (name, value) in vars {
            let Some(variable) = VARIABLES.iter().find(|variable| *variable.name == *name) else { continue };
            if texts.contains_key(variable.name) {
                continue;
            }
            if value.to_str().is_none() {
                let received = Some(value.to_string_lossy().into_owned());
                faults.push(Fault { variable: variable.name, received, accepted: "text in UTF-8".to_owned() });
            }
            texts.insert(variable.name, value.to_string_lossy().into_owned());
        }
        let has_batch = texts.contains_key("SQS_BODY");
        if !needs_batch {
            texts.entry("SQS_BODY").or_default();
        }
        let preset = texts.get("PRESET").and_then(|name| Preset::parse(name));
        let from_preset = preset.map(|preset| expand(preset, &mut texts, &mut faults)).unwrap_or_default();
        faults.extend(contradiction(&texts));
        let texts = texts.into_iter().map(|(name, text)| (name.to_owned(), text));
        let texts: Texts = envy::from_iter(texts).map_err(|error| {
            vec![Fault { variable: "the environment", received: Some(error.to_string()), accepted: "texts".to_owned() }]
        })?;
        match Values::read(texts, &mut faults) {
            Some((values, mut settings)) if faults.is_empty() => {
                let preset = values.preset.map(|preset| preset.name);
                for (variable, setting) in VARIABLES.iter().zip(&mut settings) {
                    setting.preset = preset.filter(|_| from_preset.contains(&variable.name));
                }
                let config = Self::new(values, settings);
                Ok(Self { batch: config.batch.filter(|_| has_batch), ..config })
            }
            _ => {
                faults.sort_by_key(|fault| VARIABLES.iter().position(|variable| variable.name == fault.variable));
                // One fault a variable: the first is that its text is not UTF-8.
                faults.dedup_by_key(|fault| fault.variable);
                Err(faults)
            }
        }
    }

    fn new(values: Values, settings: Vec<Setting>) -> Self {
        let shaped = |size| match (size, values.fit) {
            (OutputSize::Exact(size), FitWord::Short) => OutputSize::Short(size.short_side()),
            (OutputSize::Cut(cut), _) => OutputSize::Cut(cut.rounded(values.crop_round)),
            (size, _) => size,
        };
        Self {
            batch: Some(values.sqs_body),
            destination: Destination { bucket: values.dest_bucket, prefix: values.dest_prefix },
            manifest_prefix: values.manifest_prefix,
            spec: Spec {
                sizes: values.sizes.into_iter().map(shaped).collect(),
                fit: match values.fit {
                    FitWord::Exact(fit) => fit,
                    FitWord::Short => Fit::Cover,
                },
                filter: values.filter,
                decode: values.decode,
                color: values.color,
                background: values.background,
                encoding: values.format.encoding(values.jpeg_quality, values.jpeg_subsampling),
            },
            limits: Limits {
                source_bytes: values.max_source_bytes,
                source_pixels: values.max_source_pixels,
                memory_bytes: values.memory_limit_bytes,
                concurrency: values.concurrency,
                grace: Duration::from_secs(values.grace_seconds),
                time: values.time_limit_seconds,
            },
            store: values.store,
            source_bucket: values.source_bucket,
            existing: values.skip_unchanged,
            hand_back: HandBack {
                retry_url: values.retry_queue_url,
                failed_url: values.failed_queue_url,
                max_attempts: values.max_attempts,
            },
            log_format: values.log_format,
            log_filter: values.rust_log,
            settings,
        }
    }
}

/// A sentence of Markdown as a part of another sentence.
fn inside_a_sentence(text: &str) -> String {
    let text = text.trim_end_matches('.').replace('`', "");
    text.split_at_checked(1).map_or(String::new(), |(first, rest)| first.to_lowercase() + rest)
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of every reader")]
fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn bucket(text: &str) -> Option<BucketName> {
    BucketName::parse(text).ok()
}

fn prefix(text: &str) -> Option<String> {
    (text.len() <= 900).then(|| text.to_owned())
}

/// The value whose word is `text`.
fn one_of<T: Copy>(all: &[T], word: fn(T) -> &'static str, text: &str) -> Option<T> {
    all.iter().copied().find(|value| word(*value) == text)
}

/// A number written in digits only, from `least` to `most`, both included.
fn number(text: &str, least: u64, most: u64) -> Option<u64> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_digits && (least..=most).contains(number))
}

/// `Some(None)` for the empty text, which stands for a variable that is not set.
#[expect(clippy::option_option, reason = "the outer one is every reader's: not accepted")]
fn optional<T>(text: &str, parse: fn(&str) -> Option<T>) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { parse(text).map(Some) }
}

/// A word alone would be the name of a target, which turns all others off: it is a misspelt level.
fn log_targets(text: &str) -> Option<Targets> {
    let is_level = |part: &str| ["error", "warn", "info", "debug", "trace", "off"].contains(&part);
    let is_complete = text.split(',').all(|part| is_level(part) || part.contains('=') && !part.starts_with('='));
    text.parse().ok().filter(|_| is_complete)
}

fn store(text: &str) -> Option<StoreKind> {
    match text.strip_prefix("dir:") {
        Some(path) if !path.is_empty() => Some(StoreKind::Dir(path.into())),
        _ => (text == "s3").then_some(StoreKind::S3),
    }
}

fn existing(text: &str) -> Option<Existing> {
    match text {
        "true" => Some(Existing::Skip),
        "false" => Some(Existing::Remake),
        _ => None,
    }
}

/// An absolute URL with a host and a path, of a standard queue: a FIFO queue wants a message group, and takes no delay.
fn queue_url(text: &str) -> Option<String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let (host, path) = rest.split_once('/')?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    let is_fifo = path.rsplit('.').next() == Some("fifo");
    (!host.is_empty() && !path.is_empty() && is_plain && !is_fifo).then(|| text.to_owned())
}

/// A comma list of sizes; one that is given twice counts once. The error is what to use.
fn sizes(text: &str) -> Result<Vec<OutputSize>, Option<String>> {
    let mut sizes: Vec<OutputSize> = Vec::new();
    for part in text.split(',') {
        let size: OutputSize = part.trim().parse().map_err(|error| match error {
            OutputSizeError::NotASize(_) => None,
            OutputSizeError::SmallShortSide { received, least, .. } => {
                Some(format!("R of at least {least} in \"{received}\", since that cuts {least} px out of R"))
            }
        })?;
        if sizes.contains(&size) {
            continue;
        }
        if let Some(other) = sizes.iter().find(|other| other.folder() == size.folder()) {
            let folder = size.folder();
            return Err(Some(format!(
                "{other} or {size}, not both: both would be {folder}/<source key>; two tasks with prefixes of their \
                 own make both"
            )));
        }
        sizes.push(size);
    }
    Ok(sizes)
}

/// What to use in place of a text that its variable does not accept, if that can be told from the text.
fn remedy(variable: &str, text: &str) -> Option<String> {
    match variable {
        "PRESET" => preset::instead_of(text).map(str::to_owned),
        "SIZES" => sizes(text).err().flatten(),
        _ => None,
    }
}

/// Adds the settings of a preset to the texts. Gives the variables that it has set.
fn expand(preset: Preset, texts: &mut BTreeMap<&'static str, String>, faults: &mut Vec<Fault>) -> Vec<&'static str> {
    let mut expanded = Vec::new();
    for (variable, text) in preset.settings() {
        match texts.get(variable).filter(|text| !text.is_empty()) {
            None => {
                texts.insert(variable, text.to_owned());
                expanded.push(variable);
            }
            Some(received) if preset::GEOMETRY.contains(&variable) => faults.push(Fault {
                variable,
                received: Some(received.clone()),
                accepted: format!("PRESET={} alone, which sets {variable}={text}", preset.name),
            }),
            Some(_) => {}
        }
    }
    expanded
}

/// The fault of `SIZES` that `FIT` or `FORMAT` does not allow, if these can be read.
fn contradiction(texts: &BTreeMap<&'static str, String>) -> Option<Fault> {
    let text = |variable: &str| texts.get(variable).map(String::as_str).filter(|text| !text.is_empty());
    let fit =
        text("FIT").map_or(Some(FitWord::Exact(Fit::Cover)), |text| one_of(&FitWord::ALL, FitWord::as_str, text))?;
    let received = text("SIZES").unwrap_or_default();
    let sizes = sizes(received).ok()?;
    let accepted = match fit {
        FitWord::Exact(Fit::Cover) => return None,
        FitWord::Exact(fit) => {
            let has_cut = sizes.iter().any(|size| matches!(size, OutputSize::Cut(_)));
            has_cut.then(|| format!("N or WxH with FIT={}: N@R goes with FIT=cover", fit.as_str()))
        }
        FitWord::Short if received.contains(['x', '@']) => {
            Some("N with FIT=short: the other side follows from the source".to_owned())
        }
        FitWord::Short => {
            let format =
                text("FORMAT").map_or(Some(Format::Jpeg), |text| one_of(&Format::ALL, Format::as_str, text))?;
            let longest_px = format.encoding(90, Subsampling::S420).longest_side_px();
            let most_px = longest_px / MAX_ASPECT;
            let is_larger = sizes.iter().any(|size| matches!(size, OutputSize::Exact(size) if size.width() > most_px));
            is_larger.then(|| {
                let format = format.as_str();
                format!(
                    "N of {most_px} px at most with FIT=short and FORMAT={format}: the long side may be \
                     {MAX_ASPECT} N, and {format} holds {longest_px} px"
                )
            })
        }
    };
    Some(Fault { variable: "SIZES", received: Some(received.to_owned()), accepted: accepted? })
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
        assert_eq!(config.spec, Spec::default());
        let limits = Limits {
            source_bytes: 268_435_456,
            source_pixels: 268_435_456,
            memory_bytes: None,
            concurrency: None,
            grace: Duration::from_secs(90),
            time: None,
        };
        assert_eq!(config.limits, limits);
        assert_eq!(
            (config.store, config.existing, config.log_format),
            (StoreKind::S3, Existing::Skip, LogFormat::Json)
        );
        assert_eq!((config.source_bucket, config.destination.prefix.as_str()), (None, ""));
    }

    #[test]
    fn a_field_is_named_as_its_variable() {
        for name in VARIABLES.iter().map(|variable| variable.name) {
            // Whatever is accepted or refused: the text that was set is the one that is read.
            let settings = match config(&[(name, "\u{1}")]) {
                Ok(config) => config.settings.into_iter().map(|setting| setting.text).collect::<Vec<_>>(),
                Err(faults) => faults.into_iter().map(|fault| fault.received).collect(),
            };
            assert!(settings.contains(&Some("\u{1}".into())), "{name}: {settings:?}");
        }
    }

    #[test]
    fn a_setting_is_changed_if_its_value_is() {
        let vars = [("SIZES", "224x224"), ("FIT", "cover"), ("BACKGROUND", "000001"), ("CONCURRENCY", "8")];
        let config = config(&vars).expect("valid");
        let is_changed = |name: &str| {
            let place = VARIABLES.iter().position(|variable| variable.name == name).expect("a variable");
            config.settings[place].is_changed
        };
        let changed = ["DEST_BUCKET", "SIZES", "FIT", "BACKGROUND", "CONCURRENCY", "FILTER"].map(is_changed);
        assert_eq!(changed, [false, false, false, true, true, false]);
    }

    #[test]
    fn of_two_variables_of_one_name_the_first_counts() {
        let vars = [("SQS_BODY", "[]"), ("DEST_BUCKET", "out"), ("FIT", "stretch"), ("FIT", "contain")];
        let config = Config::from_vars(vars.map(|(name, value)| (name.into(), value.into()))).expect("valid");
        assert_eq!(config.spec.fit, Fit::Stretch);
    }

    #[test]
    fn every_variable_refuses_what_it_does_not_accept() {
        let cases: &[(&str, &[&str])] = &[
            ("DEST_BUCKET", &["", "a b", "a/b"]),
            ("DEST_PREFIX", &[&"x".repeat(901)]),
            ("MANIFEST_PREFIX", &[&"x".repeat(901)]),
            ("PRESET", &["torchvision", "CLIP-224", "keras-nearest", "pytorch-fid"]),
            ("SIZES", &["0", "4097", "224,", ",", "224x", "axb", "-1", "224;299", "224@", "224@0", "@256", "224@4097"]),
            ("SIZES", &["224@223", "320x240@319", "224,224@256", "224@256,224@248", "224x224,224@224"]),
            ("FIT", &["Cover", "fill"]),
            ("CROP_ROUND", &["Even", "down"]),
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
            ("TIME_LIMIT_SECONDS", &["0", "-1", "10m", "604801"]),
            ("STORE", &["S3", "dir", "dir:", "file:/x"]),
            ("SOURCE_BUCKET", &["a b"]),
            ("SKIP_UNCHANGED", &["yes", "1", "True"]),
            (
                "RETRY_QUEUE_URL",
                &["my-queue", "https://", "https://host", "https://host/", "arn:aws:sqs:x:1:q", "https://h/a b"],
            ),
            ("FAILED_QUEUE_URL", &["ftp://host/queue", "https://sqs.eu-west-1.amazonaws.com/123456789012/q.fifo"]),
            ("MAX_ATTEMPTS", &["0", "1001"]),
            ("LOG_FORMAT", &["JSON", "pretty"]),
            ("RUST_LOG", &["pixpipe=loud", "debgu", "info,", "=", "=info"]),
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
        assert_eq!(faults[3].to_string(), "FIT=\"x\" is not accepted: use cover, contain, stretch or short");
        let required = "SQS_BODY is required: the batch of events, for example [\"s3://bucket/key\"]. --batch reads it \
                        from a file instead";
        assert_eq!(faults[0].to_string(), required);
        assert_eq!(faults[1].to_string(), "DEST_BUCKET is required: the bucket that receives the results");
    }

    #[test]
    fn a_misspelt_word_is_answered_by_the_nearest_one() {
        let fault = |name, text| config(&[(name, text)]).expect_err("a fault")[0].to_string();
        assert!(fault("FORMAT", "jpg").ends_with("use jpeg, png, webp or npy; is jpeg meant?"));
        assert!(fault("FILTER", "lanczos").ends_with("is lanczos3 meant?"));
        assert!(fault("FIT", "Cover").ends_with("is cover meant?"));
        assert!(fault("FIT", "fill").ends_with("use cover, contain, stretch or short"));
        assert!(fault("JPEG_QUALITY", "101").ends_with("use 1 to 100"));
    }

    fn texts(faults: &[Fault]) -> Vec<String> {
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_preset_is_nothing_but_a_name_for_settings() {
        let accepts = VARIABLES.iter().find(|variable| variable.name == "PRESET").expect("a variable").accepts;
        let listed: Vec<&str> = accepts.split([',', ' ']).filter(|word| word.contains('-')).collect();
        assert_eq!(listed, Preset::ALL.map(|preset| preset.name));
        for preset in Preset::ALL {
            let named = config(&[("PRESET", preset.name)]).expect("valid");
            let written = config(&preset.settings()).expect("valid");
            assert_eq!(named.spec, written.spec, "{}", preset.name);
            assert_eq!((named.spec.decode, named.spec.color), (Decode::Exact, Color::Ignore));
            assert_eq!(named.spec.encoding, Encoding::Png, "lossless");
            let hashes = |config: &Config| config.spec.sizes.iter().map(|s| config.spec.hash(*s)).collect::<Vec<_>>();
            assert_eq!(hashes(&named), hashes(&written), "the name is not in the spec");
            for (variable, setting) in VARIABLES.iter().zip(&named.settings) {
                let expected = preset.settings().iter().find(|(name, _)| *name == variable.name).map(|(_, text)| *text);
                let text = setting.text.as_deref().filter(|_| setting.preset.is_some());
                assert_eq!(text, expected, "{} of {}", variable.name, preset.name);
            }
        }
    }

    #[test]
    fn what_is_not_geometry_may_be_set_beside_a_preset() {
        let vars = [("PRESET", "clip-224"), ("FORMAT", "jpeg"), ("JPEG_QUALITY", "95"), ("DECODE", "fast")];
        let config = config(&[&vars[..], &[("COLOR", "srgb"), ("BACKGROUND", "ffffff"), ("FIT", "")]].concat());
        let spec = config.expect("valid").spec;
        assert_eq!((spec.filter, spec.decode, spec.color), (Filter::Bicubic, Decode::Fast, Color::Srgb));
        assert_eq!(spec.encoding, Encoding::Jpeg { quality: 95, subsampling: Subsampling::S420 });
        assert_eq!(spec.sizes, ["224@224".parse().expect("a size")]);
    }

    #[test]
    fn geometry_beside_a_preset_is_a_fault_even_if_it_is_the_same() {
        let vars = [("PRESET", "clip-224"), ("SIZES", "224@224"), ("FILTER", "x"), ("CROP_ROUND", "even")];
        let faults = config(&[&vars[..], &[("FIT", "cover"), ("FORMAT", "jpg")]].concat()).expect_err("faults");
        let expected = [
            "SIZES=\"224@224\" is not accepted: use PRESET=clip-224 alone, which sets SIZES=224@224",
            "FIT=\"cover\" is not accepted: use PRESET=clip-224 alone, which sets FIT=cover",
            "CROP_ROUND=\"even\" is not accepted: use PRESET=clip-224 alone, which sets CROP_ROUND=even",
            "FILTER=\"x\" is not accepted: use PRESET=clip-224 alone, which sets FILTER=bicubic",
            "FORMAT=\"jpg\" is not accepted: use jpeg, png, webp or npy; is jpeg meant?",
        ];
        assert_eq!(texts(&faults), expected);
    }

    #[test]
    fn a_fault_of_the_geometry_says_what_to_use() {
        let one = |vars: &[(&str, &str)]| texts(&config(vars).expect_err("a fault")).join("\n");
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("SIZES", "224,300@256")], "use R of at least 300 in \"300@256\", since that cuts 300 px out of R"),
            (&[("SIZES", "224,224@256")], "use 224x224 or 224x224@256, not both: both would be 224x224/<source key>"),
            (&[("SIZES", "224@0")], "use a comma list of N, WxH, N@R or WxH@R, each number 1 to 4096 px"),
            (&[("SIZES", "224@256"), ("FIT", "contain")], "use N or WxH with FIT=contain: N@R goes with FIT=cover"),
            (&[("SIZES", "224@256"), ("FIT", "stretch")], "use N or WxH with FIT=stretch: N@R goes with FIT=cover"),
            (&[("SIZES", "224@256"), ("FIT", "short")], "use N with FIT=short: the other side follows from the source"),
            (&[("SIZES", "384x384"), ("FIT", "short")], "use N with FIT=short: the other side follows from the source"),
            (
                &[("SIZES", "384,4094"), ("FIT", "short")],
                "use N of 4093 px at most with FIT=short and FORMAT=jpeg: the long side may be 16 N, and jpeg holds \
                 65500 px",
            ),
            (&[("SIZES", "1025"), ("FIT", "short"), ("FORMAT", "webp")], "use N of 1024 px at most with FIT=short"),
            (&[("PRESET", "keras-nearest")], "use hf-vit-224, and load_img with interpolation=\"bilinear\""),
            (&[("PRESET", "timm-border")], "use SIZES=224, FIT=contain, FILTER=bicubic and BACKGROUND=7c7468"),
            (&[("PRESET", "resnet50")], "use torchvision-256-224, torchvision-232-224, "),
        ];
        for (vars, expected) in cases {
            let fault = one(vars);
            assert!(fault.contains(expected) && fault.starts_with(vars[0].0), "{fault}\ninstead of {expected}");
            assert_eq!(fault.lines().count(), 1, "{fault}");
        }
        // Together with others, whatever they are.
        let faults = one(&[("SIZES", "224@256"), ("FIT", "short"), ("COLOR", "x"), ("PRESET", "y")]);
        assert_eq!(faults.lines().count(), 3, "{faults}");
        for (sizes, format) in [("4093", "jpeg"), ("1024", "webp"), ("4096", "png"), ("4096", "npy")] {
            config(&[("SIZES", sizes), ("FIT", "short"), ("FORMAT", format)]).expect("within the format");
        }
    }

    #[test]
    fn outputs_that_follow_the_source_or_are_cut_are_read() {
        let sizes = |vars: &[(&str, &str)]| {
            config(vars).expect("valid").spec.sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(sizes(&[("SIZES", "224@256, 299,640x480@640,224@256")]), "224x224@256 299x299 640x480@640");
        assert_eq!(sizes(&[("SIZES", "384,512"), ("FIT", "short")]), "short384 short512");
        let round = |round| config(&[("SIZES", "224@256"), ("CROP_ROUND", round)]).expect("valid").spec.sizes;
        assert_ne!(round("even"), round("floor"));
    }

    #[test]
    fn text_that_is_not_utf_8_is_a_fault() {
        use std::os::unix::ffi::OsStringExt;
        let vars = [("SQS_BODY", b"[]".to_vec()), ("DEST_BUCKET", b"out".to_vec()), ("FIT", b"\xff".to_vec())];
        let vars = vars.map(|(name, value)| (name.into(), OsString::from_vec(value)));
        let faults = Config::from_vars(vars).expect_err("a fault");
        assert_eq!((faults.len(), faults[0].variable, faults[0].accepted.as_str()), (1, "FIT", "text in UTF-8"));
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
        assert_eq!((config.existing, config.spec.background), (Existing::Remake, Rgb([255, 0, 128])));
        assert_eq!(config.spec.encoding, Encoding::Npy);
    }
}
