//! Where JSON values end (RFC 8259), by the letter. Pure.
//!
//! Nearly all bytes are those of strings that nobody reads: eight at a time are looked at, once, for what ends a string or
//! must not stand in it.

use super::DEPTH_MAX;

/// A place in a text. Each step moves it on, or says that this is no JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    text: &'a str,
    at: usize,
    /// So many objects and arrays are open that have been entered.
    around: u32,
}

/// The text of a value or of a name, as it stands there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Text<'a> {
    pub(super) raw: &'a str,
    /// It is a string, and what is between its quotes means itself.
    pub(super) is_plain: bool,
}

/// This is no JSON, or nests deeper than anybody means it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NotJson;

/// What is open around a place: so many objects and arrays, and which of them are objects.
#[derive(Clone, Copy, Debug, Default)]
struct Nest {
    /// Those that are open around the value.
    around: u32,
    depth: u32,
    /// A bit for each, the innermost lowest.
    objects: u128,
}

/// What stands around an object and around an array.
pub(super) const OBJECT: [u8; 2] = *b"{}";
pub(super) const ARRAY: [u8; 2] = *b"[]";

/// Whether a text is one document.
pub(super) fn is_document(text: &str) -> bool {
    let mut place = Place::new(text);
    place.value().is_ok() && place.peek().is_none()
}

