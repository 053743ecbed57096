//! The decoder beside libjpeg-turbo: files of random coefficients, and every JPEG of testdata, whole and damaged.

use std::fmt::Write as _;

use fastrand::Rng;
use proptest::prelude::*;

use super::super::Turbo;
use super::judge::{SCALES, Verdict, compare, stream};
use super::transform::NATURAL;
use crate::geometry::Part;

/// Bits behind each other, with stuffing.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    buffer: u64,
    count: u32,
}

impl Writer {
    fn put(&mut self, bits: u32, count: u32) {
        self.buffer = self.buffer << count | u64::from(bits & ((1 << count) - 1));
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.buffer >> self.count) as u8;
            self.bytes.push(byte);
            if byte == 0xff {
                self.bytes.push(0);
            }
        }
    }

    /// Fills the last byte with ones (T.81, F.1.2.3).
    fn pad(&mut self) {
        if self.count > 0 {
            self.put(0xff, 8 - self.count);
        }
    }
}

/// A code with these numbers of codes of each length, and its symbols.
struct Huffman {
    counts: [u8; 16],
    symbols: Vec<u8>,
}

impl Huffman {
    /// The numbers are those of T.81, tables K.3 and K.5; the symbols are in a random order.
    fn random(rng: &mut Rng, is_ac: bool) -> Self {
        let mut symbols: Vec<u8> = if is_ac {
            let pairs = (0..16_u8).flat_map(|run| (1..=10_u8).map(move |size| run << 4 | size));
            pairs.chain([0x00, 0xf0]).collect()
        } else {
            (0..12).collect()
        };
        // Mostly the usual order, or all values would take the rare path of long codes.
        symbols.sort_by_key(|symbol| u32::from(symbol >> 4) * 2 + u32::from(symbol & 15));
        for _ in 0..rng.usize(..symbols.len()) {
            let (a, b) = (rng.usize(..symbols.len()), rng.usize(..symbols.len()));
            symbols.swap(a, b);
        }
        let counts = if is_ac {
            [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125]
        } else {
            [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
        };
        Self { counts, symbols }
    }

    fn put(&self, writer: &mut Writer, symbol: u8) {
        let (mut code, mut index) = (0_u32, 0);
        for (length, count) in (1..).zip(self.counts) {
            for _ in 0..count {
                if self.symbols[index] == symbol {
                    return writer.put(code, length);
                }
                (code, index) = (code + 1, index + 1);
            }
            code <<= 1;
        }
        panic!("{symbol:#04x} has no code");
    }

    fn put_value(&self, writer: &mut Writer, run: u8, value: i32) {
        let size = 32 - value.unsigned_abs().leading_zeros();
        self.put(writer, run << 4 | size as u8);
        let bits = if value < 0 { value - 1 } else { value };
        writer.put(bits.cast_unsigned(), size);
    }
}

/// What a file of random coefficients is made of.
#[derive(Debug, Clone)]
struct Recipe {
    width: u16,
    height: u16,
    /// The sampling factors of luma; none for a grey file.
    luma: Option<(u8, u8)>,
    restart_interval: u16,
    largest_quantiser: u8,
    /// Coefficients of a block other than zero, at most, and their size in bits.
    coefficients: usize,
    bits: u32,
    seed: u64,
}

impl Recipe {
    fn file(&self) -> Vec<u8> {
        let mut rng = Rng::with_seed(self.seed);
        let mut file = vec![0xff, 0xd8];
        let mut segment = |code: u8, payload: &[u8]| {
            file.extend([0xff, code]);
            file.extend(u16::try_from(payload.len() + 2).expect("short").to_be_bytes());
            file.extend(payload);
        };
        let quantisers: [[u8; 64]; 2] =
            std::array::from_fn(|_| std::array::from_fn(|_| rng.u8(1..=self.largest_quantiser)));
        for (number, quantiser) in (0..).zip(&quantisers) {
            segment(0xdb, &[&[number], &quantiser[..]].concat());
        }
        let factors: Vec<(u8, u8)> = match self.luma {
            Some(luma) => vec![luma, (1, 1), (1, 1)],
            None => vec![(2, 2)],
        };
        let [h1, h2, w1, w2] = [self.height.to_be_bytes(), self.width.to_be_bytes()].concat()[..] else {
            unreachable!("two numbers of two bytes");
        };
        let mut frame = vec![8, h1, h2, w1, w2, factors.len() as u8];
        for (id, (h, v)) in (1..).zip(&factors) {
            frame.extend([id, h << 4 | v, u8::from(id > 1)]);
        }
        segment(0xc0, &frame);
        let codes: [[Huffman; 2]; 2] =
            std::array::from_fn(|_| [Huffman::random(&mut rng, false), Huffman::random(&mut rng, true)]);
        for (number, code) in (0..).zip(&codes) {
            for (class, Huffman { counts, symbols }) in (0..).zip(code) {
                segment(0xc4, &[&[class << 4 | number], &counts[..], symbols].concat());
            }
        }
        if self.restart_interval > 0 {
            segment(0xdd, &self.restart_interval.to_be_bytes());
        }
        let mut scan = vec![factors.len() as u8];
        for id in 1..=factors.len() as u8 {
            scan.extend([id, if id > 1 { 0x11 } else { 0x00 }]);
        }
        scan.extend([0, 63, 0]);
        segment(0xda, &scan);
        let factors = if self.luma.is_none() { vec![(1, 1)] } else { factors };
        let (across, down) = (usize::from(factors[0].0), usize::from(factors[0].1));
        let units = usize::from(self.width).div_ceil(8 * across) * usize::from(self.height).div_ceil(8 * down);
        let mut writer = Writer::default();
        let mut predictions = [0; 3];
        for unit in 0..units {
            if self.restart_interval > 0 && unit > 0 && unit % usize::from(self.restart_interval) == 0 {
                writer.pad();
                let number = (unit / usize::from(self.restart_interval) - 1) % 8;
                writer.bytes.extend([0xff, 0xd0 + number as u8]);
                predictions = [0; 3];
            }
            for (component, (h, v)) in factors.iter().enumerate() {
                let [dc, ac] = &codes[usize::from(component > 0)];
                let quantiser = &quantisers[usize::from(component > 0)];
                for _ in 0..h * v {
                    let limit = 1020 / i32::from(quantiser[0]);
                    let value = rng.i32(-limit..=limit);
                    dc.put_value(&mut writer, 0, value - predictions[component]);
                    predictions[component] = value;
                    self.put_block(&mut writer, ac, &mut rng);
                }
            }
        }
        writer.pad();
        file.extend(writer.bytes);
        file.extend([0xff, 0xd9]);
        file
    }

