//! Scaling with Pillow's kernels. The only user of `fast_image_resize`.

mod mean;

use fast_image_resize as fir;
use fir::images::{TypedImage, TypedImageRef};
use fir::pixels::{U8x3, U8x4, U16x3, U16x4};
use fir::{ImageView as _, PixelTrait};

use crate::buffer::{Channels, Pixels, byte_len};
use crate::geometry::{CropBox, Orientation, Part, Size};
use crate::spec::Filter;

/// Number of samples that are widened to 16 bits at a time: 8 MiB.
const BAND_SAMPLES: usize = 4 << 20;

/// The order of the two passes of a separable convolution.
///
/// Values are rounded to bytes in between, so the order changes the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassOrder {
    /// First along the rows, then along the columns.
    HorizontalFirst,
    /// First along the columns, then along the rows.
    VerticalFirst,
}

impl PassOrder {
    /// Pillow's order for an upright picture, since version 13 (`ImagingResampleInner`): horizontal first, unless the
    /// height loses more than twice as many pixels as the width.
    pub(crate) fn of_pillow(source: Size, target: Size) -> Self {
        let lost = |from: u32, to: u32| i64::from(from) - i64::from(to);
        let height = lost(source.height(), target.height());
        if height > 0 && height > 2 * lost(source.width(), target.width()) {
            Self::VerticalFirst
        } else {
            Self::HorizontalFirst
        }
    }

    /// The same order for the transposed picture.
    pub(crate) const fn transposed(self) -> Self {
        match self {
            Self::HorizontalFirst => Self::VerticalFirst,
            Self::VerticalFirst => Self::HorizontalFirst,
        }
    }
}

/// The precision of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit weights, as in Pillow: at most one level off. Takes three times as long as the other.
    Exact,
    /// 16-bit weights: occasionally off by two levels. Used after a DCT-scaled decode, whose own error is a hundred
    /// times larger.
    Quick,
}

/// The scaling of one picture.
#[derive(Debug, Clone, Copy)]
pub struct Resample {
    /// The part that is scaled.
    pub crop: CropBox,
    /// The size that it gets.
    pub target: Size,
    /// The scaled picture that the target is cut out of, if it is.
    pub uncut: Option<Uncut>,
    /// The kernel.
    pub filter: Filter,
    /// The order of the passes.
    pub order: PassOrder,
    /// The orientation of the stored picture. It decides ties of the box kernel: a pixel whose centre lies on the edge
    /// between two boxes belongs to the first of them in the upright picture.
    pub orientation: Orientation,
    /// The precision of the weights.
    pub precision: Precision,
}

/// A scaled picture that a target is cut out of, in the axes of the stored picture.
///
/// The part that is scaled follows from it, but for the last bits of its edges. These decide ties of the box kernel.
#[derive(Debug, Clone, Copy)]
pub struct Uncut {
    /// Its size.
    pub size: Size,
    /// Width and height of the whole source, in pixels.
    pub source_px: (f64, f64),
    /// Its columns and rows before the target, counted in the upright picture.
    pub before: (u32, u32),
}

impl Resample {
    /// The part that the scaling reads of a picture of size `source`. All else may hold anything.
    #[must_use]
    pub fn part(&self, source: Size) -> Part {
        let crop = clamped(self.crop, source);
        let needed = |start: f64, length: f64, target_px: u32, side_px: u32| {
            let lines = Span { start, length }.needed(target_px, side_px, self.filter);
            lines.first..lines.end
        };
        Part {
            columns: needed(crop.left, crop.width, self.target.width(), source.width()),
            rows: needed(crop.top, crop.height, self.target.height(), source.height()),
        }
    }
}

/// A failed scaling: the box lies outside the picture, or the result is too large for memory.
#[derive(Debug, thiserror::Error)]
#[error("scaling to {target} failed: {cause}")]
pub struct ScaleError {
    target: Size,
    cause: String,
}

