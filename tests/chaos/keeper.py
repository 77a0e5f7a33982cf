#!/usr/bin/env python3
"""Keeps tasks running through pymesos, unmodified, whatever happens to the cluster.

`cargo xtask chaos` starts it, with the Python that tests/compat/venv makes, and starts it again
where it ends. Each slot has one task at a time; one that is over is followed by another under a new
id. Every third slot's tasks end by themselves; the others write a line a second, which counts from 0.
All that is heard and done is written as a line of JSON to the journal, and at the start read from
there: the framework's id, and which tasks there are.

A task tells the address `--counter` that it runs, under a name that no other run has.
"""

import argparse
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "compat"))

from framework import scalars  # noqa: E402
from pymesos import MesosSchedulerDriver, Scheduler  # noqa: E402
from pymesos_run import scalar  # noqa: E402
from states import TERMINAL  # noqa: E402

CPUS = 0.05
MEM = 16
# A task of which the master knows nothing so often, over so long, was never launched.
UNKNOWN_TIMES = 3
UNKNOWN_SECONDS = 15
# A task whose agent was lost is given up when nobody knew of it for so long: an agent may come back.
UNREACHABLE_SECONDS = 600
# How long an answer may be awaited before the master is asked again.
PATIENCE = 5
# How long nobody is asked after a call has failed: the driver has to find another master meanwhile.
PAUSE = 10
# What tasks do that do not end.
COUNT = "i=0; while :; do echo $i; i=$((i+1)); sleep 1; done"
FAILOVER_SECONDS = 7 * 24 * 3600.0


class Task:
    """What is known of one task."""

    def __init__(self, slot, at):
        self.slot = slot
        self.state = None
        self.heard = at
        self.unknown = 0
        self.unknown_since = 0.0

    def is_over(self):
        return self.state in TERMINAL


class Journal:
    """Lines of JSON, each whole: the file is only ever appended to."""

    def __init__(self, path):
        self.lock = threading.Lock()
        self.past = []
        if os.path.exists(path):
            with open(path, encoding="utf-8") as lines:
                # The last line is cut off where this program was killed.
                self.past = [json.loads(line) for line in lines if line.endswith("}\n")]
        self.file = open(path, "a", encoding="utf-8")

    def write(self, event, **content):
        line = json.dumps({"at": time.time(), "event": event, **content})
        with self.lock:
            self.file.write(line + "\n")
            self.file.flush()


