//! The segments before a scan: quantisers, codes and components, read more strictly than libjpeg does.

use super::super::marker;
use super::code::Definition;
use super::transform::NATURAL;
use crate::codec::cursor::Cursor;

/// The largest side that libjpeg accepts.
const MAX_SIDE: u16 = 65_500;
/// The largest quantiser of a baseline file.
const MAX_QUANTISER: u16 = 255;

/// A component of the frame, and its tables.
#[derive(Debug)]
pub(super) struct Component {
    /// Blocks across and down a unit (MCU).
    pub(super) across: usize,
    pub(super) down: usize,
    /// In natural order.
    pub(super) quantiser: [i16; 64],
    pub(super) dc: Definition,
    pub(super) ac: Definition,
}

/// The facts before the entropy-coded data.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) components: Vec<Component>,
    /// Units between two restart markers; 0: there are none.
    pub(super) restart_interval: usize,
    /// Where the entropy-coded data begin.
    pub(super) data: usize,
}

struct Frame {
    width: u16,
    height: u16,
    /// Identifier, sampling factors and number of the quantiser.
    components: Vec<(u8, u8, u8)>,
}

#[derive(Default)]
struct Segments {
    frame: Option<Frame>,
    quantisers: [Option<[i16; 64]>; 4],
    dc: [Option<Definition>; 4],
    ac: [Option<Definition>; 4],
    restart_interval: u16,
    has_adobe: bool,
}

impl Tables {
    /// The tables of a baseline file whose components, grey or YCbCr, lie in one scan; `None` for any other, and for
    /// anything that libjpeg might refuse, warn about or take for another colour space.
    pub(super) fn read(file: &[u8]) -> Option<Self> {
        let mut segments = Segments::default();
        let mut position = file.starts_with(&[0xff, marker::SOI]).then_some(2)?;
        loop {
            let [0xff, code] = *file.get(position..)?.first_chunk()? else { return None };
            position += 2;
            let length = usize::from(u16::from_be_bytes(*file.get(position..)?.first_chunk()?));
            let payload = file.get(position + 2..position + length)?;
            position += length;
            match code {
                0xc0 | 0xc1 if segments.frame.is_none() => segments.frame = Some(Frame::read(payload)?),
                0xc4 => segments.codes(payload)?,
                0xdb => segments.quantisers(payload)?,
                0xdd => segments.restart_interval = u16::from_be_bytes(payload.try_into().ok()?),
                marker::SOS => return segments.scan(payload, position),
                marker::APP14 => {
                    // Adobe technical note 5116: the last byte is the colour transform, 1 for YCbCr.
                    if !payload.starts_with(b"Adobe") || payload.get(11) != Some(&1) {
                        return None;
                    }
                    segments.has_adobe = true;
                }
                // APPn and COM.
                0xe0..=0xef | 0xfe => {}
                _ => return None,
            }
        }
    }
}

impl Frame {
    fn read(payload: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        let bits = cursor.byte("").ok()?;
        let height = u16::from_be_bytes(cursor.array("").ok()?);
        let width = u16::from_be_bytes(cursor.array("").ok()?);
        let count = usize::from(cursor.byte("").ok()?);
        let (components, []) = payload.get(6..)?.as_chunks::<3>() else { return None };
        let is_accepted = bits == 8
            && (1..=MAX_SIDE).contains(&width)
            && (1..=MAX_SIDE).contains(&height)
            && components.len() == count
            && matches!(count, 1 | 3);
        let components = components.iter().map(|[id, sampling, quantiser]| (*id, *sampling, *quantiser)).collect();
        is_accepted.then_some(Self { width, height, components })
    }
}

impl Segments {
    /// A DHT segment (T.81, B.2.4.2).
    fn codes(&mut self, mut payload: &[u8]) -> Option<()> {
        while let [which, rest @ ..] = payload {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let (symbols, rest) = rest.split_at_checked(counts.iter().map(|count| usize::from(*count)).sum())?;
            let definition = Definition { counts: *counts, symbols: symbols.to_vec() };
            let class = if which >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            *class.get_mut(usize::from(which & 15)).filter(|_| which >> 4 < 2)? = Some(definition);
            payload = rest;
        }
        Some(())
    }

    /// A DQT segment (T.81, B.2.4.1).
    fn quantisers(&mut self, mut payload: &[u8]) -> Option<()> {
        while let [which, rest @ ..] = payload {
            let mut quantiser = [0; 64];
            let mut cursor = rest;
            for natural in NATURAL {
                let (value, rest) = match which >> 4 {
                    0 => cursor.split_first().map(|(byte, rest)| (u16::from(*byte), rest))?,
                    1 => cursor.split_first_chunk().map(|(bytes, rest)| (u16::from_be_bytes(*bytes), rest))?,
                    _ => return None,
                };
                *quantiser.get_mut(usize::from(natural))? =
                    i16::try_from(value).ok().filter(|_| value <= MAX_QUANTISER)?;
                cursor = rest;
            }
            *self.quantisers.get_mut(usize::from(which & 15))? = Some(quantiser);
            payload = cursor;
        }
        Some(())
    }

    /// A SOS segment (T.81, B.2.3) for all components in the order of the frame.
    fn scan(self, payload: &[u8], data: usize) -> Option<Tables> {
        let frame = self.frame?;
        let (count, rest) = payload.split_first()?;
        let (selectors, end) = rest.split_at_checked(2 * frame.components.len())?;
        if usize::from(*count) != frame.components.len() || end != [0, 63, 0] {
            return None;
        }
        let ids: Vec<u8> = frame.components.iter().map(|(id, ..)| *id).collect();
        let is_grey = ids.len() == 1;
        let factors: Vec<u8> = frame.components.iter().map(|(_, factors, _)| *factors).collect();
        let is_accepted = match factors[..] {
            // The factors of the only component of a scan do not matter (T.81, A.2.2).
            [factors] => (1..=4).contains(&(factors >> 4)) && (1..=4).contains(&(factors & 15)),
            [luma, 0x11, 0x11] => matches!(luma, 0x11 | 0x21 | 0x22),
            _ => false,
        };
        // Without a transform's name, libjpeg takes components with these identifiers for red, green and blue.
        let may_be_rgb = !self.has_adobe && ids == *b"RGB";
        let has_twins = ids.iter().enumerate().any(|(i, id)| ids.iter().skip(i + 1).any(|other| other == id));
        if !is_accepted || may_be_rgb || has_twins {
            return None;
        }
        let mut components = Vec::with_capacity(ids.len());
        for ((id, factors, quantiser), [selector, tables]) in frame.components.into_iter().zip(selectors.as_chunks().0)
        {
            let table = |all: &[Option<Definition>; 4], number: u8| all.get(usize::from(number))?.clone();
            components.push(Component {
                across: if is_grey { 1 } else { usize::from(factors >> 4) },
                down: if is_grey { 1 } else { usize::from(factors & 15) },
                quantiser: (*self.quantisers.get(usize::from(quantiser))?)?,
                dc: table(&self.dc, tables >> 4)?,
                ac: table(&self.ac, tables & 15).filter(|_| *selector == id)?,
            });
        }
        let restart_interval = self.restart_interval.into();
        Some(Tables { width: frame.width.into(), height: frame.height.into(), components, restart_interval, data })
    }
}
