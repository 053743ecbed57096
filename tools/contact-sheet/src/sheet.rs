//! The sheet: cards of pictures, and the drawing of them.

use image::{GenericImage, Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width};
use pixpipe_pixels::geometry::Size;

const PAPER: Rgb<u8> = Rgb([250, 250, 248]);
const CARD: Rgb<u8> = Rgb([255, 255, 255]);
const EDGE: Rgb<u8> = Rgb([222, 222, 218]);
const INK: Rgb<u8> = Rgb([32, 33, 36]);
const PENCIL: Rgb<u8> = Rgb([112, 114, 120]);
const ALARM: Rgb<u8> = Rgb([176, 42, 48]);

/// Space between cards.
const GAP_PX: u32 = 24;
/// Space between the pictures of a card, and around them.
const GUTTER_PX: u32 = 18;
/// Height of a line of text under a picture.
const LINE_PX: u32 = 19;
/// Space between a picture and its text.
const LEAD_PX: u32 = 8;
/// Height of the title and the space under it.
const TITLE_PX: u32 = 40;
/// Largest number of cards in one column; more stand in two.
const ONE_COLUMN: usize = 3;

/// One record: its pictures, the source first.
pub(crate) struct Card {
    pub(crate) pictures: Vec<Picture>,
    /// Whether the record failed: its card is red.
    pub(crate) is_failed: bool,
}

/// An image, and the text under it.
pub(crate) struct Picture {
    /// The image; `None` draws a red frame in its place.
    pub(crate) image: Option<RgbImage>,
    /// Size on the sheet.
    pub(crate) size: Size,
    pub(crate) label: String,
    pub(crate) key: String,
}

impl Picture {
    /// The key in lines as wide as the picture, broken after slashes if possible.
    fn key_lines(&self) -> Vec<String> {
        let fitting = (self.size.width() as usize / get_raster_width(FontWeight::Regular, SMALL)).max(1);
        let mut lines = vec![String::new()];
        for part in self.key.split_inclusive('/') {
            for (number, character) in part.chars().enumerate() {
                let line = lines.last_mut().map_or(0, |line| line.chars().count());
                let is_full = line == fitting || (number == 0 && line > 0 && line + part.chars().count() > fitting);
                if is_full {
                    lines.push(String::new());
                }
                if let Some(line) = lines.last_mut() {
                    line.push(character);
                }
            }
        }
        lines
    }
}

impl Card {
    fn width(&self) -> u32 {
        self.pictures.iter().map(|picture| picture.size.width() + GUTTER_PX).sum::<u32>() + GUTTER_PX
    }

    fn picture_height(&self) -> u32 {
        self.pictures.iter().map(|picture| picture.size.height()).max().unwrap_or(0)
    }

    fn height(&self) -> u32 {
        let lines = self.pictures.iter().map(|picture| 1 + picture.key_lines().len()).max().unwrap_or(0);
        GUTTER_PX + self.picture_height() + LEAD_PX + LINE_PX * u32::try_from(lines).unwrap_or(0) + GUTTER_PX
    }

    /// Draws the pictures on one base line, and their texts under it.
    fn draw(&self, sheet: &mut Sheet, (left, top): (u32, u32)) {
        let base = top + GUTTER_PX + self.picture_height();
        let mut x = left + GUTTER_PX;
        for picture in &self.pictures {
            let (width, height) = (picture.size.width(), picture.size.height());
            let place = Area { x, y: base - height, width, height };
            let ink = if let Some(image) = &picture.image {
                sheet.picture(image, &place);
                INK
            } else {
                sheet.frame(&place, PAPER, ALARM);
                ALARM
            };
            let mut y = base + LEAD_PX;
            sheet.text(&picture.label, (x, y), SMALL_BOLD, ink);
            for line in picture.key_lines() {
                y += LINE_PX;
                sheet.text(&line, (x, y), SMALL_REGULAR, PENCIL);
            }
            x += width + GUTTER_PX;
        }
    }
}

