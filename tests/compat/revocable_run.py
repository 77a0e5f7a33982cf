#!/usr/bin/env python3
"""Runs tasks on revocable resources through pymesos, unmodified, on a cluster whose agents oversubscribe.

Two frameworks: one with REVOCABLE_RESOURCES, which must be offered some and runs a task on them, and one
without, which must never see any. With --pressure the task is a busy one, and the other framework then
runs busy processes beside it on the same agent: the revocable task must end as preempted, and say for
which pressure, while the other runs on. The agents need --qos_controller=pressure for that. The last line
is a summary.

Exit codes: 0 all as it must be, 1 something else was seen, 2 bad command line, 3 not done in time.
"""

import argparse
import sys
import threading
import time

from pymesos import MesosSchedulerDriver, Scheduler
from states import TERMINAL

BUSY = "while :; do :; done"


def part(name, value, revocable=False):
    resource = {"name": name, "type": "SCALAR", "scalar": {"value": value}}
    return resource | ({"revocable": {}} if revocable else {})


def amount(offer, name, revocable):
    """How much of a resource an offer holds that is revocable, or that is not."""
    return sum(
        r.scalar.value for r in offer.resources if r.name == name and ("revocable" in r) == revocable
    )


class Runner(Scheduler):
    """Launches one task where it can, and notes what it sees."""

    def __init__(self, name, resources, line, agent=None):
        self.name = name
        self.resources = resources
        self.line = line
        self.agent = agent
        self.revocable_offers = 0
        self.updates = []
        self.faults = []
        self.changed = threading.Condition()

    def resourceOffers(self, driver, offers):
        for offer in offers:
            has_revocable = any("revocable" in r for r in offer.resources)
            self.revocable_offers += has_revocable
            fits = all(
                amount(offer, r["name"], "revocable" in r) >= r["scalar"]["value"]
                for r in self.resources
            )
            is_there = self.agent is None or offer.agent_id.value == self.agent
            if self.line and fits and is_there:
                self.agent = offer.agent_id.value
                task = {
                    "task_id": {"value": self.name},
                    "agent_id": {"value": self.agent},
                    "name": self.name,
                    "command": {"shell": True, "value": self.line},
                    "resources": self.resources,
                }
                self.line = None
                driver.launchTasks(offer.id, [task], {"refuse_seconds": 1})
            else:
                driver.declineOffer(offer.id, {"refuse_seconds": 1})

    def statusUpdate(self, driver, update):
        message = update.get("message", "")
        print(f"{self.name}: {update.state} {update.get('reason', '')} {message}", flush=True)
        with self.changed:
            self.updates.append(update)
            self.changed.notify_all()

    def error(self, driver, message):
        with self.changed:
            self.faults.append(f"the master says to {self.name}: {message}")
            self.changed.notify_all()

    def state(self):
        return self.updates[-1].state if self.updates else None

    def wait_for(self, what, until):
        """Whether a state that `what` names came in time."""
        with self.changed:
            left = max(0, until - time.monotonic())
            return self.changed.wait_for(lambda: self.faults or self.state() in what, left)


def start(runner, capabilities, master):
    framework = {
        "user": "root",
        "name": runner.name,
        "hostname": "compat",
        "capabilities": [{"type": kind} for kind in capabilities],
    }
    driver = MesosSchedulerDriver(runner, framework, master, use_addict=True)
    driver.start()
    return driver


def judge(batch, other, pressure):
    faults = batch.faults + other.faults
    if not batch.revocable_offers:
        faults.append("no revocable resources were offered to who knows them")
    if other.revocable_offers:
        faults.append("revocable resources were offered to who does not know them")
    end = batch.updates[-1] if batch.updates else {}
    message = end.get("message", "")
    if not pressure:
        if end.get("state") != "TASK_FINISHED":
            faults.append(f"the revocable task did not finish: {end}")
        return faults
    if end.get("state") != "TASK_GONE" or end.get("reason") != "REASON_CONTAINER_PREEMPTED":
        faults.append(f"the revocable task was not preempted: {end}")
    if "preempted by QoS correction: cpu pressure" not in message or "more than" not in message:
        faults.append(f"the message does not say for what: {message!r}")
    if other.state() != "TASK_RUNNING":
        faults.append(f"the other task does not run on: {other.state()}")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--master", required=True, metavar="HOST:PORT")
    parser.add_argument("--pressure", action="store_true", help="see who is preempted")
    parser.add_argument("--timeout", type=float, default=120, help="seconds (120)")
    args = parser.parse_args()

    until = time.monotonic() + args.timeout
    revocable = [part("cpus", 0.5, True), part("mem", 32, True)]
    batch = Runner("batch", revocable, BUSY if args.pressure else "sleep 1")
    batch_driver = start(batch, ["REVOCABLE_RESOURCES", "PARTITION_AWARE"], args.master)
    # The one that knows none is looked at meanwhile; it takes nothing yet.
    web = Runner("web", [part("cpus", 1), part("mem", 64)], None)
    web_driver = start(web, ["PARTITION_AWARE"], args.master)
    wanted = {"TASK_RUNNING"} | TERMINAL if args.pressure else TERMINAL
    in_time = batch.wait_for(wanted, until)
    if args.pressure and in_time and batch.state() == "TASK_RUNNING":
        web.agent = batch.agent
        web.line = f"({BUSY}) & ({BUSY}) & ({BUSY}) & {BUSY}"
        in_time = batch.wait_for(TERMINAL, until)
    faults = judge(batch, web, args.pressure)
    for driver in (batch_driver, web_driver):
        driver.stop()
    for driver in (batch_driver, web_driver):
        driver.join()
    for fault in faults:
        print(f"fault: {fault}")
    print(
        f"revocable: {batch.revocable_offers} offers with revocable resources to who knows them,"
        f" {web.revocable_offers} to who does not; the task ended as {batch.state()}"
    )
    if not in_time:
        return 3
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
