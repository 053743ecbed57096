//! Text of others on one line: names and messages must not forge a line of the log, or move the cursor of a terminal.

/// The text with its control characters and line separators escaped, and nothing else.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_breaks_a_line_is_escaped() {
        let cases = [
            ("it's \"fine\" \\ ü 📷", "it's \"fine\" \\ ü 📷"),
            ("a\nERROR forged", "a\\nERROR forged"),
            ("\u{1b}[31m\r\t\0", "\\u{1b}[31m\\r\\t\\u{0}"),
            ("\u{85}\u{2028}", "\\u{85}\\u{2028}"),
        ];
        for (text, expected) in cases {
            assert_eq!(one_line(text), expected);
        }
    }
}
