//! Scenario: cases that follow one another on one cluster.
//!
//! A request is sent as it was recorded, with the ids of this run. Then the answer is compared, and
//! the events that the recording shows are waited for on the streams it shows them on.

mod streams_kept;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::case::{Answer, Case, Event};
use super::cast::{self, Actor};
use super::cluster::Cluster;
use super::compare;
use super::http::{self, Reply};
use super::ids::{self, Ids};
use super::node::Program;
use super::plan::{self, Plan, Step};
use super::request;
use super::streams::{self, Acknowledged, Stream, Unrecorded};

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the answer to an unchecked request is waited for.
const UNCHECKED_TIME_MAX: Duration = Duration::from_secs(1);
/// How long events are waited for, beside the time that lies between them in the recording: an
/// offer declined comes back after 5 s and the next allocation.
const EVENTS_TIME_MAX: Duration = Duration::from_millis(7500);
/// How long the offers of a recording are waited for when others are there.
const OTHER_OFFERS_TIME_MAX: Duration = Duration::from_secs(2);
/// How long an offer may take of which the recording shows nothing but that it is used.
const SPARE_OFFER_TIME_MAX: Duration = Duration::from_secs(2);
/// How long an offer may take after offers were given back for it: until the next batch.
const GIVEN_BACK_TIME_MAX: Duration = Duration::from_millis(2500);
/// What follows a step follows it so soon.
const SETTLED: Duration = Duration::from_millis(120);
/// So soon a master has seen that a connection was closed, on a busy machine too.
const SETTLED_CLOSED: Duration = Duration::from_millis(500);
/// What follows an unchecked step is waited for so long.
const SETTLED_UNCHECKED: Duration = Duration::from_millis(400);
const POLL: Duration = Duration::from_millis(5);

/// How a case went.
#[derive(Debug)]
pub(super) enum Outcome {
    Passed,
    /// With the first difference.
    Failed(String),
    Skipped,
    /// It failed, and is listed as a difference that is wanted.
    Listed,
}

/// Runs the cases in order; nothing is said of those that have no recorded answer.
pub(super) async fn run(
    cases: &[Case],
    plan: &Plan,
    elsewhere: Option<std::net::SocketAddr>,
    program: &Result<Program, String>,
) -> Result<Vec<(String, Outcome)>> {
    let layout = plan.layout(cases);
    let main = cases.iter().find_map(|case| case.request.slave());
    let cluster = match (elsewhere, main, program) {
        // Whoever runs the master runs its agents.
        (Some(_), Some(_), _) => return Ok(skipped(cases, "agents are elsewhere")),
        (None, Some(_), Err(why)) => return Ok(skipped(cases, why)),
        (Some(address), None, _) => Cluster::elsewhere(address),
        (None, None, _) => Cluster::start(&layout).await?,
        (None, Some((_, main)), Ok(program)) => {
            Cluster::start_with_nodes(&layout, program, main).await?
        }
    };
    let lacks_agents = elsewhere.is_some() && cluster.count_agents().await < layout.agents.len();
    let events: Vec<Value> = cases
        .iter()
        .flat_map(Case::events)
        .map(Event::value)
        .collect();
    let calls: Vec<Value> = cases.iter().filter_map(request::call).collect();
    let mut scenario = Scenario {
        cluster,
        ids: Ids::default(),
        streams: Vec::new(),
        acknowledged: Acknowledged::of(&events, &calls),
        one_by_one: labels_repeat(cases),
        cast: Vec::new(),
    };
    scenario.bind_nodes(cases);
    // Without agents nobody can act, and what they would have done is skipped.
    let actors = match lacks_agents {
        true => Vec::new(),
        false => cast::of(cases),
    };
    let mut outcomes = Vec::new();
    for (place, case) in cases.iter().enumerate() {
        scenario.enter(&actors, place).await;
        let skipped = elsewhere.is_some() && plan.needs_agents(cases, case)
            || lacks_agents && plan::shows_agents(case);
        let step = plan.step(case);
        if step.moves_agents() {
            scenario.cluster.steer(&step).await?;
            scenario.settle(SETTLED).await;
        }
        let outcome = match (skipped, &case.response) {
            (true, _) => Outcome::Skipped,
            (false, None) => {
                if step.kill_agents {
                    scenario.cluster.kill_agents();
                }
                scenario.send_unchecked(case).await;
                scenario.forget(&cases[place..]).await;
                continue;
            }
            (false, Some(answer)) => {
                let next = cases[place + 1..]
                    .iter()
                    .find(|case| case.response.is_some());
                let late = next.map_or(&[][..], |case| &case.events_before);
                let difference = scenario.check(case, answer, late, &step).await;
                scenario.forget(&cases[place..]).await;
                difference.map_or_else(Outcome::Failed, |()| Outcome::Passed)
            }
        };
        if case.response.is_some() {
            outcomes.push((case.name.clone(), outcome));
        }
    }
    scenario.streams.clear();
    scenario.cast.clear();
    scenario.cluster.shutdown().await?;
    Ok(outcomes)
}

