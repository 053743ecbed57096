//! Conversion from embedded ICC profiles to sRGB. The only user of `moxcms`.

use std::fmt;
use std::sync::Arc;

use moxcms::{
    CicpColorPrimaries, CicpProfile, ColorProfile, DataColorSpace, Layout, MatrixCoefficients, RenderingIntent,
    TransferCharacteristics, TransformExecutor, TransformOptions,
};

use crate::buffer::{Channels, Pixels};
use crate::codec::CodePoints;

/// The reason why a profile is ignored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ICC profile is ignored: {0}")]
pub(crate) struct BrokenProfile(String);

impl BrokenProfile {
    pub(crate) const fn new(reason: String) -> Self {
        Self(reason)
    }
}

/// The tags that a conversion to sRGB needs: colorants, curves, white point, adaptation, tables from the device. All
/// others take memory for nothing. A text may even name one range of the profile any number of times.
const NEEDED_TAGS: [&[u8; 4]; 14] = [
    b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"kTRC", b"wtpt", b"bkpt", b"chad", b"cicp", b"A2B0",
    b"A2B1", b"A2B2",
];
/// The limit of tags in a profile; real ones have up to 30.
const MAX_TAGS: usize = 256;

/// A conversion from a profile's colours to sRGB, relative colorimetric, 8 bits.
pub(crate) struct Conversion {
    transform: Arc<dyn TransformExecutor<u8> + Send + Sync>,
    device: DeviceColors,
}

/// The kind of a profile's device colours, which decides how they are taken from [`Pixels`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeviceColors {
    Gray,
    Rgb,
    Cmyk,
}

impl fmt::Debug for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversion").field("device", &self.device).finish_non_exhaustive()
    }
}

impl Conversion {
    /// An upper bound of the memory that [`Conversion::parse`] takes for a profile of this length, and of the profile.
    /// The engine keeps three tables, and turns the one that it uses into floating point, four bytes for each.
    pub(crate) fn memory_bytes(profile_bytes: usize) -> u64 {
        u64::try_from(profile_bytes).unwrap_or(u64::MAX).saturating_mul(16).saturating_add(4 << 20)
    }

    /// The conversion for pixels of `channels` that carry this profile; `None` if it changes no colour by more than one
    /// level, as with the many profiles that are sRGB. `is_gray`: the source has one channel, expanded to RGB.
    ///
    /// # Errors
    /// [`BrokenProfile`] if the profile cannot be read, or belongs to other channels.
    pub(crate) fn parse(profile: &[u8], channels: Channels, is_gray: bool) -> Result<Option<Self>, BrokenProfile> {
        let broken = |error: moxcms::CmsError| BrokenProfile(error.to_string());
        let parsed = ColorProfile::new_from_slice(&without_other_tags(profile)?).map_err(broken)?;
        let device = match (parsed.color_space, channels) {
            (DataColorSpace::Gray, Channels::Rgb | Channels::Rgba) if is_gray => DeviceColors::Gray,
            (DataColorSpace::Rgb, Channels::Rgb | Channels::Rgba) => DeviceColors::Rgb,
            (DataColorSpace::Cmyk, Channels::Cmyk) => DeviceColors::Cmyk,
            (space, _) => {
                let space = match space {
                    DataColorSpace::Gray => "grey",
                    DataColorSpace::Rgb => "RGB",
                    DataColorSpace::Cmyk => "CMYK",
                    _ => "another colour space",
                };
                let channels = channels.as_str();
                return Err(BrokenProfile(format!("it is for {space}, but the image is {channels}")));
            }
        };
        Self::from_device(&parsed, device)
    }

