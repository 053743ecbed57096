//! For each format, files with the most of everything that a header can name: parts, counts, lengths, arrays. None has
//! more pixels than the default allows.

use super::bombs::{Bomb, End, be, bmp, chunk, gif, jpeg_of_sides, png, riff, tiff, vp8, vp8x, zeros};
use super::jpeg::segment;
use super::{image, inserted};

/// Bits, the least significant one of each byte first, as in VP8L.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, bits: u32, value: u64) {
        self.pending |= value << self.count;
        self.count += bits;
        while self.count >= 8 {
            self.bytes.push(self.pending.to_le_bytes()[0]);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    /// Followed by zeros for some pixels.
    fn finish(mut self) -> Vec<u8> {
        self.put(7, 0);
        self.bytes.extend([0; 32]);
        self.bytes
    }
}

/// A lossless stream of 4x4 pixels in one block, whose group of prefix codes is the last of `groups`.
fn groups(groups: u64, has_header: bool, code: impl Fn(&mut Bits)) -> Vec<u8> {
    let mut bits = Bits::default();
    if has_header {
        bits.put(8, 0x2f);
        bits.put(28, 3 | 3 << 14);
        bits.put(4, 0);
    }
    bits.put(1, 0); // no transform
    bits.put(1, 0); // no cache of colours
    bits.put(1, 1); // groups, for blocks of 4x4
    bits.put(3, 0);
    bits.put(1, 0); // the image of groups: one pixel, its red and green are the number of the last group
    for symbol in [(groups - 1) & 0xff, (groups - 1) >> 8, 0, 0, 0] {
        one_symbol(&mut bits, symbol);
    }
    for _ in 0..groups * 5 {
        code(&mut bits);
    }
    bits.finish()
}

/// A prefix code of one symbol.
fn one_symbol(bits: &mut Bits, symbol: u64) {
    bits.put(3, 0b101);
    bits.put(8, symbol);
}

/// A prefix code of eleven symbols, of 1, 2, … 9, 10 and 10 bits.
fn eleven_symbols(bits: &mut Bits) {
    bits.put(1, 0);
    bits.put(4, 10); // lengths of 14 code lengths: of 17, 18, 0, then 1 to 5, 16, then 6 to 10
    for length in [0, 0, 0, 3, 3, 3, 3, 3, 0, 3, 4, 4, 4, 4] {
        bits.put(3, length);
    }
    bits.put(1, 1); // only eleven lengths follow
    bits.put(3, 1);
    bits.put(4, 9);
    // Codes of three bits for 1 to 6, of four bits for 7 to 10, each from its top bit.
    for length in [1_u8, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10] {
        if length <= 6 {
            bits.put(3, u64::from((length - 1).reverse_bits() >> 5));
        } else {
            bits.put(4, u64::from((12 + length - 7).reverse_bits() >> 4));
        }
    }
}

/// An ICC profile for RGB: its tags are pairs of a signature and data, which may be shared.
fn profile(tags: &[([u8; 4], usize, usize)], data: &[u8]) -> Vec<u8> {
    let table = 128 + 4 + 12 * tags.len();
    let mut header = vec![0; 128];
    header[..4].copy_from_slice(&be(u32::try_from(table + data.len()).expect("short")));
    header[8..12].copy_from_slice(&[4, 0, 0, 0]);
    header[12..24].copy_from_slice(b"mntrRGB XYZ ");
    header[36..40].copy_from_slice(b"acsp");
    header[68..80].copy_from_slice(&[0, 0, 0xf6, 0xd6, 0, 1, 0, 0, 0, 0, 0xd3, 0x2d]);
    header.extend(be(u32::try_from(tags.len()).expect("few")));
    for (signature, at, length) in tags {
        header.extend(signature);
        header.extend(be(u32::try_from(table + at).expect("short")));
        header.extend(be(u32::try_from(*length).expect("short")));
    }
    [&header, data].concat()
}

/// A text in `records` languages, each the same `length` bytes.
fn texts(records: usize, length: usize) -> Vec<u8> {
    let number = |value: usize| be(u32::try_from(value).expect("short"));
    let mut text = [&b"mluc\0\0\0\0"[..], &number(records), &number(12)].concat();
    for _ in 0..records {
        text.extend(b"enUS");
        text.extend(number(length));
        text.extend(number(16 + 12 * records));
    }
    text.extend(vec![b'a'; length]);
    text
}

