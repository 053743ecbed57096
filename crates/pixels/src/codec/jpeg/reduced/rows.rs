//! Rows of planes → rows of RGB pixels: libjpeg's `jdsample.c` (h2v1, fancy) and `jdcolor.c`.

/// Two samples for each of a row, as the triangle filter of `h2v1_fancy_upsample` makes them; `out` may end in between.
#[inline(always)]
pub(super) fn doubled_smoothly(row: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.resize(row.len() * 2, 0);
    let last = row.len() - 1;
    let weighted = |near: u8, far: u8, round: u16| ((3 * u16::from(near) + u16::from(far) + round) >> 2) as u8;
    let pairs = out.as_chunks_mut::<2>().0;
    if let ([first, ..], [a, b, ..]) = (&mut *pairs, row) {
        *first = [*a, weighted(*a, *b, 2)];
    }
    for (pair, near) in pairs.iter_mut().skip(1).zip(row.array_windows::<3>()) {
        let [left, middle, right] = *near;
        *pair = [weighted(middle, left, 1), weighted(middle, right, 2)];
    }
    if let (Some(pair), [.., b, a]) = (pairs.get_mut(last), row) {
        *pair = [weighted(*a, *b, 1), *a];
    }
}

/// Each sample of a row twice.
#[inline(always)]
pub(super) fn doubled(row: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend(row.iter().flat_map(|sample| [*sample; 2]));
}

/// A row of each plane to RGB; with the factors and the rounding of `jdcolor.c`, in 1/65536.
#[inline(always)]
pub(super) fn to_rgb(luma: &[u8], blue: &[u8], red: &[u8], out: &mut [u8]) {
    let samples = luma.iter().zip(blue).zip(red);
    for (((y, cb), cr), pixel) in samples.zip(out.as_chunks_mut::<3>().0) {
        let (y, cb, cr) = (i32::from(*y), i32::from(*cb) - 128, i32::from(*cr) - 128);
        let r = y + ((91_881 * cr + 32_768) >> 16);
        let g = y + ((-22_554 * cb - 46_802 * cr + 32_768) >> 16);
        let b = y + ((116_130 * cb + 32_768) >> 16);
        *pixel = [r, g, b].map(|level| level.clamp(0, 255) as u8);
    }
}

/// A row of grey samples to RGB.
#[inline(always)]
pub(super) fn grey_to_rgb(luma: &[u8], out: &mut [u8]) {
    for (y, pixel) in luma.iter().zip(out.as_chunks_mut::<3>().0) {
        *pixel = [*y; 3];
    }
}
