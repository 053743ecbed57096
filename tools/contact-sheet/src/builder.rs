//! From records to cards: reads sources and outputs, and makes the pictures.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use image::RgbImage;
use pixpipe_pixels::codec::{CodecError, Codecs, Header};
use pixpipe_pixels::geometry::{DctScale, Fit, Size};
use pixpipe_pixels::render::{Plan, Renderer};
use pixpipe_pixels::spec::{Encoding, Spec};

use crate::record::Record;
use crate::sheet::{Card, Picture};

/// Longest side of a source on the sheet, unless an output beside it is taller.
const SOURCE_SIDE_PX: u32 = 299;
/// Side of the frame in the place of a picture that cannot be shown.
const FRAME_SIDE_PX: u32 = 224;

/// Makes the cards of a sheet.
pub(crate) struct SheetBuilder<'a> {
    /// The folder whose folders are the buckets.
    root: &'a Path,
    /// The bucket of the outputs.
    destination: &'a str,
    codecs: Codecs,
    renderer: Renderer,
}

impl<'a> SheetBuilder<'a> {
    pub(crate) fn try_new(root: &'a Path, destination: &'a str) -> Result<Self, CodecError> {
        Ok(Self { root, destination, codecs: Codecs::try_new()?, renderer: Renderer::try_new()? })
    }

    /// The card of a record: the source beside its outputs, or the reason of its failure.
    pub(crate) fn card(&mut self, record: &Record) -> Card {
        let outputs = match &record.outcome {
            Ok(outputs) => outputs,
            Err(reason) => {
                let pictures = vec![frame(format!("failed: {reason}"), &record.key)];
                return Card { pictures, is_failed: true };
            }
        };
        let outputs: Vec<Picture> =
            outputs.iter().map(|key| self.output(key).unwrap_or_else(|label| frame(label, key))).collect();
        let tallest = outputs.iter().map(|picture| picture.size.height()).max().unwrap_or(0);
        let source = self.source(&record.bucket, &record.key, SOURCE_SIDE_PX.max(tallest));
        let mut pictures = vec![source.unwrap_or_else(|label| frame(label, &record.key))];
        pictures.extend(outputs);
        Card { pictures, is_failed: false }
    }

    /// The source with its longest side at most `side_px`, rendered by pixpipe itself: upright, and in the colours of
    /// the outputs. The error is a label.
    fn source(&mut self, bucket: &str, key: &str, side_px: u32) -> Result<Picture, String> {
        let bytes = self.read(bucket, key)?;
        let header = Codecs::header(&bytes).map_err(unreadable)?;
        let upright = if header.orientation.swaps_axes() { header.size.transposed() } else { header.size };
        let size = within(upright, side_px);
        let spec = Spec { sizes: vec![size.into()], fit: Fit::Stretch, encoding: Encoding::Png, ..Spec::default() };
        let plan = Plan::read(&bytes, spec.into(), u64::MAX).map_err(unreadable)?;
        let png = self.renderer.render(&bytes, &plan, &[size.into()]).map_err(unreadable)?.files.concat();
        let image = image::load_from_memory(&png).map_err(unreadable)?.into_rgb8();
        Ok(Picture { image: Some(image), size, label: label(upright, &header, bytes.len()), key: key.to_owned() })
    }

    /// An output as it is. The error is a label.
    fn output(&mut self, key: &str) -> Result<Picture, String> {
        let bytes = self.read(self.destination, key)?;
        let header = Codecs::header(&bytes).map_err(unreadable)?;
        let pixels = self.codecs.decode(&bytes, &header, DctScale::Full).map_err(unreadable)?;
        let size = pixels.size();
        let image = RgbImage::from_raw(size.width(), size.height(), pixels.data().to_vec());
        let image = image.ok_or_else(|| unreadable("not RGB"))?;
        Ok(Picture { image: Some(image), size, label: label(size, &header, bytes.len()), key: key.to_owned() })
    }

    fn read(&self, bucket: &str, key: &str) -> Result<Vec<u8>, String> {
        let path = Path::new(bucket).join(key);
        // A key may look like a path out of its bucket.
        if !path.components().all(|component| matches!(component, Component::Normal(_))) {
            return Err(unreadable("not a path"));
        }
        let path: PathBuf = self.root.join(path);
        fs::read(path).map_err(|error| {
            if error.kind() == ErrorKind::NotFound { "not there".to_owned() } else { unreadable(error.kind()) }
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err needs")]
fn unreadable(error: impl ToString) -> String {
    format!("cannot be shown: {}", error.to_string())
}

/// An empty frame, with the reason why there is no picture.
fn frame(label: String, key: &str) -> Picture {
    let size = Size::new(FRAME_SIDE_PX, FRAME_SIDE_PX).expect("not zero");
    Picture { image: None, size, label, key: key.to_owned() }
}

fn label(size: Size, header: &Header, bytes: usize) -> String {
    format!("{} {}, {} KiB", dimensions(size), header.format.as_str(), bytes.div_ceil(1024))
}

pub(crate) fn dimensions(size: Size) -> String {
    format!("{}×{}", size.width(), size.height())
}

/// The size with its longest side at most `side_px`; never enlarged.
fn within(size: Size, side_px: u32) -> Size {
    let longest = u64::from(size.width().max(size.height()).max(side_px));
    let scaled = |side: u32| {
        let scaled = (u64::from(side) * u64::from(side_px)).div_ceil(longest);
        u32::try_from(scaled).unwrap_or(side_px).max(1)
    };
    Size::new(scaled(size.width()), scaled(size.height())).unwrap_or(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_shrunk_and_never_enlarged() {
        let cases = [((600, 300), (300, 150)), ((100, 50), (100, 50)), ((4_000_000_000, 1), (300, 1))];
        for ((width, height), expected) in cases {
            let actual = within(Size::new(width, height).expect("not zero"), 300);
            assert_eq!((actual.width(), actual.height()), expected, "{width}x{height}");
        }
    }
}