/// Draws all cards under a title.
pub(crate) fn sheet(cards: &[Card], title: &str) -> RgbImage {
    let columns = if cards.len() > ONE_COLUMN { 2 } else { 1 };
    let width = cards.iter().map(Card::width).max().unwrap_or(0);
    let row_height = |row: &[Card]| row.iter().map(Card::height).max().unwrap_or(0);
    let height: u32 = cards.chunks(columns).map(|row| row_height(row) + GAP_PX).sum();
    let sides = (width + GAP_PX) * u32::try_from(columns).unwrap_or(1) + GAP_PX;
    let mut sheet = Sheet(RgbImage::from_pixel(sides, GAP_PX + TITLE_PX + height, PAPER));
    sheet.text("pixpipe", (GAP_PX, GAP_PX), LARGE_BOLD, INK);
    sheet.text(title, (GAP_PX + 84, GAP_PX), LARGE_REGULAR, PENCIL);
    let mut y = GAP_PX + TITLE_PX;
    for row in cards.chunks(columns) {
        let height = row_height(row);
        let mut x = GAP_PX;
        for card in row {
            let edge = if card.is_failed { ALARM } else { EDGE };
            sheet.frame(&Area { x, y, width, height }, CARD, edge);
            card.draw(&mut sheet, (x, y));
            x += width + GAP_PX;
        }
        y += height + GAP_PX;
    }
    sheet.0
}

/// A typeface: weight and height.
type Face = (FontWeight, RasterHeight);

const SMALL: RasterHeight = RasterHeight::Size16;
const SMALL_REGULAR: Face = (FontWeight::Regular, SMALL);
const SMALL_BOLD: Face = (FontWeight::Bold, SMALL);
const LARGE_REGULAR: Face = (FontWeight::Regular, RasterHeight::Size20);
const LARGE_BOLD: Face = (FontWeight::Bold, RasterHeight::Size20);

/// A part of the sheet, in pixels from its top left corner.
struct Area {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

/// The sheet that is drawn on. Parts beyond its edge are left out.
struct Sheet(RgbImage);

impl Sheet {
    /// A filled box with an edge of one pixel.
    fn frame(&mut self, area: &Area, fill: Rgb<u8>, edge: Rgb<u8>) {
        for y in 0..area.height {
            for x in 0..area.width {
                let is_edge = x == 0 || y == 0 || x == area.width - 1 || y == area.height - 1;
                if let Some(pixel) = self.0.get_pixel_mut_checked(area.x + x, area.y + y) {
                    *pixel = if is_edge { edge } else { fill };
                }
            }
        }
    }

    fn picture(&mut self, image: &RgbImage, area: &Area) {
        // A copy fails if the picture reaches over the edge. The sheet is large enough for every picture.
        let copied = self.0.copy_from(image, area.x, area.y);
        debug_assert!(copied.is_ok());
    }

    fn text(&mut self, text: &str, (x, y): (u32, u32), (weight, height): Face, ink: Rgb<u8>) {
        let advance = u32::try_from(get_raster_width(weight, height)).unwrap_or(0);
        for (character, left) in text.chars().zip((x..).step_by(advance.max(1) as usize)) {
            let glyph = get_raster(character, weight, height).or_else(|| get_raster('?', weight, height));
            for (row, top) in glyph.iter().flat_map(RasterizedChar::rows).zip(y..) {
                for (coverage, column) in row.iter().zip(left..) {
                    if let Some(pixel) = self.0.get_pixel_mut_checked(column, top) {
                        *pixel = mixed(*pixel, ink, *coverage);
                    }
                }
            }
        }
    }
}

/// `paper` covered by `coverage`/255 of `ink`, rounded to nearest.
fn mixed(paper: Rgb<u8>, ink: Rgb<u8>, coverage: u8) -> Rgb<u8> {
    let [red, green, blue] = [0, 1, 2].map(|channel: usize| {
        let sample = |color: Rgb<u8>| u32::from(color.0.get(channel).copied().unwrap_or(0));
        let sum = sample(paper) * u32::from(255 - coverage) + sample(ink) * u32::from(coverage);
        u8::try_from((sum + 127) / 255).unwrap_or(u8::MAX)
    });
    Rgb([red, green, blue])
}
