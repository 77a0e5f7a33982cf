//! A document that is written as it is read: its lists are made item by item.
//!
//! What is in memory of a large state is the item that is being written, not the whole as values.

use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::http::pieces::{Gone, Writer};

/// A part of a document.
pub(super) enum Part<'a> {
    /// A value at hand.
    Value(Value),
    /// A value that is written already.
    Text(Arc<str>),
    /// A list of parts.
    List(Box<dyn Iterator<Item = Part<'a>> + Send + 'a>),
    /// Named parts, in this order.
    Object(Vec<(String, Part<'a>)>),
}

/// The named parts of an object, being gathered.
#[derive(Default)]
pub(super) struct Fields<'a>(Vec<(String, Part<'a>)>);

impl<'a> Part<'a> {
    /// A list of anything.
    pub(super) fn list<I, P>(items: I, make: impl Fn(I::Item) -> P + Send + 'a) -> Self
    where
        I: IntoIterator<IntoIter: Send + 'a>,
        P: Into<Part<'a>>,
    {
        Self::List(Box::new(
            items.into_iter().map(move |item| make(item).into()),
        ))
    }

    /// An object with one field.
    pub(super) fn object(name: &str, part: impl Into<Self>) -> Self {
        let mut fields = Fields::default();
        fields.put(name, part);
        fields.into()
    }

    /// Writes it as JSON.
    pub(super) fn write<'w>(
        self,
        out: &'w mut Writer,
    ) -> Pin<Box<dyn Future<Output = Result<(), Gone>> + Send + 'w>>
    where
        'a: 'w,
    {
        Box::pin(async move {
            match self {
                Self::Value(value) => out.push(&value.to_string()).await,
                Self::Text(text) => out.push(&text).await,
                Self::List(items) => {
                    out.push("[").await?;
                    for (place, item) in items.enumerate() {
                        if place > 0 {
                            out.push(",").await?;
                        }
                        item.write(out).await?;
                    }
                    out.push("]").await
                }
                Self::Object(fields) => {
                    let mut before = "{";
                    for (name, part) in fields {
                        out.push(before).await?;
                        out.push(&Value::from(name).to_string()).await?;
                        out.push(":").await?;
                        part.write(out).await?;
                        before = ",";
                    }
                    out.push(if before == "{" { "{}" } else { "}" }).await
                }
            }
        })
    }
}

impl<'a> Fields<'a> {
    /// Appends a field.
    pub(super) fn put(&mut self, name: &str, part: impl Into<Part<'a>>) {
        self.0.push((name.to_owned(), part.into()));
    }
}

impl From<Value> for Part<'_> {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl From<Map<String, Value>> for Part<'_> {
    fn from(map: Map<String, Value>) -> Self {
        Self::Value(Value::Object(map))
    }
}

impl<'a> From<Fields<'a>> for Part<'a> {
    fn from(fields: Fields<'a>) -> Self {
        Self::Object(fields.0)
    }
}

impl From<Map<String, Value>> for Fields<'_> {
    fn from(map: Map<String, Value>) -> Self {
        Self(
            map.into_iter()
                .map(|(name, value)| (name, Part::Value(value)))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::runtime::Handle as Runtime;

    use super::*;
    use crate::http::pieces::{self, Made};

    #[tokio::test]
    async fn parts_are_written_as_the_value_that_they_make() {
        let made = pieces::make(&Runtime::current(), |mut out| async move {
            let mut fields = Fields::from(Map::from_iter([("a\"b".to_owned(), json!(1.0))]));
            fields.put("none", Part::list([0; 0], Value::from));
            fields.put("empty", Fields::default());
            fields.put(
                "list",
                Part::list(0..3, |n| Part::object("n", Value::from(n))),
            );
            Part::from(fields).write(&mut out).await?;
            Ok(out)
        })
        .await;
        let Made::Whole(text) = made else {
            panic!("a few bytes are whole");
        };
        assert_eq!(
            text,
            r#"{"a\"b":1.0,"none":[],"empty":{},"list":[{"n":0},{"n":1},{"n":2}]}"#
        );
    }
}
