//! Arithmetic of sizes, orientations, crop boxes and the decode scale.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;
use std::str::FromStr;

/// Largest side of an output, in pixels.
const MAX_OUTPUT_SIDE_PX: u32 = 4096;

/// Width and height in pixels, both at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Size {
    width: NonZeroU32,
    height: NonZeroU32,
}

impl Size {
    /// The size; `None` if a side is zero.
    #[must_use]
    pub const fn new(width_px: u32, height_px: u32) -> Option<Self> {
        match (NonZeroU32::new(width_px), NonZeroU32::new(height_px)) {
            (Some(width), Some(height)) => Some(Self { width, height }),
            _ => None,
        }
    }

    /// Width in pixels.
    #[must_use]
    pub const fn width(self) -> u32 {
        self.width.get()
    }

    /// Height in pixels.
    #[must_use]
    pub const fn height(self) -> u32 {
        self.height.get()
    }

    /// Number of pixels.
    #[must_use]
    pub fn pixels(self) -> u64 {
        u64::from(self.width()) * u64::from(self.height())
    }

    /// The shorter of its sides, in pixels.
    #[must_use]
    pub fn short_side(self) -> NonZeroU32 {
        self.width.min(self.height)
    }

    /// Width and height exchanged.
    #[must_use]
    pub const fn transposed(self) -> Self {
        Self { width: self.height, height: self.width }
    }
}

/// `<W>x<H>`, as in output keys.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// One output of `SIZES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputSize {
    /// `N`, `WxH`: exactly this size, whatever the source; [`Fit`] says how.
    Exact(Size),
    /// `N@R`, `WxH@R`: exactly this size, cut out of the centre of the scaled source.
    Cut(Cut),
    /// The whole source, its short side scaled to this many pixels: `FIT=short`.
    Short(NonZeroU32),
}

/// A text that is not an output of `SIZES`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputSizeError {
    /// It is none of the accepted forms, or a number is out of range.
    #[error("\"{0}\" is not a size: N, WxH, N@R or WxH@R, each number 1 to {MAX_OUTPUT_SIDE_PX} px")]
    NotASize(String),
    /// The cut does not lie inside the scaled source, if that is a square.
    #[error(
        "\"{received}\" cuts {size} out of a picture with a short side of {short_px} px: use R of at least {least}"
    )]
    SmallShortSide {
        /// The text.
        received: String,
        /// The size that is cut out.
        size: Size,
        /// The short side that it is cut out of.
        short_px: NonZeroU32,
        /// The least short side for this size.
        least: u32,
    },
}

/// `N` (N×N), `WxH`, `N@R` or `WxH@R`, each number 1..=4096.
impl FromStr for OutputSize {
    type Err = OutputSizeError;

    fn from_str(text: &str) -> Result<Self, OutputSizeError> {
        let error = || OutputSizeError::NotASize(text.to_owned());
        let pixels = |text: &str| -> Option<NonZeroU32> {
            let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|px: &NonZeroU32| is_digits && px.get() <= MAX_OUTPUT_SIDE_PX)
        };
        let (size, short) = text.split_once('@').map_or((text, None), |(size, short)| (size, Some(short)));
        let (width, height) = size.split_once('x').unwrap_or((size, size));
        let (width, height) = pixels(width).zip(pixels(height)).ok_or_else(error)?;
        let size = Size { width, height };
        let Some(short) = short else { return Ok(Self::Exact(size)) };
        let short_px = pixels(short).ok_or_else(error)?;
        Cut::try_new(size, short_px, CropRound::Even).map(Self::Cut).ok_or_else(|| OutputSizeError::SmallShortSide {
            received: text.to_owned(),
            size,
            short_px,
            least: width.max(height).get(),
        })
    }
}

/// As in the spec: `224x224`, `224x224@256`, `short384`.
impl fmt::Display for OutputSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(size) => write!(f, "{size}"),
            Self::Cut(Cut { size, short_px, .. }) => write!(f, "{size}@{short_px}"),
            Self::Short(side_px) => write!(f, "short{side_px}"),
        }
    }
}

impl From<Size> for OutputSize {
    fn from(size: Size) -> Self {
        Self::Exact(size)
    }
}

impl OutputSize {
    /// The folder of the outputs: `224x224` for `224` and for `224@256`, `short384` for `FIT=short`. It says how large
    /// an output is; the spec says how it was made.
    #[must_use]
    pub fn folder(self) -> String {
        match self {
            Self::Cut(Cut { size, .. }) => size.to_string(),
            Self::Exact(_) | Self::Short(_) => self.to_string(),
        }
    }

