//! File formats: what a file is, what its header says, its pixels, and the files that are written.
//!
//! One module a format; nothing else in the crate names a codec crate. Every format is checked for completeness before
//! its decoder sees it, since decoders differ in what they let pass.

mod bmp;
mod chunks;
#[cfg(feature = "fault-switch")]
mod fault;
mod gif;
mod jpeg;
mod npy;
mod png;
mod raster;
mod tiff;
mod webp;

use std::ops::Range;

use crate::geometry::{DctScale, Orientation, Size};
use crate::pixels::Pixels;
use crate::spec::Encoding;

/// Why a file gives no pixels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// Not one of the formats, or a kind of one that cannot be read.
    #[error("{0}")]
    Unsupported(String),
    /// The file ends before the image does.
    #[error("{0}")]
    Truncated(String),
    /// The image is larger than any limit allows.
    #[error("{0}")]
    TooLarge(String),
    /// The file contradicts itself or its format.
    #[error("{0}")]
    Corrupt(String),
    /// Writing failed.
    #[error("encoding failed: {0}")]
    Encode(String),
}

/// A format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JPEG, any process that libjpeg-turbo decodes at 8 bits.
    Jpeg,
    /// PNG and the first frame of APNG.
    Png,
    /// WebP; the first frame of an animation.
    Webp,
    /// GIF; the first frame.
    Gif,
    /// Windows bitmap.
    Bmp,
    /// TIFF; the first page.
    Tiff,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] = [Self::Jpeg, Self::Png, Self::Webp, Self::Gif, Self::Bmp, Self::Tiff];

    /// The stable text of the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Webp => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
        }
    }

    /// The format that the first bytes belong to, whatever the name says.
    ///
    /// # Errors
    /// [`CodecError::Truncated`] where the bytes end inside a signature, [`CodecError::Unsupported`] otherwise.
    pub fn sniff(bytes: &[u8]) -> Result<Self, CodecError> {
        /// `?` stands for any byte.
        const SIGNATURES: &[(Format, &[u8])] = &[
            (Format::Jpeg, b"\xff\xd8\xff"),
            (Format::Png, b"\x89PNG\r\n\x1a\n"),
            (Format::Gif, b"GIF87a"),
            (Format::Gif, b"GIF89a"),
            (Format::Webp, b"RIFF????WEBP"),
            (Format::Tiff, b"II*\0"),
            (Format::Tiff, b"MM\0*"),
            (Format::Tiff, b"II+\0"),
            (Format::Tiff, b"MM\0+"),
            (Format::Bmp, b"BM"),
        ];
        let agrees = |signature: &[u8]| {
            signature.iter().zip(bytes).all(|(expected, byte)| *expected == b'?' || expected == byte)
        };
        let candidate = SIGNATURES.iter().find(|(_, signature)| agrees(signature));
        match candidate {
            Some((format, signature)) if bytes.len() >= signature.len() => Ok(*format),
            Some(_) => Err(CodecError::Truncated(format!("{} bytes are all there is", bytes.len()))),
            None => {
                let shown: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
                Err(CodecError::Unsupported(format!(
                    "begins with {}; accepted is JPEG, PNG, WebP, GIF, BMP, TIFF",
                    shown.join(" ")
                )))
            }
        }
    }
}

/// What the header of a file says.
#[derive(Debug, Clone)]
pub struct Header {
    /// The format.
    pub format: Format,
    /// Width and height as stored, before the orientation is applied.
    pub size: Size,
    /// The largest picture that decoding makes on its way: a frame of a GIF may be larger than its screen.
    pub largest: Size,
    /// How the stored picture is turned upright.
    pub orientation: Orientation,
    /// The embedded ICC profile.
    pub icc_profile: Option<Vec<u8>>,
    /// Whether the file holds one grey channel, to which a grey profile belongs.
    pub is_gray: bool,
    /// An upper bound of what decoding takes besides the file, in bytes.
    pub memory: DecodeMemory,
    detail: Detail,
}

/// An upper bound of the memory that a decode takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeMemory {
    /// Whatever the scale.
    pub fixed_bytes: u64,
    /// For each pixel that comes out.
    pub bytes_per_pixel: u64,
}

impl DecodeMemory {
    /// What decoding takes at `scale`, the pixels that come out included.
    #[must_use]
    pub fn at(self, scale: DctScale, size: Size) -> u64 {
        self.fixed_bytes.saturating_add(scale.scaled(size).pixels().saturating_mul(self.bytes_per_pixel))
    }
}

/// What one format's header has beyond the others.
#[derive(Debug, Clone)]
enum Detail {
    Jpeg(jpeg::Stream),
    Other,
}

