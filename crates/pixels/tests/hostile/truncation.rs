//! Files that end too early.

use super::files::{expect_none, failures};
use super::{all_images, is_truncated, text_of, thumbnail};

/// Number of bytes at the end of a file that do not belong to the image.
fn idle_bytes(name: &str, file: &[u8]) -> usize {
    /// Number of bytes after the last `end` in the file.
    fn after(file: &[u8], end: &[u8]) -> usize {
        let at = file.windows(end.len()).rposition(|window| window == end).expect("an image has an end");
        file.len() - at - end.len()
    }
    match name {
        "png/trailing-garbage.png" => after(file, b"IEND\xae\x42\x60\x82"),
        // Lengths of the text and of the second JPEG that follow the image.
        "gif/trailing-garbage.gif" => 4,
        "jpeg/trailing-garbage.jpg" => 1024,
        "jpeg/trailing-jpeg.jpg" => 3061,
        _ => 0,
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_truncated() {
    let files = all_images();
    expect_none(&failures(&files, |(name, file)| {
        let whole = file.len() - idle_bytes(name, file);
        let step = if file.len() <= 4096 { 1 } else { 5 };
        let dense = whole.saturating_sub(300);
        let cuts = (0..whole.min(700)).chain((700..dense).step_by(step)).chain(dense.max(700)..whole);
        let mut wrong: Vec<(usize, String)> = cuts
            .map(|length| (length, thumbnail(&file[..length])))
            .filter(|(_, outcome)| !is_truncated(outcome))
            .map(|(length, outcome)| (length, text_of(&outcome)))
            .collect();
        let count = wrong.len();
        wrong.truncate(3);
        if count == 0 { vec![] } else { vec![format!("{name} of {}: {count} cuts, such as {wrong:?}", file.len())] }
    }));
}