    /// Places an upright source into this output.
    ///
    /// # Errors
    /// [`AspectError`] if the output follows the source's aspect ratio, and that is beyond 1:[`MAX_ASPECT`].
    pub fn placement(self, source: Size, fit: Fit) -> Result<Placement, AspectError> {
        match self {
            Self::Exact(size) => Ok(place(source, size, fit)),
            Self::Cut(cut) => Ok(cut.placement(source)),
            Self::Short(side_px) => {
                let (short, long) = (source.width.min(source.height), source.width.max(source.height));
                if u64::from(long.get()) > u64::from(MAX_ASPECT) * u64::from(short.get()) {
                    return Err(AspectError { upright: source });
                }
                Ok(Placement::of_whole(source, with_short_side(source, side_px)))
            }
        }
    }

    /// The size in whose place this output demands the same scale of a decode, if it is placed by [`Fit::Cover`]: a
    /// short side of R pixels demands what an output of R×R demands, since the long side is scaled by the same number.
    pub(crate) const fn decides_as(self) -> Size {
        match self {
            Self::Exact(size) => size,
            Self::Cut(Cut { short_px: side, .. }) | Self::Short(side) => Size { width: side, height: side },
        }
    }
}

/// A picture that is cut out of the centre of the source, after its short side was scaled: what `Resize(R)` and
/// `CenterCrop(N)` of torchvision give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cut {
    /// Both sides are at most `short_px`, so that it lies inside the scaled source.
    size: Size,
    short_px: NonZeroU32,
    round: CropRound,
}

/// The rounding of half a pixel in the position of a [`Cut`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CropRound {
    /// To the even pixel, as torchvision, timm and `open_clip` do: Python's `round`.
    Even,
    /// Towards the upper left, as the image processors of transformers do.
    Floor,
}

impl CropRound {
    /// All values.
    pub const ALL: [Self; 2] = [Self::Even, Self::Floor];

    /// The word of `CROP_ROUND`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Floor => "floor",
        }
    }
}

impl Cut {
    /// The cut of `size` out of a picture whose short side is `short_px`; `None` if a side is longer than that.
    #[must_use]
    pub const fn try_new(size: Size, short_px: NonZeroU32, round: CropRound) -> Option<Self> {
        let is_inside = size.width() <= short_px.get() && size.height() <= short_px.get();
        if is_inside { Some(Self { size, short_px, round }) } else { None }
    }

    /// The same cut with another rounding.
    #[must_use]
    pub const fn rounded(self, round: CropRound) -> Self {
        Self { round, ..self }
    }

    /// The rounding of its position.
    pub(crate) const fn round(self) -> CropRound {
        self.round
    }

    /// The box of an upright source that this cut shows. Scaling it in one step gives what scaling the whole source and
    /// cutting gives, since each output pixel depends on the pixels under its kernel alone: kernels reach over the
    /// box's edge into the picture. The two axes have scales of their own, as the long side is cut to a whole number.
    fn placement(self, source: Size) -> Placement {
        let uncut = with_short_side(source, self.short_px);
        let axis = |source_px: u32, uncut_px: u32, cut_px: u32| {
            let margin = uncut_px.saturating_sub(cut_px);
            let start = match self.round {
                CropRound::Even => halved_to_even(margin),
                CropRound::Floor => margin / 2,
            };
            let in_source = |px: u32| f64::from(px) * f64::from(source_px) / f64::from(uncut_px);
            (start, in_source(start), in_source(cut_px))
        };
        let (x, left, width) = axis(source.width(), uncut.width(), self.size.width());
        let (y, top, height) = axis(source.height(), uncut.height(), self.size.height());
        let crop = CropBox { left, top, width, height };
        Placement { crop, uncut, cut_at: Some((x, y)), ..Placement::of_whole(source, self.size) }
    }
}

/// The size of a picture after its short side was scaled to `short_px`. The fraction of the long side is dropped, as in
/// torchvision (`int(short_px * long / short)`). Nobody makes a side of more than 2³² pixels: it is `u32::MAX`.
fn with_short_side(source: Size, short_px: NonZeroU32) -> Size {
    let long = |long: u32, short: u32| {
        let long_px = u64::from(short_px.get()) * u64::from(long) / u64::from(short);
        u32::try_from(long_px).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX)
    };
    if source.width() <= source.height() {
        Size { width: short_px, height: long(source.height(), source.width()) }
    } else {
        Size { width: long(source.width(), source.height()), height: short_px }
    }
}

/// The largest aspect ratio of an output that follows its source: it bounds the memory and the sides of the output.
pub const MAX_ASPECT: u32 = 16;

