//! Time of each stage, and of all together: `cargo bench -p pixpipe-pixels --bench stages`.
//!
//! Measured with the photos of `testdata/photos`, or of the folder that `PIXPIPE_BENCH_PHOTOS` names, and the default
//! settings: 224 px, cover, Lanczos, JPEG of quality 90. Each row also shows its throughput in source pixels per
//! second.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use pixpipe_pixels::buffer::Pixels;
use pixpipe_pixels::codec::Codecs;
use pixpipe_pixels::geometry::{DctScale, Fit, Orientation, Placement, Size, dct_scale, place};
use pixpipe_pixels::render::{Plan, Renderer};
use pixpipe_pixels::scale::{PassOrder, Precision, Resample, Scaler};
use pixpipe_pixels::spec::{Decode, Filter, Spec};

const SIDE_PX: u32 = 224;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let photos = photos();
    let stages: [(&str, Stage); 8] = [
        ("header", header),
        ("decode fast", |group, photo| decode(group, photo, photo.fast)),
        ("decode exact", |group, photo| decode(group, photo, DctScale::Full)),
        ("scale quick", |group, photo| scale(group, photo, Precision::Quick)),
        ("scale exact", |group, photo| scale(group, photo, Precision::Exact)),
        ("encode", encode),
        ("render fast", |group, photo| render(group, photo, Decode::Fast)),
        ("render exact", |group, photo| render(group, photo, Decode::Exact)),
    ];
    for (name, stage) in stages {
        let mut group = criterion.benchmark_group(name);
        for photo in &photos {
            group.throughput(Throughput::Elements(photo.size.pixels()));
            stage(&mut group, photo);
        }
        group.finish();
    }
    criterion.final_summary();
}

type Stage = fn(&mut BenchmarkGroup<'_, WallTime>, &Photo);

/// A source, and the steps that its header leads to.
struct Photo {
    name: String,
    bytes: Vec<u8>,
    size: Size,
    /// Placement in the axes of the stored picture.
    placement: Placement,
    fast: DctScale,
}

impl Photo {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("a readable file");
        let header = Codecs::header(&bytes).expect("an image");
        // The output is square, so the stored picture is placed like the upright one.
        let target = Size::new(SIDE_PX, SIDE_PX).expect("not zero");
        let placement = place(header.size, target, Fit::Cover);
        let fast = if header.is_scalable() { dct_scale(header.size, &[placement]) } else { DctScale::Full };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).expect("files have names");
        Self { name, bytes, size: header.size, placement, fast }
    }

    fn decoded(&self, scale: DctScale) -> Pixels {
        let mut codecs = codecs();
        let header = Codecs::header(&self.bytes).expect("an image");
        codecs.decode(&self.bytes, &header, scale).expect("a whole image")
    }

    fn resample(&self, scale: DctScale, precision: Precision) -> Resample {
        let crop = self.placement.crop.divided(scale.divisor());
        let target = self.placement.scaled;
        Resample {
            crop,
            target,
            uncut: None,
            filter: Filter::Lanczos3,
            order: PassOrder::HorizontalFirst,
            orientation: Orientation::Upright,
            precision,
        }
    }
}

fn photos() -> Vec<Photo> {
    let folder = std::env::var_os("PIXPIPE_BENCH_PHOTOS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/photos"), PathBuf::from);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let is_photo = |path: &PathBuf| {
        path.extension().is_some_and(|extension| ["jpg", "jpeg", "png"].iter().any(|known| extension == *known))
    };
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a readable folder").path()).filter(is_photo).collect();
    paths.sort();
    paths.iter().map(|path| Photo::read(path)).collect()
}

fn codecs() -> Codecs {
    Codecs::try_new().expect("memory for the codecs")
}

/// Reading the header: for JPEG every byte is read, since a decoder does not report a missing end.
fn header(group: &mut BenchmarkGroup<'_, WallTime>, photo: &Photo) {
    group.bench_function(BenchmarkId::from_parameter(&photo.name), |bencher| {
        bencher.iter(|| Codecs::header(black_box(&photo.bytes)).expect("an image"));
    });
}

fn decode(group: &mut BenchmarkGroup<'_, WallTime>, photo: &Photo, scale: DctScale) {
    let mut codecs = codecs();
    let header = Codecs::header(&photo.bytes).expect("an image");
    let part = photo.resample(scale, Precision::Quick).part(scale.scaled(photo.size));
    group.bench_function(BenchmarkId::from_parameter(&photo.name), |bencher| {
        let mut decode = |bytes| codecs.decode_part(bytes, &header, scale, &part);
        bencher.iter(|| decode(black_box(&photo.bytes)).expect("a whole image"));
    });
}

/// Scaling as in a render: quick after a scaled decode, exact after a full one.
fn scale(group: &mut BenchmarkGroup<'_, WallTime>, photo: &Photo, precision: Precision) {
    let from = if precision == Precision::Quick { photo.fast } else { DctScale::Full };
    let decoded = photo.decoded(from);
    let resample = photo.resample(from, precision);
    let mut scaler = Scaler::new();
    group.bench_function(BenchmarkId::from_parameter(&photo.name), |bencher| {
        bencher.iter(|| scaler.scale(black_box(&decoded), &resample).expect("inside"));
    });
}

fn encode(group: &mut BenchmarkGroup<'_, WallTime>, photo: &Photo) {
    let resample = photo.resample(photo.fast, Precision::Quick);
    let small = Scaler::new().scale(&photo.decoded(photo.fast), &resample).expect("inside");
    let (mut codecs, encoding) = (codecs(), Spec::default().encoding);
    group.bench_function(BenchmarkId::from_parameter(&photo.name), |bencher| {
        bencher.iter(|| codecs.encode(black_box(&small), encoding).expect("an encoder"));
    });
}

fn render(group: &mut BenchmarkGroup<'_, WallTime>, photo: &Photo, decode: Decode) {
    let spec = Arc::new(Spec { decode, ..Spec::default() });
    let mut renderer = Renderer::try_new().expect("memory for the codecs");
    group.bench_function(BenchmarkId::from_parameter(&photo.name), |bencher| {
        bencher.iter(|| {
            let plan = Plan::read(black_box(&photo.bytes), Arc::clone(&spec), u64::MAX).expect("an image");
            renderer.render(&photo.bytes, &plan, &spec.sizes).expect("a whole image")
        });
    });
}
