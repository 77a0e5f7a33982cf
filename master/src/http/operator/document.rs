//! A message written piece by piece, so that a large answer never stands in memory as messages.
//!
//! In JSON a list is there also where it is empty, as in Mesos' own answers of this kind.

use api::Described;
use prost::encoding::{self, WireType};

use crate::http::negotiate::Media;

/// The fields of one message, being written.
pub(crate) struct Fields<'a> {
    media: Media,
    out: &'a mut Vec<u8>,
    is_first: bool,
}

/// A field's number and name.
pub(crate) type Field = (u32, &'static str);

/// Writes a message; `fill` writes its fields.
pub(crate) fn write(media: Media, fill: impl FnOnce(&mut Fields<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write_to(media, &mut out, fill);
    out
}

fn write_to(media: Media, out: &mut Vec<u8>, fill: impl FnOnce(&mut Fields<'_>)) {
    if media == Media::Json {
        out.push(b'{');
    }
    fill(&mut Fields {
        media,
        out,
        is_first: true,
    });
    if media == Media::Json {
        out.push(b'}');
    }
}

impl Fields<'_> {
    /// The form of the document.
    pub(crate) const fn media(&self) -> Media {
        self.media
    }

    fn name(&mut self, name: &str) {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A field that holds an enum's value.
    pub(crate) fn value(&mut self, field: Field, number: i32, text: &str) {
        match self.media {
            Media::Json => {
                self.name(field.1);
                self.out.push(b'"');
                self.out.extend_from_slice(text.as_bytes());
                self.out.push(b'"');
            }
            Media::Protobuf => encoding::int32::encode(field.0, &number, self.out),
        }
    }

    /// A field that holds a number.
    pub(crate) fn double(&mut self, field: Field, number: f64) {
        match self.media {
            Media::Json => {
                self.name(field.1);
                let mut text = String::new();
                api::json::double(number, &mut text);
                self.out.extend_from_slice(text.as_bytes());
            }
            Media::Protobuf => encoding::double::encode(field.0, &number, self.out),
        }
    }

    /// A field that holds a message; `fill` writes its fields.
    pub(crate) fn message(&mut self, field: Field, fill: impl FnOnce(&mut Fields<'_>)) {
        match self.media {
            Media::Json => {
                self.name(field.1);
                write_to(self.media, self.out, fill);
            }
            Media::Protobuf => {
                let inner = write(self.media, fill);
                encoding::encode_key(field.0, WireType::LengthDelimited, self.out);
                encoding::encode_varint(inner.len() as u64, self.out);
                self.out.extend_from_slice(&inner);
            }
        }
    }

    /// A field that holds a list of messages.
    pub(crate) fn list<M: Described>(&mut self, field: Field, items: impl Iterator<Item = M>) {
        self.list_as(field, items, api::json::to_json);
    }

    /// The same, where the JSON of an item is not just that of its message.
    pub(crate) fn list_as<M: Described>(
        &mut self,
        field: Field,
        items: impl Iterator<Item = M>,
        json: impl Fn(&M) -> String,
    ) {
        match self.media {
            Media::Json => {
                self.name(field.1);
                self.out.push(b'[');
                for (place, item) in items.enumerate() {
                    if place > 0 {
                        self.out.push(b',');
                    }
                    self.out.extend_from_slice(json(&item).as_bytes());
                }
                self.out.push(b']');
            }
            Media::Protobuf => {
                for item in items {
                    encoding::message::encode(field.0, &item, self.out);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::v1::master::Event;
    use api::v1::master::event::{Subscribed, Type};
    use api::v1::master::response::{GetAgents, GetState};
    use prost::Message;

    fn document(media: Media) -> Vec<u8> {
        write(media, |event| {
            event.value((1, "type"), Type::Subscribed.into(), "SUBSCRIBED");
            event.message((2, "subscribed"), |subscribed| {
                subscribed.message((1, "get_state"), |state| {
                    state.message((4, "get_agents"), |agents| {
                        let infos = ["a", "b"].map(|name| api::v1::AgentInfo {
                            hostname: name.into(),
                            ..api::v1::AgentInfo::default()
                        });
                        agents.list((1, "agents"), std::iter::empty::<api::v1::AgentInfo>());
                        agents.list((2, "recovered_agents"), infos.into_iter());
                    });
                });
                subscribed.double((2, "heartbeat_interval_seconds"), 15.0);
            });
        })
    }

    #[test]
    fn protobuf_pieces_are_the_message() {
        let info = |name: &str| api::v1::AgentInfo {
            hostname: name.into(),
            ..api::v1::AgentInfo::default()
        };
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
        assert_eq!(document(Media::Protobuf), whole.encode_to_vec());
    }

    #[test]
    fn empty_lists_are_shown_in_json() {
        assert_eq!(
            String::from_utf8(document(Media::Json)).unwrap(),
            concat!(
                r#"{"type":"SUBSCRIBED","subscribed":{"get_state":{"get_agents":{"agents":[],"#,
                r#""recovered_agents":[{"hostname":"a","port":5051},{"hostname":"b","port":5051}]"#,
                r#"}},"heartbeat_interval_seconds":15.0}}"#
            )
        );
    }
}
