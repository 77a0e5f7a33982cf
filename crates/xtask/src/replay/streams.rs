//! Streams: the open event streams of a scenario, and what came on them and was not yet asked for.
//!
//! Offers, inverse ones too, wait in a pool, since when they come, and how many in one event, is a matter of timing;
//! every other event is taken in its order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::compare;
use super::http::EventStream;
use super::ids::Ids;

/// An event stream.
pub(crate) struct Stream {
    /// What the recording calls it, once that is known.
    pub(crate) label: Option<String>,
    pub(crate) id: String,
    events: EventStream,
    framework_id: Value,
    /// What was not asked for yet, without offers.
    pub(crate) queue: VecDeque<Value>,
    pub(crate) offers: Vec<Value>,
    /// Inverse offers, each as `{"inverse_offer": …}`.
    inverse_offers: Vec<Value>,
    /// The ids of all offers that came and were not used, asked for or not.
    held: Vec<Value>,
    /// The agent of every offer that ever came, by the offer's id.
    agents: BTreeMap<String, String>,
    /// The agent whose offer was used last.
    pub(super) last_agent: Option<String>,
    pub(crate) ended: bool,
    /// Whether a HEARTBEAT came.
    is_alive: bool,
}

/// A call that the recording's framework made without a recording of it.
pub(crate) struct Unrecorded {
    pub(crate) stream_id: String,
    pub(crate) call: Value,
}

impl Stream {
    pub(crate) const fn new(label: Option<String>, id: String, events: EventStream) -> Self {
        Self {
            label,
            id,
            events,
            framework_id: Value::Null,
            queue: VecDeque::new(),
            offers: Vec::new(),
            inverse_offers: Vec::new(),
            held: Vec::new(),
            agents: BTreeMap::new(),
            last_agent: None,
            ended: false,
            is_alive: false,
        }
    }

    /// Takes in what came; gives back the acknowledgements that are due.
    pub(crate) fn pump(&mut self, acknowledged: &Acknowledged) -> Vec<Unrecorded> {
        let (events, ended) = self.events.take();
        self.ended |= ended;
        let mut due = Vec::new();
        for mut event in events {
            match event["type"].as_str() {
                Some("OFFERS") => {
                    if let Value::Array(offers) = event["offers"]["offers"].take() {
                        self.held
                            .extend(offers.iter().map(|offer| offer["id"].clone()));
                        self.agents.extend(offers.iter().map(id_and_agent));
                        self.offers.extend(offers);
                    }
                    continue;
                }
                Some("INVERSE_OFFERS") => {
                    self.inverse_offers.extend(inverse_offers(&mut event));
                    continue;
                }
                // Only the one after SUBSCRIBED comes at a known time.
                Some("HEARTBEAT") if std::mem::replace(&mut self.is_alive, true) => continue,
                Some("SUBSCRIBED") => {
                    self.framework_id = event["subscribed"]["framework_id"].clone();
                }
                Some("UPDATE") if acknowledged.has(&event["update"]["status"]) => {
                    due.push(self.acknowledgement(&event["update"]["status"]));
                }
                _ => {}
            }
            self.queue.push_back(event);
        }
        due
    }

    fn acknowledgement(&self, status: &Value) -> Unrecorded {
        Unrecorded {
            stream_id: self.id.clone(),
            call: json!({
                "type": "ACKNOWLEDGE",
                "framework_id": self.framework_id,
                "acknowledge": {
                    "agent_id": status["agent_id"],
                    "task_id": status["task_id"],
                    "uuid": status["uuid"],
                },
            }),
        }
    }

    /// The framework's id, once SUBSCRIBED told it.
    pub(crate) fn framework_id(&self) -> Option<String> {
        self.framework_id["value"].as_str().map(str::to_owned)
    }

    /// Takes all offers that came.
    pub(crate) fn take_offers(&mut self) -> Vec<Value> {
        self.held.clear();
        std::mem::take(&mut self.offers)
    }

    /// Gives back the offers that no recorded one stands for, to have them again at once; `None`
    /// where there is none.
    pub(super) fn return_spares(&mut self) -> Option<Unrecorded> {
        let offers = std::mem::take(&mut self.offers);
        let ids: Vec<Value> = offers.iter().map(|offer| offer["id"].clone()).collect();
        self.held.retain(|id| !ids.contains(id));
        self.declining(ids, 0.0)
    }

    /// Gives every offer back that was not used, for good; `None` where there is none.
    pub(crate) fn decline(&mut self) -> Option<Unrecorded> {
        let held = std::mem::take(&mut self.held);
        self.offers.clear();
        self.declining(held, 1000.0)
    }

    /// Gives offers back that were not used, to be offered again at once: all of them, or those of
    /// the agent whose offer was used last; `None` where there is none.
    pub(super) fn give_back(&mut self, everything: bool) -> Option<Unrecorded> {
        let of = |id: &Value| self.agents.get(id["value"].as_str().unwrap_or_default());
        let (given, held) = std::mem::take(&mut self.held)
            .into_iter()
            .partition::<Vec<Value>, _>(|id| {
                everything || self.last_agent.is_none() || of(id) == self.last_agent.as_ref()
            });
        self.held = held;
        self.offers.retain(|offer| !given.contains(&offer["id"]));
        self.declining(given, 0.0)
    }

    /// The call that refuses these offers for so long; `None` where there are none.
    fn declining(&self, offer_ids: Vec<Value>, refuse_seconds: f64) -> Option<Unrecorded> {
        (!offer_ids.is_empty()).then(|| Unrecorded {
            stream_id: self.id.clone(),
            call: json!({
                "type": "DECLINE",
                "framework_id": self.framework_id,
                "decline": {
                    "offer_ids": offer_ids,
                    "filters": {"refuse_seconds": refuse_seconds},
                },
            }),
        })
    }

