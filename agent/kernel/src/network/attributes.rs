//! Attributes: fields of netlink messages, each with its length and kind before it (netlink(7)).
//!
//! For what netlink-packet-route does not know: numbers of nftables are big-endian on the wire.

/// A field that holds others.
const NESTED: u16 = 1 << 15;
/// The header's length, and what every field begins at a multiple of.
const HEADER: usize = 4;

/// Fields, one after the other.
#[derive(Debug, Default, Clone)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    /// A field of bytes as they are.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(HEADER + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(HEADER), 0);
    }

    /// A text, which the kernel wants to end with a NUL byte.
    pub(crate) fn text(&mut self, kind: u16, text: &str) {
        self.bytes(kind, &[text.as_bytes(), &[0]].concat());
    }

    /// A big-endian number.
    pub(crate) fn number(&mut self, kind: u16, number: u32) {
        self.bytes(kind, &number.to_be_bytes());
    }

    /// Fields within a field.
    pub(crate) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(NESTED | kind, &inner.0);
    }

    /// What goes on the wire.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_padded_and_their_lengths_are_not() {
        let mut fields = Attributes::default();
        fields.text(1, "ab");
        fields.nested(2, |inner| inner.number(3, 0x0102_0304));
        let expected = [
            [7, 0, 1, 0, b'a', b'b', 0, 0].as_slice(),
            &[12, 0, 2, 0x80, 8, 0, 3, 0, 1, 2, 3, 4],
        ];
        assert_eq!(fields.into_bytes(), expected.concat());
    }
}
