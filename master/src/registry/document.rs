//! A registry as a document: shown to people, exported, and imported where none is.
//!
//! An export is JSON, and holds the entries as they are stored; it goes from one kind of store to
//! another. The epoch is in it for whoever wants to know: an import leaves that of its place.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Change, Contents, Elected, EntryError, Registry, RegistryError, entries};

/// The layout of an export.
const FORMAT: u64 = 1;

/// Why an import does not take place.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is no JSON.
    #[error("the import is no JSON")]
    Json(#[from] serde_json::Error),
    /// It is something else, or of another version.
    #[error("the import is no registry's export of format {FORMAT}: {0}")]
    Form(&'static str),
    /// It holds an entry that no master could read.
    #[error("read the import")]
    Entry(#[from] EntryError),
    /// There is a registry.
    #[error(
        "the registry holds {entries} entries; an import wants an empty place: another folder, or the old one moved away"
    )]
    Occupied {
        /// How many.
        entries: usize,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// What a registry holds, for people.
///
/// # Errors
/// The first entry that this version cannot read.
pub fn show(contents: &Contents) -> Result<Value, EntryError> {
    entries::decode(contents.entries.clone())?;
    let shown = contents.entries.iter();
    let shown = shown.map(|(key, value)| (key.clone(), entries::describe(key, value)));
    Ok(json!({ "epoch": contents.epoch, "entries": shown.collect::<serde_json::Map<_, _>>() }))
}

/// What a registry holds, for [`import`].
#[must_use]
pub fn export(contents: &Contents) -> Value {
    let entries = contents.entries.iter();
    let entries = entries.map(|(key, value)| (key.clone(), json!(STANDARD.encode(value))));
    json!({
        "format": FORMAT,
        "epoch": contents.epoch,
        "entries": entries.collect::<serde_json::Map<_, _>>(),
    })
}

/// Puts what was exported into a registry that holds nothing; gives the number of entries. No master
/// may lead there meanwhile: one that does writes nothing afterwards.
///
/// # Errors
/// The text is no export, there is a registry, or the store cannot be written.
pub fn import(text: &[u8], registry: &mut dyn Registry) -> Result<usize, ImportError> {
    let document: Value = serde_json::from_slice(text)?;
    if document.get("format").and_then(Value::as_u64) != Some(FORMAT) {
        return Err(ImportError::Form("its \"format\" is another"));
    }
    let found = document.get("entries").and_then(Value::as_object);
    let found = found.ok_or(ImportError::Form("it has no \"entries\""))?;
    let bytes = |value: &Value| STANDARD.decode(value.as_str()?).ok();
    let read = found.iter().map(|(key, value)| {
        let value = bytes(value).ok_or(ImportError::Form("a value is no base64"))?;
        Ok((key.clone(), value))
    });
    let read: Vec<(String, Vec<u8>)> = read.collect::<Result<_, ImportError>>()?;
    entries::decode(read.clone())?;

    let there = registry.read()?.entries.len();
    if there > 0 {
        return Err(ImportError::Occupied { entries: there });
    }
    registry.start(Elected::Nobody)?;
    let count = read.len();
    let changes = read.into_iter();
    let groups: Vec<Vec<Change>> = changes
        .map(|(key, value)| vec![Change::Put { key, value }])
        .collect();
    registry.store(&groups)?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::Memory;
    use super::*;

    fn filled() -> Memory {
        let mut registry = Memory::default();
        registry.start(Elected::Epoch(7)).unwrap();
        let put = |key: &str, value: &[u8]| Change::Put {
            key: key.to_owned(),
            value: value.to_vec(),
        };
        let weight = [&[1], 2.5f64.to_be_bytes().as_slice()].concat();
        let gone = [&[1, 3], 9_000_000_000u64.to_be_bytes().as_slice()].concat();
        let changes = vec![
            put("weights/a", &weight),
            put("agents/S1", &gone),
            put("deactivated/S2", &[1]),
        ];
        registry.store(&[changes]).unwrap();
        registry
    }

    #[test]
    fn an_export_is_imported_whole_into_an_empty_registry_and_into_no_other() {
        let contents = filled().read().unwrap();
        let text = export(&contents).to_string();
        let mut fresh = Memory::default();
        assert_eq!(import(text.as_bytes(), &mut fresh).unwrap(), 3);
        let found = fresh.read().unwrap();
        assert_eq!(found.entries, contents.entries);
        assert_eq!(found.epoch, 0, "the first master elected there has 1");
        let again = import(text.as_bytes(), &mut fresh).unwrap_err();
        assert!(
            matches!(again, ImportError::Occupied { entries: 3 }),
            "{again}"
        );
    }

    #[test]
    fn what_a_registry_holds_is_shown_to_people() {
        let shown = show(&filled().read().unwrap()).unwrap();
        expect![[r#"{"epoch":7,"entries":{"agents/S1":{"state":"gone","since":9},"deactivated/S2":null,"weights/a":2.5}}"#]]
            .assert_eq(&shown.to_string());
    }

    #[test]
    fn what_no_master_could_read_is_not_imported() {
        for (text, says) in [
            ("[", "no JSON"),
            ("{}", "\"format\""),
            (r#"{"format":1}"#, "\"entries\""),
            (r#"{"format":1,"entries":{"weights/a":1}}"#, "base64"),
            (
                r#"{"format":1,"entries":{"weights/a":"AQ=="}}"#,
                "read the import",
            ),
            (r#"{"format":1,"entries":{"x":"AQ=="}}"#, "read the import"),
        ] {
            let mut registry = Memory::default();
            let error = import(text.as_bytes(), &mut registry).unwrap_err();
            assert!(error.to_string().contains(says), "{text}: {error}");
            assert_eq!(registry.read().unwrap(), Contents::default());
        }
    }
}
