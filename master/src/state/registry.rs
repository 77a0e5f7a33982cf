//! `/registrar(1)/registry`: what outlives this master, under the names of Mesos' registry.

use api::v1;
use serde_json::{Map, Value, json};

use super::list;
use super::resources;
use super::view::View;
use crate::convert::message;
use crate::facts::{CAPABILITIES, Facts};

/// The document.
pub(super) fn document(view: &View, facts: &Facts) -> Value {
    let admitted = view.agents.iter().map(|agent| &agent.facts.info);
    let recovered = view.recovered.iter().map(|(_, info)| info);
    let mut object = Map::new();
    object.insert("master".into(), json!({ "info": master(facts) }));
    object.insert(
        "slaves".into(),
        json!({
            "slaves": list(admitted.chain(recovered), |info| {
                let info = resources::message(&message::<v1::AgentInfo>(info));
                json!({ "deactivated": false, "info": info })
            }),
        }),
    );
    Value::Object(object)
}

/// The master's own entry. The registry is written in the messages of before v1, which have a name
/// for every capability.
fn master(facts: &Facts) -> Value {
    let mut info = resources::message(&facts.master_info);
    info["capabilities"] = list(CAPABILITIES, |(name, _)| json!({ "type": name }));
    info
}
