//! Bytes that the targets take, to begin with.

use api::json::from_json;
use api::v1::{master, scheduler};
use prost::Message;

/// Calls, constraints, resources and records, by name.
pub(crate) const SEEDS: &[(&str, &str)] = &[
    (
        "subscribe",
        r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n","roles":["a/b"],"capabilities":[{"type":"MULTI_ROLE"}],"failover_timeout":60.5,"labels":{"labels":[{"key":"k"}]}},"suppressed_roles":["a/b"]}}"#,
    ),
    (
        "constraints",
        r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n","roles":["a"]},"offer_constraints":{"role_constraints":{"a":{"groups":[{"attribute_constraints":[{"selector":{"attribute_name":"rack"},"predicate":{"text_matches":{"regex":"r[0-9]+(a|b)*"}}},{"selector":{"pseudoattribute_type":"HOSTNAME"},"predicate":{"text_equals":{"value":"x"}}},{"selector":{"attribute_name":"y"},"predicate":{"exists":{}}}]}]}}}}}"#,
    ),
    (
        "accept",
        r#"{"type":"ACCEPT","framework_id":{"value":"f"},"accept":{"offer_ids":[{"value":"o"}],"filters":{"refuse_seconds":1.5},"operations":[{"type":"LAUNCH","launch":{"task_infos":[{"name":"t","task_id":{"value":"t"},"agent_id":{"value":"a"},"command":{"value":"true","environment":{"variables":[{"name":"A","value":"b"}]}},"resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.1}},{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":2}]}},{"name":"s","type":"SET","set":{"item":["x"]}}]}]}},{"type":"RESERVE","id":{"value":"r"},"reserve":{"resources":[{"name":"disk","type":"SCALAR","scalar":{"value":5},"reservations":[{"type":"DYNAMIC","role":"a","principal":"p"}],"disk":{"persistence":{"id":"v"},"volume":{"mode":"RW","container_path":"d"}}}]}}]}}"#,
    ),
    (
        "acknowledge",
        r#"{"type":"ACKNOWLEDGE","framework_id":{"value":"f"},"acknowledge":{"agent_id":{"value":"a"},"task_id":{"value":"t"},"uuid":"dZBL11okTMiiDZge2WZXEQ=="}}"#,
    ),
    (
        "reconcile",
        r#"{"type":"RECONCILE","framework_id":{"value":"f"},"reconcile":{"tasks":[{"task_id":{"value":"t"}}]}}"#,
    ),
    (
        "quota",
        r#"{"type":"UPDATE_QUOTA","update_quota":{"force":true,"quota_configs":[{"role":"a","guarantees":{"cpus":{"value":1}},"limits":{"mem":{"value":2.5}}}]}}"#,
    ),
    (
        "drain",
        r#"{"type":"DRAIN_AGENT","drain_agent":{"agent_id":{"value":"a"},"max_grace_period":{"seconds":5},"mark_gone":false}}"#,
    ),
    (
        "launch_container",
        r#"{"type":"LAUNCH_CONTAINER","launch_container":{"container_id":{"value":"c","parent":{"value":"p","parent":{"value":"q"}}},"command":{"value":"true","environment":{"variables":[{"name":"A","type":"SECRET","secret":{"type":"VALUE","value":{"data":"YQ=="}}}]}},"container":{"type":"MESOS","linux_info":{"share_cgroups":false},"volumes":[{"mode":"RW","container_path":"d","host_path":"/d"}]},"resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.1}}],"limits":{"mem":{"value":64}}}}"#,
    ),
    (
        "attach_input",
        r#"{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{"type":"PROCESS_IO","process_io":{"type":"CONTROL","control":{"type":"TTY_INFO","tty_info":{"window_size":{"rows":24,"columns":80}}}}}}"#,
    ),
    (
        "executor_update",
        r#"{"type":"UPDATE","framework_id":{"value":"f"},"executor_id":{"value":"e"},"update":{"status":{"task_id":{"value":"t"},"state":"TASK_RUNNING","source":"SOURCE_EXECUTOR","uuid":"Zl3aXmIYR2e5eMEDncBTnw==","message":"m"}}}"#,
    ),
    (
        "resources",
        "cpus(a/b):4.5;mem:1024;disk(*):1;ports:[1-5, 7-9];set:{a,b}",
    ),
    (
        "locations",
        "/x?y#z\nhttps://u@[::1]:8443/a/../b\n//h:81?x\n../c",
    ),
    ("records", "5\nhello0\n12\n{\"a\":\"b\\n\"}"),
];

/// The seeds as they are, and the calls among them as protobuf too.
pub(crate) fn all() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for (_, text) in SEEDS {
        all.push(text.as_bytes().to_vec());
        all.extend(from_json::<scheduler::Call>(text.as_bytes()).map(|call| call.encode_to_vec()));
        all.extend(from_json::<master::Call>(text.as_bytes()).map(|call| call.encode_to_vec()));
    }
    all
}
