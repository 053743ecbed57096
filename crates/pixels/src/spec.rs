//! The settings that shape the pixels of an output, and their short hash.

use std::fmt;
use std::str::FromStr;

use md5::{Digest, Md5};

use crate::geometry::{Fit, OutputSize, Size};

/// Version of the pixels: raise it if the same settings give other bytes than before, so that outputs are made again.
const REVISION: u32 = 2;

/// The settings that every output of a batch is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The sizes, in the order given, none twice, at least one. With [`Fit::Contain`] and [`Fit::Stretch`] all are
    /// exact, so that one text tells what decides the scale of a decode.
    pub sizes: Vec<OutputSize>,
    /// The treatment of the source's aspect ratio by exact sizes.
    pub fit: Fit,
    /// The convolution kernel.
    pub filter: Filter,
    /// The share of a JPEG that is decoded.
    pub decode: Decode,
    /// Whether an embedded profile is applied.
    pub color: Color,
    /// The colour of padding, and behind transparent pixels.
    pub background: Rgb,
    /// The file format of outputs.
    pub encoding: Encoding,
}

/// The settings of a task that sets none of them.
impl Default for Spec {
    fn default() -> Self {
        Self {
            sizes: Size::new(224, 224).into_iter().map(OutputSize::Exact).collect(),
            fit: Fit::Cover,
            filter: Filter::Lanczos3,
            decode: Decode::Fast,
            color: Color::Srgb,
            background: Rgb([0; 3]),
            encoding: Encoding::Jpeg { quality: 90, subsampling: Subsampling::S420 },
        }
    }
}

impl Spec {
    /// The settings that the bytes of the output of `size` depend on, as text. Its grammar is a contract
    /// (docs/contract.md, "The spec hash").
    ///
    /// It names other sizes only if they may decide the scale at which a JPEG is decoded for all: never with
    /// [`Decode::Exact`].
    #[must_use]
    pub fn text(&self, size: OutputSize) -> String {
        let fit = match size {
            OutputSize::Exact(_) => self.fit.as_str().to_owned(),
            OutputSize::Cut(cut) => format!("cover;crop={}", cut.round().as_str()),
            OutputSize::Short(_) => "short".to_owned(),
        };
        let decode = match self.decode {
            Decode::Fast => {
                let deciding: Vec<String> = self.deciding_sizes().iter().map(ToString::to_string).collect();
                format!("fast:{}", deciding.join(","))
            }
            Decode::Exact => "exact".to_owned(),
        };
        let encoding = match self.encoding {
            Encoding::Jpeg { quality, subsampling } => {
                format!("jpeg;quality={quality};subsampling={}", subsampling.as_str())
            }
            Encoding::Png => "png".to_owned(),
            Encoding::Webp => "webp".to_owned(),
            Encoding::Npy => "npy".to_owned(),
        };
        format!(
            "revision={REVISION};size={size};fit={fit};filter={};decode={decode};color={};background={};\
             format={encoding}",
            self.filter.as_str(),
            self.color.as_str(),
            self.background,
        )
    }

    /// 16 hexadecimal digits: the first half of the MD5 of [`Spec::text`].
    #[must_use]
    pub fn hash(&self, size: OutputSize) -> String {
        Md5::digest(self.text(size).as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The sizes that decide the scale of a decode: the one that suits them suits all. With `contain` it is every size
    /// that fits into no other one, narrow ones first. Else only the largest sides count, so it is one size, perhaps
    /// none of the list; a cut and a short side count as a square.
    pub(crate) fn deciding_sizes(&self) -> Vec<Size> {
        let sizes: Vec<Size> = self.sizes.iter().map(|size| size.decides_as()).collect();
        if self.fit != Fit::Contain {
            let width = sizes.iter().map(|size| size.width()).max();
            let height = sizes.iter().map(|size| size.height()).max();
            return width.zip(height).and_then(|(width, height)| Size::new(width, height)).into_iter().collect();
        }
        let is_within = |inner: Size, outer: Size| inner.width() <= outer.width() && inner.height() <= outer.height();
        let decides = |size: &&Size| !sizes.iter().any(|other| other != *size && is_within(**size, *other));
        let mut deciding: Vec<Size> = sizes.iter().filter(decides).copied().collect();
        deciding.sort_unstable();
        deciding
    }
}

/// A convolution kernel of Pillow. To shrink a picture, it is widened by the scale (antialiasing).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Mean of the source pixels under an output pixel.
    Box,
    /// Triangle, support 1.
    Bilinear,
    /// Hamming-windowed sinc, support 1.
    Hamming,
    /// Catmull-Rom cubic, a = −0.5, support 2.
    Bicubic,
    /// Lanczos-windowed sinc, support 3.
    Lanczos3,
}

impl Filter {
    /// All values.
    pub const ALL: [Self; 5] = [Self::Box, Self::Bilinear, Self::Hamming, Self::Bicubic, Self::Lanczos3];

