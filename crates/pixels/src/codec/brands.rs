//! The box `ftyp` of an ISO base media file (ISO/IEC 14496-12, 4.3): the brands say which format it is.

use super::cursor::{Cursor, index};
use super::{ACCEPTED, CodecError, Format};

/// Brands of still pictures, and of sequences that begin with one, by their codec.
const AVIF: [&[u8; 4]; 2] = [b"avif", b"avis"];
const HEIC: [&[u8; 4]; 10] = [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"hej2", b"heif"];
/// Brands that name no codec.
const OF_ANY_CODEC: [&[u8; 4]; 3] = [b"mif1", b"msf1", b"mif2"];

/// The format by its brands: the major one, or else the first of the compatible ones that is known.
///
/// # Errors
/// [`CodecError::Truncated`] if the box is cut, [`CodecError::Unsupported`] if it names no picture that is known.
pub(super) fn format(bytes: &[u8]) -> Result<Format, CodecError> {
    let mut cursor = Cursor::new(bytes);
    let length = index(u32::from_be_bytes(cursor.array("the box \"ftyp\"")?)).max(8);
    cursor.take(4, "the box \"ftyp\"")?;
    let body = cursor.take(length - 8, "the box \"ftyp\"")?;
    let brands = body.as_chunks::<4>().0;
    let (major, compatible) = (brands.first(), brands.get(2..).unwrap_or_default());
    let format = |brand: &[u8; 4]| match brand {
        brand if AVIF.contains(&brand) => Some(Format::Avif),
        brand if HEIC.contains(&brand) => Some(Format::Heic),
        _ => None,
    };
    let is_general = major.is_none_or(|major| OF_ANY_CODEC.contains(&major));
    let found = major.and_then(format).or_else(|| {
        // The brand "avif" is a promise that the picture can be read; a film may be compatible with "heic" by mistake.
        let mut known = compatible.iter().filter_map(format);
        if is_general { known.next() } else { known.find(|format| *format == Format::Avif) }
    });
    found.ok_or_else(|| {
        let brand = major.map_or_else(String::new, |major| major.escape_ascii().to_string());
        CodecError::Unsupported(format!("the file is of the brand \"{brand}\"; accepted are {ACCEPTED}"))
    })
}

/// The error for a file that is HEIC.
pub(super) fn heic() -> CodecError {
    CodecError::Unsupported(format!(
        "the file is HEIC, as iPhones write it, which is not read; accepted are {ACCEPTED}: convert it, or let the \
         phone write JPEG (Settings, Camera, Formats, Most Compatible)"
    ))
}
