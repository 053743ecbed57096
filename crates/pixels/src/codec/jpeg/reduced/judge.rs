//! The decoder beside libjpeg-turbo, for tests and fuzzing.

use super::super::{Detail, Stream, Turbo, header};
use super::Job;
use crate::geometry::{DctScale, Part};

pub(in super::super) const SCALES: [DctScale; 3] = [DctScale::Half, DctScale::Quarter, DctScale::Eighth];

/// What came of one file at one scale.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Verdict {
    /// Both decoded it, to the same pixels.
    Equal,
    /// It was left to libjpeg-turbo, which decoded it.
    Left,
    /// libjpeg-turbo refuses it, and so it was left.
    Refused,
}

/// Decodes a file twice. The text says what is wrong.
pub(in super::super) fn compare(
    turbo: &mut Turbo,
    file: &[u8],
    stream: &Stream,
    scale: DctScale,
    part: &Part,
) -> Result<Verdict, String> {
    let size = scale.scaled(stream.frame.size);
    let what = format!("at 1/{}, {size}", scale.divisor());
    let width = size.width() as usize;
    let file = stream.repaired(file);
    let length = width * size.height() as usize * stream.channels().count();
    let (mut ours, mut theirs) = (vec![0x55; length], vec![0; length]);
    let is_ours = turbo.reduced.decode(&file, &Job { scale, size, part }, &mut ours).is_some();
    let judged = turbo.decode_any(&file, stream, scale, &part.columns, &mut theirs);
    match (is_ours, judged) {
        (false, Ok(())) => Ok(Verdict::Left),
        (false, Err(_)) => Ok(Verdict::Refused),
        (true, Err(error)) => Err(format!("{what}: accepted, but libjpeg-turbo says: {error}")),
        (true, Ok(())) => {
            let columns = part.columns.start as usize * 3..part.columns.end.min(size.width()) as usize * 3;
            let rows = part.rows.start as usize..part.rows.end.min(size.height()) as usize;
            for (y, (a, b)) in ours.chunks(width * 3).zip(theirs.chunks(width * 3)).enumerate() {
                if let Some(at) = columns.clone().find(|at| rows.contains(&y) && a[*at] != b[*at]) {
                    return Err(format!("{what}, row {y}, byte {at}: {}, not {}", a[at], b[at]));
                }
            }
            Ok(Verdict::Equal)
        }
    }
}

/// The facts of a file, if its headers can be read.
pub(in super::super) fn stream(file: &[u8]) -> Option<Stream> {
    match header(file).ok()?.detail {
        Detail::Jpeg(stream) => Some(stream),
        Detail::Other => None,
    }
}

/// What is wrong with the decoder, seen in one file of at most `max_pixels`.
#[cfg(fuzzing)]
pub(in super::super) fn fault(file: &[u8], max_pixels: u64) -> Option<String> {
    let stream = stream(file).filter(|stream| stream.is_scalable() && stream.frame.size.pixels() <= max_pixels)?;
    let mut turbo = Turbo::try_new().ok()?;
    SCALES.into_iter().find_map(|scale| compare(&mut turbo, file, &stream, scale, &Part::ALL).err())
}
