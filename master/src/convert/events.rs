//! Events of the scheduler API, as messages and as framed records.

use std::sync::Arc;

use api::encode::{Allocation, Encoder, Form, Reservations};
use api::v1;
use api::v1::resource::AllocationInfo;
use api::v1::scheduler::Event;
use api::v1::scheduler::event::{
    Error, Failure, InverseOffers, Message as ExecutorMessage, Offers, Rescind,
    RescindInverseOffer, Subscribed, Type, Update, UpdateOperationStatus,
};
use bytes::Bytes;
use master_core::event::{Capabilities, Capability, FrameworkEvent, Offer, Status};
use model::{Blob, Source};
use prost::Message;

use super::maintenance::{wire_inverse_offer, wire_unavailability};
use super::{message, operations};
use crate::http::negotiate::Media;

/// One event as a record of the stream, in the form the framework asked for.
pub(crate) fn record(event: &FrameworkEvent, media: Media, master: &v1::MasterInfo) -> Bytes {
    let record = match media {
        Media::Json => {
            let event = wire(event, master);
            api::recordio::encode(api::json::to_json(&event).as_bytes())
        }
        Media::Protobuf => api::recordio::encode(&encoded(event, master)),
    };
    record.into()
}

/// One event in protobuf. Those that come by the thousand are written without a struct in between.
fn encoded(event: &FrameworkEvent, master: &v1::MasterInfo) -> Vec<u8> {
    match event {
        FrameworkEvent::Offers {
            offers,
            capabilities,
        } => {
            let mut out = Encoder::with_capacity(offers.len() * OFFER_BYTES);
            out.fields(&typed(Type::Offers));
            out.message(field::OFFERS, |out| {
                for offer in offers {
                    out.message(1, |out| encode_offer(out, offer, *capabilities));
                }
            });
            out.into_bytes()
        }
        FrameworkEvent::Relayed { status } => {
            let mut out = Encoder::with_capacity(status.as_bytes().len() + SMALL_BYTES);
            out.fields(&typed(Type::Update));
            out.message(field::UPDATE, |out| out.bytes(1, status.as_bytes()));
            out.into_bytes()
        }
        _ => wire(event, master).encode_to_vec(),
    }
}

/// About how many bytes an offer has.
const OFFER_BYTES: usize = 512;
/// More than what stands around a status.
const SMALL_BYTES: usize = 24;

/// Numbers of fields.
mod field {
    /// `Event.offers`.
    pub(super) const OFFERS: u32 = 3;
    /// `Event.update`.
    pub(super) const UPDATE: u32 = 5;
    /// Of an Offer: `resources`, `executor_ids`, `unavailability`, `allocation_info`.
    pub(super) const RESOURCES: u32 = 5;
    pub(super) const EXECUTOR_IDS: u32 = 6;
    pub(super) const UNAVAILABILITY: u32 = 9;
    pub(super) const ALLOCATION_INFO: u32 = 10;
}

/// The fields of what [`wire_offer`] would make.
fn encode_offer(out: &mut Encoder, offer: &Offer, capabilities: Capabilities) {
    let multi_role = capabilities.has(Capability::MultiRole);
    out.id(1, offer.id.as_str());
    out.id(2, offer.framework_id.as_str());
    out.id(3, offer.agent_id.as_str());
    out.encoded(offer.agent.in_offers.as_bytes());
    let form = Form {
        reservations: match capabilities.has(Capability::ReservationRefinement) {
            true => Reservations::Refined,
            false => Reservations::Unrefined,
        },
        allocation: match multi_role {
            true => Allocation::Told,
            false => Allocation::Left,
        },
    };
    out.resources(field::RESOURCES, &offer.resources, form);
    for executor_id in &offer.executor_ids {
        out.id(field::EXECUTOR_IDS, executor_id.as_str());
    }
    if let Some(unavailability) = offer.unavailability {
        out.whole(field::UNAVAILABILITY, &wire_unavailability(unavailability));
    }
    if multi_role {
        out.id(field::ALLOCATION_INFO, offer.role.as_str());
    }
}

