//! Where the chat follows JavaScript to the letter: what `trim` removes, and how a number reads as text.

/// Whether `String.prototype.trim` removes this character (ECMAScript: WhiteSpace and LineTerminator).
///
/// Unicode's White_Space differs in two: U+FEFF is trimmed, U+0085 is not.
fn is_trimmed(c: char) -> bool {
    c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}')
}

/// `text` without what `String.prototype.trim` removes from both ends.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_trimmed)
}

/// The text of a JSON number, or `None` for a zero, which is falsy.
///
/// An integer keeps its digits as written, since identifiers exceed what a double can hold. Anything else reads as
/// `String(number)` does (ECMAScript: `Number::toString`).
pub(super) fn number_text(written: &str) -> Option<String> {
    if !written.contains(['.', 'e', 'E']) {
        return (!matches!(written, "0" | "-0")).then(|| written.to_owned());
    }
    let value: f64 = written.parse().ok()?;
    if value == 0.0 {
        return None;
    }
    let sign = if value < 0.0 { "-" } else { "" };
    if value.is_infinite() {
        return Some(format!("{sign}Infinity"));
    }
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    Some(format!(
        "{sign}{}",
        decimal(&mantissa.replace('.', ""), exponent)
    ))
}

/// The shortest digits of a number, of which the first stands for `10^exponent`, in ECMAScript's notation.
fn decimal(digits: &str, exponent: i32) -> String {
    let count = digits.len();
    match usize::try_from(exponent) {
        Ok(place) if place < 21 && count <= place + 1 => {
            format!("{digits}{}", "0".repeat(place + 1 - count))
        }
        Ok(place) if place < 21 => {
            format!("{}.{}", &digits[..=place], &digits[place + 1..])
        }
        Err(_) if exponent >= -6 => {
            let zeros = exponent.unsigned_abs() as usize - 1;
            format!("0.{}{digits}", "0".repeat(zeros))
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            format!("{first}{point}{rest}e{exponent:+}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trims_what_javascript_trims() {
        let white = "\u{9}\u{a}\u{b}\u{c}\u{d} \u{a0}\u{1680}\u{2000}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}";
        let (around, inside) = (format!("{white}a {white}b{white}"), format!("a {white}b"));
        assert_eq!(trim(&around), inside);
        assert_eq!(trim(white), "");
        for kept in ["\u{85}", "\u{200b}", "\u{180e}", "\u{0}"] {
            assert_eq!(trim(kept), kept, "{kept:?}");
        }
    }

    #[test]
    fn numbers_read_as_in_javascript() {
        let table = [
            ("1176605506912141444", "1176605506912141444"),
            ("99999999999999999999999999", "99999999999999999999999999"),
            ("-7", "-7"),
            ("1.0", "1"),
            ("1.5", "1.5"),
            ("-1.5", "-1.5"),
            ("123.456", "123.456"),
            ("1e3", "1000"),
            ("12E+2", "1200"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("1.25e21", "1.25e+21"),
            ("0.1", "0.1"),
            ("1e-6", "0.000001"),
            ("1.5e-6", "0.0000015"),
            ("1e-7", "1e-7"),
            ("-1.5e-7", "-1.5e-7"),
            ("9007199254740993.0", "9007199254740992"),
            ("1e999", "Infinity"),
            ("-1e999", "-Infinity"),
        ];
        for (written, text) in table {
            assert_eq!(number_text(written).as_deref(), Some(text), "{written}");
        }
        for zero in ["0", "-0", "0.0", "-0.0", "0e5", "1e-999"] {
            assert_eq!(number_text(zero), None, "{zero}");
        }
    }
}
