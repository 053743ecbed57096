//! What holds for any bytes in the place of an image. Shared by the fuzz target and the tests.
//!
//! An input is [`SETTINGS_BYTES`] bytes that choose the settings, and then the file.

use pixpipe::codec::Codecs;
use pixpipe::geometry::{Fit, Size};
use pixpipe::render::{Plan, Renderer};
use pixpipe::spec::{Color, Decode, Encoding, Filter, Rgb, Spec, Subsampling};

/// How many bytes choose the settings.
pub(crate) const SETTINGS_BYTES: usize = 6;
/// `MAX_SOURCE_PIXELS` here: enough for every seed, and soon decoded.
const MAX_PIXELS: u64 = 1 << 20;
/// What admission would let pass: a source that asks for more is not rendered.
const MAX_MEMORY_BYTES: u64 = 256 << 20;

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every output was made and has its size.
    Rendered,
    /// The file was refused.
    Refused,
}

/// Makes the outputs of `input` as the program does.
///
/// # Errors
/// What is wrong with an output, or with how the file was refused.
///
/// # Panics
/// Where a codec does.
pub(crate) fn run(renderer: &mut Renderer, input: &[u8]) -> Result<Verdict, String> {
    let Some((settings, file)) = input.split_first_chunk() else { return Ok(Verdict::Refused) };
    let spec = spec(*settings);
    let Ok(plan) = Plan::read(file, &spec, MAX_PIXELS) else { return Ok(Verdict::Refused) };
    if plan.header().size.pixels() > MAX_PIXELS {
        return Err(format!("{} pixels were let pass", plan.header().size));
    }
    if plan.memory_bytes() > MAX_MEMORY_BYTES {
        return Ok(Verdict::Refused);
    }
    let outputs = match renderer.render(file, &plan, &spec, &spec.sizes) {
        Ok(made) => made.outputs,
        Err(error) if error.to_string().is_empty() => return Err("refused without a word".to_owned()),
        Err(_) => return Ok(Verdict::Refused),
    };
    let made: Vec<Size> = outputs.iter().map(|(size, _)| *size).collect();
    if made != spec.sizes {
        return Err(format!("{made:?} instead of {:?}", spec.sizes));
    }
    for (size, output) in &outputs {
        let actual = size_of(output, spec.encoding)?;
        if actual != *size {
            return Err(format!("an output of {actual} instead of {size}"));
        }
    }
    Ok(Verdict::Rendered)
}

fn spec([shape, filter, width, height, background, second]: [u8; SETTINGS_BYTES]) -> Spec {
    let px = |byte: u8| u32::from(byte % 64) + 1;
    let of_bytes = |width, height| Size::new(px(width), px(height)).expect("sides are at least 1");
    let mut sizes = vec![of_bytes(width, height)];
    let other = of_bytes(second, width);
    if second % 2 == 1 && other != sizes[0] {
        sizes.push(other);
    }
    Spec {
        sizes,
        fit: [Fit::Cover, Fit::Contain, Fit::Stretch][usize::from(shape % 3)],
        filter: [Filter::Box, Filter::Bilinear, Filter::Hamming, Filter::Bicubic, Filter::Lanczos3]
            [usize::from(filter % 5)],
        decode: if shape & 0x10 == 0 { Decode::Fast } else { Decode::Exact },
        color: if shape & 0x20 == 0 { Color::Srgb } else { Color::Ignore },
        background: Rgb([background, background.wrapping_mul(3), 255 - background]),
        encoding: match shape >> 6 {
            0 => Encoding::Npy,
            1 => Encoding::Png,
            2 => Encoding::Webp,
            _ => Encoding::Jpeg {
                quality: background % 100 + 1,
                subsampling: if filter & 0x80 == 0 { Subsampling::Half } else { Subsampling::None },
            },
        },
    }
}

/// The size that an output's own header and length state.
fn size_of(output: &[u8], encoding: Encoding) -> Result<Size, String> {
    if encoding != Encoding::Npy {
        return Codecs::header(output).map(|header| header.size).map_err(|error| format!("an output: {error}"));
    }
    let text = String::from_utf8_lossy(output.get(..128).ok_or("an npy file without a header")?).into_owned();
    let shape = text.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')')).map(|(shape, _)| shape);
    let sides: Vec<u32> = shape.into_iter().flat_map(|shape| shape.split(", ")).flat_map(str::parse).collect();
    let [height, width, 3] = sides[..] else { return Err(format!("an npy file of the shape {shape:?}")) };
    let size = Size::new(width, height).ok_or("an npy file without pixels")?;
    if (output.len() - 128) as u64 == size.pixels() * 3 {
        Ok(size)
    } else {
        Err(format!("an npy file of {size} with {} bytes", output.len()))
    }
}