/// What every offer tells of an agent: `hostname`, `url`, `domain` and `attributes` of an Offer.
pub(crate) fn in_offers(info: &v1::AgentInfo, address: &str) -> Blob {
    let mut out = Encoder::default();
    out.bytes(4, info.hostname.as_bytes());
    for attribute in &info.attributes {
        out.whole(7, attribute);
    }
    out.whole(8, &agent_url(&info.hostname, address));
    if let Some(domain) = &info.domain {
        out.whole(11, domain);
    }
    Blob::new(&out.into_bytes())
}

/// About how many bytes an event holds while it waits.
pub(crate) fn weight(event: &FrameworkEvent) -> usize {
    const SMALL: usize = 256;
    match event {
        FrameworkEvent::Offers { offers, .. } => SMALL + offers.len() * 1024,
        FrameworkEvent::InverseOffers { offers } => SMALL + offers.len() * 512,
        FrameworkEvent::Relayed { status } => SMALL + status.as_bytes().len(),
        // What an agent told of the task is the task's own, and there anyway.
        FrameworkEvent::Made(status) => {
            let agent_id = status.agent_id.as_ref().map_or(0, |id| id.len());
            SMALL + status.task_id.len() + agent_id + status.message.len()
        }
        FrameworkEvent::Message { data, .. } => SMALL + data.as_bytes().len(),
        FrameworkEvent::OperationStatus(status) => {
            let id = status.operation_id.as_ref().map_or(0, |id| id.len());
            let message = status.message.as_ref().map_or(0, String::len);
            SMALL + id + message + status.converted.iter().count() * SMALL
        }
        FrameworkEvent::Error { message } => SMALL + message.len(),
        FrameworkEvent::Subscribed { .. }
        | FrameworkEvent::Heartbeat
        | FrameworkEvent::Rescind { .. }
        | FrameworkEvent::RescindInverseOffer { .. }
        | FrameworkEvent::Failure { .. } => SMALL,
    }
}

/// The type of an event, as metrics name it.
pub(crate) const fn name(event: &FrameworkEvent) -> &'static str {
    match event {
        FrameworkEvent::Subscribed { .. } => "subscribed",
        FrameworkEvent::Heartbeat => "heartbeat",
        FrameworkEvent::Offers { .. } => "offers",
        FrameworkEvent::Rescind { .. } => "rescind",
        FrameworkEvent::InverseOffers { .. } => "inverse_offers",
        FrameworkEvent::RescindInverseOffer { .. } => "rescind_inverse_offer",
        FrameworkEvent::Relayed { .. } | FrameworkEvent::Made(_) => "update",
        FrameworkEvent::Message { .. } => "message",
        FrameworkEvent::OperationStatus(_) => "update_operation_status",
        FrameworkEvent::Failure { .. } => "failure",
        FrameworkEvent::Error { .. } => "error",
    }
}

fn typed(kind: Type) -> Event {
    Event {
        r#type: Some(kind.into()),
        ..Event::default()
    }
}