    /// The conversion for RGB pixels of these code points; `None` if it changes no colour by more than one level.
    ///
    /// # Errors
    /// [`BrokenProfile`] if there are no such colours.
    pub(crate) fn of_code_points(points: CodePoints) -> Result<Option<Self>, BrokenProfile> {
        let CodePoints { primaries, transfer } = points;
        let unknown = || {
            BrokenProfile(format!(
                "there are no colours of the primaries {primaries} and the transfer {transfer} in it"
            ))
        };
        let color_primaries = CicpColorPrimaries::try_from(primaries).map_err(|_| unknown())?;
        let transfer_characteristics = TransferCharacteristics::try_from(transfer).map_err(|_| unknown())?;
        let profile = ColorProfile::new_from_cicp(CicpProfile {
            color_primaries,
            transfer_characteristics,
            matrix_coefficients: MatrixCoefficients::Identity,
            full_range: true,
        });
        // What the engine has no numbers for leaves the profile without curves.
        if profile.red_trc.is_none() { Err(unknown()) } else { Self::from_device(&profile, DeviceColors::Rgb) }
    }

    fn from_device(profile: &ColorProfile, device: DeviceColors) -> Result<Option<Self>, BrokenProfile> {
        let broken = |error: moxcms::CmsError| BrokenProfile(error.to_string());
        let layout = match device {
            DeviceColors::Gray => Layout::Gray,
            DeviceColors::Rgb => Layout::Rgb,
            DeviceColors::Cmyk => Layout::Rgba,
        };
        let options =
            TransformOptions { rendering_intent: RenderingIntent::RelativeColorimetric, ..TransformOptions::default() };
        let transform =
            profile.create_transform_8bit(layout, &ColorProfile::new_srgb(), Layout::Rgb, options).map_err(broken)?;
        let conversion = Self { transform, device };
        Ok((!conversion.is_identity().map_err(broken)?).then_some(conversion))
    }

    /// Whether no colour of a 6×6×6 grid (of 52 greys) moves by more than one level.
    fn is_identity(&self) -> Result<bool, moxcms::CmsError> {
        let steps: Vec<u8> = (0..=255).step_by(51).collect();
        let colors: Vec<u8> = match self.device {
            DeviceColors::Cmyk => return Ok(false),
            DeviceColors::Gray => (0..=255).step_by(5).collect(),
            DeviceColors::Rgb => steps
                .iter()
                .flat_map(|red| steps.iter().flat_map(|green| steps.iter().flat_map(|blue| [*red, *green, *blue])))
                .collect(),
        };
        let expected: Vec<u8> = match self.device {
            DeviceColors::Gray => colors.iter().flat_map(|gray| [*gray; 3]).collect(),
            DeviceColors::Rgb | DeviceColors::Cmyk => colors.clone(),
        };
        let mut converted = vec![0; expected.len()];
        self.transform.transform(&colors, &mut converted)?;
        Ok(converted.iter().zip(&expected).all(|(actual, expected)| actual.abs_diff(*expected) <= 1))
    }

    /// The pixels in sRGB. Alpha is kept; the colours must not be premultiplied.
    ///
    /// # Errors
    /// [`BrokenProfile`] if the engine rejects the pixels.
    pub(crate) fn apply(&self, pixels: &Pixels) -> Result<Pixels, BrokenProfile> {
        let size = pixels.size();
        let data = pixels.data();
        let colors: Vec<u8> = match (self.device, pixels.channels()) {
            (DeviceColors::Gray, channels) => data.iter().step_by(channels.count()).copied().collect(),
            (DeviceColors::Rgb, Channels::Rgba) => {
                data.as_chunks::<4>().0.iter().flat_map(|[red, green, blue, _]| [*red, *green, *blue]).collect()
            }
            (DeviceColors::Rgb | DeviceColors::Cmyk, _) => data.to_vec(),
        };
        let mut converted = vec![0; data.len() / pixels.channels().count() * 3];
        self.transform.transform(&colors, &mut converted).map_err(|error| BrokenProfile(error.to_string()))?;
        let (channels, converted) = if pixels.channels() == Channels::Rgba {
            let alphas = data.iter().skip(3).step_by(4);
            let colors = converted.as_chunks::<3>().0.iter();
            let joined = colors.zip(alphas).flat_map(|([red, green, blue], alpha)| [*red, *green, *blue, *alpha]);
            (Channels::Rgba, joined.collect())
        } else {
            (Channels::Rgb, converted)
        };
        Pixels::try_new(size, channels, converted).map_err(|error| BrokenProfile(error.to_string()))
    }
}

