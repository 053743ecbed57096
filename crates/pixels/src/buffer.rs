//! 8-bit interleaved pixels, and the operations on small ones: turning, compositing, padding.

use crate::geometry::{Orientation, Size};
use crate::spec::Rgb;

/// Meaning and order of a pixel's interleaved bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Red, green, blue, alpha; not premultiplied unless a function says so.
    Rgba,
    /// Cyan, magenta, yellow, black: 255 is full ink.
    Cmyk,
}

impl Channels {
    /// Bytes of a pixel.
    pub(crate) const fn count(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::Rgba | Self::Cmyk => 4,
        }
    }

    /// Their name in a message.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Rgb => "RGB",
            Self::Rgba => "RGB with alpha",
            Self::Cmyk => "CMYK",
        }
    }
}

/// An image: row-major, `height × width × channels` bytes, no padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    size: Size,
    channels: Channels,
    data: Vec<u8>,
}

/// The number of bytes is not the one that the size of the image needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{actual} bytes are not {size} pixels of {}", .channels.as_str())]
pub(crate) struct LengthError {
    size: Size,
    channels: Channels,
    actual: usize,
}

impl Pixels {
    /// Pixels from their bytes.
    ///
    /// # Errors
    /// [`LengthError`] unless there are exactly `height × width × channels` bytes.
    pub(crate) fn try_new(size: Size, channels: Channels, data: Vec<u8>) -> Result<Self, LengthError> {
        if byte_len(size, channels) == Some(data.len()) {
            Ok(Self { size, channels, data })
        } else {
            Err(LengthError { size, channels, actual: data.len() })
        }
    }

    /// An image of one colour.
    pub(crate) fn filled(size: Size, color: Rgb) -> Self {
        let pixels = usize::try_from(size.pixels()).unwrap_or(usize::MAX);
        Self { size, channels: Channels::Rgb, data: color.0.repeat(pixels) }
    }

    /// Width and height.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Channels of every pixel.
    pub(crate) const fn channels(&self) -> Channels {
        self.channels
    }

    /// The bytes, row-major.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The bytes alone.
    pub(crate) fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// The upright picture of one that is stored with `orientation`.
    pub(crate) fn upright(self, orientation: Orientation) -> Self {
        if orientation == Orientation::Upright {
            return self;
        }
        let count = self.channels.count();
        let (width, height) = (self.size.width() as usize, self.size.height() as usize);
        let size = if orientation.swaps_axes() { self.size.transposed() } else { self.size };
        let mut data = Vec::with_capacity(self.data.len());
        for y in 0..size.height() as usize {
            for x in 0..size.width() as usize {
                let (column, row) = if orientation.swaps_axes() { (y, x) } else { (x, y) };
                let column = if orientation.reverses_x() { width - 1 - column } else { column };
                let row = if orientation.reverses_y() { height - 1 - row } else { row };
                let start = (row * width + column) * count;
                data.extend_from_slice(self.data.get(start..start + count).unwrap_or_default());
            }
        }
        Self { size, data, ..self }
    }

    /// Multiplies colours by alpha, rounded to nearest, since convolution needs that. Without alpha, nothing changes.
    pub(crate) fn premultiply(&mut self) {
        if self.channels == Channels::Rgba {
            for [red, green, blue, alpha] in self.data.as_chunks_mut::<4>().0 {
                for color in [red, green, blue] {
                    *color = product(*color, *alpha);
                }
            }
        }
    }

    /// The inverse of [`Pixels::premultiply`], rounded down as in Pillow. Kernels with negative lobes can leave a
    /// colour above its alpha: the result is clipped to 255.
    pub(crate) fn unpremultiply(&mut self) {
        if self.channels == Channels::Rgba {
            for [red, green, blue, alpha] in self.data.as_chunks_mut::<4>().0 {
                if *alpha != 0 {
                    for color in [red, green, blue] {
                        *color = u8::try_from(u16::from(*color) * 255 / u16::from(*alpha)).unwrap_or(255);
                    }
                }
            }
        }
    }

    /// RGB of RGBA over an opaque background, rounded to nearest. Without alpha, nothing changes.
    pub(crate) fn over(self, background: Rgb) -> Self {
        if self.channels != Channels::Rgba {
            return self;
        }
        let mut data = Vec::with_capacity(self.data.len() / 4 * 3);
        for [red, green, blue, alpha] in self.data.as_chunks::<4>().0 {
            let (shown, hidden) = (u32::from(*alpha), u32::from(255 - alpha));
            for (color, under) in [red, green, blue].into_iter().zip(background.0) {
                data.push(by_255(u32::from(*color) * shown + u32::from(under) * hidden));
            }
        }
        Self { channels: Channels::Rgb, data, ..self }
    }

    /// RGB of CMYK without a profile, as Pillow computes it: `(255 − ink) · (255 − black) / 255`. Other
    /// channels stay as they are.
    pub(crate) fn without_black(self) -> Self {
        if self.channels != Channels::Cmyk {
            return self;
        }
        let mut data = Vec::with_capacity(self.data.len() / 4 * 3);
        for [cyan, magenta, yellow, black] in self.data.as_chunks::<4>().0 {
            let paper = 255 - black;
            data.extend([cyan, magenta, yellow].map(|ink| paper - product(*ink, paper)));
        }
        Self { channels: Channels::Rgb, data, ..self }
    }