/// A scaler: its tables, and the instruction set that it found.
#[derive(Debug, Default)]
pub struct Scaler {
    resizer: fir::Resizer,
}

/// One pass along one axis. The library is called once per pass: asked for both, it would go vertically first.
#[derive(Debug, Clone, Copy)]
struct Pass {
    axis: Axis,
    /// The part of the axis that is scaled.
    span: Span,
    /// The length that it gets, in pixels.
    length_px: u32,
    /// The grid of the scaled picture that the result is cut out of, if it is.
    uncut: Option<UncutAxis>,
    /// Whether the upright picture shows this axis in reverse.
    is_reversed: bool,
    /// The lines across the axis that are scaled.
    lines: Lines,
}

/// One axis of an [`Uncut`].
#[derive(Debug, Clone, Copy)]
struct UncutAxis {
    length_px: u32,
    source_px: f64,
    before_px: u32,
    /// The length of the axis in the decoded picture, and the lines of it that the first pass has left out before the
    /// others.
    side_px: u32,
    left_out_lines: u32,
}

/// The direction of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Horizontal,
    Vertical,
}

impl Pass {
    /// This pass over a picture of which the first pass has made only these lines.
    fn after(self, lines: Lines) -> Self {
        let uncut = self.uncut.map(|uncut| UncutAxis { left_out_lines: lines.first, ..uncut });
        Self { span: self.span.after(lines), uncut, ..self }
    }

    fn target(&self) -> Option<Size> {
        match self.axis {
            Axis::Horizontal => Size::new(self.length_px, self.lines.count()),
            Axis::Vertical => Size::new(self.lines.count(), self.length_px),
        }
    }

    fn options(&self, filter: Filter) -> fir::ResizeOptions {
        let kernel = match filter {
            Filter::Box => fir::FilterType::Box,
            Filter::Bilinear => fir::FilterType::Bilinear,
            Filter::Hamming => fir::FilterType::Hamming,
            Filter::Bicubic => fir::FilterType::CatmullRom,
            Filter::Lanczos3 => fir::FilterType::Lanczos3,
        };
        let (along, across) = (self.span, self.lines.whole());
        let (x, y) = if self.axis == Axis::Horizontal { (along, across) } else { (across, along) };
        fir::ResizeOptions::new()
            .resize_alg(fir::ResizeAlg::Convolution(kernel))
            .use_alpha(false)
            .crop(x.start, y.start, x.length, y.length)
    }

    /// Its lines in bands of at most [`BAND_SAMPLES`] samples of a picture of size `source`, and of one line at least.
    fn bands(&self, source: Size, channels: usize) -> impl Iterator<Item = Band> {
        let Self { axis, lines: Lines { first, end }, .. } = *self;
        let line_px = if axis == Axis::Horizontal { source.width() } else { source.height() };
        let lines_at_once = u32::try_from(BAND_SAMPLES / (line_px as usize * channels)).unwrap_or(u32::MAX).max(1);
        (first..end).step_by(lines_at_once as usize).map(move |start| {
            let lines = Lines { first: start, end: start.saturating_add(lines_at_once).min(end) };
            Band { axis, source, lines, lines_before: (start - first) as usize }
        })
    }
}

/// Some lines of a pass, which are widened to 16 bits and scaled together.
#[derive(Debug, Clone, Copy)]
struct Band {
    axis: Axis,
    /// Size of the whole picture.
    source: Size,
    /// Its lines in that picture.
    lines: Lines,
    /// Number of lines of the pass before it.
    lines_before: usize,
}

impl Band {
    /// The rows of the picture that it covers.
    fn rows(&self) -> Lines {
        match self.axis {
            Axis::Horizontal => self.lines,
            Axis::Vertical => Lines { first: 0, end: self.source.height() },
        }
    }