impl<'a> Place<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, around: 0 }
    }

    /// The next byte that is not white space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn enter(&mut self, open: u8) -> Result<(), NotJson> {
        self.expect(open)?;
        self.around += 1;
        Ok(())
    }

    fn leave(&mut self, close: u8) -> bool {
        let comes = self.eat(close);
        self.around -= u32::from(comes);
        comes
    }

    /// Enters an object or array, whose first byte must come next, has each of what is in it read, and leaves it.
    pub(super) fn each<E: From<NotJson>>(
        &mut self,
        [open, close]: [u8; 2],
        mut read: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.enter(open)?;
        if self.leave(close) {
            return Ok(());
        }
        loop {
            read(self)?;
            if self.leave(close) {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Passes over `byte` if it comes next.
    fn eat(&mut self, byte: u8) -> bool {
        let comes = self.peek() == Some(byte);
        self.at += usize::from(comes);
        comes
    }

    /// Passes over a punctuation mark that must come next.
    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.eat(byte) { Ok(()) } else { Err(NotJson) }
    }

    /// Passes over the name of a member and the colon after it.
    pub(super) fn name(&mut self) -> Result<Text<'a>, NotJson> {
        if self.peek() != Some(b'"') {
            return Err(NotJson);
        }
        let from = self.at;
        let is_plain = self.string()?;
        let name = Text { raw: &self.text[from..self.at], is_plain };
        self.expect(b':')?;
        Ok(name)
    }

    /// Passes over the next value.
    pub(super) fn value(&mut self) -> Result<Text<'a>, NotJson> {
        let (first, from) = (self.peek(), self.at);
        let is_plain = match first {
            Some(b'"') => self.string()?,
            Some(b'[' | b'{') => self.nested().map(|()| false)?,
            _ => self.scalar().map(|()| false)?,
        };
        Ok(Text { raw: &self.text[from..self.at], is_plain })
    }

    /// The text from a place before to this one.
    pub(super) fn since(&self, before: Self) -> &'a str {
        &self.text[before.at..self.at]
    }

    /// Passes over an array or an object, which begins here.
    fn nested(&mut self) -> Result<(), NotJson> {
        let mut nest = Nest { around: self.around, ..Nest::default() };
        loop {
            // A value is due.
            match self.peek() {
                Some(open @ (b'[' | b'{')) => {
                    self.at += 1;
                    nest.open(open == b'{')?;
                    if !self.eat(nest.closing()) {
                        self.member(&nest)?;
                        continue;
                    }
                    nest.close();
                }
                _ => self.scalar()?,
            }
            while nest.depth > 0 && !self.eat(b',') {
                self.expect(nest.closing())?;
                nest.close();
            }
            if nest.depth == 0 {
                return Ok(());
            }
            self.member(&nest)?;
        }
    }

    /// Passes over what stands before a value: in an object a name.
    fn member(&mut self, nest: &Nest) -> Result<(), NotJson> {
        if nest.is_object() { self.name().map(drop) } else { Ok(()) }
    }

    /// Passes over a value that holds no others.
    fn scalar(&mut self) -> Result<(), NotJson> {
        match self.peek().ok_or(NotJson)? {
            b'"' => self.string().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(NotJson),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), NotJson> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(NotJson);
        }
        self.at += word.len();
        Ok(())
    }

    /// Passes over a string, which begins here; whether it is plain.
    fn string(&mut self) -> Result<bool, NotJson> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        let mut is_plain = true;
        loop {
            self.at += special(&bytes[self.at..]);
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(is_plain);
                }
                Some(b'\\') => {
                    self.at += 1;
                    is_plain = false;
                    self.escape()?;
                }
                Some(_) | None => return Err(NotJson),
            }
        }
    }

    /// Passes over what follows a backslash.
    fn escape(&mut self) -> Result<(), NotJson> {
        let bytes = &self.text.as_bytes()[self.at..];
        self.at += match bytes.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 1,
            Some(b'u') => {
                let digits = bytes.get(1..5).ok_or(NotJson)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(NotJson);
                }
                5
            }
            Some(_) | None => return Err(NotJson),
        };
        Ok(())
    }

    /// Passes over a number, which begins here.
    fn number(&mut self) -> Result<(), NotJson> {
        self.take(|byte| byte == b'-');
        // No digit follows a zero at the begin.
        if !self.take(|byte| byte == b'0') {
            self.digits()?;
        }
        if self.take(|byte| byte == b'.') {
            self.digits()?;
        }
        if self.take(|byte| matches!(byte, b'e' | b'E')) {
            self.take(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let from = self.at;
        while self.take(|byte| byte.is_ascii_digit()) {}
        if self.at > from { Ok(()) } else { Err(NotJson) }
    }

    fn take(&mut self, fits: impl Fn(u8) -> bool) -> bool {
        let comes = self.text.as_bytes().get(self.at).is_some_and(|byte| fits(*byte));
        self.at += usize::from(comes);
        comes
    }
}

impl Nest {
    fn open(&mut self, is_object: bool) -> Result<(), NotJson> {
        const { assert!(DEPTH_MAX == u128::BITS as usize, "a bit for each that may be open") };
        if self.around + self.depth >= u128::BITS {
            return Err(NotJson);
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(is_object);
        Ok(())
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
    }

    fn is_object(&self) -> bool {
        self.objects & 1 == 1
    }

    /// What closes the innermost.
    fn closing(&self) -> u8 {
        if self.is_object() { b'}' } else { b']' }
    }
}

/// How many bytes mean nothing but themselves in a string: until a quote, a backslash, a control character or the end.
// By itself, so that what words are held against stays in registers.
#[inline(never)]
fn special(bytes: &[u8]) -> usize {
    let (pairs, rest) = bytes.as_chunks::<16>();
    for (place, pair) in pairs.iter().enumerate() {
        let (words, _) = pair.as_chunks();
        let [low, high] = [marked(u64::from_le_bytes(words[0])), marked(u64::from_le_bytes(words[1]))];
        if low | high != 0 {
            let (before, marks) = if low != 0 { (0, low) } else { (8, high) };
            return 16 * place + before + marks.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    16 * pairs.len() + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// The highest bit of the lowest byte that is special is set, and none below it: taking one from each byte borrows from the
/// next one only where it was zero.
fn marked(word: u64) -> u64 {
    let all = |byte: u8| u64::from_le_bytes([byte; 8]);
    let quote = (word ^ all(b'"')).wrapping_sub(all(1));
    let backslash = (word ^ all(b'\\')).wrapping_sub(all(1));
    let control = word.wrapping_sub(all(b' '));
    (quote | backslash | control) & !word & all(0x80)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    #[track_caller]
    fn check(text: &str) {
        assert_eq!(is_document(text), serde_json::from_str::<IgnoredAny>(text).is_ok(), "{text:?}");
    }

    #[test]
    fn values_are_what_a_general_parser_takes_for_them() {
        for text in [
            "",
            " ",
            "null",
            "nul",
            "nullx",
            "true",
            "tru",
            "false",
            "[]",
            "[ ]",
            "{}",
            "{ }",
            "[",
            "{",
            "]",
            "}",
            "[}",
            "{]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[[],{}]",
            "[[]",
            "[1]]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "{1:2}",
            "{\"a\":{\"b\":[1,{}]},\"c\":[[]]}",
            " \t\r\n[ \t1\r\n, 2 ] ",
            "\u{b}1",
            "0",
            "-0",
            "00",
            "01",
            "-",
            "-a",
            "1.",
            ".1",
            "1.5",
            "1e",
            "1e5",
            "1E+5",
            "1e-5",
            "1e+",
            "1.e5",
            "-1.25e10",
            "+1",
            "1 2",
            "\"",
            "\"a",
            "\"a\"",
            "\"\\\"",
            "\"\\\"\"",
            "\"\\\\\"",
            "\"\\/\\b\\f\\n\\r\\t\"",
            "\"\\x\"",
            "\"\\u00e4\"",
            "\"\\u00E4\"",
            "\"\\u00g4\"",
            "\"\\u00\"",
            "\"\\ud800\"",
            "\"\\",
            "\"a\nb\"",
            "\"a\u{1f}b\"",
            "\"a\u{7f}b\"",
            "\"\u{e4}\u{1f600}\"",
            "\"\u{2028}\"",
            "\u{feff}1",
            "[\"]\",\"}\"]",
            "{\"}\":\"{\"}",
            "'a'",
            "NaN",
            "Infinity",
            "/**/1",
        ] {
            check(text);
        }
    }

    #[test]
    fn a_value_is_cut_out_as_it_stands_there() {
        let mut place = Place::new(" {\"a\" : [1, {}] , \"b\":\"\\u0032\"}");
        place.expect(b'{').expect("an object");
        assert_eq!(place.name().map(|name| name.raw), Ok("\"a\""));
        let before = place;
        assert_eq!(place.value(), Ok(Text { raw: "[1, {}]", is_plain: false }));
        assert_eq!(place.since(before), " [1, {}]");
        assert!(place.eat(b','));
        assert_eq!(place.name(), Ok(Text { raw: "\"b\"", is_plain: true }));
        assert_eq!(place.value(), Ok(Text { raw: "\"\\u0032\"", is_plain: false }));
        assert!(place.eat(b'}') && place.peek().is_none());
    }

    #[test]
    fn what_nests_too_deep_is_refused_and_nothing_else() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(is_document(&nested(128)));
        assert!(!is_document(&nested(129)));
        assert!(is_document(&format!("[{}]", vec![nested(127); 500].join(","))));
    }

    proptest! {
        #[test]
        fn what_is_special_is_found_wherever_it_stands(plain in "[ -~\u{7f}-\u{2ff}]{0,40}", found in "[\"\\\\\x00-\x1f]?", more: String) {
            let plain = plain.replace(['"', '\\'], "!");
            let found_at = plain.len();
            let text = if found.is_empty() { plain } else { format!("{plain}{found}{more}") };
            prop_assert_eq!(special(text.as_bytes()), found_at);
        }

        #[test]
        fn no_text_is_read_otherwise(text in "[\\[\\]{}:,\"\\\\a0e.+\\- \\n-]{0,12}") {
            prop_assert_eq!(is_document(&text), serde_json::from_str::<IgnoredAny>(&text).is_ok());
        }

        #[test]
        fn no_document_is_read_otherwise_when_it_is_spoilt(
            words: Vec<String>, number: f64, at: prop::sample::Index, with in "[\\[\\]{}:,\"\\\\a0e.\\n]{0,2}",
        ) {
            let value = serde_json::json!({ "a": words, "b": [{ "c": number, "": null }, [], true], "d": {} });
            for text in [value.to_string(), serde_json::to_string_pretty(&value).expect("JSON")] {
                prop_assert!(is_document(&text), "{}", text);
                let at = text.floor_char_boundary(at.index(text.len()));
                let rest = text[at..].chars().next().map_or(0, char::len_utf8);
                let spoilt = format!("{}{with}{}", &text[..at], &text[at + rest..]);
                prop_assert_eq!(is_document(&spoilt), serde_json::from_str::<IgnoredAny>(&spoilt).is_ok(), "{}", spoilt);
            }
        }
    }
}
