//! libjpeg-turbo's decompressor by its C interface: the crate's own cannot leave columns out.

#![expect(unsafe_code, reason = "calls of C")]

use std::ffi::{CStr, c_int};
use std::ops::Range;

use turbojpeg::{Error, raw};

use crate::geometry::{DctScale, Size};
use crate::pixels::Channels;

/// What is decoded of a file.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) scale: DctScale,
    /// Width and height at that scale.
    pub(super) size: Size,
    /// RGB or CMYK.
    pub(super) channels: Channels,
    /// Columns at that scale, at least one. The first is where one of the file's units begins (T.81, A.2).
    pub(super) columns: Range<u32>,
}

/// A handle of libjpeg-turbo. After an error it goes on with the file that it refused.
#[derive(Debug)]
pub(super) struct Decompressor(raw::tjhandle);

// SAFETY: a handle belongs to no thread, and `&mut` keeps two from using it at once.
unsafe impl Send for Decompressor {}

impl Decompressor {
    pub(super) fn try_new(max_scans: c_int) -> Result<Self, Error> {
        // SAFETY: any number will do. A null pointer (there is no memory) is refused by all that takes a handle.
        let new = Self(unsafe { raw::tj3Init(raw::TJINIT_TJINIT_DECOMPRESS.cast_signed()) });
        // SAFETY: the handle is null or lives.
        new.check(unsafe { raw::tj3Set(new.0, raw::TJPARAM_TJPARAM_SCANLIMIT.cast_signed(), max_scans) })?;
        Ok(new)
    }

    /// Decodes the columns of a picture into `rows`, which have room for all columns; the others stay as they are. A
    /// picture of a sampling that libjpeg-turbo leaves no columns out of is decoded whole.
    pub(super) fn decompress(&mut self, file: &[u8], picture: &Picture, rows: &mut [u8]) -> Result<(), Error> {
        let Picture { scale, size, channels, columns } = picture;
        let factor = raw::tjscalingfactor { num: 1, denom: int(scale.divisor())? };
        let length = file.len().try_into().map_err(|_| Error::IntegerOverflow("length"))?;
        // SAFETY: the handle lives, and `file` has `length` bytes.
        self.check(unsafe { raw::tj3DecompressHeader(self.0, file.as_ptr(), length) })?;
        let side = |parameter| u32::try_from(self.get(parameter)).unwrap_or(0);
        let stored = Size::new(side(raw::TJPARAM_TJPARAM_JPEGWIDTH), side(raw::TJPARAM_TJPARAM_JPEGHEIGHT));
        let (all, pitch) = (0..size.width(), size.width() as usize * channels.count());
        let columns = if self.get(raw::TJPARAM_TJPARAM_SUBSAMP) < 0 { &all } else { columns };
        let is_inside = !columns.is_empty() && columns.end <= all.end;
        let is_right = stored.map(|stored| scale.scaled(stored)) == Some(*size) && is_inside;
        let bytes = columns.start as usize * channels.count()..pitch.saturating_mul(size.height() as usize);
        let target = rows.get_mut(bytes).filter(|_| is_right).ok_or(Error::OutOfBounds)?;
        // SAFETY: the handle lives.
        self.check(unsafe { raw::tj3SetScalingFactor(self.0, factor) })?;
        // All zeros mean the whole picture. A height of zero alone means all rows: one that is left out is not checked.
        let (x, w) = if *columns == all { (0, 0) } else { (int(columns.start)?, int(columns.end - columns.start)?) };
        // SAFETY: the handle lives.
        self.check(unsafe { raw::tj3SetCroppingRegion(self.0, raw::tjregion { x, y: 0, w, h: 0 }) })?;
        let format = if *channels == Channels::Cmyk { raw::TJPF_TJPF_CMYK } else { raw::TJPF_TJPF_RGB };
        let pitch = int(pitch)?;
        // SAFETY: the handle lives, and `file` has `length` bytes. They are those of which the header was read, so that
        // libjpeg-turbo writes `columns` × `channels` bytes at each of `size.height()` rows: all of them in `target`.
        self.check(unsafe { raw::tj3Decompress8(self.0, file.as_ptr(), length, target.as_mut_ptr(), pitch, format) })
    }

    fn get(&self, parameter: raw::TJPARAM) -> c_int {
        // SAFETY: the handle lives.
        unsafe { raw::tj3Get(self.0, parameter.cast_signed()) }
    }

    fn check(&self, status: c_int) -> Result<(), Error> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the handle is null or lives, and the text ends with a zero byte.
        let text = unsafe { CStr::from_ptr(raw::tj3GetErrorStr(self.0)) };
        Err(Error::TurboJpegError(text.to_string_lossy().into_owned()))
    }
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: the handle is null or lives, and nothing uses it afterwards.
        unsafe { raw::tj3Destroy(self.0) };
    }
}

fn int(number: impl TryInto<c_int>) -> Result<c_int, Error> {
    number.try_into().map_err(|_| Error::IntegerOverflow("side"))
}
