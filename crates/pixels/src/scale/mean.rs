//! The box kernel: means of whole pixels.
//!
//! If the edge of a box meets the centre of a pixel, rounding errors decide whether the pixel counts, which changes the
//! mean by up to 1/n. So the box kernel is computed here with the same expressions as Pillow's `precompute_coeffs` and
//! `normalize_coeffs_8bpc` (src/libImaging/Resample.c, Pillow 13): the library's own differ at every fifth size.

use std::ops::Range;

use super::{Axis, Pass, Span};
use crate::buffer::Pixels;

/// Pillow's `PRECISION_BITS`: 32 bits minus 8 of the sample and 2 in reserve.
const PRECISION_BITS: u32 = 22;

/// The source pixels of one output pixel, and the weight of each.
struct Window {
    pixels: Range<usize>,
    weight: u32,
}

/// The windows of all output pixels of a pass.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "coordinates are clamped to the side, a u32"
)]
fn windows(pass: &Pass, side_px: u32) -> Vec<Window> {
    // A cut is computed on the grid of the whole picture, with the same expressions as the whole.
    let whole = pass.uncut.map(|uncut| (Span { start: 0.0, length: uncut.source_px }, uncut));
    let (span, length_px, before_px, side_px, left_out_lines) = match whole {
        Some((span, uncut)) => (span, uncut.length_px, uncut.before_px, uncut.side_px, uncut.left_out_lines),
        None => (pass.span, pass.length_px, 0, side_px, 0),
    };
    let scale = span.length / f64::from(length_px);
    let filter_scale = scale.max(1.0);
    let support = 0.5 * filter_scale;
    let inverse = 1.0 / filter_scale;
    let bound = |edge: f64| edge.clamp(0.0, f64::from(side_px)) as usize;
    let reversed = f64::from(side_px) - span.start - span.length;
    let start = if pass.is_reversed { reversed } else { span.start };
    let mut windows: Vec<Window> = (0..pass.length_px)
        .map(|index| {
            let center = start + (f64::from(before_px + index) + 0.5) * scale;
            let range = bound(center - support + 0.5)..bound(center + support + 0.5);
            let counts = |pixel: &usize| {
                let distance = (*pixel as f64 - center + 0.5) * inverse;
                distance > -0.5 && distance <= 0.5
            };
            let first = range.clone().find(counts).unwrap_or(range.start);
            let last = range.clone().rev().find(counts).unwrap_or(range.start);
            let pixels = first..(last + 1).min(side_px as usize);
            let weight = 1.0 / pixels.len().max(1) as f64;
            Window { pixels, weight: (0.5 + weight * f64::from(1_u32 << PRECISION_BITS)) as u32 }
        })
        .collect();
    if pass.is_reversed {
        // The windows were computed in the upright picture, as in Pillow: here they are counted from the other end.
        windows.reverse();
        let side = side_px as usize;
        for window in &mut windows {
            window.pixels = side - window.pixels.end..side - window.pixels.start;
        }
    }
    let left_out = left_out_lines as usize;
    for window in &mut windows {
        window.pixels = window.pixels.start.saturating_sub(left_out)..window.pixels.end.saturating_sub(left_out);
    }
    windows
}

/// Fills `data` with the means of the pass.
pub(super) fn pass(source: &Pixels, pass: &Pass, data: &mut [u8]) {
    let count = source.channels().count();
    let stride = source.size().width() as usize * count;
    let rows = || source.data().chunks_exact(stride);
    let lines = pass.lines.first as usize..pass.lines.end as usize;
    match pass.axis {
        Axis::Horizontal => {
            let windows = windows(pass, source.size().width());
            let targets = data.chunks_exact_mut(pass.length_px as usize * count);
            for (row, target) in rows().skip(lines.start).zip(targets) {
                for (window, mean) in windows.iter().zip(target.chunks_exact_mut(count)) {
                    let pixels = row.get(window.pixels.start * count..window.pixels.end * count).unwrap_or_default();
                    let mut sums = [0_u32; 4];
                    for pixel in pixels.chunks_exact(count) {
                        sums.iter_mut().zip(pixel).for_each(|(sum, sample)| *sum += u32::from(*sample));
                    }
                    mean.iter_mut().zip(sums).for_each(|(mean, sum)| *mean = rounded(sum, window.weight));
                }
            }
        }
        Axis::Vertical => {
            let targets = data.chunks_exact_mut(lines.len() * count);
            for (window, target) in windows(pass, source.size().height()).iter().zip(targets) {
                let mut sums = vec![0_u32; target.len()];
                for row in rows().skip(window.pixels.start).take(window.pixels.len()) {
                    let part = row.get(lines.start * count..lines.end * count).unwrap_or_default();
                    sums.iter_mut().zip(part).for_each(|(sum, sample)| *sum += u32::from(*sample));
                }
                target.iter_mut().zip(sums).for_each(|(mean, sum)| *mean = rounded(sum, window.weight));
            }
        }
    }
}

