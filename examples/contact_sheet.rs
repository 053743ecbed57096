//! Draws one PNG of a batch and what became of it: each source, scaled down, beside its outputs at their true size.
//!
//! `contact_sheet OUTPUT.png`, in the environment of the run that it shows, with `STORE=dir:PATH`. Prints the path.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use image::{GenericImage, Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width};
use pixpipe::codec::{Codecs, Header};
use pixpipe::config::{Config, StoreKind};
use pixpipe::event::{self, EntryKind};
use pixpipe::geometry::{DctScale, Fit, Size};
use pixpipe::object::{BucketName, ObjectKey, SourceObject, output_key};
use pixpipe::render::{Plan, Renderer};
use pixpipe::spec::{Encoding, Spec};
use pixpipe::telemetry::line;

const PAPER: Rgb<u8> = Rgb([250, 250, 248]);
const CARD: Rgb<u8> = Rgb([255, 255, 255]);
const EDGE: Rgb<u8> = Rgb([222, 222, 218]);
const INK: Rgb<u8> = Rgb([32, 33, 36]);
const PENCIL: Rgb<u8> = Rgb([112, 114, 120]);
const ALARM: Rgb<u8> = Rgb([176, 42, 48]);

/// Between cards.
const GAP_PX: u32 = 24;
/// Between the pictures of a card, and around them.
const GUTTER_PX: u32 = 18;
/// One line of text under a picture.
const LINE_PX: u32 = 19;
/// Between a picture and its text.
const LEAD_PX: u32 = 8;
/// The title and the space under it.
const TITLE_PX: u32 = 40;
/// More cards than these stand in two columns.
const ONE_COLUMN: usize = 3;
/// Longest side of a source on the sheet, where no output is larger.
const SOURCE_SIDE_PX: u32 = 299;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [path] = args.as_slice() else { return Err("give the path of the PNG, and nothing else".into()) };
    let config = Config::from_vars(env::vars_os()).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        faults.join("\n")
    })?;
    let StoreKind::Dir(root) = &config.store else { return Err("STORE is to be dir:PATH".into()) };
    let objects: Vec<SourceObject> = event::parse(&config.batch, config.source_bucket.as_ref())?
        .into_iter()
        .filter_map(|entry| if let EntryKind::Work(object) = entry.kind { Some(object) } else { None })
        .collect();
    let mut darkroom = Darkroom { root, config: &config, codecs: Codecs::try_new()?, renderer: Renderer::try_new()? };
    let cards = objects.iter().map(|object| darkroom.card(object)).collect::<Result<Vec<_>, _>>()?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    sheet(&cards, &title(&config, cards.len())).save(path)?;
    line(&path.display().to_string());
    Ok(())
}

fn title(config: &Config, sources: usize) -> String {
    let sizes: Vec<String> = config.spec.sizes.iter().map(|size| dimensions(*size)).collect();
    let destination = &config.destination;
    format!("{sources} sources at {}, in {}/{}", sizes.join(" and "), destination.bucket, destination.prefix)
}

fn label(size: Size, header: &Header, bytes: usize) -> String {
    format!("{} {}, {} KiB", dimensions(size), header.format.as_str(), bytes.div_ceil(1024))
}

fn dimensions(size: Size) -> String {
    format!("{}×{}", size.width(), size.height())
}

/// One source and its outputs, the source first.
struct Card {
    pictures: Vec<Picture>,
}

/// An image and what is written under it; no image: it is not there.
struct Picture {
    image: Option<RgbImage>,
    /// On the sheet.
    size: Size,
    label: String,
    key: String,
}

/// Makes cards of objects.
struct Darkroom<'a> {
    root: &'a Path,
    config: &'a Config,
    codecs: Codecs,
    renderer: Renderer,
}

