//! `PRESET`: names for the settings that give the picture that a library would have made.

/// A name for settings, and nothing else: the settings, not the name, are in the spec of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// The word of `PRESET`.
    pub name: &'static str,
    sizes: &'static str,
    fit: &'static str,
    crop_round: &'static str,
    filter: &'static str,
}

/// The variables that shape the picture. A preset sets all of them; beside it, none may be set.
pub(super) const GEOMETRY: [&str; 4] = ["SIZES", "FIT", "CROP_ROUND", "FILTER"];

/// Names that a user may look for, of pictures that pixpipe does not make; and what to use, and why.
const REFUSED: [(&str, &str); 5] = [
    (
        "keras-nearest",
        "hf-vit-224, and load_img with interpolation=\"bilinear\": its default, nearest, keeps single pixels of the \
         photo, and pixpipe never leaves antialiasing out",
    ),
    (
        "keras-dataset",
        "hf-vit-224, and image_size=(224, 224): image_dataset_from_directory resizes without antialiasing, which \
         pixpipe never leaves out, but it leaves images of that size as they are",
    ),
    (
        "tf-resize",
        "hf-vit-224, and tf.image.resize with antialias=True: without it, its default, it has no antialiasing, which \
         pixpipe never leaves out",
    ),
    (
        "pytorch-fid",
        "fid-299: pytorch-fid resizes without antialiasing, which pixpipe never leaves out, but it leaves images of \
         299 px as they are",
    ),
    (
        "timm-border",
        "SIZES=224, FIT=contain, FILTER=bicubic and BACKGROUND=7c7468 in place of a preset: timm rounds the padding \
         otherwise, so the picture may lie one row or column apart",
    ),
];

/// `C@R`, the scaled short side R and the square C that is cut out of it.
const fn cut(name: &'static str, sizes: &'static str, crop_round: &'static str, filter: &'static str) -> Preset {
    Preset { name, sizes, fit: "cover", crop_round, filter }
}

const fn stretch(name: &'static str, sizes: &'static str, filter: &'static str) -> Preset {
    Preset { name, sizes, fit: "stretch", crop_round: "even", filter }
}

impl Preset {
    /// Every preset. The sources of the numbers are in docs/presets.md.
    pub const ALL: [Self; 11] = [
        cut("torchvision-256-224", "224@256", "even", "bilinear"),
        cut("torchvision-232-224", "224@232", "even", "bilinear"),
        cut("torchvision-342-299", "299@342", "even", "bilinear"),
        // R is floor(224 / crop_pct).
        cut("timm-875-224", "224@256", "even", "bicubic"),
        cut("timm-900-224", "224@248", "even", "bicubic"),
        cut("timm-950-224", "224@235", "even", "bicubic"),
        cut("timm-965-224", "224@232", "even", "bicubic"),
        cut("clip-224", "224@224", "even", "bicubic"),
        cut("hf-clip-224", "224@224", "floor", "bicubic"),
        stretch("hf-vit-224", "224", "bilinear"),
        stretch("fid-299", "299", "bicubic"),
    ];

    /// The preset of this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name == name)
    }

    /// The settings that it stands for: variable and text. All but those of the geometry may be set otherwise. The
    /// libraries decode every pixel and apply no profile, and lossless files keep what they would get.
    #[must_use]
    pub const fn settings(self) -> [(&'static str, &'static str); 7] {
        [
            ("SIZES", self.sizes),
            ("FIT", self.fit),
            ("CROP_ROUND", self.crop_round),
            ("FILTER", self.filter),
            ("DECODE", "exact"),
            ("COLOR", "ignore"),
            ("FORMAT", "png"),
        ]
    }
}

/// What to use in place of a preset that does not exist, and why, if the name is one that users look for.
pub(super) fn instead_of(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(refused, _)| *refused == name).map(|(_, instead)| *instead)
}