/// A source that is too narrow or too flat for an output that follows its aspect ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the upright image is {upright} px; FIT=short takes an aspect ratio of 1:{MAX_ASPECT} at most")]
pub struct AspectError {
    upright: Size,
}

/// The treatment of a source whose aspect ratio is not that of an output with an exact size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Fills the output and cuts the rest off, equally on both sides: Pillow's `ImageOps.fit`.
    Cover,
    /// Shows the whole source and pads: Pillow's `ImageOps.pad`.
    Contain,
    /// Ignores the aspect ratio.
    Stretch,
}

impl Fit {
    /// All values.
    pub const ALL: [Self; 3] = [Self::Cover, Self::Contain, Self::Stretch];

    /// The word of `FIT`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cover => "cover",
            Self::Contain => "contain",
            Self::Stretch => "stretch",
        }
    }
}

/// The transformation that turns a stored picture upright: the eight values of EXIF tag 0x0112.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Orientation {
    /// 1: as stored.
    #[default]
    Upright,
    /// 2: mirrored left to right.
    FlipHorizontal,
    /// 3: rotated by 180°.
    Rotate180,
    /// 4: mirrored top to bottom.
    FlipVertical,
    /// 5: mirrored along the main diagonal.
    Transpose,
    /// 6: to be rotated clockwise by 90°.
    Rotate90,
    /// 7: mirrored along the other diagonal.
    Transverse,
    /// 8: to be rotated clockwise by 270°.
    Rotate270,
}

impl Orientation {
    /// Its EXIF value, 1 to 8.
    #[must_use]
    pub const fn exif(self) -> u8 {
        match self {
            Self::Upright => 1,
            Self::FlipHorizontal => 2,
            Self::Rotate180 => 3,
            Self::FlipVertical => 4,
            Self::Transpose => 5,
            Self::Rotate90 => 6,
            Self::Transverse => 7,
            Self::Rotate270 => 8,
        }
    }

    /// The orientation of an EXIF value. Values outside 1..=8 are upright, as in every viewer.
    pub(crate) const fn from_exif(value: u16) -> Self {
        match value {
            2 => Self::FlipHorizontal,
            3 => Self::Rotate180,
            4 => Self::FlipVertical,
            5 => Self::Transpose,
            6 => Self::Rotate90,
            7 => Self::Transverse,
            8 => Self::Rotate270,
            _ => Self::Upright,
        }
    }

    /// Whether turning the picture upright exchanges width and height.
    #[must_use]
    pub const fn swaps_axes(self) -> bool {
        matches!(self, Self::Transpose | Self::Rotate90 | Self::Transverse | Self::Rotate270)
    }

    /// Whether the upright picture shows the stored columns from right to left.
    pub(crate) const fn reverses_x(self) -> bool {
        matches!(self, Self::FlipHorizontal | Self::Rotate180 | Self::Rotate270 | Self::Transverse)
    }

    /// Whether the upright picture shows the stored rows from bottom to top.
    pub(crate) const fn reverses_y(self) -> bool {
        matches!(self, Self::FlipVertical | Self::Rotate180 | Self::Rotate90 | Self::Transverse)
    }
}

/// A box in a picture, in pixels from the top left corner. Its edges may lie between pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CropBox {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Width, above zero.
    pub width: f64,
    /// Height, above zero.
    pub height: f64,
}

impl CropBox {
    /// The whole picture.
    pub(crate) fn whole(size: Size) -> Self {
        Self { left: 0.0, top: 0.0, width: f64::from(size.width()), height: f64::from(size.height()) }
    }

    /// This box of the upright picture, in the coordinates of the stored picture (`stored`: its size).
    pub(crate) fn in_stored(self, orientation: Orientation, stored: Size) -> Self {
        let unswapped = if orientation.swaps_axes() {
            Self { left: self.top, top: self.left, width: self.height, height: self.width }
        } else {
            self
        };
        let mirrored = |start: f64, length: f64, side_px: u32| (f64::from(side_px) - start - length).max(0.0);
        Self {
            left: if orientation.reverses_x() {
                mirrored(unswapped.left, unswapped.width, stored.width())
            } else {
                unswapped.left
            },
            top: if orientation.reverses_y() {
                mirrored(unswapped.top, unswapped.height, stored.height())
            } else {
                unswapped.top
            },
            ..unswapped
        }
    }

    /// This box in the picture after its sides were divided by `divisor`.
    #[must_use]
    pub fn divided(self, divisor: u32) -> Self {
        let divisor = f64::from(divisor);
        Self {
            left: self.left / divisor,
            top: self.top / divisor,
            width: self.width / divisor,
            height: self.height / divisor,
        }
    }
}