    /// The word of `FILTER`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Box => "box",
            Self::Bilinear => "bilinear",
            Self::Hamming => "hamming",
            Self::Bicubic => "bicubic",
            Self::Lanczos3 => "lanczos3",
        }
    }
}

/// The share of a JPEG that is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decode {
    /// A DCT-scaled picture with sides of at least twice the output's.
    Fast,
    /// Every pixel.
    Exact,
}

impl Decode {
    /// All values.
    pub const ALL: [Self; 2] = [Self::Fast, Self::Exact];

    /// The word of `DECODE`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Exact => "exact",
        }
    }
}

/// The treatment of an embedded ICC profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// Colours are converted to sRGB.
    Srgb,
    /// Samples are kept as stored.
    Ignore,
}

impl Color {
    /// All values.
    pub const ALL: [Self; 2] = [Self::Srgb, Self::Ignore];

    /// The word of `COLOR`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Srgb => "srgb",
            Self::Ignore => "ignore",
        }
    }
}

/// An 8-bit sRGB colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rgb(pub [u8; 3]);

/// `RRGGBB`, hexadecimal.
impl FromStr for Rgb {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(());
        }
        let [_, red, green, blue] = u32::from_str_radix(text, 16).map_err(|_| ())?.to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "{red:02x}{green:02x}{blue:02x}")
    }
}

/// The file format of outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Baseline JPEG (JFIF).
    Jpeg {
        /// libjpeg's quality, 1..=100.
        quality: u8,
        /// Chroma subsampling.
        subsampling: Subsampling,
    },
    /// 8-bit RGB PNG.
    Png,
    /// Lossless WebP.
    Webp,
    /// NumPy array: uint8, shape (H, W, 3), C order, format version 1.0.
    Npy,
}

impl Encoding {
    /// File name extensions of the format; the first is the one that is appended.
    #[must_use]
    pub const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Jpeg { .. } => &[".jpg", ".jpeg"],
            Self::Png => &[".png"],
            Self::Webp => &[".webp"],
            Self::Npy => &[".npy"],
        }
    }

    /// The longest side that a file of the format holds, in pixels.
    #[must_use]
    pub const fn longest_side_px(self) -> u32 {
        match self {
            // JPEG_MAX_DIMENSION of libjpeg-turbo: a tad below 64 Ki.
            Self::Jpeg { .. } => 65_500,
            // 14 bits of a lossless frame's header.
            Self::Webp => 1 << 14,
            Self::Png | Self::Npy => u32::MAX >> 1,
        }
    }

    /// The `Content-Type` of outputs. NumPy arrays have no registered one.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Jpeg { .. } => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
            Self::Npy => "application/octet-stream",
        }
    }
}

/// Chroma subsampling of a JPEG output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subsampling {
    /// 4:2:0: chroma at half the width and half the height.
    S420,
    /// 4:4:4: chroma at full resolution.
    S444,
}

impl Subsampling {
    /// All values.
    pub const ALL: [Self; 2] = [Self::S420, Self::S444];

    /// The word of `JPEG_SUBSAMPLING`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::S420 => "420",
            Self::S444 => "444",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::CropRound;
    use std::num::NonZeroU32;

    #[test]
    fn colours_are_six_hexadecimal_digits() {
        let cases = [
            ("000000", Some([0, 0, 0])),
            ("FF8000", Some([255, 128, 0])),
            ("a1b2c3", Some([0xa1, 0xb2, 0xc3])),
            ("#000000", None),
            ("fff", None),
            ("+00000", None),
            ("gggggg", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Rgb>().ok().map(|rgb| rgb.0), expected, "{text}");
        }
    }

    fn size(width: u32, height: u32) -> OutputSize {
        Size::new(width, height).expect("not zero").into()
    }

    fn output(text: &str) -> OutputSize {
        text.parse().expect("a size")
    }