    fn put_block(&self, writer: &mut Writer, ac: &Huffman, rng: &mut Rng) {
        let mut block = [0; 64];
        for _ in 0..rng.usize(..=self.coefficients) {
            // Most of them at the front, as in photos; now and then one at the very end.
            let index = if rng.u8(..) < 8 { 63 } else { 1 + rng.usize(..63) * rng.usize(..63) / 63 };
            let limit = 1 << rng.u32(1..=self.bits);
            block[index] = rng.i32(-limit + 1..limit);
        }
        let mut run = 0;
        for value in &block[1..] {
            if *value == 0 {
                run += 1;
                continue;
            }
            for _ in 0..run / 16 {
                ac.put(writer, 0xf0);
            }
            ac.put_value(writer, run % 16, *value);
            run = 0;
        }
        if run > 0 {
            ac.put(writer, 0);
        }
    }
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let luma = prop_oneof![Just(None), Just(Some((1, 1))), Just(Some((2, 1))), Just(Some((2, 2)))];
    let restarts = prop_oneof![2 => Just(0_u16), 1 => 1_u16..20];
    let shape = (1_u16..150, 1_u16..90, luma, restarts);
    (shape, 1_u8..=255, 0_usize..64, 1_u32..=10, any::<u64>()).prop_map(
        |((width, height, luma, restart_interval), largest_quantiser, coefficients, bits, seed)| Recipe {
            width,
            height,
            luma,
            restart_interval,
            largest_quantiser,
            coefficients,
            bits,
            seed,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    #[test]
    fn random_coefficients_give_the_pixels_of_libjpeg_turbo(recipe in recipe(), from in 0_u32..9, until in 0_u32..9) {
        let file = recipe.file();
        let stream = stream(&file).expect("a whole file");
        let mut turbo = Turbo::try_new().expect("memory for the codecs");
        for scale in SCALES {
            let size = scale.scaled(stream.frame.size);
            let part = Part {
                columns: size.width() * from.min(until) / 9..(size.width() * from.max(until) / 9).max(1),
                rows: size.height() * from.min(until) / 9..(size.height() * from.max(until) / 9).max(1),
            };
            // Below these limits no coefficient is too large for this decoder.
            let is_plain = (1 << recipe.bits) * i32::from(recipe.largest_quantiser) <= 8192;
            for part in [Part::ALL, part] {
                let verdict = compare(&mut turbo, &file, &stream, scale, &part);
                let is_right = match &verdict {
                    Ok(Verdict::Equal) => true,
                    Ok(Verdict::Left) => !is_plain,
                    _ => false,
                };
                prop_assert!(is_right, "{scale:?}: {verdict:?}");
            }
        }
    }
}

/// Every JPEG of testdata.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/images"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).expect("a readable file");
            if bytes.starts_with(b"\xff\xd8\xff") {
                files.push((path.display().to_string(), bytes));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn files_give_the_pixels_of_libjpeg_turbo() {
    let mut turbo = Turbo::try_new().expect("memory for the codecs");
    let (mut equal, mut faults) = (0, String::new());
    for (name, bytes) in files() {
        let Some(stream) = stream(&bytes) else { continue };
        for scale in SCALES {
            match compare(&mut turbo, &bytes, &stream, scale, &Part::ALL) {
                Ok(verdict) => equal += u32::from(verdict == Verdict::Equal),
                Err(fault) => writeln!(faults, "{name}: {fault}").expect("memory"),
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
    assert!(equal > 100, "{equal} times the decoder took a file");
}

#[test]
fn damaged_files_are_left_or_give_the_pixels_of_libjpeg_turbo() {
    let mut turbo = Turbo::try_new().expect("memory for the codecs");
    let mut rng = Rng::with_seed(7);
    let (mut counts, mut faults) = ([0; 3], String::new());
    for (name, bytes) in files() {
        for _ in 0..400_000 / bytes.len().max(1000) {
            let mut bytes = bytes.clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            let Some(stream) = stream(&bytes) else { continue };
            if stream.frame.size.pixels() > 1 << 22 {
                continue;
            }
            match compare(&mut turbo, &bytes, &stream, SCALES[rng.usize(..3)], &Part::ALL) {
                Ok(verdict) => counts[verdict as usize] += 1,
                Err(fault) => writeln!(faults, "{name}: {fault}").expect("memory"),
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
    let [equal, left, refused] = counts;
    assert!(equal > 100 && left > 100 && refused > 100, "{equal} equal, {left} left, {refused} refused");
}

#[test]
fn the_zigzag_order_visits_every_coefficient() {
    let mut seen = NATURAL;
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..64));
}
