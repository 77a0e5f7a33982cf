//! A message written piece by piece, so that a large answer never stands in memory as messages.
//!
//! In JSON a list is there also where it is empty, as in Mesos' own answers of this kind, and the
//! text comes in pieces; protobuf puts the length of a message before it, and comes as a whole.

use std::vec;

use crate::Described;
use prost::encoding::{self, WireType};

use super::negotiate::Media;

/// The fields of a message, in order.
#[derive(Default)]
pub struct Fields<'a>(Vec<Field<'a>>);

/// One field, by its number and name.
struct Field<'a> {
    number: u32,
    name: &'static str,
    content: Content<'a>,
}

/// What a field holds.
enum Content<'a> {
    /// An enum's value.
    Value(i32, &'static str),
    Double(f64),
    Message(Fields<'a>),
    List(Box<dyn Items + Send + 'a>),
}

/// The messages of a list, made one by one.
trait Items {
    /// The next one as JSON.
    fn next_json(&mut self) -> Option<String>;
    /// All the others, as the field of this number.
    fn encode(&mut self, number: u32, out: &mut Vec<u8>);
}

struct List<I, J> {
    items: I,
    json: J,
}

impl<M, I, J> Items for List<I, J>
where
    M: Described,
    I: Iterator<Item = M>,
    J: Fn(&M) -> String,
{
    fn next_json(&mut self) -> Option<String> {
        self.items.next().map(|item| (self.json)(&item))
    }

    fn encode(&mut self, number: u32, out: &mut Vec<u8>) {
        for item in &mut self.items {
            encoding::message::encode(number, &item, out);
        }
    }
}

impl<'a> Fields<'a> {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an enum's value.
    pub fn value(self, number: u32, name: &'static str, value: (i32, &'static str)) -> Self {
        self.put(number, name, Content::Value(value.0, value.1))
    }

    /// Appends a number.
    pub fn double(self, number: u32, name: &'static str, value: f64) -> Self {
        self.put(number, name, Content::Double(value))
    }

    /// Appends a message.
    pub fn message(self, number: u32, name: &'static str, fields: Self) -> Self {
        self.put(number, name, Content::Message(fields))
    }

    /// Appends a list of messages.
    pub fn list<M: Described + 'a>(
        self,
        number: u32,
        name: &'static str,
        items: impl Iterator<Item = M> + Send + 'a,
    ) -> Self {
        self.list_as(number, name, items, crate::json::to_json)
    }

    /// The same, where the JSON of an item is not just that of its message.
    pub fn list_as<M: Described + 'a>(
        self,
        number: u32,
        name: &'static str,
        items: impl Iterator<Item = M> + Send + 'a,
        json: impl Fn(&M) -> String + Send + 'a,
    ) -> Self {
        let list = List { items, json };
        self.put(number, name, Content::List(Box::new(list)))
    }

    fn put(mut self, number: u32, name: &'static str, content: Content<'a>) -> Self {
        self.0.push(Field {
            number,
            name,
            content,
        });
        self
    }

    /// The message as JSON, in pieces of an item at most.
    pub fn into_json(self) -> Json<'a> {
        Json {
            open: vec![Open::new(Inside::Message(self.0.into_iter()))],
        }
    }

    /// The message as a whole.
    pub fn into_bytes(self, media: Media) -> Vec<u8> {
        match media {
            Media::Json => self.into_json().collect::<String>().into_bytes(),
            Media::Protobuf => {
                let mut out = Vec::new();
                self.encode(&mut out);
                out
            }
        }
    }

    fn encode(self, out: &mut Vec<u8>) {
        for Field {
            number, content, ..
        } in self.0
        {
            match content {
                Content::Value(value, _) => encoding::int32::encode(number, &value, out),
                Content::Double(value) => encoding::double::encode(number, &value, out),
                Content::Message(fields) => {
                    let inner = fields.into_bytes(Media::Protobuf);
                    encoding::encode_key(number, WireType::LengthDelimited, out);
                    encoding::encode_varint(inner.len() as u64, out);
                    out.extend_from_slice(&inner);
                }
                Content::List(mut items) => items.encode(number, out),
            }
        }
    }
}

