//! Damage inside a file that is complete.

use std::fs;

use pixpipe_pixels::codec::CodecError;
use pixpipe_pixels::render::{RenderError, Renderer};

use super::files::jpeg::{scans, segments};
use super::files::{expect_none, failures, image, inserted, removed, repository, with};
use super::{Outcome, RENDERER, all_images, text_of, thumbnail};

fn is_corrupt(outcome: &Outcome) -> bool {
    matches!(outcome, Err(RenderError::Codec(CodecError::Corrupt(text))) if !text.is_empty())
}

/// Whether a refusal is the file's fault, not the program's.
fn is_fault_of_file(error: &RenderError) -> bool {
    use CodecError::{Corrupt, TooLarge, Truncated, Unsupported};
    matches!(
        error,
        RenderError::TooManyPixels { .. }
            | RenderError::Codec(Unsupported(_) | Truncated(_) | TooLarge(_) | Corrupt(_))
    )
}

/// The Huffman decoder warns about coded data that end early. The arithmetic decoder cannot: by ITU-T T.81, D.2.6,
/// zeros follow the data without end.
#[test]
fn coded_data_that_end_early_are_corrupt() {
    let names = [
        "jpeg/baseline.jpg",
        "jpeg/grey.jpg",
        "jpeg/cmyk.jpg",
        "jpeg/sampling-444.jpg",
        "jpeg/progressive.jpg",
        "jpeg/grey-progressive.jpg",
        "jpeg/restart-markers.jpg",
        "jpeg/restart-markers-progressive.jpg",
    ];
    expect_none(&failures(&names, |name| {
        let clean = image(name);
        let mut wrong = Vec::new();
        for (number, (start, end)) in scans(&clean).into_iter().enumerate() {
            // More must be cut than the bits that pad the last byte.
            let length = end - start;
            for keep in (0..length.saturating_sub(3)).step_by((length / 24).max(1)) {
                // Not inside an escape.
                let keep = if keep > 0 && clean[start + keep - 1] == 0xff { keep - 1 } else { keep };
                let outcome = thumbnail(&removed(&clean, start + keep, end));
                if !is_corrupt(&outcome) {
                    let outcome = text_of(&outcome);
                    wrong.push(format!("{name}: {keep} of {length} bytes of scan {number}: {outcome}"));
                }
            }
        }
        wrong
    }));
}

/// The file has one scan per component: without the last scan, a component has no data at all.
#[test]
fn a_scan_that_is_missing_from_a_sequential_jpeg_is_corrupt() {
    let path = repository("fuzz/corpus/decode/scan-per-component.jpg");
    // The file follows the settings of the fuzz target.
    let clean = fs::read(path).expect("a seed of the fuzz target").split_off(6);
    assert_eq!(scans(&clean).len(), 3);
    assert!(thumbnail(&clean).is_ok());
    let last = segments(&clean).into_iter().rfind(|segment| segment.code == 0xda).expect("a scan");
    assert!(is_corrupt(&thumbnail(&removed(&clean, last.start, clean.len() - 2))));
}

#[test]
fn padding_does_not_hide_later_damage() {
    let progressive = image("jpeg/progressive.jpg");
    let restarts = image("jpeg/restart-markers.jpg");
    let mut wrong = Vec::new();
    let all = scans(&progressive);
    let (start, end) = scans(&restarts)[0];
    let first = (start..end).find(|at| restarts[*at] == 0xff && restarts[at + 1] == 0xd0).expect("a restart marker");
    for padding in [vec![0; 4], vec![0; 64]] {
        // Padding after the first scan, and half of a later scan is missing.
        for (number, (start, end)) in all.iter().copied().enumerate().skip(1) {
            let damaged = removed(&progressive, start + (end - start) / 2, end);
            if thumbnail(&inserted(&damaged, all[0].1, &padding)).is_ok() {
                wrong.push(format!(
                    "a progressive file whose scan {number} lacks its second half, {} bytes",
                    padding.len()
                ));
            }
        }
        // Padding before the first restart marker, and the second half of the image is missing.
        let damaged = removed(&restarts, start + (end - start) / 2, end);
        if thumbnail(&inserted(&damaged, first, &padding)).is_ok() {
            wrong.push(format!("a file with restart markers that lacks its second half, {} bytes", padding.len()));
        }
    }
    expect_none(&wrong);
}

/// Formats with checksums must notice overwritten pixel data; the others must not crash.
#[test]
fn overwritten_data_are_refused_if_there_is_a_checksum_and_never_crash() {
    let mut wrong = Vec::new();
    for (name, file) in all_images() {
        for part in 1..8 {
            let at = file.len() * part / 8;
            let damaged =
                with(&file, at, &file[at..(at + 24).min(file.len())].iter().map(|byte| !byte).collect::<Vec<_>>());
            let outcome = thumbnail(&damaged);
            // After the first frame of an animation, nothing is decoded.
            let is_checked = name.starts_with("png/") && !name.contains("animated") && !name.contains("garbage");
            if is_checked && outcome.is_ok() && !is_in_ancillary_chunk(&file, at) {
                wrong.push(format!("{name}: 24 bytes at {at} of {} are wrong", file.len()));
            }
            if let Err(error) = outcome
                && !is_fault_of_file(&error)
            {
                wrong.push(format!("{name}: not the file's fault: {error}"));
            }
        }
    }
    expect_none(&wrong);
}

/// Whether the position lies in a chunk of a PNG that does not matter to its pixels: a broken ICC profile may be
/// ignored.
fn is_in_ancillary_chunk(file: &[u8], position: usize) -> bool {
    let mut at = 8;
    while let Some(head) = file.get(at..at + 8) {
        let length = usize::try_from(u32::from_be_bytes([head[0], head[1], head[2], head[3]])).expect("fits");
        if position < at + 12 + length {
            return head[4].is_ascii_lowercase();
        }
        at += 12 + length;
    }
    true
}

/// The decoder is kept from file to file: nothing that one file leaves in it may reach the next.
#[test]
fn a_refused_jpeg_leaves_the_next_one_alone() {
    let clean = image("jpeg/baseline.jpg");
    let expected = thumbnail(&clean).expect("a file of the test data is rendered");
    let all = segments(&clean);
    let mut wrong = Vec::new();
    for segment in &all {
        for at in segment.start + 1..segment.end {
            for value in [0, 0x7f, 0xf0, 0xff] {
                if thumbnail(&with(&clean, at, &[value])).is_ok() {
                    continue;
                }
                let next = thumbnail(&clean);
                if next.as_ref() != Ok(&expected) {
                    wrong.push(format!(
                        "after {value:#04x} at {at}, in a segment {:#04x}: {:?}",
                        segment.code,
                        next.err()
                    ));
                    RENDERER.set(Renderer::try_new().expect("memory for the codecs"));
                }
            }
        }
    }
    let count = wrong.len();
    wrong.truncate(5);
    assert!(wrong.is_empty(), "{count} refused files spoiled the decoder, such as\n{}", wrong.join("\n"));
}
