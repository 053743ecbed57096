//! Files that claim to be, or become, large ones. `tests/it/hostile` measures the memory of the program on them, and
//! `plan_memory.rs` that of the decoders.

use pixpipe_pixels::codec::CodecError;
use pixpipe_pixels::geometry::Size;
use pixpipe_pixels::render::{Plan, RenderError};

use super::files::bombs::{End, bombs};
use super::files::worst::worst_cases;
use super::files::{expect_none, failures};
use super::{spec, text_of, thumbnail};

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

/// Within the memory that there is. The time grows with the length of each file, or this test takes hours.
#[test]
fn worst_cases_come_to_their_end() {
    use CodecError::{Corrupt, Truncated, Unsupported};
    expect_none(&failures(&worst_cases(), |bomb| {
        let outcome = thumbnail(&bomb.file);
        let is_expected = match bomb.end {
            End::TooManyPixels => matches!(outcome, Err(RenderError::TooManyPixels { .. })),
            End::Corrupt => matches!(outcome, Err(RenderError::Codec(Corrupt(_)))),
            End::Unsupported => matches!(outcome, Err(RenderError::Codec(Unsupported(_)))),
            End::AnyRefusal => matches!(outcome, Err(RenderError::Codec(Corrupt(_) | Truncated(_) | Unsupported(_)))),
            End::Rendered => outcome.is_ok(),
            End::Any => true,
        };
        if is_expected { vec![] } else { vec![format!("{}: {}", bomb.name, text_of(&outcome))] }
    }));
}
