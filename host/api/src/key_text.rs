//! Keys as text: percent-encoded, as in the path of `/v1/kv`, so that what a list shows can be pasted into a URL.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// What stays as it is: RFC 3986's unreserved characters, and the slash, as keys are often paths.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A key as text.
#[must_use]
pub fn encode_key(key: &[u8]) -> String {
    percent_encode(key, ENCODED).to_string()
}

/// The key of a text: the inverse of [`encode_key`]; text that is not encoded stands for its own bytes.
#[must_use]
pub fn decode_key(text: &str) -> Bytes {
    if text.contains('%') {
        percent_decode(text.as_bytes()).collect::<Vec<_>>().into()
    } else {
        Bytes::copy_from_slice(text.as_bytes())
    }
}

/// The value of a parameter in a query string, where a plus stands for a space, as forms have it.
pub(crate) fn decode_parameter(text: &str) -> Bytes {
    if text.contains('+') { decode_key(&text.replace('+', " ")) } else { decode_key(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_comes_back_from_its_text() {
        for key in [&b"user/7"[..], b"", b"\0\xff%", "z\u{fc}rich \u{1f980}".as_bytes(), b"a+b c&d=e?f#g"] {
            assert_eq!(decode_key(&encode_key(key)), key);
        }
        assert_eq!(encode_key(b"a/b c"), "a/b%20c");
        assert_eq!(decode_parameter("a+b%2Bc"), &b"a b+c"[..]);
    }
}