/// A table from four channels to three, with this number of grid points on each side, one byte each.
fn table(grid: u8) -> Vec<u8> {
    let mut lut = b"mft1\0\0\0\0".to_vec();
    lut.extend([4, 3, grid, 0]);
    for place in 0..9 {
        lut.extend(if place % 4 == 0 { [0, 1, 0, 0] } else { [0; 4] });
    }
    lut.extend((0..4).flat_map(|_| 0..=255));
    lut.extend(vec![77; usize::from(grid).pow(4) * 3]);
    lut.extend((0..3).flat_map(|_| 0..=255));
    lut
}

/// A JPEG with a profile in parts of `part_bytes`.
fn jpeg_with_profile(file: &[u8], profile: &[u8], part_bytes: usize) -> Vec<u8> {
    let parts = profile.chunks(part_bytes);
    let count = u8::try_from(parts.len() & 0xff).expect("masked");
    let segments: Vec<u8> = parts
        .zip((1..=255).cycle())
        .flat_map(|(part, number): (_, u8)| {
            let length = u16::try_from(2 + 14 + part.len()).expect("short").to_be_bytes();
            [&[0xff, 0xe2][..], &length, b"ICC_PROFILE\0", &[number, count], part].concat()
        })
        .collect();
    inserted(file, 2, &segments)
}

fn png_with_profile(profile: &[u8]) -> Vec<u8> {
    // Stored blocks of a zlib stream.
    let mut zlib = vec![0x78, 0x01];
    let mut blocks = profile.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).expect("at most");
        zlib.push(u8::from(blocks.peek().is_none()));
        zlib.extend(length.to_le_bytes());
        zlib.extend((!length).to_le_bytes());
        zlib.extend(block);
    }
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in profile {
        low = (low + u32::from(*byte)) % 65521;
        high = (high + low) % 65521;
    }
    zlib.extend(be(high << 16 | low));
    png(2, 2, false, &chunk(b"iCCP", &[&b"x\0\0"[..], &zlib].concat()), &zeros(1))
}

/// A TIFF of one directory with arrays: tag, type, number of values, and their bytes.
fn tiff_of_arrays(tags: &[(u16, u16, u32, Vec<u8>)], data: &[u8]) -> Vec<u8> {
    let mut tags = tags.to_vec();
    tags.sort_unstable();
    let directory = 8 + 2 + 12 * tags.len() + 4;
    let outside: usize = tags.iter().map(|tag| if tag.3.len() > 4 { tag.3.len() } else { 0 }).sum();
    let data_at = u32::try_from(directory + outside).expect("short");
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend(u16::try_from(tags.len()).expect("few").to_le_bytes());
    let mut arrays = Vec::new();
    for (tag, kind, count, values) in tags {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        if values.len() > 4 {
            file.extend(u32::try_from(directory + arrays.len()).expect("short").to_le_bytes());
            arrays.extend(values);
        } else if tag == 273 || tag == 324 {
            file.extend(data_at.to_le_bytes());
        } else {
            file.extend([values, vec![0; 4]].concat().iter().take(4));
        }
    }
    file.extend([0; 4]);
    file.extend(arrays);
    file.extend(data);
    file
}

/// One LONG.
fn long(tag: u16, value: u32) -> (u16, u16, u32, Vec<u8>) {
    (tag, 4, 1, value.to_le_bytes().to_vec())
}

/// Bytes.
fn bytes(tag: u16, count: u32) -> (u16, u16, u32, Vec<u8>) {
    (tag, 1, count, vec![8; count as usize])
}

/// The tags of an 8-bit grey TIFF of one strip, without those of `other`.
fn grey_with(other: Vec<(u16, u16, u32, Vec<u8>)>, data: &[u8]) -> Vec<u8> {
    let strip = u32::try_from(data.len()).expect("short");
    let mut tags =
        vec![long(256, 4), long(257, 4), long(258, 8), long(259, 1), long(262, 1), long(273, 0), long(277, 1)];
    tags.extend([long(278, 4), long(279, strip)]);
    tags.retain(|tag| !other.iter().any(|other| other.0 == tag.0));
    tags.extend(other);
    tiff_of_arrays(&tags, data)
}

