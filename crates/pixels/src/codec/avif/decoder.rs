//! AV1, decoded by `re_rav1d`: dav1d in Rust, with dav1d's assembly.

use re_rav1d::dav1d::{Decoder, Error, Picture, PixelLayout, PlanarImageComponent, Plane, Settings};

use super::super::CodecError;
use super::stream::{Chroma, Sequence, needed};
use crate::geometry::Size;

/// A decoded frame: samples of 8 bits, or of 16 of which the lower ones count.
pub(super) struct Frame {
    pub(super) size: Size,
    pub(super) bits: u8,
    pub(super) chroma: Chroma,
    /// Luma, then blue and red differences, with the bytes of a row: one if there is no chroma, else three.
    planes: Vec<(Plane, usize)>,
}

impl Frame {
    /// Decodes a coded picture on the calling thread. Of several layers, it is the last one.
    pub(super) fn decode(data: &[u8], sequence: &Sequence) -> Result<Self, CodecError> {
        let refused = |error: Error| match error {
            Error::UnsupportedBitstream => CodecError::Unsupported("the decoder does not know this kind of AV1".into()),
            error => CodecError::Corrupt(format!("the decoder refuses the coded picture: {error}")),
        };
        let mut settings = Settings::new();
        settings.set_n_threads(1);
        settings.set_max_frame_delay(1);
        settings.set_all_layers(false);
        // In pixels. A frame of another size was refused before.
        settings.set_frame_size_limit(u32::try_from(sequence.size.pixels()).unwrap_or(u32::MAX));
        let mut decoder = Decoder::with_settings(&settings).map_err(refused)?;
        let mut last = None;
        let mut sent = decoder.send_data(needed(data, sequence)?, None, None, None);
        loop {
            match decoder.get_picture() {
                Ok(picture) => last = Some(picture),
                Err(error) if !error.is_again() => return Err(refused(error)),
                // Nothing is left of what was sent.
                Err(_) if sent.is_ok() => break,
                Err(_) => {}
            }
            match sent {
                Err(error) if !error.is_again() => return Err(refused(error)),
                Err(_) => sent = decoder.send_pending_data(),
                Ok(()) => {}
            }
        }
        let picture = last.ok_or_else(|| CodecError::Corrupt("the coded picture shows no frame".to_owned()))?;
        Self::of(&picture, sequence)
    }

    fn of(picture: &Picture, sequence: &Sequence) -> Result<Self, CodecError> {
        let size = Size::new(picture.width(), picture.height());
        let chroma = match picture.pixel_layout() {
            PixelLayout::I400 => Chroma::None,
            PixelLayout::I420 => Chroma::Quarter,
            PixelLayout::I422 => Chroma::Half,
            PixelLayout::I444 => Chroma::Full,
        };
        let is_as_planned =
            size == Some(sequence.size) && chroma == sequence.chroma && picture.bit_depth() == sequence.bits.into();
        if !is_as_planned {
            return Err(CodecError::Corrupt("the coded picture is not what its header announces".to_owned()));
        }
        let components: &[_] = match chroma {
            Chroma::None => &[PlanarImageComponent::Y],
            _ => &[PlanarImageComponent::Y, PlanarImageComponent::U, PlanarImageComponent::V],
        };
        let planes = components.iter().map(|component| {
            (picture.plane(*component), usize::try_from(picture.stride(*component)).unwrap_or(usize::MAX))
        });
        Ok(Self { size: sequence.size, bits: sequence.bits, chroma, planes: planes.collect() })
    }

    /// A row of samples of a plane, from its bytes: a wide sample is two bytes in the machine's order.
    pub(super) fn read_row(&self, plane: usize, row: u32, samples: &mut [f32]) {
        let Some((plane, stride)) = self.planes.get(plane) else { return };
        let start = stride.saturating_mul(usize::try_from(row).unwrap_or(usize::MAX));
        let bytes = plane.get(start..).unwrap_or_default();
        if self.bits == 8 {
            for (sample, byte) in samples.iter_mut().zip(bytes) {
                *sample = f32::from(*byte);
            }
        } else {
            for (sample, pair) in samples.iter_mut().zip(bytes.as_chunks().0) {
                *sample = f32::from(u16::from_ne_bytes(*pair));
            }
        }
    }
}