fn wire(event: &FrameworkEvent, master: &v1::MasterInfo) -> Event {
    match event {
        FrameworkEvent::Subscribed {
            framework_id,
            heartbeat,
        } => Event {
            subscribed: Some(Subscribed {
                framework_id: v1::FrameworkId::from(framework_id),
                heartbeat_interval_seconds: Some(heartbeat.as_secs_f64()),
                master_info: Some(master.clone()),
            }),
            ..typed(Type::Subscribed)
        },
        FrameworkEvent::Heartbeat => typed(Type::Heartbeat),
        FrameworkEvent::Offers {
            offers,
            capabilities,
        } => Event {
            offers: Some(Offers {
                offers: offers
                    .iter()
                    .map(|offer| wire_offer(offer, *capabilities))
                    .collect(),
            }),
            ..typed(Type::Offers)
        },
        FrameworkEvent::Rescind { offer_id } => Event {
            rescind: Some(Rescind {
                offer_id: v1::OfferId::from(offer_id),
            }),
            ..typed(Type::Rescind)
        },
        FrameworkEvent::InverseOffers { offers } => Event {
            inverse_offers: Some(InverseOffers {
                inverse_offers: offers
                    .iter()
                    .map(|offer| wire_inverse_offer(offer))
                    .collect(),
            }),
            ..typed(Type::InverseOffers)
        },
        FrameworkEvent::RescindInverseOffer { inverse_offer_id } => Event {
            rescind_inverse_offer: Some(RescindInverseOffer {
                inverse_offer_id: v1::OfferId::from(inverse_offer_id),
            }),
            ..typed(Type::RescindInverseOffer)
        },
        FrameworkEvent::Relayed { status } => Event {
            update: Some(Update {
                status: message(status),
            }),
            ..typed(Type::Update)
        },
        FrameworkEvent::Made(status) => Event {
            update: Some(Update {
                status: made(status),
            }),
            ..typed(Type::Update)
        },
        FrameworkEvent::Message {
            agent_id,
            executor_id,
            data,
        } => Event {
            message: Some(ExecutorMessage {
                agent_id: v1::AgentId::from(agent_id),
                executor_id: v1::ExecutorId::from(executor_id),
                data: data.as_bytes().to_vec(),
            }),
            ..typed(Type::Message)
        },
        FrameworkEvent::OperationStatus(status) => Event {
            update_operation_status: Some(UpdateOperationStatus {
                status: operations::to_status(status),
            }),
            ..typed(Type::UpdateOperationStatus)
        },
        FrameworkEvent::Failure { agent_id, executor } => Event {
            failure: Some(Failure {
                agent_id: Some(v1::AgentId::from(agent_id)),
                executor_id: executor.as_ref().map(|(id, _)| v1::ExecutorId::from(id)),
                status: executor.as_ref().map(|(_, status)| *status),
            }),
            ..typed(Type::Failure)
        },
        FrameworkEvent::Error { message } => Event {
            error: Some(Error {
                message: message.clone(),
            }),
            ..typed(Type::Error)
        },
    }
}

/// An offer as this framework understands it.
pub(crate) fn wire_offer(offer: &Arc<Offer>, capabilities: Capabilities) -> v1::Offer {
    let multi_role = capabilities.has(Capability::MultiRole);
    let agent: v1::AgentInfo = message(&offer.agent.info);
    let mut resources = if capabilities.has(Capability::ReservationRefinement) {
        api::convert::to_refined(&offer.resources)
    } else {
        api::convert::to_unrefined(&offer.resources)
    };
    if !multi_role {
        for resource in &mut resources {
            resource.allocation_info = None;
        }
    }
    v1::Offer {
        id: v1::OfferId::from(&offer.id),
        framework_id: v1::FrameworkId::from(&offer.framework_id),
        agent_id: v1::AgentId::from(&offer.agent_id),
        hostname: agent.hostname,
        url: Some(agent_url(&offer.agent.hostname, &offer.agent.address)),
        domain: agent.domain,
        resources,
        attributes: agent.attributes,
        executor_ids: offer
            .executor_ids
            .iter()
            .map(v1::ExecutorId::from)
            .collect(),
        unavailability: offer.unavailability.map(wire_unavailability),
        allocation_info: multi_role.then(|| AllocationInfo {
            role: Some(offer.role.to_string()),
        }),
    }
}

/// Where an agent's HTTP API is; the path is that of Mesos' process.
pub(crate) fn agent_url(hostname: &str, address: &str) -> v1::Url {
    let (ip, port) = split_address(address);
    v1::Url {
        scheme: "http".into(),
        address: v1::Address {
            hostname: Some(hostname.to_owned()),
            ip: Some(ip.to_owned()),
            port,
        },
        path: Some("/slave(1)".into()),
        query: Vec::new(),
        fragment: None,
    }
}

/// The two parts of `ip:port`.
pub(crate) fn split_address(address: &str) -> (&str, i32) {
    let (ip, port) = address.rsplit_once(':').unwrap_or((address, "0"));
    (ip.trim_matches(['[', ']']), port.parse().unwrap_or(0))
}