impl Darkroom<'_> {
    fn card(&mut self, object: &SourceObject) -> Result<Card, Box<dyn Error>> {
        let Config { spec, destination, .. } = self.config;
        let mut pictures = vec![self.source(object)?];
        for size in &spec.sizes {
            let key = output_key(&destination.prefix, *size, &object.key, spec.encoding.extensions())?;
            pictures.push(self.output(&key, *size)?);
        }
        Ok(Card { pictures })
    }

    /// The source as large as its place allows, made by pixpipe itself: upright, and in the colours of the outputs.
    fn source(&mut self, object: &SourceObject) -> Result<Picture, Box<dyn Error>> {
        let bytes = fs::read(self.path(&object.bucket, &object.key))?;
        let header = Codecs::header(&bytes)?;
        let upright = upright(&header);
        let tallest = self.config.spec.sizes.iter().map(|size| size.height()).max().unwrap_or(0);
        let shown = within(upright, SOURCE_SIDE_PX.max(tallest)).ok_or("a picture without pixels")?;
        let spec = Spec { sizes: vec![shown], fit: Fit::Stretch, encoding: Encoding::Png, ..self.config.spec.clone() };
        let plan = Plan::read(&bytes, &spec, u64::MAX)?;
        let rendered = self.renderer.render(&bytes, &plan, &spec, &spec.sizes)?;
        let (_, png) = rendered.outputs.first().ok_or("a source without a picture")?;
        let image = image::load_from_memory(png)?.into_rgb8();
        let label = label(upright, &header, bytes.len());
        Ok(Picture { image: Some(image), size: shown, label, key: object.key.as_str().to_owned() })
    }

    fn output(&mut self, key: &ObjectKey, size: Size) -> Result<Picture, Box<dyn Error>> {
        let path = self.path(&self.config.destination.bucket, key);
        let key = key.as_str().to_owned();
        if !path.exists() {
            return Ok(Picture { image: None, size, label: "not there".to_owned(), key });
        }
        let bytes = fs::read(path)?;
        let header = Codecs::header(&bytes)?;
        let pixels = self.codecs.decode(&bytes, &header, DctScale::Full)?;
        let image = RgbImage::from_raw(pixels.size().width(), pixels.size().height(), pixels.data().to_vec());
        let image = image.ok_or_else(|| format!("{key} is not RGB"))?;
        let label = label(header.size, &header, bytes.len());
        Ok(Picture { image: Some(image), size: header.size, label, key })
    }

    fn path(&self, bucket: &BucketName, key: &ObjectKey) -> PathBuf {
        self.root.join(bucket.as_str()).join(key.as_str())
    }
}

fn upright(header: &Header) -> Size {
    if header.orientation.swaps_axes() { header.size.transposed() } else { header.size }
}

/// The size with its longest side at most `side_px`; never enlarged.
fn within(size: Size, side_px: u32) -> Option<Size> {
    let longest = size.width().max(size.height()).max(side_px);
    let scaled = |side: u32| (side * side_px).div_ceil(longest).max(1);
    Size::new(scaled(size.width()), scaled(size.height()))
}

impl Picture {
    /// The key in lines as wide as the picture, broken after slashes where that is possible.
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

    /// Pictures stand on one line, what they are under it.
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

fn sheet(cards: &[Card], title: &str) -> RgbImage {
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
            sheet.frame(&Area { x, y, width, height }, CARD, EDGE);
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

/// What is drawn on; what reaches over its edge is left out.
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
        // A copy fails where the picture reaches over the edge; the sheet is made so that none does.
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

/// `paper` under `coverage`/255 of `ink`, rounded to nearest.
fn mixed(paper: Rgb<u8>, ink: Rgb<u8>, coverage: u8) -> Rgb<u8> {
    let [red, green, blue] = [0, 1, 2].map(|channel: usize| {
        let sample = |color: Rgb<u8>| u32::from(color.0.get(channel).copied().unwrap_or(0));
        let sum = sample(paper) * u32::from(255 - coverage) + sample(ink) * u32::from(coverage);
        u8::try_from((sum + 127) / 255).unwrap_or(u8::MAX)
    });
    Rgb([red, green, blue])
}