/// A TIFF of `pages` directories that all name the same two arrays, of `values` strips of no bytes.
fn pages_of_one_array(pages: u32, values: u32) -> Vec<u8> {
    let tags: [(u16, u16, u32, u32); 9] = [
        (256, 4, 1, 4),
        (257, 4, 1, 4),
        (258, 4, 1, 8),
        (259, 4, 1, 1),
        (262, 4, 1, 1),
        (273, 4, values, 8),
        (277, 4, 1, 1),
        (278, 4, 1, 4),
        (279, 4, values, 8),
    ];
    let directory = 2 + 12 * 9 + 4;
    let first = 8 + 4 * values;
    let mut file = b"II*\0".to_vec();
    file.extend(first.to_le_bytes());
    file.extend(vec![0; 4 * values as usize]);
    for page in 0..pages {
        file.extend(9_u16.to_le_bytes());
        for (tag, kind, count, value) in tags {
            file.extend(tag.to_le_bytes());
            file.extend(kind.to_le_bytes());
            file.extend(count.to_le_bytes());
            file.extend(value.to_le_bytes());
        }
        let next = if page + 1 == pages { 0 } else { first + directory * (page + 1) };
        file.extend(next.to_le_bytes());
    }
    file
}

/// A GIF of one pixel with `extension` in front of it.
fn gif_with(extension: &[u8]) -> Vec<u8> {
    let file = gif((1, 1), (1, 1));
    inserted(&file, 19, extension)
}

/// An application extension of this name, with as many full sub-blocks.
fn application(name: &[u8; 11], blocks: usize) -> Vec<u8> {
    let block = [&[255][..], &[7; 255]].concat();
    [&b"!\xff\x0b"[..], name, &block.repeat(blocks), &[0]].concat()
}

const MIB: usize = 1 << 20;

/// The longest comment segment of a JPEG.
fn comment() -> Vec<u8> {
    [&b"\xff\xfe\xff\xff"[..], &vec![7; 0xfffd]].concat()
}

fn jpegs() -> Vec<Bomb> {
    let baseline = image("jpeg/baseline.jpg");
    let cmyk = image("jpeg/cmyk.jpg");
    let text = |bytes: usize| comment().repeat(bytes.div_ceil(0xffff));
    let few_faults = inserted(&inserted(&baseline, 2, &text(20 * MIB)), 2, &b"\xff\x01\0".repeat(200));
    let printer = profile(&[(*b"A2B0", 0, 0), (*b"A2B1", 0, 0)], b"");
    let table = table(30);
    let mut inks = profile(&[*b"A2B0", *b"A2B1", *b"A2B2", *b"B2A0"].map(|tag| (tag, 0, table.len())), &table);
    inks[16..24].copy_from_slice(b"CMYKLab ");
    inks[12..16].copy_from_slice(b"prtr");
    let texts = texts(400, 40_000);
    let many_texts = profile(&[*b"desc", *b"cprt", *b"dmnd"].map(|tag| (tag, 0, texts.len())), &texts);
    let many_tags = profile(&vec![(*b"rTRC", 0, 16); 200_000], &[0; 64]);
    vec![
        Bomb::new("jpeg-faults", End::Corrupt, inserted(&baseline, 2, &b"\xff\x01\0".repeat(13_000_000))),
        Bomb::new("jpeg-few-faults", End::Rendered, few_faults),
        Bomb::new("jpeg-text", End::Rendered, inserted(&baseline, 2, &text(40 * MIB))),
        Bomb::new("jpeg-fill", End::Rendered, inserted(&baseline, 2, &vec![0xff; 20 * MIB])),
        Bomb::new("jpeg-tables", End::Rendered, {
            let table = segment(&baseline, 0xdb);
            let table = baseline[table.start..table.end].to_vec();
            inserted(&baseline, 2, &table.repeat(100_000))
        }),
        Bomb::new("jpeg-profile-of-60-mib", End::Rendered, jpeg_with_profile(&baseline, &vec![0; 60 * MIB], 65_519)),
        Bomb::new("jpeg-profile-of-16-mib", End::Rendered, jpeg_with_profile(&baseline, &vec![0; 16 * MIB], 65_519)),
        Bomb::new("jpeg-profile-in-bytes", End::Rendered, jpeg_with_profile(&baseline, &vec![0; MIB], 1)),
        Bomb::new("jpeg-profile-cut", End::Rendered, jpeg_with_profile(&baseline, &printer, 65_519)),
        Bomb::new("jpeg-profile-texts", End::Rendered, jpeg_with_profile(&baseline, &many_texts, 65_519)),
        Bomb::new("jpeg-profile-tags", End::Rendered, jpeg_with_profile(&baseline, &many_tags, 65_519)),
        Bomb::new("jpeg-profile-of-inks", End::Rendered, jpeg_with_profile(&cmyk, &inks, 65_519)),
        Bomb::new("jpeg-wide", End::AnyRefusal, jpeg_of_sides(&baseline, 65_500, 16)),
        Bomb::new("jpeg-tall", End::AnyRefusal, jpeg_of_sides(&baseline, 16, 65_500)),
        Bomb::new("jpeg-wide-410", End::AnyRefusal, jpeg_of_sides(&image("jpeg/sampling-410.jpg"), 65_500, 16)),
        Bomb::new("jpeg-wide-mixed", End::AnyRefusal, jpeg_of_sides(&image("jpeg/sampling-mixed.jpg"), 65_500, 16)),
        Bomb::new("jpeg-wide-inks", End::AnyRefusal, jpeg_of_sides(&cmyk, 65_500, 16)),
        Bomb::new("jpeg-large-progressive", End::AnyRefusal, jpeg_of_sides(&image("jpeg/progressive.jpg"), 4000, 3000)),
    ]
}

