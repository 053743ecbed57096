//! What is not damage: it is rendered as if nothing were there.

use super::{
    ONE_OF_EACH_KIND, between_segments, complaints, expect_none, image, inserted, pixels, reason, segment, segments,
    with,
};

#[test]
fn what_follows_an_image_changes_nothing() {
    let tails: [&[u8]; 6] = [
        b"\0",
        b"\0\0\0\0\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\r\n<html>trailing</html>",
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n",
    ];
    expect_none(&complaints(&ONE_OF_EACH_KIND, |name| {
        let clean = image(name);
        let expected = pixels(&clean).expect("a file of the test data is rendered");
        let mut wrong = Vec::new();
        for tail in tails {
            match pixels(&[&clean[..], tail].concat()) {
                Ok(actual) if actual == expected => {}
                Ok(_) => wrong.push(format!("{name} with {tail:?}: other pixels")),
                Err(error) => wrong.push(format!("{name} with {tail:?}: {} ({error})", reason(&error))),
            }
        }
        wrong
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
        ("segments that nobody knows", &baseline, inserted(&baseline, jfif.end, &odd_segments)),
        (
            "segments that nobody knows, progressive",
            &progressive,
            inserted(&progressive, first(&progressive), &odd_segments),
        ),
        ("a JFIF of version 2", &baseline, with(&baseline, jfif.start + 9, &[2])),
        ("a JFIF of version 0.0", &baseline, with(&baseline, jfif.start + 9, &[0, 0])),
        ("a JFIF of nonsense units and density", &baseline, with(&baseline, jfif.start + 11, &[9, 0, 0, 0, 0])),
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
    expect_none(&complaints(&cases, |(name, clean, odd)| {
        let expected = pixels(clean).expect("a file of the test data is rendered");
        match pixels(odd) {
            Ok(actual) if actual == expected => vec![],
            Ok(_) => vec![format!("{name}: other pixels")],
            Err(error) => vec![format!("{name}: {} ({error})", reason(&error))],
        }
    }));
}
