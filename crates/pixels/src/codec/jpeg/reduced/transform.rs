//! Inverse transforms of eight blocks at once to 1, 2, 4 or 8 samples a side: the arithmetic of libjpeg-turbo's
//! `jidctred.c` and `jidctint.c` as its SSE2 and AVX2 code does it, 16-bit saturation between the passes included.
//!
//! The eight blocks are the lanes of a vector: a coefficient of a group is eight numbers.

use super::Channel;
pub(super) use super::lanes::LANES;
use super::lanes::{Sums, Words, put_2, put_4, put_8};

/// Coefficients of a group: 64 in zigzag order, and as many places that nobody reads.
pub(super) const SLOTS: usize = 128;
/// The dequantised coefficients' limit: below it no 16-bit product or sum overflows before saturation.
pub(super) const MAX_COEFFICIENT: i32 = 8191;
/// The same of DC: below it the largest sample is within the limits of libjpeg's clipping table.
pub(super) const MAX_DC: i32 = 4091;
/// Coefficients below this zigzag index lie in the first four rows and columns.
const CORNER: u32 = 10;

/// The coefficients of eight blocks.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) coefficients: [[i16; LANES]; SLOTS],
    /// The zigzag index behind the last one that is not zero in all of them.
    pub(super) end: u32,
}

/// Zigzag index → natural index (T.81, figure A.6).
pub(super) const NATURAL: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Natural index → zigzag index.
const ZIGZAG: [u8; 64] = {
    let mut zigzag = [0; 64];
    let mut index = 0;
    while index < 64 {
        zigzag[NATURAL[index] as usize] = index as u8;
        index += 1;
    }
    zigzag
};

/// A constant of the transforms, in 1/8192.
const fn fix(value: f64) -> i16 {
    (value * 8192.0 + 0.5) as i16
}

/// Two samples from the coefficients 0, 1, 3, 5, 7 of a row or column; the first is given shifted by 15 bits.
#[inline]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "sse2"))]
fn two(even: Sums, [x1, x3, x5, x7]: [Words; 4], bits: i32) -> [Sums; 2] {
    let odd = x1.dot(x3, [fix(3.624_509_785), -fix(1.272_758_580)]);
    let odd = odd.plus(x5.dot(x7, [fix(0.850_430_095), -fix(0.720_959_822)]));
    [even.plus(odd).descaled(bits), even.minus(odd).descaled(bits)]
}

/// Four samples from the coefficients 0, 1, 2, 3, 5, 6, 7.
#[inline]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "sse2"))]
fn four([x0, x1, x2, x3, x5, x6, x7]: [Words; 7], bits: i32) -> [Words; 4] {
    let even = x2.dot(x6, [fix(1.847_759_065), -fix(0.765_366_865)]);
    let (high, low) = (x0.shifted(14).plus(even), x0.shifted(14).minus(even));
    let outer = x1.dot(x3, [fix(2.562_915_447), fix(0.899_976_223)]);
    let outer = outer.plus(x5.dot(x7, [-fix(0.601_344_887), -fix(0.509_795_579)]));
    let inner = x1.dot(x3, [fix(1.061_594_337), -fix(2.172_734_803)]);
    let inner = inner.plus(x5.dot(x7, [fix(1.451_774_981), -fix(0.211_164_243)]));
    [high.plus(outer), low.plus(inner), low.minus(inner), high.minus(outer)].map(|sums| sums.descaled(bits).saturated())
}

/// Eight samples.
#[inline]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "sse2"))]
fn eight([x0, x1, x2, x3, x4, x5, x6, x7]: [Words; 8], bits: i32) -> [Words; 8] {
    const F_0_298: i16 = fix(0.298_631_336);
    const F_0_390: i16 = fix(0.390_180_644);
    const F_0_541: i16 = fix(0.541_196_100);
    const F_0_765: i16 = fix(0.765_366_865);
    const F_0_899: i16 = fix(0.899_976_223);
    const F_1_175: i16 = fix(1.175_875_602);
    const F_1_501: i16 = fix(1.501_321_110);
    const F_1_847: i16 = fix(1.847_759_065);
    const F_1_961: i16 = fix(1.961_570_560);
    const F_2_053: i16 = fix(2.053_119_869);
    const F_2_562: i16 = fix(2.562_915_447);
    const F_3_072: i16 = fix(3.072_711_026);
    let inner = x2.dot(x6, [F_0_541, F_0_541 - F_1_847]);
    let outer = x2.dot(x6, [F_0_541 + F_0_765, F_0_541]);
    let (sum, difference) = (x0.plus(x4).shifted(13), x0.minus(x4).shifted(13));
    let even = [sum.plus(outer), difference.plus(inner), difference.minus(inner), sum.minus(outer)];
    let (z3, z4) = (x7.plus(x3), x5.plus(x1));
    let (z3, z4) = (z3.dot(z4, [F_1_175 - F_1_961, F_1_175]), z3.dot(z4, [F_1_175, F_1_175 - F_0_390]));
    let odd = [
        x7.dot(x1, [-F_0_899, F_1_501 - F_0_899]).plus(z4),
        x5.dot(x3, [-F_2_562, F_3_072 - F_2_562]).plus(z3),
        x5.dot(x3, [F_2_053 - F_2_562, -F_2_562]).plus(z4),
        x7.dot(x1, [F_0_298 - F_0_899, -F_0_899]).plus(z3),
    ];
    let sample = |sums: Sums| sums.descaled(bits).saturated();
    let [plus, minus]: [[Words; 4]; 2] =
        [std::array::from_fn(|i| sample(even[i].plus(odd[i]))), std::array::from_fn(|i| sample(even[i].minus(odd[i])))];
    [plus[0], plus[1], plus[2], plus[3], minus[3], minus[2], minus[1], minus[0]]
}

