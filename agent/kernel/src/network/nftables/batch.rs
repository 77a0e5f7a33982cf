//! Batches: messages of nftables that the kernel takes together.
//!
//! The layout is that of linux/netfilter/nf_tables.h; the messages' names here are `nft`'s words.

use crate::network::attributes::Attributes;

use super::rules::{Chain, Expression, Set};

/// The subsystem `NFNL_SUBSYS_NFTABLES` and the two messages around a batch.
const NFTABLES: u16 = 10;
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;

/// Messages of the subsystem, `enum nf_tables_msg_types`.
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_ELEMENT: u16 = 12;
const GET_ELEMENTS: u16 = 13;
const DELETE_ELEMENT: u16 = 14;

/// Flags of netlink messages.
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

const HEADER: usize = 16;
/// `NLMSG_ERROR`, which an acknowledgement is, too.
const ERROR: u16 = 2;
/// `NLMSG_DONE`, at the end of a list.
const DONE: u16 = 3;
/// `NLM_F_DUMP`: a list is asked for.
const LIST: u16 = 0x300;

/// Which packets a table sees; numbers are `NFPROTO_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Those of IPv4.
    Ip = 2,
    /// Frames on bridges.
    Bridge = 7,
}

/// Messages that are sent together, all about tables of one name.
#[derive(Debug)]
pub(super) struct Batch {
    table: String,
    messages: Vec<Message>,
    /// Whether it is one message that needs no batch around it.
    alone: bool,
}

#[derive(Debug)]
struct Message {
    what: &'static str,
    kind: u16,
    flags: u16,
    family: u8,
    attributes: Attributes,
}

impl Batch {
    pub(super) fn new(table: &str) -> Self {
        Self {
            table: table.to_owned(),
            messages: Vec::new(),
            alone: false,
        }
    }

    /// One message of another subsystem, which knows no batches.
    pub(super) fn alone(&mut self, kind: u16, attributes: Attributes) {
        self.alone = true;
        self.messages = vec![Message {
            what: "the message",
            kind,
            flags: 0,
            family: 0,
            attributes,
        }];
    }

    /// An empty table, whatever there was.
    pub(super) fn table_anew(&mut self, family: Family) {
        self.table_away(family);
        self.table("add table", NEW_TABLE, CREATE, family);
    }

    /// No table, whatever there was: only what is there can be deleted.
    pub(super) fn table_away(&mut self, family: Family) {
        self.table("add table", NEW_TABLE, CREATE, family);
        self.table("delete table", DELETE_TABLE, 0, family);
    }

    fn table(&mut self, what: &'static str, kind: u16, flags: u16, family: Family) {
        const NAME: u16 = 1;
        let mut fields = Attributes::default();
        fields.text(NAME, &self.table);
        self.push(what, kind, flags, family, fields);
    }

    /// A chain that the kernel calls; what none of its rules decides passes.
    pub(super) fn chain(&mut self, family: Family, chain: &Chain) {
        const TABLE: u16 = 1;
        const NAME: u16 = 3;
        const HOOK: u16 = 4;
        const TYPE: u16 = 7;
        const HOOK_NUMBER: u16 = 1;
        const HOOK_PRIORITY: u16 = 2;
        let mut fields = Attributes::default();
        fields.text(TABLE, &self.table);
        fields.text(NAME, chain.name);
        fields.nested(HOOK, |hook| {
            hook.number(HOOK_NUMBER, chain.hook);
            hook.bytes(HOOK_PRIORITY, &chain.priority.to_be_bytes());
        });
        fields.text(TYPE, chain.kind);
        self.push("add chain", NEW_CHAIN, CREATE, family, fields);
    }