    /// The columns of the picture that it covers.
    fn columns(&self) -> Lines {
        match self.axis {
            Axis::Horizontal => Lines { first: 0, end: self.source.width() },
            Axis::Vertical => self.lines,
        }
    }

    /// The pass over this band alone, cut out of the picture.
    fn pass(&self, whole: &Pass) -> Pass {
        Pass { lines: Lines { first: 0, end: self.lines.count() }, ..*whole }
    }

    /// Column and row of its upper left pixel in the result of the whole pass.
    fn target_origin(&self) -> (usize, usize) {
        match self.axis {
            Axis::Horizontal => (0, self.lines_before),
            Axis::Vertical => (self.lines_before, 0),
        }
    }

    /// Fills `pixels` with those of this band.
    fn widen<P: WidePixel<N>, const N: usize>(&self, data: &[u8], pixels: &mut Vec<P>) {
        let (rows, columns) = (self.rows(), self.columns());
        pixels.clear();
        let source_rows = data.chunks_exact(self.source.width() as usize * N);
        for row in source_rows.skip(rows.first as usize).take(rows.count() as usize) {
            let part = row.as_chunks::<N>().0.iter().skip(columns.first as usize).take(columns.count() as usize);
            pixels.extend(part.map(|bytes| P::widened(*bytes)));
        }
    }

    /// Writes the scaled band to its place in `data`, whose rows have `width_px` pixels.
    fn narrow<P: WidePixel<N>, const N: usize>(&self, scaled: &TypedImage<'_, P>, data: &mut [u8], width_px: usize) {
        let (x, y) = self.target_origin();
        let band_rows = scaled.pixels().chunks_exact(scaled.width() as usize);
        for (row, band_row) in data.chunks_exact_mut(width_px * N).skip(y).zip(band_rows) {
            for (bytes, pixel) in row.as_chunks_mut::<N>().0.iter_mut().skip(x).zip(band_row) {
                *bytes = pixel.narrowed();
            }
        }
    }
}

/// A pixel of `N` samples of 16 bits that hold levels 0..=255. Kernels with negative lobes can leave more.
trait WidePixel<const N: usize>: PixelTrait {
    /// The pixel of these levels.
    fn widened(levels: [u8; N]) -> Self;

    /// Its levels, clipped to 255.
    fn narrowed(&self) -> [u8; N];
}

impl WidePixel<3> for U16x3 {
    fn widened(levels: [u8; 3]) -> Self {
        Self::new(levels.map(u16::from))
    }

    fn narrowed(&self) -> [u8; 3] {
        self.0.map(clipped)
    }
}

impl WidePixel<4> for U16x4 {
    fn widened(levels: [u8; 4]) -> Self {
        Self::new(levels.map(u16::from))
    }

    fn narrowed(&self) -> [u8; 4] {
        self.0.map(clipped)
    }
}

fn clipped(sample: u16) -> u8 {
    u8::try_from(sample).unwrap_or(u8::MAX)
}

impl Scaler {
    /// An upper bound of the memory that scaling takes besides the pictures: a band of 16-bit samples and its result.
    pub(crate) const WORKING_BYTES: u64 = 2 * 2 * BAND_SAMPLES as u64;

