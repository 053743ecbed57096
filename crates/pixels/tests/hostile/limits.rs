//! Small files that claim to be, or become, large ones. `tests/it/hostile` measures the memory of the program on them.

use pixpipe_pixels::codec::CodecError;
use pixpipe_pixels::geometry::Size;
use pixpipe_pixels::render::{Plan, RenderError};

use super::files::bombs::{End, bombs};
use super::files::expect_none;
use super::spec;

#[test]
fn bombs_within_the_memory_limit_are_refused_by_their_pixels() {
    let plan = |file: &[u8]| Plan::read(file, spec(Size::new(16, 16).expect("not zero")).into(), 1 << 20);
    let mut wrong = Vec::new();
    for bomb in bombs().into_iter().filter(|bomb| bomb.end == End::TooManyPixels) {
        match plan(&bomb.file) {
            Err(RenderError::TooManyPixels { limit, .. }) if limit == 1 << 20 => {}
            // Above every limit, the decoder itself refuses to count the pixels.
            Err(RenderError::Codec(CodecError::TooLarge(_))) => {}
            Err(error) => wrong.push(format!("{}: {error}", bomb.name)),
            Ok(plan) => wrong.push(format!("{}: {} is accepted", bomb.name, plan.header().size)),
        }
    }
    expect_none(&wrong);
}
