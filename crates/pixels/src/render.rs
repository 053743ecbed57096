//! From a file's bytes to its outputs' bytes: a plan that is made from the header, and its execution.
//!
//! Decode (DCT-scaled) → scale in the stored picture's axes → turn the small picture → colours → background → encode.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::buffer::{Channels, Pixels};
use crate::codec::{CodecError, Codecs, Header, Profile};
use crate::color::{BrokenProfile, Conversion};
use crate::geometry::{AspectError, CropBox, DctScale, OutputSize, Part, Placement, Size, dct_scale};
use crate::scale::{PassOrder, Precision, Resample, ScaleError, Scaler, Uncut};
use crate::spec::{Color, Decode, Spec};

/// Reasons why a source gives no output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The image has more pixels than `MAX_SOURCE_PIXELS`.
    #[error("the image has {} pixels ({size}), MAX_SOURCE_PIXELS is {limit}", .size.pixels())]
    TooManyPixels {
        /// Width and height as stored.
        size: Size,
        /// The limit in pixels.
        limit: u64,
    },
    /// The output would follow an aspect ratio that is too extreme.
    #[error(transparent)]
    UnsupportedAspect(#[from] AspectError),
    /// The file cannot be decoded, or the output cannot be encoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The pixels cannot be scaled.
    #[error("{0}")]
    Scale(String),
    /// The colour engine rejected pixels for which it had made a conversion.
    #[error("{0}")]
    Color(String),
    /// The size of a requested output is not in the plan.
    #[error("{0} is not one of the planned sizes")]
    UnknownSize(OutputSize),
}

impl From<ScaleError> for RenderError {
    fn from(error: ScaleError) -> Self {
        Self::Scale(error.to_string())
    }
}

/// The steps that make the outputs of one source, decided by its header and the settings.
#[derive(Debug, Clone)]
pub struct Plan {
    spec: Arc<Spec>,
    header: Header,
    scale: DctScale,
    placements: Vec<(OutputSize, Placement)>,
}

impl Plan {
    /// Reads the header of a file and decides the steps. All sizes of `spec` count for the decode scale, even if only
    /// some are rendered: an output depends on the settings, not on the sizes rendered with it.
    ///
    /// # Errors
    /// [`RenderError::TooManyPixels`] above `max_pixels`, [`RenderError::UnsupportedAspect`] if an output cannot follow
    /// the source's aspect ratio, [`RenderError::Codec`] if the header cannot be read or the file is not complete.
    pub fn read(bytes: &[u8], spec: Arc<Spec>, max_pixels: u64) -> Result<Self, RenderError> {
        let header = Codecs::header(bytes)?;
        if header.largest.pixels() > max_pixels {
            return Err(RenderError::TooManyPixels { size: header.largest, limit: max_pixels });
        }
        let upright = if header.orientation.swaps_axes() { header.size.transposed() } else { header.size };
        let placement = |size: &OutputSize| Ok((*size, size.placement(upright, spec.fit)?));
        let placements = spec.sizes.iter().map(placement).collect::<Result<Vec<_>, AspectError>>()?;
        let scale = if spec.decode == Decode::Fast && header.is_scalable() {
            dct_scale(upright, &placements.iter().map(|(_, placement)| *placement).collect::<Vec<_>>())
        } else {
            DctScale::Full
        };
        Ok(Self { spec, header, scale, placements })
    }

    /// The header of the source.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The placement of each output of `sizes`, in that order.
    fn placements(&self, sizes: &[OutputSize]) -> Result<Vec<(OutputSize, Placement)>, RenderError> {
        let planned = |size: &OutputSize| self.placements.iter().find(|(planned, _)| planned == size).copied();
        sizes.iter().map(|size| planned(size).ok_or(RenderError::UnknownSize(*size))).collect()
    }

    /// The scaling of the decoded picture, in its own axes.
    fn resample(&self, placement: &Placement) -> Resample {
        let orientation = self.header.orientation;
        let crop = placement.crop.in_stored(orientation, self.header.size).divided(self.scale.divisor());
        let source = self.header.size;
        let (target, order) = if orientation.swaps_axes() {
            let order = PassOrder::of_pillow(source.transposed(), placement.uncut);
            (placement.scaled.transposed(), order.transposed())
        } else {
            (placement.scaled, PassOrder::of_pillow(source, placement.uncut))
        };
        let uncut = placement.cut_at.map(|(column, row)| {
            let is_turned = orientation.swaps_axes();
            let whole = CropBox::whole(source).divided(self.scale.divisor());
            Uncut {
                size: if is_turned { placement.uncut.transposed() } else { placement.uncut },
                source_px: (whole.width, whole.height),
                before: if is_turned { (row, column) } else { (column, row) },
            }
        });
        let precision = if self.scale == DctScale::Full { Precision::Exact } else { Precision::Quick };
        Resample { crop, target, uncut, filter: self.spec.filter, order, orientation, precision }
    }

    /// The part of the decoded picture that these outputs are made of.
    fn part(&self, wanted: &[(OutputSize, Placement)]) -> Part {
        let decoded = self.scale.scaled(self.header.size);
        let parts = wanted.iter().map(|(_, placement)| self.resample(placement).part(decoded));
        parts.reduce(|a, b| a.with(&b)).unwrap_or(Part::ALL)
    }