    /// A scaler that uses the best instructions of this CPU.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A part of `source` in another size. Channels are scaled independently: colours must be premultiplied by alpha.
    ///
    /// The library is called twice, once per axis: in a single call it would go vertically first, which differs from
    /// Pillow by up to 16 levels.
    ///
    /// # Errors
    /// [`ScaleError`] if the box lies outside the source, or if the result is too large for memory.
    pub fn scale(&mut self, source: &Pixels, job: &Resample) -> Result<Pixels, ScaleError> {
        let size = source.size();
        let crop = clamped(job.crop, size);
        let columns = Span { start: crop.left, length: crop.width };
        let rows = Span { start: crop.top, length: crop.height };
        let uncut_columns = job.uncut.map(|uncut| UncutAxis {
            length_px: uncut.size.width(),
            source_px: uncut.source_px.0,
            before_px: uncut.before.0,
            side_px: size.width(),
            left_out_lines: 0,
        });
        let uncut_rows = job.uncut.map(|uncut| UncutAxis {
            length_px: uncut.size.height(),
            source_px: uncut.source_px.1,
            before_px: uncut.before.1,
            side_px: size.height(),
            left_out_lines: 0,
        });
        let horizontal = |lines| Pass {
            axis: Axis::Horizontal,
            span: columns,
            length_px: job.target.width(),
            uncut: uncut_columns,
            is_reversed: job.orientation.reverses_x(),
            lines,
        };
        let vertical = |lines| Pass {
            axis: Axis::Vertical,
            span: rows,
            length_px: job.target.height(),
            uncut: uncut_rows,
            is_reversed: job.orientation.reverses_y(),
            lines,
        };
        let (first, second) = match job.order {
            PassOrder::HorizontalFirst => {
                let needed = rows.needed(job.target.height(), size.height(), job.filter);
                let second = vertical(Lines { first: 0, end: job.target.width() });
                (horizontal(needed), second.after(needed))
            }
            PassOrder::VerticalFirst => {
                let needed = columns.needed(job.target.width(), size.width(), job.filter);
                let second = horizontal(Lines { first: 0, end: job.target.height() });
                (vertical(needed), second.after(needed))
            }
        };
        let between = self.pass(source, &first, job)?;
        self.pass(&between, &second, job)
    }

    fn pass(&mut self, source: &Pixels, pass: &Pass, job: &Resample) -> Result<Pixels, ScaleError> {
        let error = |cause: String| ScaleError { target: job.target, cause };
        let target = pass.target().ok_or_else(|| error(NO_PIXELS.to_owned()))?;
        let length = byte_len(target, source.channels())
            .ok_or_else(|| error("the result is too large for memory".to_owned()))?;
        let mut data = vec![0; length];
        match (job.filter, job.precision, source.channels()) {
            (Filter::Box, ..) => mean::pass(source, pass, &mut data),
            (_, Precision::Quick, Channels::Rgb) => self.quick::<U8x3>(source, pass, job, &mut data).map_err(error)?,
            (_, Precision::Quick, Channels::Rgba | Channels::Cmyk) => {
                self.quick::<U8x4>(source, pass, job, &mut data).map_err(error)?;
            }
            (_, Precision::Exact, Channels::Rgb) => {
                self.exact::<U16x3, 3>(source, pass, job, &mut data).map_err(error)?;
            }
            (_, Precision::Exact, Channels::Rgba | Channels::Cmyk) => {
                self.exact::<U16x4, 4>(source, pass, job, &mut data).map_err(error)?;
            }
        }
        Pixels::try_new(target, source.channels(), data).map_err(|cause| error(cause.to_string()))
    }

    /// Scales with 8-bit samples. Typed: if the kind of pixel were found at run time, the library would be compiled for
    /// all 13 kinds, and this crate took twice as long to compile (154 s of CPU against 82).
    fn quick<P: PixelTrait>(
        &mut self,
        source: &Pixels,
        pass: &Pass,
        job: &Resample,
        data: &mut [u8],
    ) -> Result<(), String> {
        let (size, target) = (source.size(), pass.target().ok_or(NO_PIXELS)?);
        let from = TypedImageRef::<P>::from_buffer(size.width(), size.height(), source.data()).map_err(text)?;
        let mut to = TypedImage::<P>::from_buffer(target.width(), target.height(), data).map_err(text)?;
        self.resizer.resize_typed(&from, &mut to, &pass.options(job.filter)).map_err(text)
    }

