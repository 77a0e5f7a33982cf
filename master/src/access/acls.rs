//! Rules of who may do what, from Mesos' JSON.
//!
//! ```json
//! {"permissive": false,
//!  "run_tasks": [{"principals": {"values": ["alice"]}, "users": {"type": "ANY"}}]}
//! ```
//!
//! What Mesos would pass over in silence, a misspelled key before all, is a fault here: a rule that
//! never holds lets in whom it was to keep out.

use master_core::authorization::{Acls, Action, Entity, Objects, PATHS, Rule};
use master_core::event::Text;
use serde_json::{Map, Value};

use super::credentials::{TextError, text};

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AclsError {
    /// The file cannot be read.
    #[error(transparent)]
    Text(#[from] TextError),
    /// It is no JSON.
    #[error("parse the JSON")]
    Json(#[source] serde_json::Error),
    /// Something in it is not what it should be.
    #[error("{place}: {fault}")]
    Shape {
        /// Where, as a path of keys.
        place: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// A path that cannot be withheld.
    #[error("get_endpoints: {path:?} is no path that rules can be about; those are {PATHS:?}")]
    Path {
        /// The path.
        path: String,
    },
}

/// Reads a flag: a file, or JSON.
pub(super) fn read(flag: &str) -> Result<Acls, AclsError> {
    parse(&text(flag)?)
}

fn parse(text: &str) -> Result<Acls, AclsError> {
    let value: Value = serde_json::from_str(text).map_err(AclsError::Json)?;
    let mut acls = Acls::default();
    for (key, value) in object(&value, "the rules")? {
        if key == "permissive" {
            let fault = "expected true or false";
            acls.permissive = value.as_bool().ok_or_else(|| shape(key, fault))?;
            continue;
        }
        let action = Action::with_key(key).ok_or_else(|| shape(key, "unknown key"))?;
        let rules = value.as_array().map(Vec::as_slice);
        // As for all of Mesos' JSON, one thing stands for a list of one.
        let rules = rules.unwrap_or(std::slice::from_ref(value));
        let rules = rules.iter().enumerate();
        let rules = rules.map(|(place, rule)| self::rule(action, rule, &format!("{key}[{place}]")));
        acls.rules.insert(action, rules.collect::<Result<_, _>>()?);
    }
    Ok(acls)
}

fn rule(action: Action, value: &Value, place: &str) -> Result<Rule, AclsError> {
    let fields = object(value, place)?;
    let known = ["principals", action.objects_key()];
    if let Some(key) = fields.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(shape(&format!("{place}.{key}"), "unknown key"));
    }
    let entity = |key: &str| {
        let place = format!("{place}.{key}");
        let value = fields.get(key).ok_or_else(|| shape(&place, "missing"))?;
        read_entity(value, &place)
    };
    let (subjects, objects) = (entity("principals")?, entity(action.objects_key())?);
    if let Entity::Listed(listed) = &objects {
        check_listed(action, listed, place)?;
    }
    Ok(Rule { subjects, objects })
}

fn check_listed(action: Action, listed: &[Text], place: &str) -> Result<(), AclsError> {
    match action.objects() {
        Objects::Roles | Objects::Names => Ok(()),
        Objects::Whole => {
            let place = format!("{place}.{}", action.objects_key());
            Err(shape(&place, "must be of type ANY or NONE"))
        }
        Objects::Paths => match listed.iter().find(|path| !PATHS.contains(&&***path)) {
            Some(path) => Err(AclsError::Path {
                path: path.to_string(),
            }),
            None => Ok(()),
        },
    }
}

fn read_entity(value: &Value, place: &str) -> Result<Entity, AclsError> {
    let fields = object(value, place)?;
    if let Some(key) = fields
        .keys()
        .find(|key| !["type", "values"].contains(&key.as_str()))
    {
        return Err(shape(&format!("{place}.{key}"), "unknown key"));
    }
    match fields.get("type").map(Value::as_str) {
        Some(Some("ANY")) => Ok(Entity::Any),
        Some(Some("NONE")) => Ok(Entity::None),
        None | Some(Some("SOME")) => {
            let values = fields.get("values").and_then(Value::as_array);
            let texts = values.into_iter().flatten().map(Value::as_str);
            let texts: Option<Vec<Text>> = texts.map(|text| text.map(Text::from)).collect();
            texts
                .filter(|_| values.is_some())
                .map(Entity::Listed)
                .ok_or_else(|| shape(place, "expected `values`, a list of texts, or a `type`"))
        }
        Some(_) => Err(shape(place, "`type` must be SOME, ANY or NONE")),
    }
}

fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>, AclsError> {
    let fault = "expected an object";
    value.as_object().ok_or_else(|| shape(place, fault))
}

fn shape(place: &str, fault: &'static str) -> AclsError {
    AclsError::Shape {
        place: place.to_owned(),
        fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_mesos_is_read() {
        let acls = parse(
            r#"{"permissive": false,
                "run_tasks": [{"principals": {"values": ["alice"]}, "users": {"type": "ANY"}}],
                "view_flags": {"principals": {"type": "ANY"}, "flags": {"type": "NONE"}},
                "get_endpoints": [{"principals": {"type": "SOME", "values": ["bob"]},
                                   "paths": {"values": ["/metrics/snapshot"]}}]}"#,
        )
        .unwrap();
        assert!(acls.allow(Some("alice"), Action::RunTask, Some("root")));
        assert!(!acls.allow(Some("bob"), Action::RunTask, Some("root")));
        assert!(!acls.allow(Some("alice"), Action::ViewFlags, None));
        let path = Some("/metrics/snapshot");
        assert!(acls.allow(Some("bob"), Action::GetEndpoint, path));
        assert!(!acls.allow(None, Action::GetEndpoint, path));
        assert!(parse("{}").unwrap().allow(None, Action::DrainAgent, None));
    }

    #[test]
    fn what_would_never_hold_is_named() {
        let any = r#"{"type": "ANY"}"#;
        for (text, fault) in [
            ("[]".to_owned(), "the rules: expected an object"),
            (
                r#"{"permissive": 1}"#.to_owned(),
                "permissive: expected true or false",
            ),
            (r#"{"run_task": []}"#.to_owned(), "run_task: unknown key"),
            (
                r#"{"run_tasks": [1]}"#.to_owned(),
                "run_tasks[0]: expected an object",
            ),
            (
                format!(r#"{{"run_tasks": [{{"principals": {any}, "user": {any}}}]}}"#),
                "run_tasks[0].user: unknown key",
            ),
            (
                format!(r#"{{"run_tasks": [{{"principals": {any}}}]}}"#),
                "run_tasks[0].users: missing",
            ),
            (
                format!(
                    r#"{{"run_tasks": [{{"principals": {any}, "users": {{"type": "ALL"}}}}]}}"#
                ),
                "run_tasks[0].users: `type` must be SOME, ANY or NONE",
            ),
            (
                format!(
                    r#"{{"run_tasks": [{{"principals": {any}, "users": {{"values": [1]}}}}]}}"#
                ),
                "run_tasks[0].users: expected `values`, a list of texts, or a `type`",
            ),
            (
                format!(
                    r#"{{"drain_agents": [{{"principals": {any}, "agents": {{"values": ["a"]}}}}]}}"#
                ),
                "drain_agents[0].agents: must be of type ANY or NONE",
            ),
            (
                format!(
                    r#"{{"get_endpoints": [{{"principals": {any}, "paths": {{"values": ["/state"]}}}}]}}"#
                ),
                "get_endpoints: \"/state\" is no path that rules can be about; those are \
                 [\"/containers\", \"/containerizer/debug\", \"/files/debug\", \"/logging/toggle\", \
                 \"/metrics/snapshot\", \"/monitor/statistics\"]",
            ),
        ] {
            assert_eq!(parse(&text).unwrap_err().to_string(), fault, "{text}");
        }
    }
}
