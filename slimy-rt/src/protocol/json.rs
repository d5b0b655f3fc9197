//! JSON as text: checked once, then sliced.
//!
//! Packets keep their JSON as the text that arrived. [`validate`] is the gate; the other readers expect text that has
//! passed it, and give meaningless positions, but never panic, for text that has not.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// The deepest nesting that [`validate`] can follow: its stack is one bit per level.
pub(super) const MAX_DEPTH: usize = 128;

/// Why a text is not acceptable JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonError {
    /// It is not one JSON value.
    Syntax,
    /// Its arrays and objects nest too deeply.
    TooDeep,
}

/// Checks that `text` is one JSON value (RFC 8259) with whitespace around it at most, nested at most `max_depth` (and
/// never more than [`MAX_DEPTH`]) levels.
///
/// One pass without recursion or allocation. Escaped lone surrogates are valid, as they are to `JSON.parse`.
pub(super) fn validate(text: &str, max_depth: usize) -> Result<(), JsonError> {
    let bytes = text.as_bytes();
    let max_depth = max_depth.min(MAX_DEPTH);
    let mut depth = 0;
    // The kinds of the open brackets, the innermost in the lowest bit: set for an object.
    let mut objects = 0_u128;
    let mut at = skip_whitespace(bytes, 0);
    'value: loop {
        match bytes.get(at) {
            Some(&open @ (b'[' | b'{')) => {
                if depth == max_depth {
                    return Err(JsonError::TooDeep);
                }
                depth += 1;
                let object = open == b'{';
                objects = objects << 1 | u128::from(object);
                at = skip_whitespace(bytes, at + 1);
                // Brackets differ from their closing ones by two in ASCII. An empty pair is closed below.
                if bytes.get(at) != Some(&(open + 2)) {
                    if object {
                        at = key(bytes, at)?;
                    }
                    continue 'value;
                }
            }
            Some(b'"') => at = string(bytes, at)?,
            Some(b'-' | b'0'..=b'9') => at = number(bytes, at)?,
            Some(b't') => at = literal(bytes, at, b"true")?,
            Some(b'f') => at = literal(bytes, at, b"false")?,
            Some(b'n') => at = literal(bytes, at, b"null")?,
            _ => return Err(JsonError::Syntax),
        }
        loop {
            at = skip_whitespace(bytes, at);
            if depth == 0 {
                let complete = at == bytes.len();
                return if complete {
                    Ok(())
                } else {
                    Err(JsonError::Syntax)
                };
            }
            let object = objects & 1 == 1;
            match bytes.get(at) {
                Some(b',') => {
                    at = skip_whitespace(bytes, at + 1);
                    if object {
                        at = key(bytes, at)?;
                    }
                    continue 'value;
                }
                Some(b'}') if object => {}
                Some(b']') if !object => {}
                _ => return Err(JsonError::Syntax),
            }
            at += 1;
            depth -= 1;
            objects >>= 1;
        }
    }
}

/// Checks a member's name and colon; returns where its value starts.
fn key(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    if bytes.get(at) != Some(&b'"') {
        return Err(JsonError::Syntax);
    }
    let at = skip_whitespace(bytes, string(bytes, at)?);
    if bytes.get(at) != Some(&b':') {
        return Err(JsonError::Syntax);
    }
    Ok(skip_whitespace(bytes, at + 1))
}

/// Checks the string whose opening quote is at `at`; returns the position after the closing one.
fn string(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    let mut at = at + 1;
    loop {
        at = skip_plain(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => match bytes.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
                Some(b'u') => {
                    let digits = bytes.get(at + 2..at + 6).ok_or(JsonError::Syntax)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return Err(JsonError::Syntax);
                    }
                    at += 6;
                }
                _ => return Err(JsonError::Syntax),
            },
            _ => return Err(JsonError::Syntax),
        }
    }
}

/// Skips the characters of a string that mean themselves, eight at a time.
fn skip_plain(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // Borrows can only mark bytes above a byte that is marked rightly, so the lowest mark is always right.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    while let Some(&chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(chunk);
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let backslashes = zeros(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let special = (quotes | backslashes | controls) & HIGHS;
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte < 0x20 || byte == b'"' || byte == b'\\' {
            break;
        }
        at += 1;
    }
    at
}

/// Checks the number at `at`; returns the position after it.
fn number(bytes: &[u8], mut at: usize) -> Result<usize, JsonError> {
    let digits = |from: usize| {
        let end = skip_digits(bytes, from);
        if end == from {
            Err(JsonError::Syntax)
        } else {
            Ok(end)
        }
    };
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    at = if bytes.get(at) == Some(&b'0') {
        at + 1
    } else {
        digits(at)?
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        at = digits(at)?;
    }
    Ok(at)
}

/// Checks that `word` is at `at`; returns the position after it.
fn literal(bytes: &[u8], at: usize, word: &[u8]) -> Result<usize, JsonError> {
    if bytes[at..].starts_with(word) {
        Ok(at + word.len())
    } else {
        Err(JsonError::Syntax)
    }
}