fn pngs() -> Vec<Bomb> {
    let small = |chunks: &[u8]| png(2, 2, false, chunks, &zeros(1));
    let text = chunk(b"tEXt", b"a\0");
    let sized = |width: u32, height: u32, bits: u8, color: u8, interlaced: u8| {
        let header = [&be(width)[..], &be(height), &[bits, color, 0, 0, interlaced]].concat();
        let samples = match color {
            2 => 3,
            6 => 4,
            _ => 1,
        };
        let bytes = u64::from(width) * u64::from(height) * u64::from(bits) * samples / 8 + 8 * u64::from(height);
        let pixels = zeros(u32::try_from(bytes / 258 + 9).expect("short"));
        [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &header)[..], &chunk(b"IDAT", &pixels), &chunk(b"IEND", b"")].concat()
    };
    let texts = texts(400, 40_000);
    let many_texts = profile(&[*b"desc", *b"cprt", *b"dmnd"].map(|tag| (tag, 0, texts.len())), &texts);
    let pieces: Vec<u8> = zeros(1).iter().flat_map(|byte| chunk(b"IDAT", &[*byte])).collect();
    let header = chunk(b"IHDR", &[&be(2)[..], &be(2), &[8, 2, 0, 0, 0]].concat());
    let empty = chunk(b"IDAT", b"").repeat(1_000_000);
    let end = chunk(b"IEND", b"");
    vec![
        Bomb::new("png-texts", End::Rendered, small(&text.repeat(1_900_000))),
        Bomb::new(
            "png-text-of-60-mib",
            End::Rendered,
            small(&chunk(b"tEXt", &[b"a\0", &vec![7; 60 * MIB][..]].concat())),
        ),
        Bomb::new("png-exif-of-60-mib", End::Rendered, small(&chunk(b"eXIf", &vec![7; 60 * MIB]))),
        Bomb::new("png-suggested-palettes", End::Rendered, small(&chunk(b"sPLT", b"a\0\x08").repeat(1_000_000))),
        Bomb::new("png-frames", End::Rendered, small(&chunk(b"fcTL", &[0; 26]).repeat(300_000))),
        Bomb::new(
            "png-many-parts",
            End::Rendered,
            [&b"\x89PNG\r\n\x1a\n"[..], &header, &empty, &pieces, &end].concat(),
        ),
        Bomb::new("png-profile-of-60-mib", End::Rendered, png_with_profile(&vec![0; 60 * MIB])),
        Bomb::new("png-profile-of-8-mib", End::Rendered, png_with_profile(&vec![0; 8 * MIB])),
        Bomb::new("png-profile-texts", End::Rendered, png_with_profile(&many_texts)),
        Bomb::new("png-one-row", End::Any, sized(2_000_000, 1, 16, 6, 0)),
        Bomb::new("png-two-rows", End::Any, sized(1_000_000, 2, 16, 6, 0)),
        Bomb::new("png-six-rows", End::Any, sized(700_000, 6, 16, 6, 0)),
        Bomb::new("png-twelve-rows", End::Any, sized(400_000, 12, 16, 6, 0)),
        Bomb::new("png-six-rows-of-bits", End::Any, sized(4_000_000, 6, 1, 0, 0)),
        Bomb::new("png-six-rows-interlaced", End::Any, sized(700_000, 6, 16, 6, 1)),
    ]
}

