//! Everything that shapes the pixels of an output, and its short hash.

use std::fmt;
use std::str::FromStr;

use md5::{Digest, Md5};

use crate::geometry::{Fit, Size};

/// Goes up when the same settings give other bytes than before, so that outputs are made anew.
const REVISION: u32 = 1;

/// What is to be made of every source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The sizes, in the order given, none twice, at least one.
    pub sizes: Vec<Size>,
    /// How the aspect ratio of a source is treated.
    pub fit: Fit,
    /// The convolution kernel.
    pub filter: Filter,
    /// How much of a JPEG is decoded.
    pub decode: Decode,
    /// What an embedded profile does.
    pub color: Color,
    /// Padding, and what transparent pixels are composited on.
    pub background: Rgb,
    /// The file format of outputs.
    pub encoding: Encoding,
}

impl Spec {
    /// 16 hexadecimal digits that differ where the pixels may: the first half of the MD5 of all settings as text.
    ///
    /// All sizes are part of it, since the largest decides at which scale a JPEG is decoded for all.
    #[must_use]
    pub fn hash(&self) -> String {
        let text = format!("pixpipe {REVISION} {self:?}");
        Md5::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A convolution kernel of Pillow, widened by the scale when it shrinks (antialiasing).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Mean of the pixels under an output pixel.
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

/// How much of a JPEG is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decode {
    /// At a DCT scale that leaves at least twice the output on each side.
    Fast,
    /// Every pixel.
    Exact,
}

/// What an embedded ICC profile does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// Colours are converted to sRGB.
    Srgb,
    /// The numbers stay as stored.
    Ignore,
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

    /// The `Content-Type` of outputs. There is no registered one for NumPy arrays.
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
    Half,
    /// 4:4:4: chroma at full resolution.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_hash_tells_settings_apart() {
        let spec = Spec {
            sizes: vec![Size::new(224, 224).expect("not zero")],
            fit: Fit::Cover,
            filter: Filter::Lanczos3,
            decode: Decode::Fast,
            color: Color::Srgb,
            background: Rgb([0; 3]),
            encoding: Encoding::Jpeg { quality: 90, subsampling: Subsampling::Half },
        };
        let others = [
            Spec { fit: Fit::Contain, ..spec.clone() },
            Spec { filter: Filter::Box, ..spec.clone() },
            Spec { decode: Decode::Exact, ..spec.clone() },
            Spec { color: Color::Ignore, ..spec.clone() },
            Spec { background: Rgb([0, 0, 1]), ..spec.clone() },
            Spec { encoding: Encoding::Jpeg { quality: 91, subsampling: Subsampling::Half }, ..spec.clone() },
            Spec { sizes: vec![Size::new(224, 225).expect("not zero")], ..spec.clone() },
        ];
        assert_eq!(spec.hash(), spec.clone().hash());
        assert!(spec.hash().len() == 16 && spec.hash().bytes().all(|byte| byte.is_ascii_hexdigit()));
        for other in others {
            assert_ne!(spec.hash(), other.hash(), "{other:?}");
        }
    }
}
