//! From planes of luma and chroma to interleaved 8-bit RGB.

use super::super::CodecError;
use super::container::{ColorCoding, Window};
use super::decoder::Frame;
use super::stream::Chroma;
use crate::buffer::{Channels, Pixels, byte_len};

/// Red, green and blue, each as a sum of the three samples, weighted, and a constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Matrix([[f32; 4]; 3]);

impl Matrix {
    /// The inverse of the coding that `coding` names (ITU-T H.273, 8.3), to levels of 8 bits.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] if the matrix is not one that the usual pictures have.
    pub(super) fn of(coding: ColorCoding, bits: u8) -> Result<Self, CodecError> {
        // Kr and Kb of the table of matrices. Unspecified is taken for BT.601, as in libavif.
        let (red, blue) = match coding.matrix {
            0 | 8 => (0.0, 0.0),
            1 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            2 | 5 | 6 => (0.299, 0.114),
            7 => (0.212, 0.087),
            9 => (0.2627, 0.0593),
            other => {
                return Err(CodecError::Unsupported(format!(
                    "the colours are coded by the matrix {other}; accepted are 0, 1, 2 and 4 to 9 (ITU-T H.273)"
                )));
            }
        };
        let Range { luma, luma_offset, chroma, chroma_offset } = Range::of(coding, bits);
        let rows = match coding.matrix {
            // Green, blue, red.
            0 => [[0.0, 0.0, luma], [luma, 0.0, 0.0], [0.0, luma, 0.0]],
            // YCgCo.
            8 => [[luma, -chroma, chroma], [luma, chroma, 0.0], [luma, -chroma, -chroma]],
            _ => {
                let (of_red, of_blue): (f32, f32) = (2.0 * (1.0 - red), 2.0 * (1.0 - blue));
                let green = 1.0 - red - blue;
                [
                    [luma, 0.0, of_red * chroma],
                    [luma, -of_blue * blue / green * chroma, -of_red * red / green * chroma],
                    [luma, of_blue * chroma, 0.0],
                ]
            }
        };
        let offsets = if coding.matrix == 0 { [luma_offset; 3] } else { [luma_offset, chroma_offset, chroma_offset] };
        Ok(Self(rows.map(|row| {
            let constant: f32 = row.iter().zip(offsets).map(|(factor, offset)| factor * offset).sum();
            let [a, b, c] = row;
            [a, b, c, -constant]
        })))
    }
}

impl Matrix {
    /// Grey of luma alone.
    pub(super) fn gray(coding: ColorCoding, bits: u8) -> Self {
        let Range { luma, luma_offset, .. } = Range::of(coding, bits);
        Self([[luma, 0.0, 0.0, -luma * luma_offset]; 3])
    }
}

/// The scale of samples to levels of 8 bits, and the samples of black and of no colour.
struct Range {
    luma: f32,
    luma_offset: f32,
    chroma: f32,
    chroma_offset: f32,
}

impl Range {
    fn of(coding: ColorCoding, bits: u8) -> Self {
        let step = f32::from(1_u16 << bits.saturating_sub(8).min(7));
        let chroma_offset = 128.0 * step;
        if coding.is_full_range {
            let scale = 255.0 / (256.0 * step - 1.0);
            Self { luma: scale, luma_offset: 0.0, chroma: scale, chroma_offset }
        } else {
            let (luma, chroma) = (255.0 / (219.0 * step), 255.0 / (224.0 * step));
            Self { luma, luma_offset: 16.0 * step, chroma, chroma_offset }
        }
    }
}

/// The picture that tiles are drawn on: the part of it that is shown.
pub(super) struct Canvas {
    window: Window,
    channels: Channels,
    data: Vec<u8>,
}

impl Canvas {
    pub(super) fn new(window: Window, channels: Channels) -> Result<Self, CodecError> {
        let length = byte_len(window.size, channels)
            .ok_or_else(|| CodecError::TooLarge("the image is too large for memory".to_owned()))?;
        Ok(Self { window, channels, data: vec![0; length] })
    }

    pub(super) fn pixels(self) -> Result<Pixels, CodecError> {
        Pixels::try_new(self.window.size, self.channels, self.data)
            .map_err(|error| CodecError::Corrupt(error.to_string()))
    }

