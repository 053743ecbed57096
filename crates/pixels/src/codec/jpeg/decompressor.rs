//! libjpeg-turbo's decompressor through its C interface: the `turbojpeg` crate's own cannot leave columns out.

#![expect(unsafe_code, reason = "calls of C")]

use std::ffi::{CStr, c_int};
use std::ops::Range;

use turbojpeg::{Error, raw};

use crate::buffer::Channels;
use crate::geometry::{DctScale, Size};

/// The part of a file that is decoded, and its scale.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) scale: DctScale,
    /// Width and height at that scale.
    pub(super) size: Size,
    /// RGB or CMYK.
    pub(super) channels: Channels,
    /// Columns at that scale, at least one. The first one is the start of a unit (MCU, T.81, A.2).
    pub(super) columns: Range<u32>,
}

/// A handle of libjpeg-turbo. After an error it continues with the file that failed: replace it.
#[derive(Debug)]
pub(super) struct Decompressor(raw::tjhandle);

// SAFETY: a handle belongs to no thread, and `&mut` keeps two from using it at once.
unsafe impl Send for Decompressor {}

impl Decompressor {
    pub(super) fn try_new(max_scans: c_int) -> Result<Self, Error> {
        // SAFETY: any number is allowed. Every function that takes a handle rejects a null pointer (out of memory).
        let new = Self(unsafe { raw::tj3Init(raw::TJINIT_TJINIT_DECOMPRESS.cast_signed()) });
        // SAFETY: the handle is null or alive.
        new.check(unsafe { raw::tj3Set(new.0, raw::TJPARAM_TJPARAM_SCANLIMIT.cast_signed(), max_scans) })?;
        // No marker is saved: by default, libjpeg-turbo keeps and joins all parts of a profile, however many there are.
        // SAFETY: as above.
        new.check(unsafe { raw::tj3Set(new.0, raw::TJPARAM_TJPARAM_SAVEMARKERS.cast_signed(), 0) })?;
        Ok(new)
    }

    /// Decodes `picture.columns` into `rows`, which have room for all columns; the other columns are left unchanged. If
    /// libjpeg-turbo cannot crop the file's kind of sampling, the whole picture is decoded.
    pub(super) fn decompress(&mut self, file: &[u8], picture: &Picture, rows: &mut [u8]) -> Result<(), Error> {
        let Picture { scale, size, channels, columns } = picture;
        let factor = raw::tjscalingfactor { num: 1, denom: int(scale.divisor())? };
        let length = file.len().try_into().map_err(|_| Error::IntegerOverflow("length"))?;
        // SAFETY: the handle is alive, and `file` has `length` bytes.
        self.check(unsafe { raw::tj3DecompressHeader(self.0, file.as_ptr(), length) })?;
        let side = |parameter| u32::try_from(self.get(parameter)).unwrap_or(0);
        let stored = Size::new(side(raw::TJPARAM_TJPARAM_JPEGWIDTH), side(raw::TJPARAM_TJPARAM_JPEGHEIGHT));
        let (all, pitch) = (0..size.width(), size.width() as usize * channels.count());
        let columns = if self.get(raw::TJPARAM_TJPARAM_SUBSAMP) < 0 { &all } else { columns };
        // libjpeg-turbo writes by the size in this file: it must be the size that `rows` was made for.
        let has_planned_size = stored.map(|stored| scale.scaled(stored)) == Some(*size);
        let has_columns = !columns.is_empty() && columns.end <= all.end;
        let bytes = columns.start as usize * channels.count()..pitch.saturating_mul(size.height() as usize);
        let target = rows.get_mut(bytes).filter(|_| has_planned_size && has_columns).ok_or(Error::OutOfBounds)?;
        // SAFETY: the handle is alive.
        self.check(unsafe { raw::tj3SetScalingFactor(self.0, factor) })?;
        // All zeros mean the whole picture. A height of zero means all rows: rows left out would not be checked.
        let (x, w) = if *columns == all { (0, 0) } else { (int(columns.start)?, int(columns.end - columns.start)?) };
        // SAFETY: the handle is alive.
        self.check(unsafe { raw::tj3SetCroppingRegion(self.0, raw::tjregion { x, y: 0, w, h: 0 }) })?;
        let format = if *channels == Channels::Cmyk { raw::TJPF_TJPF_CMYK } else { raw::TJPF_TJPF_RGB };
        let pitch = int(pitch)?;
        // SAFETY: the handle is alive, and `file` has `length` bytes. The header was read from the same bytes, so
        // libjpeg-turbo writes `columns` × `channels` bytes to each of `size.height()` rows: all of them in `target`.
        self.check(unsafe { raw::tj3Decompress8(self.0, file.as_ptr(), length, target.as_mut_ptr(), pitch, format) })
    }

    fn get(&self, parameter: raw::TJPARAM) -> c_int {
        // SAFETY: the handle is alive.
        unsafe { raw::tj3Get(self.0, parameter.cast_signed()) }
    }

    fn check(&self, status: c_int) -> Result<(), Error> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the handle is null or alive, and the text ends with a zero byte.
        let text = unsafe { CStr::from_ptr(raw::tj3GetErrorStr(self.0)) };
        Err(Error::TurboJpegError(text.to_string_lossy().into_owned()))
    }
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: the handle is null or alive, and nothing uses it afterwards.
        unsafe { raw::tj3Destroy(self.0) };
    }
}

fn int(number: impl TryInto<c_int>) -> Result<c_int, Error> {
    number.try_into().map_err(|_| Error::IntegerOverflow("side"))
}
