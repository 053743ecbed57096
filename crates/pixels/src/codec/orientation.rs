//! The orientation in a file's metadata, found as Pillow 13 finds it (`Image.getexif`): in EXIF, and if that has no
//! such tag, in XMP.

use crate::geometry::Orientation;

/// `Orientation` of TIFF 6.0 and EXIF.
pub(super) const TAG: u16 = 0x112;

/// The orientation in an EXIF block, which is a TIFF structure, after a prefix in JPEG files. `None` if it has no such
/// tag; a tag of another form than a whole number from 1 to 8 says nothing, and stands for upright.
pub(super) fn of_exif(block: &[u8]) -> Option<Orientation> {
    const PREFIX: &[u8] = b"Exif\0\0";
    let tiff = block.strip_prefix(PREFIX).unwrap_or(block);
    let tiff = tiff.strip_prefix(PREFIX).unwrap_or(tiff);
    let is_big_endian = tiff.starts_with(b"MM");
    if !is_big_endian && !tiff.starts_with(b"II") {
        return None;
    }
    let number = |at: usize, length: usize| {
        let digit = |number: u32, byte: &u8| number << 8 | u32::from(*byte);
        let bytes = tiff.get(at..at.checked_add(length)?)?.iter();
        Some(if is_big_endian { bytes.fold(0, digit) } else { bytes.rev().fold(0, digit) })
    };
    let directory = usize::try_from(number(4, 4)?).ok()?;
    let count = number(directory, 2)?;
    for entry in (directory.checked_add(2)?..).step_by(12).take(count.try_into().ok()?) {
        if number(entry, 2)? != u32::from(TAG) {
            continue;
        }
        let length = match number(entry + 2, 2)? {
            3 | 8 => 2,      // SHORT, SSHORT
            4 | 9 | 13 => 4, // LONG, SLONG, IFD
            _ => 0,
        };
        let is_single = number(entry + 4, 4)? == 1;
        return Some(if is_single { of_number(number(entry + 8, length)?) } else { Orientation::Upright });
    }
    None
}

/// The orientation in an XMP packet: the first attribute or element of that name, in the usual prefix.
pub(super) fn of_xmp(packet: &[u8]) -> Option<Orientation> {
    const NAME: &[u8] = b"tiff:Orientation";
    memchr::memmem::find_iter(packet, NAME).find_map(|at| {
        let rest = packet.get(at + NAME.len()..)?;
        let value = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?;
        value.first().filter(|digit| digit.is_ascii_digit()).map(|digit| of_number(u32::from(digit - b'0')))
    })
}

/// The orientation in `Raw profile type exif`, as older versions of `ImageMagick` write it into PNG: after three lines,
/// an EXIF block in hexadecimal digits.
pub(super) fn of_raw_profile(text: &[u8]) -> Option<Orientation> {
    let mut digits = text.splitn(4, |byte| *byte == b'\n').nth(3)?.iter().filter(|byte| !byte.is_ascii_whitespace());
    let mut block = Vec::with_capacity(text.len() / 2);
    while let (Some(high), Some(low)) = (digits.next(), digits.next()) {
        let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        block.push(value(*high)? << 4 | value(*low)?);
    }
    of_exif(&block)
}

/// The orientation of a tag's value.
pub(super) fn of_number(value: u32) -> Orientation {
    Orientation::from_exif(u16::try_from(value).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of one tag: its type, its count, and the four bytes of its value.
    fn exif(order: [u8; 2], tag: u16, kind: u16, count: u32, value: [u8; 4]) -> Vec<u8> {
        let is_big = order == *b"MM";
        let short = |number: u16| if is_big { number.to_be_bytes() } else { number.to_le_bytes() };
        let long = |number: u32| if is_big { number.to_be_bytes() } else { number.to_le_bytes() };
        [&order[..], &short(42), &long(8), &short(1), &short(tag), &short(kind), &long(count), &value, &long(0)]
            .concat()
    }

    #[test]
    fn exif_holds_the_orientation_in_any_whole_number() {
        let turned = Some(Orientation::from_exif(6));
        let upright = Some(Orientation::Upright);
        let cases = [
            ("SHORT", exif(*b"II", TAG, 3, 1, [6, 0, 0, 0]), turned),
            ("SHORT, big-endian", exif(*b"MM", TAG, 3, 1, [0, 6, 0, 0]), turned),
            ("LONG", exif(*b"II", TAG, 4, 1, [6, 0, 0, 0]), turned),
            ("LONG, big-endian", exif(*b"MM", TAG, 4, 1, [0, 0, 0, 6]), turned),
            ("of no meaning", exif(*b"II", TAG, 3, 1, [9, 0, 0, 0]), upright),
            ("two values", exif(*b"II", TAG, 3, 2, [6, 0, 6, 0]), upright),
            ("a text", exif(*b"II", TAG, 2, 1, [6, 0, 0, 0]), upright),
            ("another tag", exif(*b"II", 0x100, 3, 1, [6, 0, 0, 0]), None),
        ];
        for (label, block, expected) in cases {
            assert_eq!(of_exif(&block), expected, "{label}");
            assert_eq!(
                of_exif(&[b"Exif\0\0Exif\0\0", &block[..]].concat()),
                expected,
                "{label}, with its prefix twice"
            );
        }
        let whole = exif(*b"II", TAG, 3, 1, [6, 0, 0, 0]);
        for end in 0..whole.len() - 6 {
            assert_eq!(of_exif(&whole[..end]), None, "{end} bytes");
        }
    }

    #[test]
    fn xmp_holds_the_orientation_in_an_attribute_or_an_element() {
        let cases = [
            (&b"<x tiff:Orientation=\"6\"/>"[..], Some(6)),
            (b"<tiff:Orientation>8</tiff:Orientation>", Some(8)),
            (b"tiff:Orientation=\"x\" tiff:Orientation=\"3\"", Some(3)),
            (b"<x tiff:Orientation='6'/>", None),
            (b"<x exif:Orientation=\"6\"/>", None),
            (b"tiff:Orientation", None),
        ];
        for (packet, expected) in cases {
            assert_eq!(of_xmp(packet), expected.map(Orientation::from_exif), "{}", packet.escape_ascii());
        }
    }

    #[test]
    fn a_raw_profile_is_hexadecimal_after_three_lines() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let block = hex(&exif(*b"II", TAG, 3, 1, [6, 0, 0, 0]));
        let (first, second) = block.split_at(20);
        assert_eq!(
            of_raw_profile(format!("\nexif\n      26\n{first}\n{second}\n").as_bytes()),
            Some(Orientation::from_exif(6))
        );
        assert_eq!(of_raw_profile(format!("\nexif\n{first}{second}\n").as_bytes()), None);
        assert_eq!(of_raw_profile(b"\nexif\n 4\nzz\n"), None);
        assert_eq!(of_raw_profile(b""), None);
    }
}