/// JSON in pieces.
pub struct Json<'a> {
    /// What is begun and not ended, the outermost first.
    open: Vec<Open<'a>>,
}

/// A message or list that is being written.
struct Open<'a> {
    inside: Inside<'a>,
    is_empty: bool,
}

enum Inside<'a> {
    Message(vec::IntoIter<Field<'a>>),
    List(Box<dyn Items + Send + 'a>),
}

impl<'a> Open<'a> {
    const fn new(inside: Inside<'a>) -> Self {
        Self {
            inside,
            is_empty: true,
        }
    }

    /// The brackets around it.
    const fn brackets(&self) -> [char; 2] {
        match self.inside {
            Inside::Message(_) => ['{', '}'],
            Inside::List(_) => ['[', ']'],
        }
    }
}

impl Iterator for Json<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let open = self.open.last_mut()?;
        let [begin, end] = open.brackets();
        let mut piece = String::from(if open.is_empty { begin } else { ',' });
        let mut inner = None;
        let goes_on = match &mut open.inside {
            Inside::List(items) => items.next_json().map(|item| piece.push_str(&item)),
            Inside::Message(fields) => fields.next().map(|field| {
                piece.push('"');
                piece.push_str(field.name);
                piece.push_str("\":");
                match field.content {
                    Content::Value(_, text) => {
                        piece.push('"');
                        piece.push_str(text);
                        piece.push('"');
                    }
                    Content::Double(value) => crate::json::double(value, &mut piece),
                    Content::Message(fields) => {
                        inner = Some(Open::new(Inside::Message(fields.0.into_iter())));
                    }
                    Content::List(items) => inner = Some(Open::new(Inside::List(items))),
                }
            }),
        };
        if goes_on.is_some() {
            open.is_empty = false;
            self.open.extend(inner);
            return Some(piece);
        }
        let piece = match open.is_empty {
            true => String::from_iter([begin, end]),
            false => end.into(),
        };
        self.open.pop();
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::AgentInfo;
    use crate::v1::master::Event;
    use crate::v1::master::event::{Subscribed, Type};
    use crate::v1::master::response::{GetAgents, GetState};
    use prost::Message;

    fn info(hostname: &str) -> AgentInfo {
        AgentInfo {
            hostname: hostname.into(),
            ..AgentInfo::default()
        }
    }

    fn document() -> Fields<'static> {
        let agents = Fields::new()
            .list(1, "agents", std::iter::empty::<AgentInfo>())
            .list(2, "recovered_agents", ["a", "b"].into_iter().map(info));
        let state = Fields::new().message(4, "get_agents", agents);
        let subscribed = Fields::new().message(1, "get_state", state).double(
            2,
            "heartbeat_interval_seconds",
            15.0,
        );
        let kind = Type::Subscribed;
        Fields::new()
            .value(1, "type", (kind.into(), kind.as_str_name()))
            .message(2, "subscribed", subscribed)
    }

    #[test]
    fn protobuf_pieces_are_the_message() {
        let whole = Event {
            r#type: Some(Type::Subscribed.into()),
            subscribed: Some(Subscribed {
                get_state: Some(GetState {
                    get_agents: Some(GetAgents {
                        agents: Vec::new(),
                        recovered_agents: vec![info("a"), info("b")],
                    }),
                    ..GetState::default()
                }),
                heartbeat_interval_seconds: Some(15.0),
            }),
            ..Event::default()
        };
        let written = document().into_bytes(Media::Protobuf);
        assert_eq!(written, whole.encode_to_vec());
    }

    #[test]
    fn json_comes_in_pieces_and_shows_empty_lists() {
        let pieces: Vec<String> = document().into_json().collect();
        assert!(pieces.len() > 8, "{pieces:?}");
        assert_eq!(
            pieces.concat(),
            concat!(
                r#"{"type":"SUBSCRIBED","subscribed":{"get_state":{"get_agents":{"agents":[],"#,
                r#""recovered_agents":[{"hostname":"a","port":5051},{"hostname":"b","port":5051}]"#,
                r#"}},"heartbeat_interval_seconds":15.0}}"#
            )
        );
        let nothing: String = Fields::new().into_json().collect();
        assert_eq!(nothing, "{}");
    }
}
