//! File formats: detection, headers, decoding and encoding.
//!
//! Each format has a module of its own, and nothing else in this crate names a codec crate. Every file is checked for
//! completeness before its decoder sees it, since some decoders accept files that are cut.

mod avif;
mod bmp;
mod brands;
mod cursor;
mod excerpt;
mod gif;
mod jpeg;
mod npy;
mod orientation;
mod png;
mod profile;
mod raster;
mod tiff;
mod webp;

pub(crate) use self::profile::{CodePoints, Profile};
use crate::buffer::Pixels;
use crate::geometry::{DctScale, Orientation, Part, Size};
use crate::spec::Encoding;

/// Reasons why a file gives no pixels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The format, or this variant of it, cannot be read.
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
    /// Encoding failed.
    #[error("encoding failed: {0}")]
    Encode(String),
}

/// The formats that can be read, for people.
const ACCEPTED: &str = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF";

/// A format that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JPEG: every process that libjpeg-turbo decodes at 8 bits.
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
    /// AVIF; the first picture.
    Avif,
    /// HEIC, as iPhones write it: named, counted, and not read.
    Heic,
}

impl Format {
    /// All values.
    pub const ALL: [Self; 8] =
        [Self::Jpeg, Self::Png, Self::Webp, Self::Gif, Self::Bmp, Self::Tiff, Self::Avif, Self::Heic];

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
            Self::Avif => "avif",
            Self::Heic => "heic",
        }
    }

    /// The format of a file, if its first bytes tell it.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Self::sniff(bytes).ok()
    }

    /// The format, found by the first bytes alone.
    ///
    /// # Errors
    /// [`CodecError::Truncated`] if the bytes end inside a signature, [`CodecError::Unsupported`] otherwise.
    fn sniff(bytes: &[u8]) -> Result<Self, CodecError> {
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
            // Cut before its brand; longer ones were found above.
            (Format::Avif, b"\0\0\0?ftyp????"),
        ];
        if bytes.starts_with(b"\0\0\0") && bytes.get(4..).is_some_and(|rest| rest.starts_with(b"ftyp")) {
            return brands::format(bytes);
        }
        let agrees = |signature: &[u8]| {
            signature.iter().zip(bytes).all(|(expected, byte)| *expected == b'?' || expected == byte)
        };
        let candidate = SIGNATURES.iter().find(|(_, signature)| agrees(signature));
        match candidate {
            Some((format, signature)) if bytes.len() >= signature.len() => Ok(*format),
            Some(_) if bytes.is_empty() => Err(CodecError::Truncated("the file is empty".to_owned())),
            Some(_) => Err(CodecError::Truncated(format!("the file has only {} bytes", bytes.len()))),
            None => {
                let shown: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
                Err(CodecError::Unsupported(format!(
                    "the file begins with {}; accepted are {ACCEPTED}",
                    shown.join(" ")
                )))
            }
        }
    }
}

/// What is wrong with our decoder of JPEG beside libjpeg-turbo, seen in one file of at most `max_pixels`: for fuzzing.
#[cfg(fuzzing)]
#[must_use]
pub fn jpeg_fault(file: &[u8], max_pixels: u64) -> Option<String> {
    jpeg::fault(file, max_pixels)
}

/// The facts in a file's header.
#[derive(Debug, Clone)]
pub struct Header {
    /// The format.
    pub format: Format,
    /// Width and height as stored, before the orientation is applied.
    pub size: Size,
    /// The largest picture that decoding makes in between: a frame of a GIF may be larger than its screen.
    pub(crate) largest: Size,
    /// The orientation of the stored picture.
    pub orientation: Orientation,
    /// Frames of an animation, pages of a TIFF: the first one is read.
    pub frames: u32,
    /// The embedded ICC profile.
    pub(crate) profile: Option<Profile>,
    /// Whether the file holds a single grey channel, so that its profile is a grey one.
    pub(crate) is_gray: bool,
    /// An upper bound of the memory that decoding takes besides the file.
    pub(crate) memory: DecodeMemory,
    detail: Detail,
}

/// An upper bound of the memory that a decode takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DecodeMemory {
    /// Bytes at every scale.
    fixed_bytes: u64,
    /// Bytes for each decoded pixel.
    bytes_per_pixel: u64,
}

impl DecodeMemory {
    /// Bytes that decoding takes at `scale`, the decoded pixels included.
    pub(crate) fn at(self, scale: DctScale, size: Size) -> u64 {
        self.fixed_bytes.saturating_add(scale.scaled(size).pixels().saturating_mul(self.bytes_per_pixel))
    }
}

/// The part of a header that only one format has.
#[derive(Debug, Clone)]
enum Detail {
    Jpeg(jpeg::Stream),
    Other,
}

impl Header {
    /// Whether the decoder can scale inside its transform.
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
    /// Sets up the decoders and encoders.
    ///
    /// # Errors
    /// [`CodecError::Encode`] if libjpeg-turbo cannot be set up for lack of memory.
    pub fn try_new() -> Result<Self, CodecError> {
        Ok(Self { jpeg: jpeg::Turbo::try_new()? })
    }

