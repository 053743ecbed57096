//! JPEG at reduced scales, decoded by our decoder and by libjpeg-turbo: what ours accepts, libjpeg-turbo accepts
//! without a warning, and the pixels are the same.

#![no_main]

use pixpipe_pixels::codec::jpeg_fault;

/// Larger pictures take long and show nothing more.
const MAX_PIXELS: u64 = 1 << 20;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some(fault) = jpeg_fault(input, MAX_PIXELS) {
        panic!("{fault}");
    }
});