/// A status of the master's own, with what the agent's newest one tells beside it.
pub(crate) fn made(status: &Status) -> v1::TaskStatus {
    let base: v1::TaskStatus = status.base.as_ref().map(message).unwrap_or_default();
    v1::TaskStatus {
        task_id: v1::TaskId {
            value: status.task_id.to_string(),
        },
        state: status.state.number(),
        message: Some(status.message.clone()).filter(|text| !text.is_empty()),
        source: Some(Source::Master.number()),
        reason: Some(status.reason.number()),
        agent_id: status.agent_id.as_ref().map(|id| v1::AgentId {
            value: id.to_string(),
        }),
        // Never the base's: to a framework a command task has no executor but in its agent's words.
        executor_id: status.executor_id.as_ref().map(v1::ExecutorId::from),
        timestamp: Some(seconds(status.timestamp)),
        healthy: base.healthy,
        check_status: base.check_status,
        container_status: base.container_status,
        unreachable_time: status.unreachable_time.map(|time| v1::TimeInfo {
            nanoseconds: i64::try_from(time.0).unwrap_or(i64::MAX),
        }),
        ..v1::TaskStatus::default()
    }
}

/// A date as Mesos writes it: seconds with a fraction.
#[expect(
    clippy::cast_precision_loss,
    reason = "a double of seconds holds microseconds for the next two centuries"
)]
pub(crate) fn seconds(time: master_core::WallTime) -> f64 {
    (time.0 / 1000) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use master_core::event::AgentFacts;
    use master_core::maintenance::Unavailability;
    use model::resources::{Role, parse};
    use model::{AgentId, ExecutorId, FrameworkId, OfferId};

    use super::*;

    fn offer(number: usize, resources: &str, role: &str) -> Arc<Offer> {
        let address = format!("127.0.1.{number}:5051");
        let info = v1::AgentInfo {
            hostname: format!("node{number}"),
            attributes: vec![v1::Attribute {
                name: "rack".into(),
                r#type: v1::value::Type::Text.into(),
                text: Some(v1::value::Text { value: "r".into() }),
                ..Default::default()
            }],
            domain: (number > 1).then(v1::DomainInfo::default),
            ..Default::default()
        };
        let role = Role::new(role).unwrap();
        Arc::new(Offer {
            id: OfferId::new(&format!("m-O{number}")).unwrap(),
            framework_id: FrameworkId::new("m-0000").unwrap(),
            agent_id: AgentId::new(&format!("m-S{number}")).unwrap(),
            resources: parse(resources).unwrap().allocate(&role),
            role,
            executor_ids: (1..number)
                .map(|number| ExecutorId::new(&format!("e{number}")).unwrap())
                .collect(),
            unavailability: (number > 2).then_some(Unavailability {
                start_ns: 1,
                duration_ns: Some(2),
            }),
            agent: Arc::new(AgentFacts {
                hostname: info.hostname.as_str().into(),
                address: address.as_str().into(),
                version: "1.11.0".into(),
                capabilities: Arc::new([]),
                attributes: Arc::default(),
                in_offers: in_offers(&info, &address),
                info: super::super::blob(&info),
            }),
        })
    }

    fn check(event: &FrameworkEvent) {
        let master = v1::MasterInfo::default();
        let bytes = encoded(event, &master);
        assert_eq!(Event::decode(bytes.as_slice()), Ok(wire(event, &master)));
    }

    #[test]
    fn what_is_written_without_structs_reads_as_if_they_had_been_made() {
        let offers = vec![
            offer(1, "cpus:4;mem:4096;ports:[31000-32000,33000-33100]", "*"),
            offer(2, "cpus:4;cpus(eng):2;disk(eng):10", "eng"),
            offer(3, "names:{a,b}", "eng/a"),
        ];
        let refined = [Capability::ReservationRefinement, Capability::MultiRole];
        for capabilities in [&refined[..], &refined[..1], &refined[1..], &[]] {
            check(&FrameworkEvent::Offers {
                offers: offers.clone(),
                capabilities: capabilities.iter().copied().collect(),
            });
        }
        let status = v1::TaskStatus {
            task_id: v1::TaskId { value: "t".into() },
            state: v1::TaskState::TaskRunning.into(),
            data: Some(vec![7; 1000]),
            ..Default::default()
        };
        check(&FrameworkEvent::Relayed {
            status: super::super::blob(&status),
        });
        check(&FrameworkEvent::Heartbeat);
    }
}