fn gifs() -> Vec<Bomb> {
    let frame = &gif((1, 1), (1, 1))[19..];
    let frame = &frame[..frame.len() - 1];
    let block = [&[255][..], &[7; 255]].concat();
    vec![
        Bomb::new("gif-comment", End::Rendered, gif_with(&[b"!\xfe", &block.repeat(200_000)[..], &[0]].concat())),
        Bomb::new("gif-comments", End::Rendered, gif_with(&b"!\xfe\x01a\0".repeat(2_000_000))),
        Bomb::new("gif-xmp", End::Rendered, gif_with(&application(b"XMP DataXMP", 180_000))),
        Bomb::new("gif-profile", End::Rendered, gif_with(&application(b"ICCRGBG1012", 180_000))),
        Bomb::new("gif-profiles", End::Rendered, gif_with(&application(b"ICCRGBG1012", 30).repeat(3_000))),
        Bomb::new("gif-controls", End::Rendered, gif_with(&b"!\xf9\x04\0\0\0\0\0".repeat(2_000_000))),
        Bomb::new("gif-frames", End::Rendered, gif_with(&frame.repeat(500_000))),
        Bomb::new("gif-frame-larger-than-its-screen", End::Any, gif((1, 1), (4000, 4000))),
    ]
}

fn tiffs() -> Vec<Bomb> {
    let packed = |bytes: usize| [0x81, 0].repeat(bytes.div_ceil(128));
    let tile = |width: u32, height: u32, bits: u32, compression: u32, data: &[u8]| {
        let tags =
            [(256, 1), (257, 1), (258, bits), (259, compression), (262, 1), (277, 1), (322, width), (323, height)];
        tiff(&tags, data)
    };
    let longs = |count: u32, value: u32| value.to_le_bytes().repeat(count as usize);
    let jpeg = image("jpeg/grey.jpg");
    let long_stream = inserted(&jpeg, 2, &comment().repeat(80));
    let strips = 10_000_u32;
    let streams = {
        let mut other = vec![long(256, 8), long(257, strips), long(259, 7), long(278, 1)];
        other.push((273, 4, strips, longs(strips, 8 + 2 + 12 * 9 + 4 + 2 * 4 * strips)));
        other.push((279, 4, strips, longs(strips, u32::try_from(long_stream.len()).expect("short"))));
        grey_with(other, &long_stream)
    };
    let turned = {
        let mut other = vec![long(256, 8), long(257, 100_000), long(266, 2), long(278, 1)];
        other.push((273, 4, 100_000, longs(100_000, 8)));
        other.push((279, 4, 100_000, longs(100_000, 700_000)));
        grey_with(other, &[7; 64])
    };
    let offsets = |count: u32| {
        let mut other = vec![long(257, count), long(278, 1)];
        other.push((273, 3, count, 8_u16.to_le_bytes().repeat(count as usize)));
        other.push((279, 1, count, vec![4; count as usize]));
        grey_with(other, &[7; 64])
    };
    let grey = |other| grey_with(other, &[7; 64]);
    vec![
        Bomb::new("tiff-tile-of-bits", End::Any, tile(16_384, 16_384, 1, 32_773, &packed(16_384 * 16_384 / 8))),
        Bomb::new("tiff-tile-of-bits-beyond", End::TooManyPixels, tile(32_768, 16_384, 1, 32_773, &packed(MIB))),
        Bomb::new("tiff-tile-of-2-bits", End::Any, tile(8_192, 8_192, 2, 32_773, &packed(8_192 * 8_192 / 4))),
        Bomb::new("tiff-tile-of-bytes", End::Any, tile(8_192, 4_096, 8, 32_773, &packed(8_192 * 4_096))),
        Bomb::new("tiff-tile-of-words", End::Any, tile(4_096, 4_096, 16, 32_773, &packed(4_096 * 8_192))),
        Bomb::new("tiff-tile-of-words-turned", End::Any, {
            let tags = [(256, 1), (257, 1), (258, 16), (259, 32_773), (262, 1), (266, 2), (277, 1)];
            tiff(&[&tags[..], &[(322, 2_048), (323, 4_096)]].concat(), &packed(2_048 * 8_192))
        }),
        Bomb::new("tiff-strips", End::Rendered, offsets(1_000_000)),
        Bomb::new("tiff-sample-formats", End::Any, grey(vec![bytes(339, 8_000_000)])),
        Bomb::new("tiff-bits-per-sample", End::Any, grey(vec![bytes(258, 8_000_000)])),
        Bomb::new("tiff-extra-samples", End::Any, grey(vec![bytes(338, 8_000_000)])),
        Bomb::new("tiff-compressions", End::Any, grey(vec![bytes(259, 8_000_000)])),
        Bomb::new("tiff-subsampling", End::Any, grey(vec![bytes(530, 8_000_000)])),
        Bomb::new("tiff-colours", End::Any, grey(vec![long(262, 3), bytes(320, 30_000_000)])),
        Bomb::new("tiff-tables", End::Any, grey_with(vec![long(259, 7), bytes(347, 8_000_000)], &jpeg)),
        Bomb::new("tiff-unused-tag", End::Rendered, grey(vec![bytes(700, 60_000_000)])),
        Bomb::new("tiff-profile-of-60-mib", End::Rendered, grey(vec![bytes(34_675, 60_000_000)])),
        Bomb::new("tiff-profile-of-8-mib", End::Rendered, grey(vec![bytes(34_675, 8_000_000)])),
        Bomb::new("tiff-samples", End::AnyRefusal, {
            let mut other = vec![long(256, 100_000), long(262, 2), long(277, 65_535)];
            other.push(bytes(338, 65_532));
            grey(other)
        }),
        Bomb::new("tiff-pages", End::AnyRefusal, pages_of_one_array(4_000, 400_000)),
        Bomb::new("tiff-streams", End::AnyRefusal, streams),
        Bomb::new("tiff-turned-strips", End::AnyRefusal, turned),
    ]
}