    /// A rule at the end of a chain; `what` tells of it in an error.
    pub(super) fn rule(
        &mut self,
        family: Family,
        chain: &Chain,
        what: &'static str,
        expressions: &[Expression<'_>],
    ) {
        const TABLE: u16 = 1;
        const CHAIN: u16 = 2;
        const EXPRESSIONS: u16 = 4;
        const ELEMENT: u16 = 1;
        let mut fields = Attributes::default();
        fields.text(TABLE, &self.table);
        fields.text(CHAIN, chain.name);
        fields.nested(EXPRESSIONS, |list| {
            for expression in expressions {
                list.nested(ELEMENT, |element| expression.write(element));
            }
        });
        self.push(what, NEW_RULE, CREATE | APPEND, family, fields);
    }

    /// An empty set or map.
    pub(super) fn set(&mut self, family: Family, set: &Set) {
        const TABLE: u16 = 1;
        const NAME: u16 = 2;
        const FLAGS: u16 = 3;
        const KEY_TYPE: u16 = 4;
        const KEY_LENGTH: u16 = 5;
        const DATA_TYPE: u16 = 6;
        const DATA_LENGTH: u16 = 7;
        const ID: u16 = 10;
        /// `NFT_SET_MAP`.
        const MAP: u32 = 8;
        let mut fields = Attributes::default();
        fields.text(TABLE, &self.table);
        fields.text(NAME, set.name);
        fields.number(FLAGS, if set.data.is_some() { MAP } else { 0 });
        fields.number(KEY_TYPE, set.key.0);
        fields.number(KEY_LENGTH, set.key.1);
        if let Some((kind, length)) = set.data {
            fields.number(DATA_TYPE, kind);
            fields.number(DATA_LENGTH, length);
        }
        // Names a set of this batch in other messages of it, which name it by its name here.
        fields.number(ID, 1);
        self.push("add set", NEW_SET, CREATE, family, fields);
    }

    /// An element that is not there yet.
    pub(super) fn add(&mut self, family: Family, set: &Set, what: &'static str, element: &Element) {
        let fields = self.elements(set, element);
        self.push(what, NEW_ELEMENT, CREATE | EXCLUSIVE, family, fields);
    }

    /// An element that is there.
    pub(super) fn delete(&mut self, family: Family, set: &Set, element: &Element) {
        let fields = self.elements(set, element);
        self.push("delete element", DELETE_ELEMENT, 0, family, fields);
    }

    /// All elements, as a question by itself.
    pub(super) fn list(&mut self, family: Family, set: &Set) {
        const TABLE: u16 = 1;
        const SET: u16 = 2;
        let mut fields = Attributes::default();
        fields.text(TABLE, &self.table);
        fields.text(SET, set.name);
        self.alone = true;
        self.push("list set", GET_ELEMENTS, LIST, family, fields);
    }

    fn elements(&self, set: &Set, element: &Element) -> Attributes {
        const TABLE: u16 = 1;
        const SET: u16 = 2;
        const ELEMENTS: u16 = 3;
        const ELEMENT: u16 = 1;
        const KEY: u16 = 1;
        const DATA: u16 = 2;
        const VALUE: u16 = 1;
        let mut fields = Attributes::default();
        fields.text(TABLE, &self.table);
        fields.text(SET, set.name);
        fields.nested(ELEMENTS, |list| {
            list.nested(ELEMENT, |one| {
                one.nested(KEY, |key| key.bytes(VALUE, &element.key));
                if let Some(data) = &element.data {
                    one.nested(DATA, |value| value.bytes(VALUE, data));
                }
            });
        });
        fields
    }

    fn push(
        &mut self,
        what: &'static str,
        kind: u16,
        flags: u16,
        family: Family,
        attributes: Attributes,
    ) {
        self.messages.push(Message {
            what,
            kind: (NFTABLES << 8) | kind,
            flags,
            family: family as u8,
            attributes,
        });
    }

    /// The bytes, with message numbers from `first` up, and what each message is; none for what is not
    /// answered.
    pub(super) fn finish(self, first: u32) -> (Vec<u8>, Vec<Option<&'static str>>) {
        let mut bytes = Vec::new();
        let mut whats = Vec::new();
        let mut write = |what: Option<&'static str>, kind, flags, family, fields: &[u8], about| {
            let sequence = first.wrapping_add(u32::try_from(whats.len()).unwrap_or(0));
            // The header's family, version and, big-endian, the subsystem that a batch is for.
            let length = HEADER + 4 + fields.len();
            bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
            bytes.extend(u16::to_ne_bytes(kind));
            bytes.extend(u16::to_ne_bytes(REQUEST | flags));
            bytes.extend(sequence.to_ne_bytes());
            bytes.extend(0_u32.to_ne_bytes());
            bytes.extend([family, 0]);
            bytes.extend(u16::to_be_bytes(about));
            bytes.extend(fields);
            whats.push(what);
        };
        if !self.alone {
            write(None, BEGIN, 0, 0, &[], NFTABLES);
        }
        for message in self.messages {
            let flags = message.flags | ACKNOWLEDGE;
            let fields = message.attributes.into_bytes();
            write(
                Some(message.what),
                message.kind,
                flags,
                message.family,
                &fields,
                0,
            );
        }
        if !self.alone {
            write(None, END, 0, 0, &[], NFTABLES);
        }
        (bytes, whats)
    }
}

/// An element of a set, or of a map.
#[derive(Debug)]
pub(super) struct Element {
    /// Each part at a multiple of four bytes.
    pub(super) key: Vec<u8>,
    /// The same.
    pub(super) data: Option<Vec<u8>>,
}

/// A part of a list of elements.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) elements: usize,
    /// Whether nothing comes after it.
    pub(super) is_last: bool,
    /// The kernel's number, negative.
    pub(super) error: Option<i32>,
}