/// The part of the upright source that is shown, the size it gets, and its position in the output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// The part of the upright source.
    pub crop: CropBox,
    /// The size that it is scaled to.
    pub scaled: Size,
    /// The size that the reference scales to: that of the whole source for a [`Cut`], else `scaled`. It decides the
    /// order of the passes and the scale of a decode.
    pub uncut: Size,
    /// The column and the row of the uncut picture where a [`Cut`] begins.
    pub(crate) cut_at: Option<(u32, u32)>,
    /// The size of the output: larger than `scaled` if there is padding.
    pub output: Size,
    /// The position of its upper left corner in the output: x and y in pixels. Zero without padding.
    pub(crate) offset: (u32, u32),
}

impl Placement {
    /// The whole source in an output of this size.
    fn of_whole(source: Size, output: Size) -> Self {
        Self { crop: CropBox::whole(source), scaled: output, uncut: output, cut_at: None, output, offset: (0, 0) }
    }
}

/// Places an upright source of size `source` into an output of size `target`.
///
/// The boxes are those of Pillow 13: `cover` uses the fractional box of `ImageOps.fit` with its default centring,
/// `contain` the integer box of `ImageOps.pad` (a side that would round to 0 is 1 px; Pillow raises an error).
#[must_use]
pub fn place(source: Size, target: Size, fit: Fit) -> Placement {
    let (source_width, source_height) = (f64::from(source.width()), f64::from(source.height()));
    let (target_width, target_height) = (f64::from(target.width()), f64::from(target.height()));
    let whole = Placement::of_whole(source, target);
    let (source_ratio, target_ratio) = (source_width / source_height, target_width / target_height);
    match fit {
        Fit::Stretch => whole,
        // With equal ratios, no arithmetic that could cut a sliver off.
        Fit::Cover if source_ratio.total_cmp(&target_ratio).is_eq() => whole,
        Fit::Cover => {
            let (width, height) = if source_ratio >= target_ratio {
                ((target_ratio * source_height).min(source_width), source_height)
            } else {
                (source_width, (source_width / target_ratio).min(source_height))
            };
            let crop =
                CropBox { left: (source_width - width) * 0.5, top: (source_height - height) * 0.5, width, height };
            Placement { crop, ..whole }
        }
        Fit::Contain => {
            let scaled = if source_ratio > target_ratio {
                Size { height: rounded_side(source_height / source_width * target_width, target.height), ..target }
            } else {
                Size { width: rounded_side(source_width / source_height * target_height, target.width), ..target }
            };
            let margin = |outer: u32, inner: u32| halved_to_even(outer - inner);
            let offset = (margin(target.width(), scaled.width()), margin(target.height(), scaled.height()));
            Placement { scaled, uncut: scaled, offset, ..whole }
        }
    }
}

/// Python's `round` (half to even), at least 1 and at most `limit`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1..=limit, a u32")]
fn rounded_side(side_px: f64, limit: NonZeroU32) -> NonZeroU32 {
    let clamped = side_px.round_ties_even().clamp(1.0, f64::from(limit.get()));
    NonZeroU32::new(clamped as u32).unwrap_or(NonZeroU32::MIN)
}

/// Python's `round(n * 0.5)`: half to even.
const fn halved_to_even(n: u32) -> u32 {
    let half = n / 2;
    if n % 2 == 1 && half % 2 == 1 { half + 1 } else { half }
}

/// A scale at which libjpeg-turbo decodes inside its DCT: each side is divided by a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DctScale {
    /// Every pixel.
    Full,
    /// 1/2 of each side.
    Half,
    /// 1/4 of each side.
    Quarter,
    /// 1/8 of each side: the mean of each 8×8 block.
    Eighth,
}

impl DctScale {
    /// The number that sides are divided by.
    #[must_use]
    pub const fn divisor(self) -> u32 {
        match self {
            Self::Full => 1,
            Self::Half => 2,
            Self::Quarter => 4,
            Self::Eighth => 8,
        }
    }

    /// The size of the decoded picture at this scale: sides are divided and rounded up.
    #[must_use]
    pub fn scaled(self, size: Size) -> Size {
        let scaled = |px: NonZeroU32| NonZeroU32::new(px.get().div_ceil(self.divisor())).unwrap_or(NonZeroU32::MIN);
        Size { width: scaled(size.width), height: scaled(size.height) }
    }
}

/// The columns and rows of a decoded picture that are wanted; they may end beyond it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Columns, from 0.
    pub columns: Range<u32>,
    /// Rows, from 0.
    pub rows: Range<u32>,
}