fn webps() -> Vec<Bomb> {
    let alpha = groups(9_000, false, eleven_symbols);
    let alpha = [&[1][..], &alpha].concat();
    let animated = {
        let frame = |picture: &[u8]| {
            let mut frame = vec![0; 16];
            frame[6] = 3;
            frame[9] = 3;
            frame.extend(b"VP8L");
            frame.extend(u32::try_from(picture.len()).expect("short").to_le_bytes());
            frame.extend(picture);
            frame.extend(vec![0; picture.len() % 2]);
            frame
        };
        let frame = frame(&groups(9_000, true, eleven_symbols));
        riff(&[vp8x(2, 4, 4), (b"ANIM", vec![0; 6]), (b"ANMF", frame)])
    };
    let small = groups(1, true, |bits| one_symbol(bits, 7));
    let lossless = |others: Vec<(&'static [u8; 4], Vec<u8>)>| {
        riff(&[vec![vp8x(0, 4, 4), (b"VP8L", small.clone())], others].concat())
    };
    let many = |kind: &'static [u8; 4], count: usize| (0..count).map(|_| (kind, Vec::new())).collect::<Vec<_>>();
    vec![
        Bomb::new("webp-groups", End::Unsupported, riff(&[(b"VP8L", groups(65_536, true, eleven_symbols))])),
        Bomb::new("webp-few-groups", End::Rendered, riff(&[(b"VP8L", groups(300, true, eleven_symbols))])),
        Bomb::new("webp-groups-of-one-symbol", End::Unsupported, {
            riff(&[(b"VP8L", groups(65_536, true, |bits| one_symbol(bits, 7)))])
        }),
        Bomb::new("webp-groups-in-a-frame", End::Unsupported, animated),
        Bomb::new("webp-groups-of-alpha", End::Unsupported, riff(&[vp8x(16, 4, 4), (b"ALPH", alpha), vp8(4, 4)])),
        Bomb::new("webp-tall", End::AnyRefusal, riff(&[vp8(1, 16_383)])),
        Bomb::new("webp-wide", End::AnyRefusal, riff(&[vp8(16_383, 1)])),
        Bomb::new("webp-padded", End::Any, riff(&[(b"VP8 ", [vp8(16, 16).1, vec![0; 30 * MIB]].concat())])),
        Bomb::new("webp-picture-larger-than-its-canvas", End::AnyRefusal, riff(&[vp8x(0, 2, 2), vp8(6_000, 6_000)])),
        Bomb::new("webp-profile-of-60-mib", End::Rendered, lossless(vec![(b"ICCP", vec![0; 60 * MIB])])),
        Bomb::new("webp-profile-of-8-mib", End::Rendered, lossless(vec![(b"ICCP", vec![0; 8 * MIB])])),
        Bomb::new("webp-exif", End::Rendered, lossless(vec![(b"EXIF", vec![7; 60 * MIB])])),
        Bomb::new("webp-xmp", End::Rendered, lossless(vec![(b"XMP ", vec![7; 60 * MIB])])),
        Bomb::new("webp-chunks", End::Rendered, lossless(many(b"junk", 3_000_000))),
    ]
}