    /// The texts are those of docs/contract.md; the hashes are those of `printf '%s' TEXT | md5sum | cut -c -16`.
    #[test]
    fn the_hash_is_the_one_that_users_have() {
        let cases = [
            (
                Spec::default(),
                "revision=2;size=224x224;fit=cover;filter=lanczos3;decode=fast:224x224;color=srgb;\
                 background=000000;format=jpeg;quality=90;subsampling=420",
                "6c0fdd7fbdbe5551",
            ),
            (
                Spec {
                    sizes: vec![size(299, 299), size(320, 240), size(224, 224)],
                    fit: Fit::Contain,
                    filter: Filter::Bicubic,
                    color: Color::Ignore,
                    background: Rgb([0x7f, 0x80, 0xff]),
                    encoding: Encoding::Webp,
                    ..Spec::default()
                },
                "revision=2;size=224x224;fit=contain;filter=bicubic;decode=fast:299x299,320x240;color=ignore;\
                 background=7f80ff;format=webp",
                "285f7179faf4148c",
            ),
            (
                Spec {
                    fit: Fit::Stretch,
                    filter: Filter::Box,
                    decode: Decode::Exact,
                    encoding: Encoding::Jpeg { quality: 75, subsampling: Subsampling::S444 },
                    ..Spec::default()
                },
                "revision=2;size=224x224;fit=stretch;filter=box;decode=exact;color=srgb;background=000000;\
                 format=jpeg;quality=75;subsampling=444",
                "7e81f0540fc005ab",
            ),
        ];
        for (spec, text, hash) in cases {
            assert_eq!((spec.text(size(224, 224)).as_str(), spec.hash(size(224, 224)).as_str()), (text, hash));
        }
    }

    /// By `printf '%s' TEXT | md5sum | cut -c -16`, as above.
    #[test]
    fn the_hash_of_a_cut_names_its_short_side_and_its_rounding() {
        let OutputSize::Cut(cut) = output("224@256") else { panic!("a cut") };
        let floor = OutputSize::Cut(cut.rounded(CropRound::Floor));
        let short = OutputSize::Short(NonZeroU32::new(384).expect("not zero"));
        let cases = [
            (output("224@256"), "size=224x224@256;fit=cover;crop=even", "fast:256x256", "b9e8d80fe20a4996"),
            (floor, "size=224x224@256;fit=cover;crop=floor", "fast:256x256", "1efbdf772d77623f"),
            (output("640x480@640"), "size=640x480@640;fit=cover;crop=even", "fast:640x640", "0dc3317bf242bce3"),
            (short, "size=short384;fit=short", "fast:384x384", "870cbc1b52ae5d15"),
        ];
        for (size, shape, decode, hash) in cases {
            let spec = Spec { sizes: vec![size], ..Spec::default() };
            let text = format!(
                "revision=2;{shape};filter=lanczos3;decode={decode};color=srgb;background=000000;\
                 format=jpeg;quality=90;subsampling=420"
            );
            assert_eq!((spec.text(size), spec.hash(size).as_str()), (text, hash));
        }
    }

    #[test]
    fn a_size_that_changes_no_pixel_of_another_changes_no_hash_of_it() {
        let with = |sizes: &[OutputSize], decode| Spec { sizes: sizes.to_vec(), decode, ..Spec::default() };
        let (small, middle, wide) = (size(224, 224), size(299, 299), size(600, 100));
        let hash = |sizes: &[OutputSize], decode| with(sizes, decode).hash(small);
        assert_eq!(hash(&[small], Decode::Exact), hash(&[middle, small, wide], Decode::Exact));
        assert_eq!(hash(&[small, middle], Decode::Fast), hash(&[middle, small, size(64, 64)], Decode::Fast));
        assert_ne!(hash(&[small], Decode::Fast), hash(&[small, middle], Decode::Fast));
        assert_ne!(hash(&[small, middle], Decode::Fast), hash(&[small, middle, wide], Decode::Fast));
        let (large, tall, flat) = (size(300, 300), size(100, 300), size(300, 100));
        assert_eq!(hash(&[small, large], Decode::Fast), hash(&[small, tall, flat], Decode::Fast));
        let cut = output("64@300");
        assert_eq!(hash(&[small, cut], Decode::Exact), hash(&[small], Decode::Exact));
        assert_eq!(hash(&[small, cut], Decode::Fast), hash(&[small, large], Decode::Fast), "a picture of 300 px");
    }

    #[test]
    fn the_hash_tells_settings_apart() {
        let spec = Spec::default();
        let others = [
            Spec { fit: Fit::Contain, ..spec.clone() },
            Spec { filter: Filter::Box, ..spec.clone() },
            Spec { decode: Decode::Exact, ..spec.clone() },
            Spec { color: Color::Ignore, ..spec.clone() },
            Spec { background: Rgb([0, 0, 1]), ..spec.clone() },
            Spec { encoding: Encoding::Jpeg { quality: 91, subsampling: Subsampling::S420 }, ..spec.clone() },
            Spec { encoding: Encoding::Jpeg { quality: 90, subsampling: Subsampling::S444 }, ..spec.clone() },
            Spec { encoding: Encoding::Png, ..spec.clone() },
        ];
        let size = size(224, 224);
        for other in others {
            assert_ne!(spec.hash(size), other.hash(size), "{other:?}");
        }
    }
}