struct Scenario {
    cluster: Cluster,
    ids: Ids,
    streams: Vec<Stream>,
    acknowledged: Acknowledged,
    /// Whether the recording's client had one stream after another, all of one label.
    one_by_one: bool,
    /// The streams of those who act without recorded calls.
    cast: Vec<Stream>,
}

/// Says why nothing is replayed.
fn skipped(cases: &[Case], why: &str) -> Vec<(String, Outcome)> {
    let group = cases.first().map_or("", |case| &case.group);
    eprintln!("group {group} is skipped: {why}");
    let recorded = cases.iter().filter(|case| case.response.is_some());
    let outcome = |case: &Case| (case.name.clone(), Outcome::Skipped);
    recorded.map(outcome).collect()
}

impl Scenario {
    /// Says which recorded agent is which real one, as far as answers of theirs tell.
    fn bind_nodes(&mut self, cases: &[Case]) {
        for case in cases {
            let Some((_, number)) = case.request.slave() else {
                continue;
            };
            let shown = request::ids_in(&case.document().to_string());
            let id = shown.iter().find(|id| ids::is_agent(id));
            if let (Some(id), Some(node)) = (id, self.cluster.node(number)) {
                // One that is bound stays so.
                self.ids.bind(id, &node.id);
            }
        }
        for (folder, id) in cases.iter().flat_map(Case::work_dirs) {
            let nodes = (1..).map_while(|number| self.cluster.node(number));
            let actual = self.ids.actual(&id);
            if let Some(node) = nodes.into_iter().find(|node| actual == Some(&node.id)) {
                let work_dir = node.work_dir.clone();
                self.ids.bind_folder(&folder, &work_dir);
            }
        }
    }

    async fn send(
        &mut self,
        case: &Case,
        patience: Duration,
    ) -> Result<(Reply, Option<http::EventStream>), String> {
        self.adopt(case).await;
        // What came before the call is no answer to it.
        self.pump().await;
        for stream in &mut self.streams {
            stream.queue.clear();
        }
        let target = self.cluster.target(case);
        let bytes = request::bytes(case, &self.ids, target);
        let named = request::ids(case);
        let named: Vec<String> = named.iter().map(|id| self.ids.rewrite(id)).collect();
        for stream in &mut self.streams {
            stream.used(&named);
        }
        match timeout(patience, http::exchange(target, &bytes)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(format!("no answer: {error}")),
            Err(_) => Err(format!("no answer in {patience:?}")),
        }
    }

    /// Sends a request for the sake of the later steps.
    async fn send_unchecked(&mut self, case: &Case) {
        // Nothing is known of what it should be.
        if let Ok((reply, Some(events))) = self.send(case, UNCHECKED_TIME_MAX).await {
            let id = reply.header("Mesos-Stream-Id").unwrap_or_default();
            self.streams.push(Stream::new(None, id.to_owned(), events));
        }
        self.settle(SETTLED_UNCHECKED).await;
        for stream in &mut self.streams {
            stream.queue.retain(waits);
        }
    }