    /// Draws the colours of a tile whose upper left corner lies at (x, y) of the whole picture.
    pub(super) fn draw_colors(&mut self, frame: &Frame, Matrix([red, green, blue]): Matrix, at: (u32, u32)) {
        self.draw(frame, at, |target, [luma, blues, reds]| {
            for (((pixel, luma), b), r) in target.zip(luma).zip(blues).zip(reds) {
                for (sample, [by_luma, by_blue, by_red, constant]) in pixel.iter_mut().zip([red, green, blue]) {
                    *sample = level(by_luma * luma + by_blue * b + by_red * r + constant);
                }
            }
        });
    }

    /// Draws a tile of the alpha channel.
    pub(super) fn draw_alpha(&mut self, frame: &Frame, Matrix([gray, ..]): Matrix, at: (u32, u32)) {
        let [by_luma, .., constant] = gray;
        self.draw(frame, at, |target, [luma, ..]| {
            for (pixel, luma) in target.zip(luma) {
                if let [_, _, _, alpha] = pixel {
                    *alpha = level(by_luma * luma + constant);
                }
            }
        });
    }

    /// Runs `draw` for each row of a tile that is shown, on its pixels and on the samples that belong to them.
    fn draw(&mut self, frame: &Frame, at: (u32, u32), draw: impl Fn(std::slice::ChunksExactMut<'_, u8>, [&[f32]; 3])) {
        let Window { left, top, size } = self.window;
        let (columns, count) = (overlap(at.0, frame.size.width(), left, size.width()), self.channels.count());
        let start = at.0.saturating_add(columns.start).saturating_sub(left) as usize * count;
        let columns = columns.start as usize..columns.end as usize;
        let mut samples = Samples::new(frame);
        for row in overlap(at.1, frame.size.height(), top, size.height()) {
            let y = at.1.saturating_add(row).saturating_sub(top) as usize;
            let stride = size.width() as usize * count;
            let target = self.data.get_mut(y * stride + start..).unwrap_or_default();
            let Some(target) = target.get_mut(..columns.len() * count) else { continue };
            let planes = samples.read(frame, row);
            draw(target.chunks_exact_mut(count), planes.map(|plane| plane.get(columns.clone()).unwrap_or_default()));
        }
    }
}

/// The part of a tile of `length` pixels at `at` that lies in a window of `shown` pixels at `start`.
fn overlap(at: u32, length: u32, start: u32, shown: u32) -> std::ops::Range<u32> {
    let end = start.saturating_add(shown).saturating_sub(at).min(length);
    start.saturating_sub(at).min(end)..end
}

/// A level of 8 bits, rounded to nearest.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast stops at 0 and at 255")]
fn level(value: f32) -> u8 {
    (value + 0.5) as u8
}

/// The samples of one row, chroma as wide as luma.
struct Samples {
    planes: [Vec<f32>; 3],
    /// A row of chroma as it is stored, and the row beside it.
    narrow: [Vec<f32>; 2],
}

impl Samples {
    fn new(frame: &Frame) -> Self {
        let width = frame.size.width() as usize;
        let row = |width| vec![0.0; width];
        Self { planes: [row(width), row(width), row(width)], narrow: [row(width.div_ceil(2)), row(width.div_ceil(2))] }
    }