    /// Scales with 16-bit samples, so that the library keeps its weights as 32-bit numbers. Works band by band, so that
    /// memory stays small. The result is rounded to levels as in Pillow.
    fn exact<P: WidePixel<N>, const N: usize>(
        &mut self,
        source: &Pixels,
        pass: &Pass,
        job: &Resample,
        data: &mut [u8],
    ) -> Result<(), String> {
        let width_px = pass.target().ok_or(NO_PIXELS)?.width() as usize;
        let mut pixels: Vec<P> = Vec::new();
        for band in pass.bands(source.size(), N) {
            band.widen(source.data(), &mut pixels);
            let from = TypedImageRef::new(band.columns().count(), band.rows().count(), &pixels).map_err(text)?;
            let pass = band.pass(pass);
            let target = pass.target().ok_or(NO_PIXELS)?;
            let mut to = TypedImage::<P>::new(target.width(), target.height());
            self.resizer.resize_typed(&from, &mut to, &pass.options(job.filter)).map_err(text)?;
            band.narrow(&to, data, width_px);
        }
        Ok(())
    }
}

/// The cause of failure if a pass would have an empty result.
const NO_PIXELS: &str = "the result has no pixels";

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err needs")]
fn text(error: impl ToString) -> String {
    error.to_string()
}

/// The part of the box inside the picture: rounding may have moved an edge slightly outside.
fn clamped(crop: CropBox, size: Size) -> CropBox {
    let (width, height) = (f64::from(size.width()), f64::from(size.height()));
    let (left, top) = (crop.left.clamp(0.0, width), crop.top.clamp(0.0, height));
    CropBox { left, top, width: crop.width.min(width - left), height: crop.height.min(height - top) }
}

/// A part of one axis, in pixels.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: f64,
    length: f64,
}

/// Whole lines of pixels `[first, end)` of one axis, at least one.
#[derive(Debug, Clone, Copy)]
struct Lines {
    first: u32,
    end: u32,
}

impl Lines {
    const fn count(self) -> u32 {
        self.end - self.first
    }

    fn whole(self) -> Span {
        Span { start: f64::from(self.first), length: f64::from(self.count()) }
    }
}

impl Span {
    /// The lines within the kernel's reach when this span is scaled to `target_px`. The others need no first pass.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=side, a u32")]
    fn needed(self, target_px: u32, side_px: u32, filter: Filter) -> Lines {
        let support = match filter {
            Filter::Box => 0.5,
            Filter::Bilinear | Filter::Hamming => 1.0,
            Filter::Bicubic => 2.0,
            Filter::Lanczos3 => 3.0,
        };
        // One line beyond the kernel's reach, since the library rounds its bounds.
        let reach = support * (self.length / f64::from(target_px)).max(1.0) + 1.0;
        let side = f64::from(side_px);
        let first = (self.start - reach).floor().clamp(0.0, side - 1.0) as u32;
        let end = (self.start + self.length + reach).ceil().clamp(0.0, side) as u32;
        Lines { first, end: end.max(first + 1) }
    }