    /// Sends a request and compares what comes; `late` are events that the recording shows after
    /// this step, where they may come sooner.
    async fn check(
        &mut self,
        case: &Case,
        answer: &Answer,
        late: &[Event],
        step: &Step,
    ) -> Result<(), String> {
        self.drop_closed(case).await;
        let sent = self.send(case, ANSWER_TIME_MAX).await;
        if step.kill_agents {
            // A master hears of a killed process a moment later than of the next request: in the
            // recordings the answer is that of a master that does not know yet.
            self.cluster.kill_agents();
        }
        let (reply, events) = sent?;
        let is_stream = events.is_some();
        if let Some(events) = events {
            let shown = answer.stream.iter().flat_map(|stream| &stream.events);
            let label = shown.map(|event| event.stream.clone()).next();
            let id = reply.header("Mesos-Stream-Id").unwrap_or_default();
            self.streams.push(Stream::new(label, id.to_owned(), events));
        }
        let mut difference = compare::head(answer, &reply, &mut self.ids);
        if !is_stream && difference.is_none() {
            difference = compare::body(case.answer_name(), answer, &reply, &mut self.ids);
        }
        // The events are taken in any case: the next steps count on what they bind.
        let events = self.expect(case, late).await;
        self.settle(SETTLED).await;
        for stream in &mut self.streams {
            stream.queue.retain(waits);
        }
        match difference {
            Some(difference) => Err(difference),
            None => events.and_then(|()| self.ends(case, answer)),
        }
    }

    /// Waits for the events of the recording; after that nothing more may have come.
    async fn expect(&mut self, case: &Case, late: &[Event]) -> Result<(), String> {
        let times = || case.events().map(|event| event.t_ms);
        let span = times().max().unwrap_or(0) - times().min().unwrap_or(0);
        let subscribes = case
            .response
            .as_ref()
            .is_some_and(|answer| answer.stream.is_some());
        let own = case.events().map(|event| event.stream.as_str()).next();
        let mut declined = false;
        let span = Duration::from_millis(span);
        let deadline = Instant::now() + EVENTS_TIME_MAX + span;
        let mut other_deadline = Instant::now() + OTHER_OFFERS_TIME_MAX + span;
        let mut given_back = false;
        let mut missing: Vec<(&str, Value)> = Vec::new();
        for (place, event) in case.events().enumerate() {
            let mut value = event.value();
            match value["type"].as_str() {
                Some("OFFERS") => {
                    if let Value::Array(offers) = value["offers"]["offers"].take() {
                        missing.extend(offers.into_iter().map(|o| (event.stream.as_str(), o)));
                    }
                }
                Some("INVERSE_OFFERS") => {
                    let items = streams::inverse_offers(&mut value);
                    missing.extend(items.into_iter().map(|o| (event.stream.as_str(), o)));
                }
                // Only the one after SUBSCRIBED comes at a known time.
                Some("HEARTBEAT") if place > 1 || !subscribes => {}
                _ => missing.push((&event.stream, value)),
            }
        }
        loop {
            self.pump().await;
            let mut last = None;
            let mut came = false;
            let mut waiting = Vec::new();
            for (label, event) in std::mem::take(&mut missing) {
                let Some(stream) = stream(&mut self.streams, label) else {
                    return Err(format!("{} on a stream that is not open", event["type"]));
                };
                let is_offer = event.get("type").is_none();
                let taken = match is_offer {
                    true => stream.take_offer(&event, &mut self.ids),
                    false => match stream.take_event(&event, &mut self.ids) {
                        Some(taken) => taken,
                        None => Err(format!("{} did not come", event["type"])),
                    },
                };
                if let Err(difference) = taken {
                    came |= is_offer && !stream.offers.is_empty();
                    last.get_or_insert(difference);
                    waiting.push((label, event));
                }
            }
            missing = waiting;
            match last {
                None => break,
                Some(difference) if came && Instant::now() > other_deadline => {
                    if given_back {
                        return Err(difference);
                    }
                    // An allocation between an ACCEPT and the end of its task holds out in parts
                    // what the recording has in one offer: given back, it comes as one.
                    given_back = true;
                    other_deadline = Instant::now() + OTHER_OFFERS_TIME_MAX;
                    let labels: Vec<&str> = missing.iter().map(|(label, _)| *label).collect();
                    let calls = self
                        .streams
                        .iter_mut()
                        .filter(|s| s.label.as_deref().is_some_and(|l| labels.contains(&l)))
                        .filter_map(Stream::return_spares)
                        .collect();
                    self.call(calls).await;
                }
                Some(difference) if Instant::now() > deadline => return Err(difference),
                Some(_) => {
                    // The recording's frameworks gave offers back before another one subscribed.
                    if subscribes && !came && !declined && Instant::now() > other_deadline {
                        declined = true;
                        let others = self.streams.iter_mut();
                        let others = others.filter(|stream| stream.label.as_deref() != own);
                        let calls = others.filter_map(Stream::decline).collect();
                        self.call(calls).await;
                    }
                    tokio::time::sleep(POLL).await;
                }
            }
        }
        self.settle(SETTLED).await;
        // Of a subscription the recording shows its own stream alone.
        for stream in &mut self.streams {
            let label = stream.label.clone();
            for event in late
                .iter()
                .filter(|e| label.as_ref().is_none_or(|l| *l == e.stream))
            {
                // One that did not come yet is not waited for: its step does not show it as its own.
                drop(stream.take_event(&event.value(), &mut self.ids));
            }
            let label = stream.label.as_deref();
            let shown = !subscribes || label == own;
            let beside = |event: &&Value| event["type"] != "HEARTBEAT" && !waits(event);
            if let Some(event) = stream.queue.iter().find(beside).filter(|_| shown) {
                return Err(format!(
                    "{} came beside: {event}",
                    label.unwrap_or_default()
                ));
            }
        }
        Ok(())
    }

