//! Names and words that are near to those of the contract.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;

use super::VARIABLES;
use crate::one_line::one_line;

/// A variable that is not ours and looks like one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misspelt {
    /// Its name.
    pub name: String,
    /// The variable that may be meant.
    pub meant: &'static str,
}

impl Misspelt {
    /// All of them among the variables of the process, each name once.
    pub fn all<'v>(vars: impl IntoIterator<Item = &'v (OsString, OsString)>) -> Vec<Self> {
        let names: BTreeSet<String> = vars.into_iter().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        let is_other = |name: &String| VARIABLES.iter().all(|variable| variable.name != name);
        let meant = |name: String| {
            let meant = nearest(&name, VARIABLES.iter().map(|variable| variable.name))?;
            Some(Self { name, meant })
        };
        names.into_iter().filter(is_other).filter_map(meant).collect()
    }
}

impl fmt::Display for Misspelt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the variable {} is not known and has no effect: is {} meant?", one_line(&self.name), self.meant)
    }
}

/// The question whether a word of `accepts` is meant, if one is near.
pub(super) fn meant(accepts: &str, text: &str) -> String {
    let words = || accepts.split(", ").flat_map(|part| part.split(" or "));
    // A list of words, not a sentence or a pattern.
    let is_list = words().all(|word| word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
    nearest(text, words().filter(|_| is_list)).map_or(String::new(), |word| format!("; is {word} meant?"))
}

/// The word of `words` that is nearest to `text`, if it is near enough: at most two letters are missing, too many,
/// others or swapped, in a short word one. Upper and lower case count as the same letter.
fn nearest<'w>(text: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let text = text.to_lowercase();
    let distance = |word: &str| strsim::osa_distance(&text, &word.to_lowercase());
    let near = words.into_iter().map(|word| (distance(word), word));
    let near = near.filter(|(distance, word)| *distance <= if word.chars().count() <= 5 { 1 } else { 2 });
    near.min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_has_a_nearest_word_and_another_word_has_none() {
        let words = ["SIZES", "FIT", "FORMAT", "DEST_BUCKET", "STORE", "COLOR"];
        let cases = [
            ("SIZE", Some("SIZES")),
            ("sizes", Some("SIZES")),
            ("FORMATS", Some("FORMAT")),
            ("DEST_BUKCET", Some("DEST_BUCKET")),
            ("DEST_BUKET", Some("DEST_BUCKET")),
            ("COLOUR", Some("COLOR")),
            ("FIT", Some("FIT")),
            ("GIT", Some("FIT")),
            ("HOME", None),
            ("PATH", None),
            ("COLORTERM", None),
            ("HOSTNAME", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(nearest(text, words), expected, "{text}");
        }
    }

    #[test]
    fn a_misspelt_name_is_told_from_the_variables_of_others() {
        let vars = ["SIZE", "SIZES", "DEST_BUKET", "HOME", "PATH", "AWS_REGION", "SIZE", "SQS_BODY", "TERM", "USER"];
        let vars = vars.map(|name| (name.into(), "x".into()));
        let found: Vec<String> = Misspelt::all(&vars).iter().map(ToString::to_string).collect();
        let expected = [("DEST_BUKET", "DEST_BUCKET"), ("SIZE", "SIZES")]
            .map(|(name, meant)| format!("the variable {name} is not known and has no effect: is {meant} meant?"));
        assert_eq!(found, expected);
    }
}