fn bmps() -> Vec<Bomb> {
    vec![
        Bomb::new("bmp-bits", End::Any, bmp(65_528, 200, 1, 0, &vec![7; 65_528 / 8 * 200])),
        Bomb::new("bmp-runs", End::Any, bmp(4_000, 3_000, 8, 1, &[255, 7].repeat(60_000))),
        Bomb::new("bmp-padded", End::Rendered, bmp(2, 2, 24, 0, &vec![7; 60 * MIB])),
    ]
}

/// A box of an ISO base media file.
fn iso(kind: [u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&be(u32::try_from(8 + body.len()).expect("short"))[..], &kind, &body].concat()
}

/// An AVIF of this many items, all of them the same coded picture, which lies at the end of the file. Item 1 is the
/// picture. Its bytes are the parts `[start, end)` of `coded`.
fn avif((width, height): (u32, u32), coded: &[u8], parts: &[(usize, usize)], items: u16, properties: usize) -> Vec<u8> {
    const FULL: &[u8] = &[0; 4];
    let short = |number: usize| u16::try_from(number).expect("short").to_be_bytes();
    let long = |number: usize| be(u32::try_from(number).expect("short"));
    let infos: Vec<u8> =
        (1..=items).flat_map(|id| iso(*b"infe", &[&[2, 0, 0, 0], &id.to_be_bytes(), &[0, 0], b"av01", &[0]])).collect();
    let more: Vec<u8> = (0..properties).flat_map(|_| iso(*b"junk", &[])).collect();
    let size = iso(*b"ispe", &[FULL, &be(width), &be(height)]);
    let meta = |start: usize| {
        let extents: Vec<u8> =
            parts.iter().flat_map(|(from, to)| [long(start + from), long(to - from)].concat()).collect();
        iso(
            *b"meta",
            &[
                FULL,
                &iso(*b"hdlr", &[FULL, FULL, b"pict", &[0; 13]]),
                &iso(*b"pitm", &[FULL, &short(1)]),
                &iso(*b"iinf", &[FULL, &items.to_be_bytes(), &infos]),
                &iso(*b"iloc", &[FULL, &[0x44, 0], &short(1), &short(1), &short(0), &short(parts.len()), &extents]),
                &iso(
                    *b"iprp",
                    &[
                        &iso(*b"ipco", &[&size, &iso(*b"av1C", &[&[0x81, 0, 0, 0]]), &more]),
                        &iso(*b"ipma", &[FULL, &long(1), &short(1), &[2, 1, 0x82]]),
                    ],
                ),
            ],
        )
    };
    let head = iso(*b"ftyp", &[b"avif\0\0\0\0mif1avif"]);
    let start = head.len() + meta(0).len() + 8;
    [head, meta(start), iso(*b"mdat", &[coded])].concat()
}

/// A unit of AV1 with its length (5.3).
fn unit(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let bytes =
        [length, length >> 7, length >> 14, length >> 21].map(|part| u8::try_from(part & 0x7f).expect("masked"));
    let [a, b, c, d] = bytes;
    [&[kind << 3 | 2, a | 0x80, b | 0x80, c | 0x80, d][..], body].concat()
}