    /// These ids are named in a call of the framework's own.
    pub(crate) fn used(&mut self, ids: &[String]) {
        if let Some(agent) = ids.iter().rev().find_map(|id| self.agents.get(id)) {
            self.last_agent = Some(agent.clone());
        }
        self.held
            .retain(|id| !ids.iter().any(|used| id["value"] == used.as_str()));
    }

    /// Takes the offer that a recorded one stands for; the first difference where there is none.
    pub(crate) fn take_offer(&mut self, recorded: &Value, ids: &mut Ids) -> Result<(), String> {
        let pool = match recorded.get("inverse_offer") {
            Some(_) => &mut self.inverse_offers,
            None => &mut self.offers,
        };
        let mut first = None;
        for (place, offer) in pool.iter().enumerate() {
            let mut trial = ids.clone();
            match compare::value(recorded, offer, &mut trial, "OFFERS.offer") {
                None => {
                    *ids = trial;
                    pool.remove(place);
                    return Ok(());
                }
                Some(difference) => first.get_or_insert(difference),
            };
        }
        Err(first.unwrap_or_else(|| "OFFERS: an offer did not come".into()))
    }

    /// Takes the event that a recorded one stands for; `None` where nothing like it came.
    pub(crate) fn take_event(
        &mut self,
        recorded: &Value,
        ids: &mut Ids,
    ) -> Option<Result<(), String>> {
        let subject = subject(recorded);
        let mut first = None;
        for place in 0..self.queue.len() {
            let event = &self.queue[place];
            if self::subject(event) != subject {
                continue;
            }
            let mut trial = ids.clone();
            let name = recorded["type"].as_str().unwrap_or("event");
            match compare::value(recorded, event, &mut trial, name) {
                None => {
                    *ids = trial;
                    self.queue.remove(place);
                    return Some(Ok(()));
                }
                Some(difference) => first.get_or_insert(difference),
            };
        }
        first.map(Err)
    }

    /// The newest offer that no recorded one stands for. An agent is held out in one offer at a
    /// time, so it is of none of the agents whose offers stand beside it in the call; else it is of
    /// the agent named, if one is.
    pub(crate) fn spare_offer(&mut self, agent_id: Option<&str>, beside: &[&str]) -> Option<Value> {
        let taken: Vec<&str> = beside
            .iter()
            .filter_map(|offer| self.agents.get(*offer).map(String::as_str))
            .collect();
        let fits = |offer: &Value| {
            let of = offer["agent_id"]["value"].as_str().unwrap_or_default();
            let wanted = agent_id.filter(|id| !taken.contains(id));
            wanted.map_or_else(|| !taken.contains(&of), |id| of == id)
        };
        let place = self.offers.iter().rposition(fits)?;
        Some(self.offers.remove(place))
    }
}

/// The items of an INVERSE_OFFERS, marked as such.
pub(crate) fn inverse_offers(event: &mut Value) -> Vec<Value> {
    match event["inverse_offers"]["inverse_offers"].take() {
        Value::Array(items) => items
            .into_iter()
            .map(|item| json!({ "inverse_offer": item }))
            .collect(),
        _ => Vec::new(),
    }
}

fn id_and_agent(offer: &Value) -> (String, String) {
    let text = |field: &str| {
        offer[field]["value"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    (text("id"), text("agent_id"))
}

/// What an event is about: events about different things may come in any order.
fn subject(event: &Value) -> (Option<&str>, Option<&str>) {
    let status = |kind: &str, id: &str| event.pointer(&format!("/{kind}/status/{id}/value"));
    let about = status("update", "task_id")
        .or_else(|| status("update_operation_status", "operation_id"))
        .or_else(|| status("task_updated", "task_id"))
        .and_then(Value::as_str);
    (event["type"].as_str(), about)
}

/// Which updates the recording's framework acknowledged without a recording of the call.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    /// By task: the states of which the recording says something, and whether it is this.
    states: BTreeMap<String, BTreeMap<String, bool>>,
    /// Tasks whose updates are acknowledged by recorded calls, or never.
    by_hand: BTreeSet<String>,
}

impl Acknowledged {
    /// Learns from all events and all acknowledgements of a scenario.
    pub(crate) fn of(events: &[Value], calls: &[Value]) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let calls: BTreeSet<String> = calls
            .iter()
            .map(|call| text(&call["acknowledge"]["uuid"]))
            .collect();
        let mut this = Self::default();
        let mut updates: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for event in events {
            let status = &event["update"]["status"];
            let uuid = text(&status["uuid"]);
            if !uuid.is_empty() {
                let task = text(&status["task_id"]["value"]);
                updates
                    .entry(task)
                    .or_default()
                    .push((uuid, text(&status["state"])));
            }
        }
        for (task, updates) in updates {
            for (place, (uuid, state)) in updates.iter().enumerate() {
                let again = updates[place + 1..].iter().any(|(later, _)| later == uuid);
                let by_hand = calls.contains(uuid) || again;
                if by_hand {
                    this.by_hand.insert(task.clone());
                }
                let states = this.states.entry(task.clone()).or_default();
                *states.entry(state.clone()).or_insert(true) &= !by_hand;
            }
        }
        this
    }

    fn has(&self, status: &Value) -> bool {
        let (Some(task), Some(state)) = (
            status["task_id"]["value"].as_str(),
            status["state"].as_str(),
        ) else {
            return false;
        };
        let recorded = self.states.get(task).and_then(|states| states.get(state));
        let known = recorded.copied();
        status["uuid"].is_string() && known.unwrap_or_else(|| !self.by_hand.contains(task))
    }
}