    /// Luma, blue and red differences. Between the samples of chroma, which lie in the middle of their pixels, values
    /// are interpolated, as by libyuv: a quarter of the next sample and three quarters of the nearest.
    fn read(&mut self, frame: &Frame, row: u32) -> [&[f32]; 3] {
        let [luma, chroma @ ..] = &mut self.planes;
        frame.read_row(0, row, luma);
        for (plane, wide) in (1..).zip(chroma) {
            let [near, far] = &mut self.narrow;
            match frame.chroma {
                Chroma::None => {}
                Chroma::Full => frame.read_row(plane, row, wide),
                Chroma::Half => {
                    frame.read_row(plane, row, near);
                    widen(near, wide);
                }
                Chroma::Quarter => {
                    let last = (frame.size.height() - 1) / 2;
                    let beside =
                        if row.is_multiple_of(2) { (row / 2).saturating_sub(1) } else { (row / 2 + 1).min(last) };
                    frame.read_row(plane, row / 2, near);
                    frame.read_row(plane, beside, far);
                    for (near, far) in near.iter_mut().zip(far) {
                        *near = 0.75 * *near + 0.25 * *far;
                    }
                    widen(near, wide);
                }
            }
        }
        self.planes.each_ref().map(Vec::as_slice)
    }
}

/// Samples for pixels of half their width.
fn widen(narrow: &[f32], wide: &mut [f32]) {
    let (Some(first), Some(last)) = (narrow.first(), narrow.last()) else { return };
    let before = std::iter::once(first).chain(narrow);
    let after = narrow.iter().skip(1).chain(std::iter::once(last));
    for (((pair, before), near), after) in wide.chunks_mut(2).zip(before).zip(narrow).zip(after) {
        for (sample, beside) in pair.iter_mut().zip([before, after]) {
            *sample = 0.75 * near + 0.25 * beside;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coding(matrix: u16, is_full_range: bool) -> ColorCoding {
        ColorCoding { primaries: 1, transfer: 13, matrix, is_full_range }
    }

    /// Expected: by hand, with the weights of ITU-T H.273, table 4.
    #[test]
    fn samples_become_the_colours_that_they_were_made_of() {
        let cases = [
            ("grey, full range", coding(6, true), 8, [128.0, 128.0, 128.0], [128, 128, 128]),
            ("black, limited range", coding(1, false), 8, [16.0, 128.0, 128.0], [0, 0, 0]),
            ("white, limited range", coding(1, false), 8, [235.0, 128.0, 128.0], [255, 255, 255]),
            // Y = 0.299 · 255; Cb = 128 − 255 · 0.299 / 1.772; Cr = 128 + 127.5.
            ("red of BT.601", coding(6, true), 8, [76.245, 84.97, 255.5], [255, 0, 0]),
            // Y = 0.0722 · 255; Cb = 128 + 127.5; Cr = 128 − 255 · 0.0722 / 1.5748.
            ("blue of BT.709", coding(1, true), 8, [18.411, 255.5, 116.309], [0, 0, 255]),
            // Y = 0.678 · 255; Cb = 128 − 255 · 0.678 / 1.8814; Cr = 128 − 255 · 0.678 / 1.4746.
            ("green of BT.2020", coding(9, true), 8, [172.89, 36.106, 10.755], [0, 255, 0]),
            ("grey of 10 bits", coding(6, true), 10, [513.0, 512.0, 512.0], [128, 128, 128]),
            ("white of 12 bits, limited range", coding(6, false), 12, [3760.0, 2048.0, 2048.0], [255, 255, 255]),
            // Green, blue, red.
            ("identity", coding(0, true), 8, [1.0, 2.0, 3.0], [3, 1, 2]),
            // Y = 100, Cg = 20, Co = 10: red = Y − Cg + Co, green = Y + Cg, blue = Y − Cg − Co.
            ("YCgCo", coding(8, true), 8, [100.0, 148.0, 138.0], [90, 120, 70]),
        ];
        for (label, coding, bits, [y, b, r], expected) in cases {
            let Matrix(rows) = Matrix::of(coding, bits).expect("a known matrix");
            let actual = rows.map(|[by_y, by_b, by_r, constant]| level(by_y * y + by_b * b + by_r * r + constant));
            assert!(actual.iter().zip(expected).all(|(a, e)| a.abs_diff(e) <= 1), "{label}: {actual:?}");
        }
        assert!(Matrix::of(coding(14, true), 8).is_err(), "ICtCp");
    }

    #[test]
    fn chroma_is_interpolated_from_the_middle_of_its_pixels() {
        let mut wide = [0.0; 5];
        widen(&[0.0, 4.0, 8.0], &mut wide);
        assert_eq!(wide.map(level), [0, 1, 3, 5, 7]);
    }

    #[test]
    fn a_tile_is_drawn_where_it_lies_in_the_window() {
        // The tile's start and length, the window's start and length; the part of the tile.
        let cases = [
            ("inside", (0, 10, 0, 10), 0..10),
            ("cut at the start", (0, 10, 3, 20), 3..10),
            ("cut at the end", (20, 10, 0, 25), 0..5),
            ("cut at both", (0, 100, 40, 20), 40..60),
            ("before the window", (0, 10, 10, 5), 10..10),
            ("behind the window", (30, 10, 10, 5), 0..0),
        ];
        for (label, (at, length, start, shown), expected) in cases {
            assert_eq!(overlap(at, length, start, shown), expected, "{label}");
        }
    }
}
