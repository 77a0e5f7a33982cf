//! Which streams of a scenario are dropped, and which of its ids belong to what nobody recorded.

use super::*;

impl Scenario {
    /// Drops the streams that the recording's client had dropped before this step.
    pub(super) async fn drop_closed(&mut self, case: &Case) {
        if case.streams_closed.values().any(|how| how == "+EOF") {
            let id = case
                .request
                .header("Mesos-Stream-Id")
                .map(|id| self.ids.rewrite(id));
            self.streams
                .retain(|stream| Some(&stream.id) != id.as_ref());
            // The master is to see the end of the connection before it sees the request.
            self.settle(SETTLED_CLOSED).await;
        }
    }

    /// Drops the streams that no later step speaks of: the recording's client did so too, and what
    /// it held is offered to others. The first of the cases is the one that has just run.
    pub(super) async fn forget(&mut self, cases: &[Case]) {
        let before = self.streams.len();
        let later = cases.get(1..).unwrap_or_default();
        let (ids, one_by_one) = (&self.ids, self.one_by_one);
        self.streams.retain(|stream| {
            let label = stream.label.as_deref();
            let shows = |case: &Case| case.events().any(|e| Some(e.stream.as_str()) == label);
            // A label that a later subscription has is not this stream's any more.
            let subscribes =
                |case: &Case| case.response.as_ref().is_some_and(|r| r.stream.is_some());
            let again = later
                .iter()
                .position(|case| subscribes(case) && shows(case));
            let header = |case: &Case| {
                let id = case.request.header("Mesos-Stream-Id");
                id.is_some_and(|id| match ids.actual(id) {
                    Some(actual) => actual == stream.id,
                    // Of the streams whose subscription was not recorded it is the next one.
                    None => label.is_none(),
                })
            };
            // Streams of the scenario's end stay open, but not where one followed another.
            if !one_by_one && !later.iter().any(subscribes) {
                return true;
            }
            let again = again.unwrap_or(later.len());
            let later = &later[..again];
            later.iter().any(|case| header(case) || shows(case))
        });
        if self.streams.len() < before {
            // The master is to see the end of the connection before it sees the next request.
            self.settle(SETTLED_CLOSED).await;
        }
    }

    /// Gives ids that the recording has not shown yet to what is there: a stream that nothing was
    /// recorded of, an offer that came in a step whose events were not.
    pub(super) async fn adopt(&mut self, case: &Case) {
        if let Some(id) = case.request.header("Mesos-Stream-Id") {
            let unnamed = self
                .streams
                .iter()
                .rfind(|stream| stream.label.is_none() && !self.ids.is_taken(&stream.id));
            if let (None, Some(stream)) = (self.ids.actual(id), unnamed) {
                self.ids.bind(id, &stream.id);
            }
        }
        let named = request::ids(case);
        for agent in named.iter().filter(|id| ids::is_agent(id)) {
            let spare = self.cluster.agents().find(|id| !self.ids.is_taken(id));
            if let (None, Some(actual)) = (self.ids.actual(agent), spare) {
                let actual = actual.to_owned();
                self.ids.bind(agent, &actual);
            }
        }
        // Where the call names no agent, the answer to it may.
        let answered: Vec<String> = case
            .events()
            .map(Event::value)
            .filter(|event| event["type"] == "UPDATE")
            .flat_map(|event| request::ids_in(&event.to_string()))
            .filter(|id| ids::is_agent(id))
            .collect();
        let agent = named
            .iter()
            .filter(|id| ids::is_agent(id))
            .chain(&answered)
            .find_map(|id| self.ids.actual(id));
        let agent = agent.map(str::to_owned);
        let known: Vec<String> = named
            .iter()
            .filter(|id| ids::is_offer(id))
            .filter_map(|id| self.ids.actual(id).map(str::to_owned))
            .collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let id = case
            .request
            .header("Mesos-Stream-Id")
            .map(|id| self.ids.rewrite(id));
        let begin = Instant::now();
        let mut gave_back = false;
        for offer in named.iter().filter(|id| ids::is_offer(id)) {
            let shown = case.offer_before(offer);
            while self.ids.actual(offer).is_none()
                && begin.elapsed() < SPARE_OFFER_TIME_MAX + GIVEN_BACK_TIME_MAX
            {
                let stream = self.streams.iter_mut().find(|s| Some(&s.id) == id.as_ref());
                let Some(stream) = stream else { return };
                let found = match &shown {
                    Some(shown) => stream.take_offer(shown, &mut self.ids).is_ok(),
                    None => {
                        // Where nothing says of which agent, the recordings stay with one.
                        let same = begin.elapsed() < SPARE_OFFER_TIME_MAX / 2;
                        let last = stream.last_agent.clone().filter(|_| same);
                        let agent = agent.clone().or(last);
                        let spare = stream.spare_offer(agent.as_deref(), &known);
                        spare.is_some_and(|spare| {
                            let actual = spare["id"]["value"].as_str().unwrap_or_default();
                            self.ids.bind(offer, actual)
                        })
                    }
                };
                if found {
                    continue;
                }
                // What is offered anew, or in other pieces, had been given back.
                if !gave_back && begin.elapsed() > SPARE_OFFER_TIME_MAX {
                    gave_back = true;
                    let everything = shown.is_some();
                    let call = stream.give_back(everything);
                    self.call(call.into_iter().collect()).await;
                }
                self.settle(POLL).await;
            }
        }
    }
}