    /// An upper bound of the memory that rendering takes besides the source's bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let decoded = self.scale.scaled(self.header.size);
        // The first pass scales one side to the output's. The other side is still at most that of the decoded picture.
        let between = self.placements.iter().map(|(_, placement)| {
            let target = self.resample(placement).target;
            let area = |width: u32, height: u32| u64::from(width) * u64::from(height);
            area(target.width(), decoded.height()).max(area(decoded.width(), target.height())).saturating_mul(4)
        });
        let profile = match (&self.header.profile, self.spec.color) {
            (Some(profile), Color::Srgb) => Conversion::memory_bytes(profile.max_bytes()),
            _ => 0,
        };
        // Each output is scaled, turned, converted, composited and encoded; the encoded ones are kept.
        let outputs = self.placements.iter().map(|(_, placement)| placement.output.pixels().saturating_mul(16));
        let outputs = outputs.fold(0, u64::saturating_add);
        self.header
            .memory
            .at(self.scale, self.header.size)
            .saturating_add(Scaler::WORKING_BYTES)
            .saturating_add(between.max().unwrap_or(0))
            .saturating_add(profile)
            .saturating_add(outputs)
    }
}

/// The outputs of one source, and facts about their making.
#[derive(Debug)]
pub struct Rendered {
    /// The files, in the order of the requested sizes.
    pub files: Vec<Vec<u8>>,
    /// The reason why the embedded profile was ignored, if it was.
    pub broken_profile: Option<String>,
    /// Time spent decoding.
    pub decode: Duration,
    /// Time spent scaling, turning, converting and compositing.
    pub resize: Duration,
    /// Time spent encoding.
    pub encode: Duration,
}

/// One thread's codecs and tables, kept from source to source.
#[derive(Debug)]
pub struct Renderer {
    codecs: Codecs,
    scaler: Scaler,
}

impl Renderer {
    /// Sets up the codecs.
    ///
    /// # Errors
    /// [`CodecError::Encode`] if there is no memory for them.
    pub fn try_new() -> Result<Self, CodecError> {
        Ok(Self { codecs: Codecs::try_new()?, scaler: Scaler::new() })
    }

    /// Makes one file for each of `sizes`, in that order, of the source that `plan` was read from.
    ///
    /// # Errors
    /// [`RenderError::UnknownSize`] if a size is not in the plan; every other [`RenderError`] if the file is damaged or
    /// an output cannot be made.
    pub fn render(&mut self, bytes: &[u8], plan: &Plan, sizes: &[OutputSize]) -> Result<Rendered, RenderError> {
        let start = Instant::now();
        let wanted = plan.placements(sizes)?;
        let mut decoded = self.codecs.decode_part(bytes, &plan.header, plan.scale, &plan.part(&wanted))?;
        let decode = start.elapsed();

        let start = Instant::now();
        let mut broken_profile = None;
        let conversion = conversion(bytes, &plan.header, &decoded, plan.spec.color).unwrap_or_else(|reason| {
            broken_profile = Some(reason);
            None
        });
        if conversion.is_none() {
            // Without a profile, CMYK becomes RGB before scaling, as in Pillow.
            decoded = decoded.without_black();
        }
        decoded.premultiply();
        let mut resize = start.elapsed();
        let mut encode = Duration::ZERO;
        let mut files = Vec::with_capacity(wanted.len());
        for (_, placement) in wanted {
            let start = Instant::now();
            let small = self.small(&decoded, plan, &placement, conversion.as_ref())?;
            resize += start.elapsed();
            let start = Instant::now();
            files.push(self.codecs.encode(&small, plan.spec.encoding)?);
            encode += start.elapsed();
        }
        self.codecs.keep(decoded);
        Ok(Rendered { files, broken_profile, decode, resize, encode })
    }

    /// The pixels of one output: upright, RGB, of the size that its placement says.
    fn small(
        &mut self,
        decoded: &Pixels,
        plan: &Plan,
        placement: &Placement,
        conversion: Option<&Conversion>,
    ) -> Result<Pixels, RenderError> {
        let resample = plan.resample(placement);
        let mut small = self.scaler.scale(decoded, &resample)?.upright(plan.header.orientation);
        small.unpremultiply();
        if let Some(conversion) = conversion {
            small = conversion.apply(&small).map_err(|error| RenderError::Color(error.to_string()))?;
        }
        let small = small.over(plan.spec.background);
        debug_assert_eq!(small.channels(), Channels::Rgb);
        if small.size() == placement.output {
            return Ok(small);
        }
        let mut canvas = Pixels::filled(placement.output, plan.spec.background);
        canvas.paste(&small, placement.offset);
        Ok(canvas)
    }
}