/// A dequantised coefficient of eight blocks.
#[inline]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "sse2"))]
fn coefficient(group: &Group, quantiser: &[i16; 64], row: usize, column: usize) -> Words {
    let natural = row * 8 + column;
    Words::new(&group.coefficients[usize::from(ZIGZAG[natural])]).times(quantiser[natural])
}

/// 2×2 samples of eight blocks; of the rows and columns 0, 1, 3, 5, 7 only the first `FEW` can be other than zero.
#[inline]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "sse2"))]
fn to_2<const FEW: usize>(group: &Group, quantiser: &[i16; 64], rows: [&mut [u8]; 2]) {
    const READ: [usize; 5] = [0, 1, 3, 5, 7];
    let zero = Words::zero();
    let column = |column: usize| {
        let x: [Words; 5] =
            std::array::from_fn(|row| if row < FEW { coefficient(group, quantiser, READ[row], column) } else { zero });
        two(x[0].shifted(15), [x[1], x[2], x[3], x[4]], 13)
    };
    let first = column(0);
    let mut odd = [[zero; 4]; 2];
    for i in 1..FEW {
        let [a, b] = column(READ[i]);
        (odd[0][i - 1], odd[1][i - 1]) = (a.saturated(), b.saturated());
    }
    for (row, out) in rows.into_iter().enumerate() {
        put_2(two(first[row].shifted(15), odd[row], 20).map(|sums| sums.saturated()), out);
    }
}

/// 4×4 samples of eight blocks; of the rows and columns 0, 1, 2, 3, 5, 6, 7 only the first `FEW` can be other than
/// zero.
#[inline]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "sse2"))]
fn to_4<const FEW: usize>(group: &Group, quantiser: &[i16; 64], rows: [&mut [u8]; 4]) {
    const READ: [usize; 7] = [0, 1, 2, 3, 5, 6, 7];
    let zero = Words::zero();
    let mut columns = [[zero; 7]; 4];
    for i in 0..FEW {
        let x =
            std::array::from_fn(|row| if row < FEW { coefficient(group, quantiser, READ[row], READ[i]) } else { zero });
        for (row, samples) in four(x, 12).into_iter().enumerate() {
            columns[row][i] = samples;
        }
    }
    for (column, out) in columns.into_iter().zip(rows) {
        put_4(four(column, 19), out);
    }
}

/// 8×8 samples of eight blocks; of the rows and columns only the first `FEW` can be other than zero.
#[inline]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "sse2"))]
fn to_8<const FEW: usize>(group: &Group, quantiser: &[i16; 64], rows: [&mut [u8]; 8]) {
    let zero = Words::zero();
    let columns: [[Words; 8]; 8] = std::array::from_fn(|column| {
        if column >= FEW {
            return [zero; 8];
        }
        let x = |row| if row < FEW { coefficient(group, quantiser, row, column) } else { zero };
        eight(std::array::from_fn(x), 11)
    });
    for (row, out) in rows.into_iter().enumerate() {
        put_8(eight(std::array::from_fn(|column| columns[column][row]), 18), out);
    }
}

/// The sample of a dequantised DC alone.
#[inline(always)]
pub(super) fn mean(dc: i32) -> u8 {
    (((dc + 4) >> 3) + 128).clamp(0, 255) as u8
}

/// The samples of eight blocks beside each other, to the start of the rows of a plane.
#[inline]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "sse2"))]
pub(super) fn transform(group: &Group, channel: &Channel, plane: &mut [u8]) -> Option<()> {
    let Channel { quantiser, side, stride, .. } = channel;
    let mut rows = plane.chunks_mut(*stride).filter_map(|row| row.get_mut(..side * LANES));
    match (side, group.end <= CORNER) {
        (2, true) => to_2::<3>(group, quantiser, taken(&mut rows)?),
        (2, false) => to_2::<5>(group, quantiser, taken(&mut rows)?),
        (4, true) => to_4::<4>(group, quantiser, taken(&mut rows)?),
        (4, false) => to_4::<7>(group, quantiser, taken(&mut rows)?),
        (8, true) => to_8::<4>(group, quantiser, taken(&mut rows)?),
        (8, false) => to_8::<8>(group, quantiser, taken(&mut rows)?),
        _ => return None,
    }
    Some(())
}

/// The next rows.
#[inline(always)]
fn taken<'a, const N: usize>(rows: &mut impl Iterator<Item = &'a mut [u8]>) -> Option<[&'a mut [u8]; N]> {
    let mut taken = [const { None }; N];
    for row in &mut taken {
        *row = Some(rows.next()?);
    }
    Some(taken.map(Option::unwrap_or_default))
}