/// The first position from `at` that holds no decimal digit.
pub(super) fn skip_digits(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

/// The first position from `at` that holds no JSON whitespace.
pub(super) fn skip_whitespace(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// `text` without the JSON whitespace around it.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

/// The position after the valid value that starts at `at`.
pub(super) fn skip_value(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(at) {
        at = match byte {
            b'"' => skip_string(bytes, at),
            b'[' | b'{' => {
                depth += 1;
                at + 1
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                at + 1
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => at + 1,
            _ => skip_scalar(bytes, at),
        };
        if depth == 0 {
            break;
        }
    }
    at
}

/// The position after the valid string whose opening quote is at `at`.
fn skip_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

/// The position after the valid number or literal at `at`.
fn skip_scalar(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        if let b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r' = byte {
            break;
        }
        at += 1;
    }
    at
}

/// Where the element after the one that ends at `end` starts, or where the closing bracket is.
pub(super) fn next_element(bytes: &[u8], end: usize) -> usize {
    let at = skip_whitespace(bytes, end);
    if bytes.get(at) == Some(&b',') {
        skip_whitespace(bytes, at + 1)
    } else {
        at
    }
}

/// What the inside of a valid string means. A lone surrogate becomes U+FFFD.
pub(super) fn unescape(raw: &str) -> Cow<'_, str> {
    if memchr(b'\\', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut tail = escape.chars();
        let meant = match tail.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let (meant, after) = unescape_unicode(tail.as_str());
                tail = after.chars();
                meant
            }
            Some(itself) => itself,
            None => char::REPLACEMENT_CHARACTER,
        };
        text.push(meant);
        rest = tail.as_str();
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Reads the digits after `\u`, and a second escape where both make one character; returns what follows too.
fn unescape_unicode(digits: &str) -> (char, &str) {
    let unit = |text: &str| text.get(..4).and_then(|d| u16::from_str_radix(d, 16).ok());
    let Some(first) = unit(digits) else {
        return (char::REPLACEMENT_CHARACTER, digits);
    };
    let after = &digits[4..];
    let second = after.strip_prefix("\\u").and_then(unit);
    if let Some(second) = second
        && let [Ok(both)] =
            *char::decode_utf16([first, second]).collect::<smallvec::SmallVec<[_; 2]>>()
    {
        return (both, &after[6..]);
    }
    let meant = char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER);
    (meant, after)
}

/// Appends `text` as a JSON string, escaped as `JSON.stringify` does.
pub(super) fn write_string(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => b'u',
            _ => continue,
        };
        out.push_str(&text[written..at]);
        written = at + 1;
        out.push('\\');
        out.push(short.into());
        if short == b'u' {
            out.push_str("00");
            out.push(HEX[usize::from(byte >> 4)].into());
            out.push(HEX[usize::from(byte & 15)].into());
        }
    }
    out.push_str(&text[written..]);
    out.push('"');
}

/// Whether every placeholder in the valid `text` names one of `attachments` attachments.
///
/// Keys are compared unescaped and the last of equal keys counts, as in JavaScript: what the check overlooked, a
/// receiving client would choke on. Recursion is as deep as `text` nests, which [`validate`] has bounded.
pub(super) fn placeholders_fit(text: &str, attachments: usize) -> bool {
    let start = skip_whitespace(text.as_bytes(), 0);
    Placeholders { text, attachments }.value(start).is_some()
}

/// The attachment that the valid `text` stands for, when it is a placeholder for one of `attachments`.
pub(super) fn placeholder(text: &str, attachments: usize) -> Option<usize> {
    if !text.starts_with('{') {
        return None;
    }
    Placeholders { text, attachments }.object(0)?.1
}

struct Placeholders<'a> {
    text: &'a str,
    attachments: usize,
}

impl Placeholders<'_> {
    /// The position after the value at `at`, or nothing when a placeholder in it does not fit.
    fn value(&self, at: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        match bytes.get(at)? {
            b'{' => self.object(at).map(|(end, _)| end),
            b'[' => {
                let mut at = skip_whitespace(bytes, at + 1);
                while *bytes.get(at)? != b']' {
                    at = next_element(bytes, self.value(at)?);
                }
                Some(at + 1)
            }
            b'"' => Some(skip_string(bytes, at)),
            // Without progress the text is not valid, and the loops would not end.
            _ => Some(skip_scalar(bytes, at)).filter(|&end| end > at),
        }
    }

    /// Like [`Self::value`] for the object at `at`, with the index of the attachment it stands for.
    fn object(&self, at: usize) -> Option<(usize, Option<usize>)> {
        let bytes = self.text.as_bytes();
        let (mut is_placeholder, mut num) = (false, None);
        let mut at = skip_whitespace(bytes, at + 1);
        while *bytes.get(at)? != b'}' {
            let key_end = skip_string(bytes, at);
            let key = unescape(self.text.get(at + 1..key_end - 1)?);
            // Past the colon.
            let start = skip_whitespace(bytes, skip_whitespace(bytes, key_end) + 1);
            let end = self.value(start)?;
            match &*key {
                "_placeholder" => is_placeholder = &self.text[start..end] == "true",
                "num" => num = self.index(&self.text[start..end]),
                _ => {}
            }
            at = next_element(bytes, end);
        }
        if is_placeholder && num.is_none() {
            return None;
        }
        Some((at + 1, num.filter(|_| is_placeholder)))
    }

    /// The index that a JSON number names, if there is such an attachment. To JavaScript `1.0` is 1.
    fn index(&self, number: &str) -> Option<usize> {
        let number: f64 = number.parse().ok()?;
        (0..self.attachments).find(|&index| index as f64 == number)
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
