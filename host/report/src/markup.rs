//! Text that becomes markup: escaped, and no longer than there is room for.

use std::fmt::{self, Write as _};

/// A text between tags or within quotation marks. What XML can't say at all becomes a question mark.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for sign in self.0.chars() {
            match sign {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(sign)?,
                '\u{fffe}' | '\u{ffff}' => f.write_char('?')?,
                // Marks that turn the direction of what follows could make a page say what it does not.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => f.write_char('?')?,
                sign if sign.is_control() => f.write_char('?')?,
                sign => f.write_char(sign)?,
            }
        }
        Ok(())
    }
}

/// The text, or its beginning and an ellipsis where it has more than `most` characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_markup_is_escaped() {
        let hostile = "a<script>alert(\"1\")</script>&'\u{0}\u{1b}\u{202e}\u{ffff}é\n";
        assert_eq!(Escaped(hostile).to_string(), "a&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;????é\n");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("wörld", 5), "wörld");
        assert_eq!(cut("wörlds", 3), "wö…");
        assert_eq!(cut("ab", 0), "…");
    }
}
