//! JPEG files, segment by segment.

/// A marker segment: its code, and its position with its marker. The coded data after an SOS belong to none.
pub(crate) struct Segment {
    pub(crate) code: u8,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The segments of a JPEG of the test data, without SOI and EOI.
pub(crate) fn segments(file: &[u8]) -> Vec<Segment> {
    let mut found = Vec::new();
    let mut at = 2;
    loop {
        assert_eq!(file[at], 0xff, "a marker at {at}");
        let code = file[at + 1];
        if code == 0xd9 {
            return found;
        }
        let end = at + 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
        found.push(Segment { code, start: at, end });
        at = end;
        if code == 0xda {
            while file[at] != 0xff || matches!(file[at + 1], 0 | 0xd0..=0xd7) {
                at += 1;
            }
        }
    }
}

/// The first segment with this code.
pub(crate) fn segment(file: &[u8], code: u8) -> Segment {
    segments(file).into_iter().find(|segment| segment.code == code).expect("such a segment")
}

/// Start and end of the coded data of each scan.
pub(crate) fn scans(file: &[u8]) -> Vec<(usize, usize)> {
    let all = segments(file);
    let end_of_image = file.len() - 2;
    let next = |index: usize| all.get(index + 1).map_or(end_of_image, |segment| segment.start);
    all.iter().enumerate().filter(|(_, segment)| segment.code == 0xda).map(|(i, scan)| (scan.end, next(i))).collect()
}