/// The weighted sum as a level, rounded half up and clipped.
fn rounded(sum: u32, weight: u32) -> u8 {
    let level = (u64::from(sum) * u64::from(weight) + (1 << (PRECISION_BITS - 1))) >> PRECISION_BITS;
    u8::try_from(level).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::{Lines, UncutAxis};

    fn ranges(span: Span, length_px: u32, is_reversed: bool, side_px: u32) -> Vec<Range<usize>> {
        let lines = Lines { first: 0, end: 1 };
        let pass = Pass { axis: Axis::Horizontal, span, length_px, uncut: None, is_reversed, lines };
        windows(&pass, side_px).into_iter().map(|window| window.pixels).collect()
    }

    /// Two boxes of 2.5 px: the centre of the third pixel lies on the edge between them.
    #[test]
    fn a_pixel_on_an_edge_belongs_to_the_first_box_of_the_upright_picture() {
        let whole = Span { start: 0.0, length: 5.0 };
        assert_eq!(ranges(whole, 2, false, 5), [0..3, 3..5]);
        assert_eq!(ranges(whole, 2, true, 5), [0..2, 2..5]);
    }

    /// A cut has the windows of the whole, also where rounding decides: of every size, start and direction.
    #[test]
    fn the_windows_of_a_cut_are_those_of_the_whole() {
        for (side_px, length_px) in [(427, 342), (300, 256), (451, 386), (284, 74), (5, 2), (60, 100)] {
            for is_reversed in [false, true] {
                let whole = Span { start: 0.0, length: f64::from(side_px) };
                let all = ranges(whole, length_px, is_reversed, side_px);
                for (before_px, cut_px) in [(0, length_px), (1, length_px - 1), (length_px / 3, length_px / 2)] {
                    // The windows of a reversed axis are listed from its other end.
                    let first = if is_reversed { length_px - before_px - cut_px } else { before_px };
                    let expected = all.iter().skip(first as usize).take(cut_px as usize);
                    let left_out_lines = expected.clone().map(|window| window.start).min().expect("a window");
                    let uncut = UncutAxis {
                        length_px,
                        source_px: f64::from(side_px),
                        before_px,
                        side_px,
                        left_out_lines: u32::try_from(left_out_lines).expect("small"),
                    };
                    let lines = Lines { first: 0, end: 1 };
                    let uncut = Some(uncut);
                    let pass = Pass { axis: Axis::Vertical, span: whole, length_px: cut_px, uncut, is_reversed, lines };
                    let actual = windows(&pass, 0).into_iter().map(|window| window.pixels);
                    let expected = expected.map(|window| window.start - left_out_lines..window.end - left_out_lines);
                    assert!(actual.eq(expected), "{before_px}, {cut_px} px of {length_px} px of {side_px}");
                }
            }
        }
    }

    #[test]
    fn reversed_windows_mirror_those_of_the_mirrored_span() {
        for (side_px, start, length, length_px) in
            [(5, 0.0, 5.0, 2), (533, 60.25, 401.0, 224), (533, 0.5, 532.5, 71), (40, 3.0, 9.0, 30), (7, 6.0, 1.0, 1)]
        {
            let mirrored_start = f64::from(side_px) - start - length;
            let mirrored = ranges(Span { start: mirrored_start, length }, length_px, false, side_px);
            let side = side_px as usize;
            let expected: Vec<Range<usize>> =
                mirrored.iter().rev().map(|pixels| side - pixels.end..side - pixels.start).collect();
            let actual = ranges(Span { start, length }, length_px, true, side_px);
            assert_eq!(actual, expected, "{length} px from {start} of {side_px} to {length_px} px");
        }
    }
}