    /// Whether the streams that the master ended in the recording have ended.
    fn ends(&self, case: &Case, answer: &Answer) -> Result<(), String> {
        let closed = case.streams_closed.iter();
        let closed = closed.filter(|(_, how)| how.starts_with("last-chunk"));
        let mut labels: Vec<&str> = closed.map(|(label, _)| label.as_str()).collect();
        let shut = answer.stream.iter().filter(|stream| !stream.still_open);
        labels.extend(
            shut.flat_map(|s| &s.events)
                .map(|event| event.stream.as_str()),
        );
        for stream in &self.streams {
            let wanted = stream
                .label
                .as_deref()
                .is_some_and(|label| labels.contains(&label));
            if wanted && !stream.ended {
                return Err(format!("stream {:?} was not ended", stream.label));
            }
        }
        Ok(())
    }

    /// Plays those who act before this case without a recording of it.
    async fn enter(&mut self, actors: &[Actor], place: usize) {
        let mut entered = false;
        for actor in actors.iter().filter(|actor| actor.enters == place) {
            entered = true;
            match actor.play(&self.cluster, &mut self.ids).await {
                Ok(stream) => self.cast.push(stream),
                // The cases that count on it fail, and say how.
                Err(fault) => eprintln!("unrecorded framework: {fault}"),
            }
        }
        if entered {
            self.settle(SETTLED).await;
            for stream in &mut self.streams {
                stream.queue.retain(waits);
            }
        }
    }

    async fn settle(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.pump().await;
            tokio::time::sleep(POLL).await;
        }
        self.pump().await;
    }

    /// Makes calls that were not recorded; one that is refused is seen by what does not follow.
    async fn call(&self, calls: Vec<Unrecorded>) {
        for call in calls {
            let bytes = request::unrecorded(&call);
            drop(
                timeout(
                    ANSWER_TIME_MAX,
                    http::exchange(self.cluster.address, &bytes),
                )
                .await,
            );
        }
    }

    /// Takes in what came on the streams, and acknowledges what the recording's framework did.
    async fn pump(&mut self) {
        let due: Vec<_> = self
            .streams
            .iter_mut()
            .flat_map(|stream| stream.pump(&self.acknowledged))
            .collect();
        self.call(due).await;
        let all = Acknowledged::default();
        let mut due = Vec::new();
        for stream in &mut self.cast {
            due.extend(stream.pump(&all));
            due.extend(stream.decline());
            stream.queue.clear();
        }
        self.call(due).await;
    }
}

/// Whether an event may be recorded in a later step than it comes: when a framework is asked again
/// to give an agent back is as much a matter of timing as its offers are.
fn waits(event: &Value) -> bool {
    event["type"] == "INVERSE_OFFERS"
}

/// Whether two subscriptions have a stream of the same label.
fn labels_repeat(cases: &[Case]) -> bool {
    let streams = cases
        .iter()
        .filter_map(|case| case.response.as_ref()?.stream.as_ref());
    let labels = streams.filter_map(|stream| stream.events.first());
    let mut seen = BTreeSet::new();
    labels
        .map(|event| &event.stream)
        .any(|label| !seen.insert(label))
}

/// The stream of this label; an unlabelled one gets the label.
fn stream<'a>(streams: &'a mut [Stream], label: &str) -> Option<&'a mut Stream> {
    let named = |stream: &Stream| stream.label.as_deref() == Some(label);
    let place = streams.iter().position(named);
    let place = place.or_else(|| streams.iter().rposition(|stream| stream.label.is_none()))?;
    let stream = &mut streams[place];
    stream.label.get_or_insert_with(|| label.to_owned());
    Some(stream)
}