/// What a datagram holds of the list that was asked for with this number.
pub(super) fn listed(bytes: &[u8], number: u32) -> Listed {
    const ELEMENTS: u16 = 3;
    let mut part = Listed::default();
    let mut rest = bytes;
    while let Some((length, kind, sequence)) = header(rest) {
        let message = rest.get(HEADER..length).unwrap_or_default();
        match kind {
            _ if sequence != number => {}
            ERROR => part.error = message.first_chunk().map(|code| i32::from_ne_bytes(*code)),
            DONE => part.is_last = true,
            // Behind the subsystem's own header of four bytes.
            _ => {
                let fields = fields(message.get(4..).unwrap_or_default());
                let lists = fields.filter(|(kind, _)| *kind == ELEMENTS);
                part.elements += lists
                    .map(|(_, list)| self::fields(list).count())
                    .sum::<usize>();
            }
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    part
}

/// The length, kind and number of the message at the start.
fn header(bytes: &[u8]) -> Option<(usize, u16, u32)> {
    let header = bytes.first_chunk::<HEADER>()?;
    let word = |at: usize| {
        u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let length = (word(0) as usize).max(HEADER);
    Some((length, u16::from_ne_bytes([header[4], header[5]]), word(8)))
}

/// Fields one after the other, with their kinds.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// Flags: it holds others, and their order of bytes.
    const FLAGS: u16 = 0xc000;
    std::iter::from_fn(move || {
        let head = bytes.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]])).max(4);
        let kind = u16::from_ne_bytes([head[2], head[3]]) & !FLAGS;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The message numbers and error numbers of a datagram's answers; 0 is none.
pub(super) fn answers(bytes: &[u8]) -> Vec<(u32, i32)> {
    let mut answers = Vec::new();
    let mut rest = bytes;
    while rest.len() >= HEADER + 4 {
        let word = |at: usize| {
            let bytes = rest[at..at + 4].try_into().unwrap_or_default();
            u32::from_ne_bytes(bytes)
        };
        let kind = u16::from_ne_bytes([rest[4], rest[5]]);
        if kind == ERROR {
            answers.push((word(8), word(HEADER).cast_signed()));
        }
        let length = (word(0) as usize).max(HEADER).next_multiple_of(4);
        rest = rest.get(length..).unwrap_or_default();
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_numbered_through_and_its_frame_is_not_answered() {
        let mut batch = Batch::new("t");
        batch.table_away(Family::Bridge);
        let (bytes, whats) = batch.finish(7);
        assert_eq!(whats, [None, Some("add table"), Some("delete table"), None]);
        // Begin: 20 bytes of this type, number and subsystem.
        let begin = [
            20, 0, 0, 0, 0x10, 0, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10,
        ];
        assert_eq!(bytes[..20], begin);
        let table = [
            28, 0, 0, 0, 0, 10, 5, 4, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 6, 0, 1, 0, b't', 0, 0, 0,
        ];
        assert_eq!(bytes[20..48], table);
    }

    #[test]
    fn a_list_is_counted_up_to_its_end_whatever_is_cut_off() {
        let mut elements = Attributes::default();
        elements.text(1, "t");
        elements.nested(3, |list| {
            for key in [1_u8, 2, 3] {
                list.nested(1, |one| one.bytes(1, &[key]));
            }
        });
        let message = |kind: u16, number: u32, content: &[u8]| {
            let length = u32::try_from(HEADER + content.len()).unwrap_or(0);
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([2, 0]);
            bytes.extend(number.to_ne_bytes());
            bytes.extend([0; 4]);
            bytes.extend(content);
            bytes
        };
        let of_set = [&[2, 0, 0, 0][..], &elements.into_bytes()].concat();
        let part = message((NFTABLES << 8) | NEW_ELEMENT, 5, &of_set);
        let whole = [part.clone(), part, message(DONE, 5, &[0; 4])].concat();
        let counted = |elements, is_last, error| Listed {
            elements,
            is_last,
            error,
        };
        assert_eq!(listed(&whole, 5), counted(6, true, None));
        assert_eq!(listed(&whole, 6), Listed::default());
        for length in 0..whole.len() {
            assert!(listed(&whole[..length], 5).elements <= 6);
        }
        let refused = message(ERROR, 5, &(-2_i32).to_ne_bytes());
        assert_eq!(listed(&refused, 5), counted(0, false, Some(-2)));
    }

    #[test]
    fn answers_are_read_whatever_is_cut_off() {
        let mut answer = vec![36, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0];
        answer.extend((-17_i32).to_ne_bytes());
        answer.resize(36, 0);
        let two = [answer.clone(), answer.clone()].concat();
        assert_eq!(answers(&two), [(9, -17), (9, -17)]);
        for length in 0..two.len() {
            assert!(answers(&two[..length]).len() <= 2);
        }
    }
}