    /// Copies `inner` to `offset` (x, y in pixels). Rows that reach over an edge are left out.
    pub(crate) fn paste(&mut self, inner: &Self, offset: (u32, u32)) {
        let count = self.channels.count();
        let (x, y) = (offset.0 as usize * count, offset.1 as usize);
        let (stride, inner_stride) = (self.size.width() as usize * count, inner.size.width() as usize * count);
        for (row, inner_row) in self.data.chunks_exact_mut(stride).skip(y).zip(inner.data.chunks_exact(inner_stride)) {
            if let Some(target) = row.get_mut(x..x + inner_stride) {
                target.copy_from_slice(inner_row);
            }
        }
    }
}

/// `height × width × channels`; `None` if this machine cannot address that many bytes.
pub(crate) fn byte_len(size: Size, channels: Channels) -> Option<usize> {
    usize::try_from(size.pixels()).ok()?.checked_mul(channels.count())
}

/// `a · b / 255`, rounded to nearest.
const fn product(a: u8, b: u8) -> u8 {
    by_255(a as u32 * b as u32)
}

/// `n / 255`, rounded to nearest, for n up to 255²: Pillow's `DIV255`.
#[expect(clippy::cast_possible_truncation, reason = "at most 255")]
const fn by_255(n: u32) -> u8 {
    let n = n + 128;
    (((n >> 8) + n) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: u32, height: u32, channels: Channels, data: &[u8]) -> Pixels {
        Pixels::try_new(Size::new(width, height).expect("not zero"), channels, data.to_vec()).expect("the right length")
    }

    #[test]
    fn eight_orientations_turn_upright() {
        // Stored:  A B C   The upright pictures follow from the EXIF specification's "0th row / 0th column" table.
        //          D E F
        let stored: Vec<u8> = b"ABCDEF".iter().flat_map(|letter| [*letter; 3]).collect();
        let cases = [
            (1, 3, "ABCDEF"),
            (2, 3, "CBAFED"),
            (3, 3, "FEDCBA"),
            (4, 3, "DEFABC"),
            (5, 2, "ADBECF"),
            (6, 2, "DAEBFC"),
            (7, 2, "FCEBDA"),
            (8, 2, "CFBEAD"),
        ];
        for (exif, width, expected) in cases {
            let upright = image(3, 2, Channels::Rgb, &stored).upright(Orientation::from_exif(exif));
            let letters: String = upright.data().chunks(3).map(|pixel| char::from(pixel[0])).collect();
            assert_eq!((upright.size().width(), letters.as_str()), (width, expected), "EXIF {exif}");
        }
    }

    #[test]
    fn products_are_rounded_to_nearest() {
        for a in 0..=255_u8 {
            for b in 0..=255_u8 {
                let exact = f64::from(a) * f64::from(b) / 255.0;
                assert!((f64::from(product(a, b)) - exact).abs() <= 0.5, "{a} {b}");
            }
        }
    }

    #[test]
    fn transparency_shows_the_background() {
        let pixels = image(3, 1, Channels::Rgba, &[200, 100, 0, 255, 200, 100, 0, 0, 200, 100, 0, 128]);
        let over = pixels.over(Rgb([0, 0, 255]));
        assert_eq!(over.channels(), Channels::Rgb);
        // 200·128/255 = 100.4, 100·128/255 = 50.2, 255·127/255 = 127.
        assert_eq!(over.data(), [200, 100, 0, 0, 0, 255, 100, 50, 127]);
    }

    #[test]
    fn colours_come_back_from_under_their_alpha() {
        let mut pixels = image(4, 1, Channels::Rgba, &[200, 0, 0, 128, 100, 50, 0, 128, 9, 9, 9, 0, 200, 0, 0, 100]);
        pixels.unpremultiply();
        // 200·255/128 = 398 is clipped; 100·255/128 = 199.2, 50·255/128 = 99.6; without alpha nothing changes.
        assert_eq!(pixels.data(), [255, 0, 0, 128, 199, 99, 0, 128, 9, 9, 9, 0, 255, 0, 0, 100]);
        let mut pixels = image(1, 1, Channels::Rgba, &[200, 100, 0, 128]);
        pixels.premultiply();
        assert_eq!(pixels.data(), [100, 50, 0, 128]);
    }

    #[test]
    fn ink_takes_light_away() {
        let pixels = image(4, 1, Channels::Cmyk, &[0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255, 51, 102, 204, 51]);
        // (255−51)·(255−51)/255 = 163.2, (255−102)·204/255 = 122.4, (255−204)·204/255 = 40.8.
        assert_eq!(pixels.without_black().data(), [255, 255, 255, 0, 255, 255, 0, 0, 0, 163, 122, 41]);
    }

    #[test]
    fn padding_surrounds() {
        let mut canvas = Pixels::filled(Size::new(3, 3).expect("not zero"), Rgb([9, 9, 9]));
        canvas.paste(&image(1, 2, Channels::Rgb, &[1, 2, 3, 4, 5, 6]), (1, 1));
        let mut expected = [9; 27];
        expected[12..15].copy_from_slice(&[1, 2, 3]);
        expected[21..24].copy_from_slice(&[4, 5, 6]);
        assert_eq!(canvas.data(), expected);
    }
}
