//! Files that end too early.

use super::{complaints, expect_none, reason_of, zoo};

/// How many bytes at the end of a file belong to nothing, so that it is whole without them.
fn idle_bytes(name: &str, file: &[u8]) -> usize {
    /// From the last `end` of the image on.
    fn behind(file: &[u8], end: &[u8]) -> usize {
        let at = file.windows(end.len()).rposition(|window| window == end).expect("an image has an end");
        file.len() - at - end.len()
    }
    match name {
        "png/trailing-garbage.png" => behind(file, b"IEND\xae\x42\x60\x82"),
        // Made with the trailer of the image before the text, and a JPEG behind the JPEG.
        "gif/trailing-garbage.gif" => 4,
        "jpeg/trailing-garbage.jpg" => 1024,
        "jpeg/trailing-jpeg.jpg" => 3061,
        _ => 0,
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_truncated() {
    let files = zoo();
    expect_none(&complaints(&files, |(name, file)| {
        let whole = file.len() - idle_bytes(name, file);
        let step = if file.len() <= 4096 { 1 } else { 5 };
        let dense = whole.saturating_sub(300);
        let cuts = (0..whole.min(700)).chain((700..dense).step_by(step)).chain(dense.max(700)..whole);
        let mut wrong: Vec<(usize, &str)> = cuts
            .map(|length| (length, reason_of(&file[..length])))
            .filter(|(_, reason)| *reason != "truncated")
            .collect();
        let count = wrong.len();
        wrong.truncate(3);
        if count == 0 { vec![] } else { vec![format!("{name} of {}: {count} cuts, such as {wrong:?}", file.len())] }
    }));
}