class Keeper(Scheduler):
    """Keeps one task alive in each slot."""

    def __init__(self, journal, slots, counter):
        self.journal = journal
        self.counter = counter
        self.lock = threading.RLock()
        self.driver = None
        self.framework_id = None
        self.tasks = {}
        self.slots = dict.fromkeys(range(slots))
        self.generation = 0
        self.is_connected = False
        self.silent_until = 0.0
        for line in journal.past:
            self.recall(line)

    def recall(self, line):
        if line["event"] == "registered":
            self.framework_id = line["framework"]
        elif line["event"] == "launch":
            self.tasks[line["task"]] = Task(line["slot"], line["at"])
            self.slots[line["slot"]] = line["task"]
            self.generation = max(self.generation, int(line["task"].rpartition(".")[2]))
        elif line["event"] in ("status", "given_up") and line["task"] in self.tasks:
            self.note(line["task"], line["state"])

    def note(self, name, state):
        task = self.tasks[name]
        task.heard = time.time()
        if state != "TASK_UNKNOWN":
            task.unknown = 0
        elif task.state == "TASK_UNREACHABLE":
            # pymesos names no agent when it asks, and without one a master says no more than this of
            # a task whose agent it waits for.
            return
        # What is over stays over: a late word of an earlier state changes nothing.
        if not task.is_over():
            task.state = state

    def registered(self, driver, framework_id, master_info):
        self.is_connected = True
        self.framework_id = framework_id.value
        self.journal.write("registered", framework=framework_id.value, master=where(master_info))
        self.ask(everything=True)

    def reregistered(self, driver, master_info):
        self.is_connected = True
        self.silent_until = 0.0
        self.journal.write("reregistered", master=where(master_info))
        self.ask(everything=True)

    def disconnected(self, driver):
        # The driver tells it of every attempt.
        if self.is_connected:
            self.journal.write("disconnected")
        self.is_connected = False

    def failed(self, call, error):
        self.silent_until = time.time() + PAUSE
        self.journal.write("failed", call=call, why=str(error))

    def resourceOffers(self, driver, offers):
        self.journal.write("offers", number=len(offers))
        for offer in offers:
            # A master that does not answer one call answers none: the next is looked for.
            if not self.use(offer):
                break

    def use(self, offer):
        cpus, mem = scalar(offer.resources, "cpus"), scalar(offer.resources, "mem")
        room = int(min(cpus / CPUS, mem / MEM))
        infos = []
        with self.lock:
            # No agent takes more than its share, so that each has some.
            for slot in self.empty()[: min(room, 1 + len(self.slots) // 6)]:
                self.generation += 1
                name = f"slot{slot}.{self.generation}"
                self.tasks[name] = Task(slot, time.time())
                self.slots[slot] = name
                # Before it is sent: what is not written here was not launched.
                self.journal.write("launch", task=name, slot=slot, agent=offer.agent_id.value)
                infos.append(self.info(name, slot, offer))
        try:
            if infos:
                self.driver.launchTasks(offer.id, infos, {"refuse_seconds": 1})
            else:
                self.driver.declineOffer(offer.id, {"refuse_seconds": 1})
        except Exception as error:
            # The master is gone; whether it heard this is asked of the next one.
            self.failed("launch" if infos else "decline", error)
            return False
        return True

    def empty(self):
        return [
            slot
            for slot, name in self.slots.items()
            if name is None or self.tasks[name].is_over()
        ]

    def info(self, name, slot, offer):
        end = "sleep 20; exit 0" if slot % 3 == 2 else COUNT
        line = (
            f"run=$(cat /proc/sys/kernel/random/uuid); "
            f"until wget -q -O /dev/null http://{self.counter}/{name}/$run; do sleep 1; done; "
            f"echo $run; {end}"
        )
        return {
            "task_id": {"value": name},
            "agent_id": {"value": offer.agent_id.value},
            "name": name,
            "command": {"shell": True, "value": line},
            "resources": scalars(cpus=CPUS, mem=MEM),
        }

    def statusUpdate(self, driver, update):
        name, state = update.task_id.value, update.state
        self.journal.write(
            "status",
            task=name,
            state=state,
            uuid=update.get("uuid"),
            agent=update.get("agent_id", {}).get("value"),
            source=update.get("source"),
            reason=update.get("reason"),
            message=update.get("message"),
        )
        with self.lock:
            if name in self.tasks:
                self.note(name, state)
                if state == "TASK_UNKNOWN":
                    self.doubt(name)
        if "uuid" in update:
            try:
                driver.acknowledgeStatusUpdate(update)
            except Exception as error:
                # It comes again.
                self.failed("acknowledge", error)

    def doubt(self, name):
        task, now = self.tasks[name], time.time()
        if task.unknown == 0:
            task.unknown_since = now
        task.unknown += 1
        patience = UNREACHABLE_SECONDS if task.state == "TASK_UNREACHABLE" else UNKNOWN_SECONDS
        if task.unknown >= UNKNOWN_TIMES and now - task.unknown_since >= patience:
            self.journal.write("given_up", task=name, state="TASK_LOST")
            task.state = "TASK_LOST"

    def error(self, driver, message):
        self.journal.write("error", message=message)

    def ask(self, everything):
        """Asks what became of tasks: of all, or of those that nothing was heard of for long."""
        now = time.time()
        if now < self.silent_until:
            return
        with self.lock:
            asked = [
                name
                for name, task in self.tasks.items()
                if not task.is_over()
                and (everything or (task.state != "TASK_RUNNING" and now - task.heard > PATIENCE))
            ]
            for name in asked:
                self.tasks[name].heard = now
        if asked:
            try:
                self.driver.reconcileTasks([{"task_id": {"value": name}} for name in asked])
            except Exception as error:
                self.failed("reconcile", error)


def where(master_info):
    address = master_info.get("address", {})
    return f"{address.get('ip')}:{address.get('port')}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--master", required=True, metavar="zk://… or HOST:PORT")
    parser.add_argument("--slots", type=int, default=30, help="tasks at a time (30)")
    parser.add_argument("--counter", required=True, metavar="HOST:PORT", help="as tasks see it")
    parser.add_argument("--journal", required=True, metavar="FILE")
    args = parser.parse_args()

    keeper = Keeper(Journal(args.journal), args.slots, args.counter)
    framework = {
        "user": "root",
        "name": "chaos",
        "hostname": "chaos",
        "checkpoint": True,
        "failover_timeout": FAILOVER_SECONDS,
        "capabilities": [{"type": "PARTITION_AWARE"}],
    }
    if keeper.framework_id:
        framework["id"] = {"value": keeper.framework_id}
    driver = MesosSchedulerDriver(
        keeper, framework, args.master, use_addict=True, implicit_acknowledgements=False
    )
    keeper.driver = driver
    driver.start()
    while not driver.aborted:
        time.sleep(1)
        keeper.ask(everything=False)
    return 1


if __name__ == "__main__":
    sys.exit(main())