impl Part {
    /// The whole picture.
    pub const ALL: Self = Self { columns: 0..u32::MAX, rows: 0..u32::MAX };

    /// The smallest part that holds both.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let joined = |a: &Range<u32>, b: &Range<u32>| a.start.min(b.start)..a.end.max(b.end);
        Self { columns: joined(&self.columns, &other.columns), rows: joined(&self.rows, &other.rows) }
    }
}

/// The smallest decode of an upright `source` that leaves at least two pixels a side for each pixel of every placement.
///
/// The factor is measured, against a full decode and Lanczos at 224 px: 1 gives 39.9 dB, 2 gives 48.2 dB, 4 gives 56 dB
/// and takes a quarter longer. Only powers of two are used: the other N/8 are no faster and lose 1.6 dB.
#[must_use]
pub fn dct_scale(source: Size, placements: &[Placement]) -> DctScale {
    // In whole numbers. A side that `cover` crops counts whole: scaled, its crop has the ratio of the other side, and
    // the whole is longer. A cut counts by the picture that it is cut from.
    let leaves_twice = |scale: DctScale| {
        let suits = |source_px: u32, scaled_px: u32| {
            u64::from(source_px) >= 2 * u64::from(scale.divisor()) * u64::from(scaled_px)
        };
        placements.iter().all(|Placement { uncut, .. }| {
            suits(source.width(), uncut.width()) && suits(source.height(), uncut.height())
        })
    };
    [DctScale::Eighth, DctScale::Quarter, DctScale::Half]
        .into_iter()
        .find(|scale| leaves_twice(*scale))
        .unwrap_or(DctScale::Full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size(width: u32, height: u32) -> Size {
        Size::new(width, height).expect("not zero")
    }

    fn px(side: u32) -> NonZeroU32 {
        NonZeroU32::new(side).expect("not zero")
    }

    fn cut(width: u32, height: u32, short: u32, round: CropRound) -> OutputSize {
        OutputSize::Cut(Cut::try_new(size(width, height), px(short), round).expect("inside"))
    }

    #[test]
    fn sizes_are_n_or_w_x_h_at_a_short_side() {
        let exact = |width, height| Some(OutputSize::Exact(size(width, height)));
        let at = |width, height, short| Some(cut(width, height, short, CropRound::Even));
        let cases = [
            ("224", exact(224, 224)),
            ("640x480", exact(640, 480)),
            ("1", exact(1, 1)),
            ("4096x1", exact(4096, 1)),
            ("224@256", at(224, 224, 256)),
            ("224@224", at(224, 224, 224)),
            ("320x240@320", at(320, 240, 320)),
            ("1@4096", at(1, 1, 4096)),
            ("0", None),
            ("4097", None),
            ("224x", None),
            ("x224", None),
            ("224x224x3", None),
            ("+224", None),
            ("-1", None),
            (" 224", None),
            ("", None),
            ("224X224", None),
            ("99999999999", None),
            ("224@", None),
            ("@256", None),
            ("224@0", None),
            ("0@256", None),
            ("224@4097", None),
            ("224@+256", None),
            ("224@256x256", None),
            ("224@256@288", None),
            ("224@223", None),
            ("320x240@319", None),
            ("240x320@319", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse().ok(), expected, "{text:?}");
        }
    }

    /// The box that is resized and the offset that is cut in torchvision 0.29.2: `_compute_resized_output_size`, and
    /// `center_crop` with `int(round((n - size) / 2.0))`; by hand from these: left = offset × source ÷ resized.
    #[test]
    fn cuts_are_where_torchvision_cuts() {
        let placement =
            |s: (u32, u32), output: OutputSize| output.placement(size(s.0, s.1), Fit::Cover).expect("any aspect");
        let cases = [
            // 341.33 is cut to 341, which leaves 117: 58.5 rounds to 58.
            ((4000, 3000), cut(224, 224, 256, CropRound::Even), (341, 256), (58, 16)),
            ((3000, 4000), cut(224, 224, 256, CropRound::Even), (256, 341), (16, 58)),
            ((4000, 3000), cut(224, 224, 256, CropRound::Floor), (341, 256), (58, 16)),
            // 295 leaves 71: 35.5 rounds to the even 36, or down to 35.
            ((120, 91), cut(224, 224, 224, CropRound::Even), (295, 224), (36, 0)),
            ((120, 91), cut(224, 224, 224, CropRound::Floor), (295, 224), (35, 0)),
            // Inception: 342 − 299 leaves 43, 21.5 rounds to 22; 456 − 299 leaves 157, 78.5 rounds to 78.
            ((2048, 1536), cut(299, 299, 342, CropRound::Even), (456, 342), (78, 22)),
            ((500, 380), cut(240, 120, 240, CropRound::Even), (315, 240), (38, 60)),
            ((77, 77), cut(32, 32, 64, CropRound::Even), (64, 64), (16, 16)),
        ];
        for (source, output, uncut, (x, y)) in cases {
            let placement = placement(source, output);
            let (scale_x, scale_y) =
                (f64::from(source.0) / f64::from(uncut.0), f64::from(source.1) / f64::from(uncut.1));
            let target = placement.scaled;
            let expected = [
                f64::from(x) * scale_x,
                f64::from(y) * scale_y,
                f64::from(target.width()) * scale_x,
                f64::from(target.height()) * scale_y,
            ];
            let CropBox { left, top, width, height } = placement.crop;
            let differs = [left, top, width, height].iter().zip(expected).any(|(a, b)| (a - b).abs() > 1e-9);
            assert!(!differs, "{source:?} {output}: {:?} instead of {expected:?}", placement.crop);
            assert_eq!(placement.uncut, size(uncut.0, uncut.1), "{source:?} {output}");
            assert_eq!(placement.cut_at, Some((x, y)), "{source:?} {output}");
            assert_eq!((placement.output, placement.offset), (target, (0, 0)));
        }
    }

    #[test]
    fn a_short_side_keeps_the_aspect_ratio_within_limits() {
        let short = |w: u32, h: u32| OutputSize::Short(px(384)).placement(size(w, h), Fit::Cover);
        let cases = [
            ((4000, 3000), Ok((512, 384))),
            ((3000, 4000), Ok((384, 512))),
            ((2048, 1367), Ok((575, 384))), // 575.29
            ((500, 500), Ok((384, 384))),
            ((10, 10), Ok((384, 384))),
            ((16_000, 1000), Ok((6144, 384))),
            ((1000, 16_001), Err(())),
            ((1, 17), Err(())),
            ((1, 16), Ok((384, 6144))),
        ];
        for (source, expected) in cases {
            let actual = short(source.0, source.1);
            let output = actual.map(|placement| (placement.output.width(), placement.output.height()));
            assert_eq!(output.map_err(|_| ()), expected, "{source:?}");
            if let Ok(placement) = actual {
                assert_eq!((placement.scaled, placement.uncut), (placement.output, placement.output));
                assert_eq!(placement.crop, CropBox::whole(size(source.0, source.1)));
            }
        }
        let error = short(17_000, 1000).expect_err("too flat").to_string();
        assert_eq!(error, "the upright image is 17000x1000 px; FIT=short takes an aspect ratio of 1:16 at most");
    }

    #[test]
    fn a_folder_says_how_large_an_output_is() {
        let folders = ["224", "224@256", "320x240@320"].map(|text| text.parse::<OutputSize>().map(OutputSize::folder));
        assert_eq!(folders, ["224x224", "224x224", "320x240"].map(|folder| Ok(folder.to_owned())));
        assert_eq!(OutputSize::Short(px(384)).folder(), "short384");
    }

    /// Printed by Pillow 13.0.0: the `crop` that `ImageOps.fit` hands to `resize`, and size and paste position of
    /// `ImageOps.pad`.
    #[test]
    fn boxes_are_those_of_pillow() {
        let cover = |s: (u32, u32), t: (u32, u32)| place(size(s.0, s.1), size(t.0, t.1), Fit::Cover).crop;
        let crop = |left, top, width, height| CropBox { left, top, width, height };
        assert_eq!(cover((4000, 3000), (224, 224)), crop(500.0, 0.0, 3000.0, 3000.0));
        assert_eq!(cover((3000, 4000), (224, 224)), crop(0.0, 500.0, 3000.0, 3000.0));
        assert_eq!(cover((2048, 1367), (299, 299)), crop(340.5, 0.0, 1367.0, 1367.0));
        assert_eq!(cover((100, 37), (64, 48)), crop(25.333_333_333_333_336, 0.0, 49.333_333_333_333_33, 37.0));

        let contain = |s: (u32, u32), t: (u32, u32)| {
            let placement = place(size(s.0, s.1), size(t.0, t.1), Fit::Contain);
            (placement.scaled.width(), placement.scaled.height(), placement.offset)
        };
        assert_eq!(contain((4000, 3000), (224, 224)), (224, 168, (0, 28)));
        assert_eq!(contain((2048, 1367), (224, 224)), (224, 150, (0, 37)));
        assert_eq!(contain((1638, 2048), (299, 299)), (239, 299, (30, 0)));
        assert_eq!(contain((100, 51), (50, 50)), (50, 26, (0, 12)), "25.5 rounds to even");
        assert_eq!(contain((50, 50), (50, 49)), (49, 49, (0, 0)), "0.5 rounds to even");
        assert_eq!(contain((5000, 1), (224, 224)), (224, 1, (0, 112)), "at least 1 px");
    }

    #[test]
    fn the_decode_leaves_twice_the_output() {
        let scale = |s: (u32, u32), targets: &[u32], fit| {
            let placements: Vec<_> = targets.iter().map(|t| place(size(s.0, s.1), size(*t, *t), fit)).collect();
            dct_scale(size(s.0, s.1), &placements)
        };
        assert_eq!(scale((4000, 3000), &[224], Fit::Cover), DctScale::Quarter, "3000/8 = 375 < 448");
        assert_eq!(scale((4000, 3584), &[224], Fit::Cover), DctScale::Eighth, "3584/8 = 448");
        assert_eq!(scale((4000, 3583), &[224], Fit::Cover), DctScale::Quarter);
        assert_eq!(scale((4000, 3000), &[224, 299], Fit::Cover), DctScale::Quarter);
        assert_eq!(scale((4000, 3000), &[224, 400], Fit::Cover), DctScale::Half, "the largest decides");
        assert_eq!(scale((4000, 600), &[224], Fit::Stretch), DctScale::Full, "each side counts");
        assert_eq!(scale((4000, 600), &[224], Fit::Contain), DctScale::Eighth, "500x75 for 224x34");
        assert_eq!(scale((300, 300), &[224], Fit::Cover), DctScale::Full);
    }

    #[test]
    fn the_decode_leaves_twice_the_picture_that_is_cut_from() {
        let scale = |s: (u32, u32), sizes: &[OutputSize]| {
            let source = size(s.0, s.1);
            let placements: Vec<_> =
                sizes.iter().map(|output| output.placement(source, Fit::Cover).expect("1:16")).collect();
            dct_scale(source, &placements)
        };
        let at = |short| cut(224, 224, short, CropRound::Even);
        assert_eq!(scale((4000, 3584), &[at(224)]), DctScale::Eighth, "3584/8 = 448");
        assert_eq!(scale((4000, 3584), &[at(256)]), DctScale::Quarter, "448 < 512");
        assert_eq!(scale((3584, 9999), &[at(224)]), DctScale::Eighth);
        assert_eq!(scale((4000, 3584), &[size(64, 64).into(), at(512)]), DctScale::Half, "896 < 1024");
        assert_eq!(scale((4000, 3584), &[OutputSize::Short(px(224))]), DctScale::Eighth);
        assert_eq!(scale((4000, 3583), &[OutputSize::Short(px(224))]), DctScale::Quarter);
    }

    #[test]
    fn boxes_of_the_upright_picture_lie_in_the_stored_one() {
        // The stored picture has 10x4 pixels. The upright box: left 1, top 0, 2 wide, 1 high.
        let stored = size(10, 4);
        let upright = CropBox { left: 1.0, top: 0.0, width: 2.0, height: 1.0 };
        let cases = [
            (1, (1.0, 0.0, 2.0, 1.0)),
            (2, (7.0, 0.0, 2.0, 1.0)),
            (3, (7.0, 3.0, 2.0, 1.0)),
            (4, (1.0, 3.0, 2.0, 1.0)),
            (5, (0.0, 1.0, 1.0, 2.0)),
            // Turned clockwise, the upright top row is the stored left column, read from the bottom.
            (6, (0.0, 1.0, 1.0, 2.0)),
            (7, (9.0, 1.0, 1.0, 2.0)),
            // Turned counter-clockwise, the upright top row is the stored right column, read from the top.
            (8, (9.0, 1.0, 1.0, 2.0)),
        ];
        for (exif, (left, top, width, height)) in cases {
            assert_eq!(
                upright.in_stored(Orientation::from_exif(exif), stored),
                CropBox { left, top, width, height },
                "EXIF {exif}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_placement_lies_inside_both(
            w in 1_u32..100_000, h in 1_u32..100_000, tw in 1_u32..=4096, th in 1_u32..=4096,
        ) {
            let (source, target) = (size(w, h), size(tw, th));
            for fit in [Fit::Cover, Fit::Contain, Fit::Stretch] {
                let placement = place(source, target, fit);
                let crop = placement.crop;
                prop_assert!(crop.left >= 0.0 && crop.top >= 0.0 && crop.width > 0.0 && crop.height > 0.0);
                prop_assert!(crop.left + crop.width <= f64::from(w) + 1e-9);
                prop_assert!(crop.top + crop.height <= f64::from(h) + 1e-9);
                prop_assert!(placement.offset.0 + placement.scaled.width() <= tw);
                prop_assert!(placement.offset.1 + placement.scaled.height() <= th);
                if fit != Fit::Contain {
                    prop_assert_eq!(placement.scaled, target);
                }
                for exif in 1..=8 {
                    let orientation = Orientation::from_exif(exif);
                    let stored = if orientation.swaps_axes() { source.transposed() } else { source };
                    let inside = crop.in_stored(orientation, stored);
                    prop_assert!(inside.left >= 0.0 && inside.left + inside.width <= f64::from(stored.width()) + 1e-9);
                    prop_assert!(inside.top >= 0.0 && inside.top + inside.height <= f64::from(stored.height()) + 1e-9);
                }
            }
        }

        /// A cut shows what `Resize` and `CenterCrop` show: each axis at its own scale, the centre within half a pixel.
        #[test]
        fn a_cut_is_the_centre_of_the_scaled_picture(
            w in 1_u32..100_000, h in 1_u32..100_000, short in 1_u32..=4096, part in (0.0..1.0_f64, 0.0..1.0_f64),
            floor: bool,
        ) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a u32")]
            let side = |part: f64| ((f64::from(short) * part) as u32).max(1);
            let round = if floor { CropRound::Floor } else { CropRound::Even };
            let (source, output) = (size(w, h), cut(side(part.0), side(part.1), short, round));
            let placement = output.placement(source, Fit::Cover).expect("any aspect");
            let Placement { crop, uncut, scaled, .. } = placement;
            // Without the float: int(short * long / short_source) of whole numbers.
            let (long, narrow) = (u64::from(w.max(h)), u64::from(w.min(h)));
            prop_assert_eq!(u64::from(uncut.width().max(uncut.height())), u64::from(short) * long / narrow);
            prop_assert_eq!(uncut.width().min(uncut.height()), short);
            prop_assert_eq!(placement.output, scaled);
            let axes = [
                (crop.left, crop.width, w, uncut.width(), scaled.width()),
                (crop.top, crop.height, h, uncut.height(), scaled.height()),
            ];
            for (start, length, source_px, uncut_px, cut_px) in axes {
                let scale = f64::from(source_px) / f64::from(uncut_px);
                prop_assert!((length / scale - f64::from(cut_px)).abs() < 1e-6);
                let offset = start / scale;
                prop_assert!((offset - offset.round()).abs() < 1e-6, "whole pixels are cut off");
                let off_centre = offset + f64::from(cut_px) / 2.0 - f64::from(uncut_px) / 2.0;
                prop_assert!(off_centre.abs() < 0.5 + 1e-6 && (!floor || off_centre < 1e-6), "{}", off_centre);
                prop_assert!(start >= 0.0 && start + length <= f64::from(source_px) + 1e-6);
            }
            // The transposed picture is cut at the same place.
            let turned = cut(scaled.height(), scaled.width(), short, round);
            let turned = turned.placement(source.transposed(), Fit::Cover).expect("any aspect").crop;
            let difference = (turned.left - crop.top).abs() + (turned.top - crop.left).abs();
            prop_assert!(difference < 1e-9, "{} is not 0", difference);
        }

        #[test]
        fn a_short_side_gives_every_source_within_the_limit_a_bounded_output(
            w in 1_u32..70_000, h in 1_u32..70_000, short in 1_u32..=4096,
        ) {
            let (long, narrow) = (u64::from(w.max(h)), u64::from(w.min(h)));
            let placement = OutputSize::Short(px(short)).placement(size(w, h), Fit::Cover);
            prop_assert_eq!(placement.is_ok(), long <= 16 * narrow);
            if let Ok(Placement { output, .. }) = placement {
                prop_assert_eq!(output.width().min(output.height()), short);
                prop_assert_eq!(u64::from(output.width().max(output.height())), u64::from(short) * long / narrow);
                prop_assert!(output.width().max(output.height()) <= 16 * short);
                prop_assert_eq!(output.width() >= output.height(), w >= h || output.width() == output.height());
            }
        }

        #[test]
        fn a_size_reads_as_it_is_written(w in 1_u32..=4096, h in 1_u32..=4096, more in prop::option::of(0_u32..4096)) {
            let output = match more {
                Some(more) => cut(w, h, (w.max(h) + more).min(4096), CropRound::Even),
                None => size(w, h).into(),
            };
            prop_assert_eq!(output.to_string().parse(), Ok(output));
        }
    }
}
