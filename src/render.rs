//! Bytes → bytes: the plan that a header allows, and its execution.
//!
//! Decode (DCT-scaled) → scale in the stored picture's axes → turn the small picture → colours → background → encode.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::codec::{CodecError, Codecs, Header};
use crate::color::Conversion;
use crate::geometry::{DctScale, Placement, Size, dct_scale, place};
use crate::pixels::{Channels, Pixels};
use crate::scale::{PassOrder, Precision, Resample, ScaleError, Scaler};
use crate::spec::{Color, Decode, Spec};

/// Why a source gives no output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The image has more pixels than `MAX_SOURCE_PIXELS`.
    #[error("{size} is {} pixels, MAX_SOURCE_PIXELS is {limit}", .size.pixels())]
    TooManyPixels {
        /// Width and height as stored.
        size: Size,
        /// The limit in pixels.
        limit: u64,
    },
    /// The file cannot be decoded, or the output not be encoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The pixels cannot be scaled.
    #[error("{0}")]
    Scale(String),
    /// The colour engine refused pixels for which it had made a conversion.
    #[error("{0}")]
    Color(String),
}

impl From<ScaleError> for RenderError {
    fn from(error: ScaleError) -> Self {
        Self::Scale(error.to_string())
    }
}

/// What is going to be done with one source.
#[derive(Debug, Clone)]
pub struct Plan {
    header: Header,
    scale: DctScale,
    placements: Vec<(Size, Placement)>,
}

impl Plan {
    /// Reads the header of a file and decides. All sizes of `spec` count for the decode scale, whichever are rendered: an output does
    /// not depend on which others are made with it.
    ///
    /// # Errors
    /// [`RenderError`] where the file is refused.
    pub fn read(bytes: &[u8], spec: &Spec, max_pixels: u64) -> Result<Self, RenderError> {
        let header = Codecs::header(bytes)?;
        if header.largest.pixels() > max_pixels {
            return Err(RenderError::TooManyPixels { size: header.largest, limit: max_pixels });
        }
        let upright = if header.orientation.swaps_axes() { header.size.transposed() } else { header.size };
        let placements: Vec<_> = spec.sizes.iter().map(|size| (*size, place(upright, *size, spec.fit))).collect();
        let scale = if spec.decode == Decode::Fast && header.is_scalable() {
            let wanted: Vec<Placement> = placements.iter().map(|(_, placement)| *placement).collect();
            dct_scale(&wanted)
        } else {
            DctScale::Full
        };
        Ok(Self { header, scale, placements })
    }

    /// What the header said.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// What is done to the decoded picture, in its own axes.
    fn resample(&self, placement: &Placement, spec: &Spec) -> Resample {
        let orientation = self.header.orientation;
        let crop = placement.crop.in_stored(orientation, self.header.size).divided(self.scale.divisor());
        let source = self.header.size;
        let (target, order) = if orientation.swaps_axes() {
            let order = PassOrder::of_pillow(source.transposed(), placement.scaled);
            (placement.scaled.transposed(), order.transposed())
        } else {
            (placement.scaled, PassOrder::of_pillow(source, placement.scaled))
        };
        let precision = if self.scale == DctScale::Full { Precision::Exact } else { Precision::Quick };
        Resample { crop, target, filter: spec.filter, order, orientation, precision }
    }

    /// The columns of the decoded picture that the outputs of `sizes` are made of.
    fn columns(&self, spec: &Spec, sizes: &[Size]) -> Range<u32> {
        let decoded = self.scale.scaled(self.header.size);
        let wanted = self.placements.iter().filter(|(size, _)| sizes.contains(size));
        let columns = wanted.map(|(_, placement)| self.resample(placement, spec).columns(decoded));
        columns.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..decoded.width())
    }

    /// An upper bound of the memory that rendering takes besides the source, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let decoded = self.scale.scaled(self.header.size);
        // The first pass leaves as many lines as the decode has, of the output's other side.
        let between = self.placements.iter().map(|(size, _)| {
            let longest = u64::from(decoded.width().max(decoded.height()));
            longest.saturating_mul(u64::from(size.width().max(size.height()))).saturating_mul(4)
        });
        // Scaled, turned, converted, composited and encoded; the encoded ones stay.
        let outputs: u64 = self.placements.iter().map(|(size, _)| size.pixels().saturating_mul(16)).sum();
        self.header
            .memory
            .at(self.scale, self.header.size)
            .saturating_add(Scaler::WORKING_BYTES)
            .saturating_add(between.max().unwrap_or(0))
            .saturating_add(outputs)
    }
}

/// The outputs of one source, and how they came about.
#[derive(Debug)]
pub struct Rendered {
    /// Each size with its file.
    pub outputs: Vec<(Size, Vec<u8>)>,
    /// Why the embedded profile was ignored, if it was.
    pub broken_profile: Option<String>,
    /// Time spent decoding.
    pub decode: Duration,
    /// Time spent scaling, turning, converting and compositing.
    pub resize: Duration,
    /// Time spent encoding.
    pub encode: Duration,
}

/// What one thread keeps from source to source.
#[derive(Debug)]
pub struct Renderer {
    codecs: Codecs,
    scaler: Scaler,
}