    /// Reads the header and checks that the file is complete.
    ///
    /// # Errors
    /// Every variant of [`CodecError`] except [`CodecError::Encode`].
    pub fn header(bytes: &[u8]) -> Result<Header, CodecError> {
        match Format::sniff(bytes)? {
            Format::Jpeg => jpeg::header(bytes),
            Format::Png => png::header(bytes),
            Format::Webp => webp::header(bytes),
            Format::Gif => gif::header(bytes),
            Format::Bmp => bmp::header(bytes),
            Format::Tiff => tiff::header(bytes),
            Format::Avif => avif::header(bytes),
            Format::Heic => Err(brands::heic()),
        }
    }

    /// The pixels of the file that `header` was read from, as stored: neither turned nor converted. Grey and palette
    /// files become RGB; of 16-bit samples the high byte is kept. Formats that are not scalable ignore `scale`.
    ///
    /// # Errors
    /// Every variant of [`CodecError`] except [`CodecError::Encode`].
    pub fn decode(&mut self, bytes: &[u8], header: &Header, scale: DctScale) -> Result<Pixels, CodecError> {
        self.decode_part(bytes, header, scale, &Part::ALL)
    }

    /// As [`Codecs::decode`], but only `part` (at `scale`) has to be right: all else is unspecified. The whole file is
    /// still checked, so damage anywhere is an error.
    ///
    /// # Errors
    /// As [`Codecs::decode`].
    pub fn decode_part(
        &mut self,
        bytes: &[u8],
        header: &Header,
        scale: DctScale,
        part: &Part,
    ) -> Result<Pixels, CodecError> {
        match (header.format, &header.detail) {
            (_, Detail::Jpeg(stream)) => self.jpeg.decode(bytes, stream, scale, part),
            (Format::Png, _) => png::decode(bytes),
            (Format::Webp, _) => webp::decode(bytes),
            (Format::Gif, _) => gif::decode(bytes),
            (Format::Bmp, _) => bmp::decode(bytes),
            (Format::Tiff, _) => tiff::decode(bytes),
            (Format::Avif, _) => avif::decode(bytes),
            (Format::Jpeg | Format::Heic, Detail::Other) => {
                Err(CodecError::Corrupt("header does not belong to this file".to_owned()))
            }
        }
    }

    /// Keeps the memory of pixels that are done with for the next picture, unless it is large.
    pub fn keep(&mut self, pixels: Pixels) {
        self.jpeg.keep(pixels);
    }

    /// A file of these RGB pixels.
    ///
    /// # Errors
    /// [`CodecError::Encode`] if the encoder fails.
    pub fn encode(&mut self, pixels: &Pixels, encoding: Encoding) -> Result<Vec<u8>, CodecError> {
        match encoding {
            Encoding::Jpeg { quality, subsampling } => self.jpeg.encode(pixels, quality, subsampling),
            Encoding::Png => png::encode(pixels),
            Encoding::Webp => webp::encode(pixels),
            Encoding::Npy => Ok(npy::encode(pixels)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_bytes() {
        let cases: &[(&[u8], Option<Format>)] = &[
            (b"\xff\xd8\xff\xe0....", Some(Format::Jpeg)),
            (b"\x89PNG\r\n\x1a\n....", Some(Format::Png)),
            (b"GIF89a...", Some(Format::Gif)),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Some(Format::Webp)),
            (b"MM\0*....", Some(Format::Tiff)),
            (b"BM......", Some(Format::Bmp)),
            (b"RIFF\x10\0\0\0WAVEfmt ", None),
            (b"%PDF-1.7", None),
            (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", Some(Format::Avif)),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Some(Format::Heic)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Format::sniff(bytes).ok(), *expected, "{bytes:?}");
        }
    }

    /// The numbers are Pillow's `n_frames`.
    #[test]
    fn frames_are_counted() {
        let cases = [
            ("avif/animated.avif", 3),
            ("avif/420-8.avif", 1),
            ("gif/animated.gif", 3),
            ("png/animated.png", 3),
            ("tiff/multipage.tif", 2),
            ("webp/animated-lossy.webp", 3),
            ("webp/animated.webp", 3),
            ("orientation/png-6.png", 1),
        ];
        for (name, expected) in cases {
            let path = format!("{}/../../testdata/images/{name}", env!("CARGO_MANIFEST_DIR"));
            let bytes = std::fs::read(&path).expect("a file of testdata");
            assert_eq!(Codecs::header(&bytes).map(|header| header.frames), Ok(expected), "{name}");
        }
    }

    #[test]
    fn a_cut_signature_is_a_truncated_file() {
        const AVIF: &[u8] = b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif";
        for whole in [&b"\xff\xd8\xff"[..], b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF....WEBP", b"II*\0", b"BM", AVIF] {
            for end in 0..whole.len() {
                let error = Format::sniff(&whole[..end]).expect_err("too short");
                assert!(matches!(error, CodecError::Truncated(_)), "{error}");
            }
        }
    }
}