/// A sequence header of a reduced still picture, 8 bits, 4:2:0 (5.5).
fn av1_sequence((width, height): (u32, u32)) -> Vec<u8> {
    let mut bits = Vec::new();
    let mut put = |count: u32, value: u32| bits.extend((0..count).rev().map(|place| value >> place & 1 == 1));
    for (count, value) in [(3, 0), (1, 1), (1, 1), (5, 31), (4, 15), (4, 15), (16, width - 1), (16, height - 1)] {
        put(count, value);
    }
    put(3, 0); // superblocks, filter-intra, edge filter
    put(3, 0); // super-resolution, CDEF, loop restoration
    put(4, 0); // 8 bits, colours, no code points, limited range
    put(2, 0); // the place of chroma
    put(2, 0); // no separate deltas, no grain
    put(1, 1); // the end
    let byte =
        |bits: &[bool]| bits.iter().enumerate().fold(0, |byte, (place, bit)| byte | u8::from(*bit) << (7 - place));
    unit(1, &bits.chunks(8).map(byte).collect::<Vec<u8>>())
}

/// The coded picture of `avif/420-8.avif`, and its size.
fn coded_picture() -> (Vec<u8>, (u32, u32)) {
    let file = image("avif/420-8.avif");
    let at = file.windows(4).position(|kind| kind == b"mdat").expect("a file has data") + 4;
    (file[at..].to_vec(), (500, 380))
}

/// An AVIF of this size, whose frame is junk.
pub(super) fn avif_of_junk(size: (u32, u32)) -> Vec<u8> {
    let coded = [av1_sequence(size), unit(6, &[0x10; 4_000])].concat();
    avif(size, &coded, &[(0, coded.len())], 1, 0)
}

fn avifs() -> Vec<Bomb> {
    let (coded, size) = coded_picture();
    let whole = [(0, coded.len())];
    let frames = |count: usize, length: usize| unit(6, &vec![0x10; length]).repeat(count);
    let with = |size: (u32, u32), more: &[u8]| {
        let coded = [av1_sequence(size), more.to_vec()].concat();
        avif(size, &coded, &[(0, coded.len())], 1, 0)
    };
    let metadata = [&coded[..], &unit(5, &vec![7; 60 * MIB])].concat();
    vec![
        Bomb::new("avif-as-it-should-be", End::Rendered, avif(size, &coded, &whole, 1, 0)),
        Bomb::new("avif-in-parts", End::Rendered, {
            let parts: Vec<(usize, usize)> = (0..coded.len()).map(|at| (at, at + 1)).collect();
            // The first part must hold the sequence header.
            let parts = [&[(0, 64)], &parts[64..]].concat();
            avif(size, &coded, &parts, 1, 0)
        }),
        Bomb::new("avif-parts-that-overlap", End::Corrupt, avif(size, &coded, &whole.repeat(60_000), 1, 0)),
        Bomb::new("avif-items", End::Rendered, avif(size, &coded, &whole, 2_048, 0)),
        Bomb::new("avif-more-items", End::Unsupported, avif(size, &coded, &whole, 65_535, 0)),
        Bomb::new("avif-properties", End::Rendered, avif(size, &coded, &whole, 1, 2_046)),
        Bomb::new("avif-more-properties", End::Unsupported, avif(size, &coded, &whole, 1, 1_000_000)),
        Bomb::new("avif-metadata-of-60-mib", End::Rendered, avif(size, &metadata, &[(0, metadata.len())], 1, 0)),
        Bomb::new("avif-padded", End::Rendered, {
            [avif(size, &coded, &whole, 1, 0), iso(*b"free", &[&vec![7; 60 * MIB]])].concat()
        }),
        Bomb::new("avif-without-frames", End::Corrupt, with((4_000, 3_000), &[])),
        Bomb::new("avif-of-eight-frames", End::AnyRefusal, with((2_000, 2_000), &frames(8, 4_000))),
        Bomb::new("avif-of-frames", End::Unsupported, with((4_000, 3_000), &frames(100_000, 9))),
        Bomb::new("avif-of-junk", End::Any, with((4_000, 3_000), &frames(1, 4_000_000))),
        Bomb::new("avif-wide", End::Any, with((65_536, 1), &frames(1, 4_000))),
        Bomb::new("avif-tall", End::Any, with((1, 65_536), &frames(1, 4_000))),
    ]
}

/// Every worst case.
pub(crate) fn worst_cases() -> Vec<Bomb> {
    [jpegs(), pngs(), gifs(), tiffs(), webps(), bmps(), avifs()].into_iter().flatten().collect()
}