/// A copy of the profile in which all tags that are not needed are unknown ones.
fn without_other_tags(profile: &[u8]) -> Result<Vec<u8>, BrokenProfile> {
    /// ICC.1, 7.2 and 7.3: the header, the number of tags, then 12 bytes for each, the signature first.
    const HEADER_BYTES: usize = 128;
    const TAG_BYTES: usize = 12;
    let mut copy = profile.to_vec();
    let (_, table) =
        copy.split_at_mut_checked(HEADER_BYTES).ok_or_else(|| BrokenProfile("it is too short".to_owned()))?;
    let (count, tags) =
        table.split_first_chunk_mut::<4>().ok_or_else(|| BrokenProfile("it is too short".to_owned()))?;
    let count = usize::try_from(u32::from_be_bytes(*count)).unwrap_or(usize::MAX);
    if count > MAX_TAGS {
        return Err(BrokenProfile(format!("it has {count} tags; accepted are at most {MAX_TAGS}")));
    }
    for tag in tags.chunks_exact_mut(TAG_BYTES).take(count) {
        if let Some(signature) = tag.first_chunk_mut::<4>()
            && !NEEDED_TAGS.iter().any(|needed| *needed == signature)
        {
            *signature = [0; 4];
        }
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    fn pixels(channels: Channels, data: &[u8]) -> Pixels {
        let width = u32::try_from(data.len() / channels.count()).expect("small");
        Pixels::try_new(Size::new(width, 1).expect("not zero"), channels, data.to_vec()).expect("the right length")
    }

    #[test]
    fn a_profile_that_is_srgb_converts_nothing() {
        let srgb = ColorProfile::new_srgb().encode().expect("a profile");
        assert!(Conversion::parse(&srgb, Channels::Rgb, false).expect("readable").is_none());
    }

    /// Expected values by the matrices of CSS Color 4, section 18: linear Display P3 → XYZ (D65) → linear sRGB.
    #[test]
    fn display_p3_becomes_srgb() {
        let p3 = ColorProfile::new_display_p3().encode().expect("a profile");
        let conversion = Conversion::parse(&p3, Channels::Rgb, false).expect("readable").expect("not sRGB");
        // (128 102 77) gives (132.99 100.72 73.11); white stays white.
        let converted = conversion.apply(&pixels(Channels::Rgb, &[128, 102, 77, 255, 255, 255])).expect("converted");
        for (actual, expected) in converted.data().iter().zip([133_u8, 101, 73, 255, 255, 255]) {
            assert!(actual.abs_diff(expected) <= 1, "{:?}", converted.data());
        }
        let with_alpha = conversion.apply(&pixels(Channels::Rgba, &[128, 102, 77, 9])).expect("converted");
        assert_eq!((with_alpha.data().len(), with_alpha.data()[3]), (4, 9));
    }

    #[test]
    fn a_grey_profile_belongs_to_grey_pictures() {
        let gray = ColorProfile::new_gray_with_gamma(1.0).encode().expect("a profile");
        let conversion = Conversion::parse(&gray, Channels::Rgb, true).expect("readable").expect("not sRGB");
        let converted = conversion.apply(&pixels(Channels::Rgb, &[55, 55, 55])).expect("converted");
        // Linear 55/255 = 0.2157 is 0.5017 in sRGB (IEC 61966-2-1): 128.
        assert!(converted.data().iter().all(|value| value.abs_diff(128) <= 1), "{:?}", converted.data());
        assert!(Conversion::parse(&gray, Channels::Rgb, false).is_err(), "colours have no grey profile");
    }

    #[test]
    fn a_broken_profile_is_an_error() {
        let srgb = ColorProfile::new_srgb().encode().expect("a profile");
        assert!(Conversion::parse(b"", Channels::Rgb, false).is_err());
        assert!(Conversion::parse(&srgb[..100], Channels::Rgb, false).is_err());
        assert!(Conversion::parse(&srgb, Channels::Cmyk, false).is_err());
    }
}