    /// This span on the axis as the first pass has cut it.
    fn after(self, lines: Lines) -> Self {
        Self { start: self.start - f64::from(lines.first), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noise(width: u32, height: u32, channels: Channels, seed: u32) -> Pixels {
        let size = Size::new(width, height).expect("not zero");
        let mut state = seed | 1;
        let data = (0..byte_len(size, channels).expect("small"))
            .map(|_| {
                // xorshift32, Marsaglia 2003.
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state.to_le_bytes()[1]
            })
            .collect();
        Pixels::try_new(size, channels, data).expect("the right length")
    }

    fn job(crop: CropBox, target: (u32, u32), filter: Filter, precision: Precision) -> Resample {
        let target = Size::new(target.0, target.1).expect("not zero");
        Resample {
            crop,
            target,
            uncut: None,
            filter,
            order: PassOrder::HorizontalFirst,
            orientation: Orientation::Upright,
            precision,
        }
    }

    const PRECISIONS: [Precision; 2] = [Precision::Exact, Precision::Quick];

    #[test]
    fn every_instruction_set_gives_the_same_bytes() {
        let crop = CropBox { left: 60.25, top: 0.0, width: 401.0, height: 401.0 };
        let sets = [fir::CpuExtensions::None, fir::CpuExtensions::Sse4_1, fir::CpuExtensions::Avx2];
        let supported: Vec<_> = sets.into_iter().filter(fir::CpuExtensions::is_supported).collect();
        for channels in [Channels::Rgb, Channels::Rgba] {
            let source = noise(533, 401, channels, 7);
            for (filter, precision) in Filter::ALL.into_iter().flat_map(|filter| PRECISIONS.map(|p| (filter, p))) {
                let scaled = supported.iter().map(|set| {
                    let mut scaler = Scaler::new();
                    #[expect(unsafe_code, reason = "the library's switch")]
                    // SAFETY: `is_supported` says that this CPU has these instructions.
                    unsafe {
                        scaler.resizer.set_cpu_extensions(*set);
                    }
                    scaler.scale(&source, &job(crop, (224, 224), filter, precision)).expect("inside")
                });
                let scaled: Vec<Pixels> = scaled.collect();
                let first = scaled.first().expect("every CPU works without extensions");
                assert!(scaled.iter().all(|other| other == first), "{filter:?} {precision:?} {channels:?}");
            }
        }
    }

    #[test]
    fn leaving_out_unreached_lines_changes_nothing() {
        let source = noise(300, 500, Channels::Rgb, 3);
        let mut scaler = Scaler::new();
        let crop = CropBox { left: 10.5, top: 200.25, width: 250.0, height: 60.5 };
        for (filter, precision) in Filter::ALL.into_iter().flat_map(|filter| PRECISIONS.map(|p| (filter, p))) {
            let job = job(crop, (40, 30), filter, precision);
            let actual = scaler.scale(&source, &job).expect("inside");
            let columns = Span { start: crop.left, length: crop.width };
            let rows = Span { start: crop.top, length: crop.height };
            let all = Pass {
                axis: Axis::Horizontal,
                span: columns,
                length_px: 40,
                uncut: None,
                is_reversed: false,
                lines: Lines { first: 0, end: 500 },
            };
            let between = scaler.pass(&source, &all, &job).expect("inside");
            let lines = Lines { first: 0, end: 40 };
            let down = Pass { axis: Axis::Vertical, span: rows, length_px: 30, uncut: None, is_reversed: false, lines };
            let expected = scaler.pass(&between, &down, &job).expect("inside");
            assert!(actual == expected, "{filter:?} {precision:?}");
        }
    }

    #[test]
    fn what_is_not_read_may_hold_anything() {
        let source = noise(500, 90, Channels::Rgb, 13);
        let mut scaler = Scaler::new();
        let crop = CropBox { left: 180.25, top: 23.5, width: 120.5, height: 40.0 };
        for (filter, precision) in Filter::ALL.into_iter().flat_map(|filter| PRECISIONS.map(|p| (filter, p))) {
            for order in [PassOrder::HorizontalFirst, PassOrder::VerticalFirst] {
                let job = Resample { order, ..job(crop, (17, 12), filter, precision) };
                let Part { columns, rows } = job.part(source.size());
                let mut data = source.data().to_vec();
                for (y, row) in (0..).zip(data.chunks_mut(500 * 3)) {
                    row[..columns.start as usize * 3].fill(255);
                    row[columns.end as usize * 3..].fill(255);
                    if !rows.contains(&y) {
                        row.fill(255);
                    }
                }
                assert!(rows.len() < 90, "{rows:?}");
                let other = Pixels::try_new(source.size(), source.channels(), data).expect("the right length");
                let expected = scaler.scale(&source, &job).expect("inside");
                let actual = scaler.scale(&other, &job).expect("inside");
                assert!(actual == expected, "{filter:?} {precision:?} {order:?}");
            }
        }
    }

    #[test]
    fn bands_join_without_a_seam() {
        // Lines of 3000 px give 3 bands of rows, lines of 1200 px 3 bands of columns.
        let source = noise(3000, 1200, Channels::Rgb, 11);
        let mut scaler = Scaler::new();
        let crop = CropBox::whole(source.size());
        for order in [PassOrder::HorizontalFirst, PassOrder::VerticalFirst] {
            let exact = Resample { order, ..job(crop, (31, 17), Filter::Lanczos3, Precision::Exact) };
            let exact = scaler.scale(&source, &exact).expect("inside");
            let quick = Resample { order, ..job(crop, (31, 17), Filter::Lanczos3, Precision::Quick) };
            let quick = scaler.scale(&source, &quick).expect("inside");
            let most = exact.data().iter().zip(quick.data()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(most <= Some(2), "{order:?}: {most:?}");
        }
    }

    #[test]
    fn a_turned_picture_scales_as_the_upright_one() {
        let upright = noise(320, 201, Channels::Rgb, 5);
        let crop = CropBox { left: 30.5, top: 1.0, width: 200.0, height: 200.0 };
        let mut scaler = Scaler::new();
        for (filter, precision) in Filter::ALL.into_iter().flat_map(|filter| PRECISIONS.map(|p| (filter, p))) {
            let job = job(crop, (64, 48), filter, precision);
            let expected = scaler.scale(&upright, &job).expect("inside");
            // Transposing is its own inverse, so the stored picture is the upright one transposed.
            let stored = upright.clone().upright(Orientation::Transpose);
            let turned = Resample {
                crop: crop.in_stored(Orientation::Transpose, stored.size()),
                target: job.target.transposed(),
                order: PassOrder::VerticalFirst,
                orientation: Orientation::Transpose,
                ..job
            };
            let actual = scaler.scale(&stored, &turned).expect("inside").upright(Orientation::Transpose);
            assert!(actual == expected, "{filter:?} {precision:?}");
        }
    }

    proptest! {
        #[test]
        fn any_box_inside_scales_to_any_size(
            w in 1_u32..60, h in 1_u32..60, tw in 1_u32..80, th in 1_u32..80,
            fractions in (0.0..1.0_f64, 0.0..1.0_f64, 0.01..1.0_f64, 0.01..1.0_f64),
            filter in 0_usize..5, vertical: bool, quick: bool,
        ) {
            let source = noise(w, h, Channels::Rgb, w + h);
            let (left, top) = (f64::from(w) * fractions.0, f64::from(h) * fractions.1);
            let crop = CropBox {
                left, top,
                width: (f64::from(w) - left) * fractions.2,
                height: (f64::from(h) - top) * fractions.3,
            };
            let order = if vertical { PassOrder::VerticalFirst } else { PassOrder::HorizontalFirst };
            let precision = if quick { Precision::Quick } else { Precision::Exact };
            let job = Resample { order, ..job(crop, (tw, th), Filter::ALL[filter], precision) };
            let scaled = Scaler::new().scale(&source, &job);
            prop_assert_eq!(scaled.map(|pixels| pixels.size()).map_err(|error| error.to_string()), Ok(job.target));
        }

        #[test]
        fn a_flat_picture_stays_flat(value: u8, filter in 0_usize..5, quick: bool) {
            let source = Pixels::filled(Size::new(37, 23).expect("not zero"), crate::spec::Rgb([value; 3]));
            let crop = CropBox { left: 3.3, top: 0.7, width: 30.1, height: 20.2 };
            let precision = if quick { Precision::Quick } else { Precision::Exact };
            let scaled = Scaler::new().scale(&source, &job(crop, (11, 50), Filter::ALL[filter], precision));
            prop_assert!(scaled.is_ok_and(|pixels| pixels.data().iter().all(|byte| *byte == value)));
        }
    }
}