/// The conversion to sRGB, if there is a profile and it is to be applied; the text says why it cannot be.
fn conversion(file: &[u8], header: &Header, decoded: &Pixels, color: Color) -> Result<Option<Conversion>, String> {
    match (&header.profile, color) {
        (Some(Profile::CodePoints(points)), Color::Srgb) => {
            Conversion::of_code_points(*points).map_err(|error| error.to_string())
        }
        (Some(profile), Color::Srgb) => {
            let profile = profile.read(file).map_err(BrokenProfile::new);
            let conversion =
                profile.and_then(|profile| Conversion::parse(&profile, decoded.channels(), header.is_gray));
            conversion.map_err(|error| error.to_string())
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{CropRound, Cut, Fit, place};
    use crate::spec::{Encoding, Filter};
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    fn size(width: u32, height: u32) -> Size {
        Size::new(width, height).expect("not zero")
    }

    fn read(path: &str) -> Vec<u8> {
        let path = format!("{}/../../testdata/images/{path}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[test]
    fn columns_that_no_output_shows_change_nothing() {
        let sets = ["24", "20x60", "110x20", "40x110,31x17", "300", "24@40", "9x20@30,20", "40@300"];
        let sets = sets.map(|set| set.split(',').map(|size| size.parse().expect("a size")).collect::<Vec<_>>());
        let mut renderer = Renderer::try_new().expect("memory for the codecs");
        let mut left_out = 0;
        for exif in 1..=8 {
            let bytes = read(&format!("orientation/jpeg-{exif}.jpg"));
            for filter in Filter::ALL {
                for (sizes, decode) in sets.iter().flat_map(|set| Decode::ALL.map(|decode| (set, decode))) {
                    let spec =
                        Spec { sizes: sizes.clone(), filter, decode, encoding: Encoding::Npy, ..Spec::default() };
                    let plan = Plan::read(&bytes, spec.into(), u64::MAX).expect("an image");
                    let whole = renderer.codecs.decode(&bytes, &plan.header, plan.scale).expect("a whole image");
                    let part = plan.part(&plan.placements);
                    left_out += u32::from(part.columns.len() + 60 < whole.size().width() as usize);
                    let files = renderer.render(&bytes, &plan, sizes).expect("a whole image").files;
                    for ((size, placement), actual) in plan.placements.iter().zip(&files) {
                        let small = renderer.small(&whole, &plan, placement, None).expect("inside");
                        let expected = renderer.codecs.encode(&small, Encoding::Npy).expect("an encoder");
                        assert!(*actual == expected, "EXIF {exif}, {filter:?}, {decode:?}, {size} of {sizes:?}");
                    }
                }
            }
        }
        assert!(left_out > 50, "columns were left out {left_out} times");
    }

    #[test]
    fn files_come_in_the_order_of_the_requested_sizes() {
        let bytes = read("orientation/jpeg-1.jpg");
        let output = |width, height| OutputSize::Exact(size(width, height));
        let sizes = vec![output(10, 20), output(30, 40), output(50, 60)];
        let spec = Spec { sizes, encoding: Encoding::Png, ..Spec::default() };
        let plan = Plan::read(&bytes, spec.into(), u64::MAX).expect("an image");
        let mut renderer = Renderer::try_new().expect("memory for the codecs");
        let requested = [output(50, 60), output(10, 20)];
        let files = renderer.render(&bytes, &plan, &requested).expect("a whole image").files;
        let actual: Vec<Size> = files.iter().map(|file| Codecs::header(file).expect("a PNG").size).collect();
        assert_eq!(actual, [size(50, 60), size(10, 20)]);
        let error = renderer.render(&bytes, &plan, &[output(10, 20), output(20, 10)]).expect_err("not planned");
        assert_eq!(error, RenderError::UnknownSize(output(20, 10)));
    }

    proptest! {
        /// The scale is chosen for the sizes that the hash names, and it is the one for all sizes.
        #[test]
        fn the_deciding_sizes_decide_for_all(
            sides in prop::collection::vec((1_u32..400, 1_u32..400, prop::option::of(0_u32..400)), 1..6),
            short in prop::option::of(1_u32..400),
            source in (1_u32..5000, 1_u32..5000),
            fit in prop::sample::select(Fit::ALL.to_vec()),
        ) {
            let side = |px| NonZeroU32::new(px).expect("not zero");
            let output = |(width, height, more): (u32, u32, Option<u32>)| match more {
                Some(more) if fit == Fit::Cover => {
                    let short_px = side(width.max(height) + more);
                    OutputSize::Cut(Cut::try_new(size(width, height), short_px, CropRound::Even).expect("inside"))
                }
                _ => size(width, height).into(),
            };
            let shape = sides.into_iter().map(output);
            let sizes = match short {
                Some(px) if fit == Fit::Cover => shape.chain([OutputSize::Short(side(px))]).collect(),
                _ => shape.collect(),
            };
            let spec = Spec { sizes, fit, ..Spec::default() };
            let source = size(source.0, source.1);
            let placements: Result<Vec<_>, _> = spec.sizes.iter().map(|size| size.placement(source, fit)).collect();
            if let Ok(placements) = placements {
                let deciding: Vec<_> = spec.deciding_sizes().iter().map(|size| place(source, *size, fit)).collect();
                prop_assert_eq!(dct_scale(source, &deciding), dct_scale(source, &placements));
            }
        }
    }
}