impl Renderer {
    /// Sets the codecs up.
    ///
    /// # Errors
    /// [`CodecError`] where there is no memory for them.
    pub fn try_new() -> Result<Self, CodecError> {
        Ok(Self { codecs: Codecs::try_new()?, scaler: Scaler::new() })
    }

    /// Makes the outputs of those `sizes` that are in the plan.
    ///
    /// # Errors
    /// [`RenderError`] where the file is refused.
    pub fn render(&mut self, bytes: &[u8], plan: &Plan, spec: &Spec, sizes: &[Size]) -> Result<Rendered, RenderError> {
        let start = Instant::now();
        let columns = plan.columns(spec, sizes);
        let mut decoded = self.codecs.decode_columns(bytes, &plan.header, plan.scale, &columns)?;
        let decode = start.elapsed();

        let start = Instant::now();
        let mut broken_profile = None;
        let conversion = conversion(&plan.header, &decoded, spec.color).unwrap_or_else(|reason| {
            broken_profile = Some(reason);
            None
        });
        if conversion.is_none() {
            // Without a profile, ink becomes light as Pillow does it: before scaling.
            decoded = decoded.without_black();
        }
        decoded.premultiply();
        let mut resize = start.elapsed();
        let mut encode = Duration::ZERO;
        let mut outputs = Vec::with_capacity(sizes.len());
        for (size, placement) in plan.placements.iter().filter(|(size, _)| sizes.contains(size)) {
            let start = Instant::now();
            let small = self.small(&decoded, plan, *size, placement, conversion.as_ref(), spec)?;
            resize += start.elapsed();
            let start = Instant::now();
            outputs.push((*size, self.codecs.encode(&small, spec.encoding)?));
            encode += start.elapsed();
        }
        Ok(Rendered { outputs, broken_profile, decode, resize, encode })
    }

    /// One output's pixels, upright, RGB, of exactly its size.
    fn small(
        &mut self,
        decoded: &Pixels,
        plan: &Plan,
        size: Size,
        placement: &Placement,
        conversion: Option<&Conversion>,
        spec: &Spec,
    ) -> Result<Pixels, RenderError> {
        let resample = plan.resample(placement, spec);
        let mut small = self.scaler.scale(decoded, &resample)?.upright(plan.header.orientation);
        small.unpremultiply();
        if let Some(conversion) = conversion {
            small = conversion.apply(&small).map_err(|error| RenderError::Color(error.to_string()))?;
        }
        let small = small.over(spec.background);
        debug_assert_eq!(small.channels(), Channels::Rgb);
        if small.size() == size {
            return Ok(small);
        }
        let mut canvas = Pixels::filled(size, spec.background);
        canvas.paste(&small, placement.offset);
        Ok(canvas)
    }
}

fn conversion(header: &Header, decoded: &Pixels, color: Color) -> Result<Option<Conversion>, String> {
    match (&header.icc_profile, color) {
        (Some(profile), Color::Srgb) => {
            Conversion::parse(profile, decoded.channels(), header.is_gray).map_err(|error| error.to_string())
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Fit;
    use crate::spec::{Encoding, Filter, Rgb};

    #[test]
    fn columns_that_no_output_shows_change_nothing() {
        let size = |width, height| Size::new(width, height).expect("not zero");
        let sets: [&[Size]; 5] =
            [&[size(24, 24)], &[size(20, 60)], &[size(110, 20)], &[size(40, 110), size(31, 17)], &[size(300, 300)]];
        let mut renderer = Renderer::try_new().expect("memory for the codecs");
        let mut left_out = 0;
        for exif in 1..=8 {
            let path = format!("{}/testdata/images/orientation/jpeg-{exif}.jpg", env!("CARGO_MANIFEST_DIR"));
            let bytes = std::fs::read(&path).expect("a readable file");
            for filter in [Filter::Box, Filter::Bilinear, Filter::Hamming, Filter::Bicubic, Filter::Lanczos3] {
                for (sizes, decode) in sets.into_iter().flat_map(|set| [(set, Decode::Fast), (set, Decode::Exact)]) {
                    let spec = Spec {
                        sizes: sizes.to_vec(),
                        fit: Fit::Cover,
                        filter,
                        decode,
                        color: Color::Srgb,
                        background: Rgb([0; 3]),
                        encoding: Encoding::Npy,
                    };
                    let plan = Plan::read(&bytes, &spec, u64::MAX).expect("an image");
                    let whole = renderer.codecs.decode(&bytes, &plan.header, plan.scale).expect("a whole image");
                    let columns = plan.columns(&spec, sizes);
                    left_out += u32::from(columns.len() + 60 < whole.size().width() as usize);
                    let outputs = renderer.render(&bytes, &plan, &spec, sizes).expect("a whole image").outputs;
                    for ((size, placement), (_, actual)) in plan.placements.iter().zip(&outputs) {
                        let small = renderer.small(&whole, &plan, *size, placement, None, &spec).expect("inside");
                        let expected = renderer.codecs.encode(&small, spec.encoding).expect("an encoder");
                        assert!(*actual == expected, "EXIF {exif}, {filter:?}, {decode:?}, {size} of {sizes:?}");
                    }
                }
            }
        }
        assert!(left_out > 50, "columns were left out {left_out} times");
    }
}
