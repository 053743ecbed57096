//! Oddities that are not damage: they change no pixel.

use super::files::jpeg::{segment, segments};
use super::files::{ONE_OF_EACH_KIND, expect_none, failures, image, inserted, with};
use super::{Outcome, pixels, text_of};

/// The failure of an image that is to have the pixels `expected`, if it has not.
fn difference(expected: &[u8], actual: &Outcome) -> Option<String> {
    match actual {
        Ok(pixels) if pixels == expected => None,
        Ok(_) => Some("other pixels".to_owned()),
        Err(_) => Some(text_of(actual)),
    }
}

/// A JPEG with `bytes` before every segment but the first.
fn between_segments(file: &[u8], bytes: &[u8]) -> Vec<u8> {
    segments(file).iter().skip(1).rev().fold(file.to_vec(), |file, segment| inserted(&file, segment.start, bytes))
}

#[test]
fn bytes_after_an_image_change_nothing() {
    let tails: [&[u8]; 6] = [
        b"\0",
        b"\0\0\0\0\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\r\n<html>trailing</html>",
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n",
    ];
    expect_none(&failures(&ONE_OF_EACH_KIND, |name| {
        let clean = image(name);
        let expected = pixels(&clean).expect("a file of the test data is rendered");
        tails
            .iter()
            .filter_map(|tail| {
                let difference = difference(&expected, &pixels(&[&clean[..], tail].concat()))?;
                Some(format!("{name} with {tail:?}: {difference}"))
            })
            .collect()
    }));
}

#[test]
fn oddities_of_cameras_change_nothing() {
    let baseline = image("jpeg/baseline.jpg");
    let progressive = image("jpeg/progressive.jpg");
    let ycck = image("jpeg/ycck.jpg");
    let end = |file: &[u8]| file.len() - 2;
    let sos = segment(&baseline, 0xda);
    let jfif = segment(&baseline, 0xe0);
    let adobe = segment(&ycck, 0xee);
    let odd_segments = [&b"\xff\xe5\x00\x02"[..], b"\xff\xfe\x00\x07hello", b"\xff\xef\x00\x04\xff\xd9"].concat();
    let first = |file: &[u8]| segments(file)[1].start;
    let cases: Vec<(&str, &[u8], Vec<u8>)> = vec![
        ("fill bytes before every marker", &baseline, between_segments(&baseline, &[0xff; 5])),
        ("fill bytes before every marker, progressive", &progressive, between_segments(&progressive, &[0xff; 3])),
        ("fill bytes before EOI", &baseline, inserted(&baseline, end(&baseline), &[0xff; 7])),
        ("stray zeros between segments", &baseline, between_segments(&baseline, &[0; 3])),
        ("stray text after JFIF", &baseline, inserted(&baseline, jfif.end, b"Kodak")),
        ("a stray escape between segments", &baseline, inserted(&baseline, jfif.end, &[0xff, 0, 1])),
        ("unknown segments", &baseline, inserted(&baseline, jfif.end, &odd_segments)),
        ("unknown segments, progressive", &progressive, inserted(&progressive, first(&progressive), &odd_segments)),
        ("JFIF of version 2", &baseline, with(&baseline, jfif.start + 9, &[2])),
        ("JFIF of version 0.0", &baseline, with(&baseline, jfif.start + 9, &[0, 0])),
        ("JFIF with nonsense units and density", &baseline, with(&baseline, jfif.start + 11, &[9, 0, 0, 0, 0])),
        ("an unknown Adobe transform", &ycck, with(&ycck, adobe.start + 15, &[7])),
        ("spectral selection 0..0", &baseline, with(&baseline, sos.end - 3, &[0, 0, 0])),
        ("spectral selection 63..1, approximation 0x21", &baseline, with(&baseline, sos.end - 3, &[63, 1, 0x21])),
        ("padding before EOI", &baseline, inserted(&baseline, end(&baseline), &[0; 9])),
        ("one byte of padding before EOI", &baseline, inserted(&baseline, end(&baseline), &[0x55])),
        ("padding before EOI, progressive", &progressive, inserted(&progressive, end(&progressive), &[0; 9])),
        (
            "all of it",
            &baseline,
            between_segments(
                &inserted(
                    &with(&with(&baseline, jfif.start + 9, &[3]), sos.end - 3, &[0, 0, 0]),
                    end(&baseline),
                    &[0, 0, 0],
                ),
                &[0, 0xff, 0xff],
            ),
        ),
    ];
    expect_none(&failures(&cases, |(name, clean, odd)| {
        let expected = pixels(clean).expect("a file of the test data is rendered");
        difference(&expected, &pixels(odd)).map(|difference| format!("{name}: {difference}")).into_iter().collect()
    }));
}
