//! NumPy arrays, format version 1.0: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use crate::buffer::Pixels;

/// A file that `numpy.load` reads as uint8 of shape (H, W, 3), C order.
pub(super) fn encode(pixels: &Pixels) -> Vec<u8> {
    /// Magic, version, and the two bytes of the header's length.
    const PREFIX_BYTES: usize = 10;
    let (width, height) = (pixels.size().width(), pixels.size().height());
    let mut header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({height}, {width}, 3), }}");
    // Padded with spaces and a line feed, so that the data begin at a multiple of 64 bytes.
    let length = (PREFIX_BYTES + header.len() + 1).next_multiple_of(64) - PREFIX_BYTES;
    header = format!("{header:<fill$}\n", fill = length - 1);
    let mut file = Vec::with_capacity(PREFIX_BYTES + length + pixels.data().len());
    file.extend_from_slice(b"\x93NUMPY\x01\x00");
    file.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(pixels.data());
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use crate::spec::Rgb;

    /// The first 128 bytes that NumPy 2.4 itself writes for such an array.
    #[test]
    fn the_header_is_the_one_that_numpy_writes() {
        let pixels = Pixels::filled(Size::new(2, 3).expect("not zero"), Rgb([1, 2, 3]));
        let file = encode(&pixels);
        let mut expected =
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2, 3), }".to_vec();
        expected.resize(127, b' ');
        expected.push(b'\n');
        assert_eq!(file[..128], expected);
        assert_eq!(file[128..], [1, 2, 3].repeat(6));
    }
}