impl Header {
    /// Whether the decoder can leave pixels out inside its transform.
    #[must_use]
    pub fn is_scalable(&self) -> bool {
        matches!(&self.detail, Detail::Jpeg(stream) if stream.is_scalable())
    }
}

/// The decoders and encoders of one thread, kept from file to file.
#[derive(Debug)]
pub struct Codecs {
    jpeg: jpeg::Turbo,
}

impl Codecs {
    /// Sets the decoders up.
    ///
    /// # Errors
    /// [`CodecError::Encode`] where libjpeg-turbo cannot be set up: there is no memory.
    pub fn try_new() -> Result<Self, CodecError> {
        Ok(Self { jpeg: jpeg::Turbo::try_new()? })
    }

    /// Reads what comes before the pixels, and sees that the file is complete.
    ///
    /// # Errors
    /// [`CodecError`] about reading.
    pub fn header(bytes: &[u8]) -> Result<Header, CodecError> {
        #[cfg(feature = "fault-switch")]
        fault::trip(bytes);
        match Format::sniff(bytes)? {
            Format::Jpeg => jpeg::header(bytes),
            Format::Png => png::header(bytes),
            Format::Webp => webp::header(bytes),
            Format::Gif => gif::header(bytes),
            Format::Bmp => bmp::header(bytes),
            Format::Tiff => tiff::header(bytes),
        }
    }

    /// The pixels of the file that `header` was read from, as stored: not turned, not converted. Grey and palette
    /// sources are RGB, 16-bit samples their high byte. `scale` is for formats that are scalable.
    ///
    /// # Errors
    /// [`CodecError`] about reading.
    pub fn decode(&mut self, bytes: &[u8], header: &Header, scale: DctScale) -> Result<Pixels, CodecError> {
        self.decode_columns(bytes, header, scale, &(0..u32::MAX))
    }

    /// As [`Codecs::decode`], for a reader of `columns` (at `scale`) alone: what the others hold is not said. The whole
    /// file is looked at all the same, so that damage anywhere is a refusal.
    ///
    /// # Errors
    /// [`CodecError`] about reading.
    pub fn decode_columns(
        &mut self,
        bytes: &[u8],
        header: &Header,
        scale: DctScale,
        columns: &Range<u32>,
    ) -> Result<Pixels, CodecError> {
        match (header.format, &header.detail) {
            (_, Detail::Jpeg(stream)) => self.jpeg.decode(bytes, stream, scale, columns),
            (Format::Png, _) => png::decode(bytes),
            (Format::Webp, _) => webp::decode(bytes),
            (Format::Gif, _) => gif::decode(bytes),
            (Format::Bmp, _) => bmp::decode(bytes),
            (Format::Tiff, _) => tiff::decode(bytes),
            (Format::Jpeg, Detail::Other) => Err(CodecError::Corrupt("this is another file's header".to_owned())),
        }
    }

    /// A file of RGB pixels.
    ///
    /// # Errors
    /// [`CodecError::Encode`].
    pub fn encode(&mut self, pixels: &Pixels, encoding: Encoding) -> Result<Vec<u8>, CodecError> {
        match encoding {
            Encoding::Jpeg { quality, subsampling } => self.jpeg.encode(pixels, quality, subsampling),
            Encoding::Png => png::encode(pixels),
            Encoding::Webp => webp::encode(pixels),
            Encoding::Npy => Ok(npy::encode(pixels)),
        }
    }
}

/// The orientation in an EXIF block (a TIFF structure, perhaps behind the prefix that belongs to JPEG alone).
fn exif_orientation(block: &[u8]) -> Orientation {
    let tiff = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    image::metadata::Orientation::from_exif_chunk(tiff)
        .map_or(Orientation::Upright, |orientation| Orientation::from_exif(u16::from(orientation.to_exif())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_bytes() {
        let cases: &[(&[u8], Option<Format>)] = &[
            (b"\xff\xd8\xff\xe0....", Some(Format::Jpeg)),
            (b"\x89PNG\r\n\x1a\n....", Some(Format::Png)),
            (b"GIF89a...", Some(Format::Gif)),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Some(Format::Webp)),
            (b"MM\0*....", Some(Format::Tiff)),
            (b"BM......", Some(Format::Bmp)),
            (b"RIFF\x10\0\0\0WAVEfmt ", None),
            (b"%PDF-1.7", None),
            (b"\0\0\0\x20ftypheic", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Format::sniff(bytes).ok(), *expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_cut_signature_is_a_truncated_file() {
        for whole in [&b"\xff\xd8\xff"[..], b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF....WEBP", b"II*\0", b"BM"] {
            for end in 0..whole.len() {
                let error = Format::sniff(&whole[..end]).expect_err("too short");
                assert!(matches!(error, CodecError::Truncated(_)), "{error}");
            }
        }
    }
}
