#!/usr/bin/env python3
"""Runs tasks on a cluster through avmesos or mesoshttp, unmodified, and looks at what it is told.

N tasks must end as TASK_FINISHED and one more, which exits with 9, as TASK_FAILED; one that would
sleep for ever is killed. Run it with the Python that tests/compat/venv makes. The last line is a
summary.

Exit codes: 0 all as it must be, 1 something else was seen, 2 bad command line, 3 not done in time.
"""

import argparse
import importlib
import sys
import threading
import time

from states import TERMINAL

CPUS = 0.1
MEM = 32
FAILING = "fails"
ENDLESS = "sleeps"


def amount(offer, name):
    """The amount of a scalar resource in an offer, whatever its parts."""
    return sum(r["scalar"]["value"] for r in offer["resources"] if r["name"] == name)


class Runner:
    """Launches what is left on whatever is offered. Callbacks run on the client's thread."""

    def __init__(self, module, master, tasks):
        self.todo = [f"works-{number}" for number in range(tasks)] + [FAILING, ENDLESS]
        self.seen = {name: [] for name in self.todo}
        self.done = threading.Event()
        self.driver = None
        self.errors = []
        self.client = module.MesosClient(
            mesos_urls=[f"http://{master}"], frameworkName=module.__name__, frameworkUser="root"
        )
        self.client.set_failover_timeout(60)
        for event, callback in [
            (module.MesosClient.SUBSCRIBED, self.subscribed),
            (module.MesosClient.OFFERS, self.offered),
            (module.MesosClient.UPDATE, self.updated),
            (module.MesosClient.ERROR, self.errors.append),
        ]:
            self.client.on(event, callback)

    def subscribed(self, driver):
        self.driver = driver
        print(f"subscribed as {driver.frameworkId}", flush=True)

    def offered(self, offers):
        for offer in offers:
            content = offer.get_offer()
            room = int(min(amount(content, "cpus") / CPUS, amount(content, "mem") / MEM))
            # Not all on the first one, so that several agents get some.
            chosen = self.todo[: min(room, 8)]
            del self.todo[: len(chosen)]
            if chosen:
                offer.accept([self.task(name, content) for name in chosen])
            else:
                offer.decline({"filters": {"refuse_seconds": 1.0}})

    def task(self, name, offer):
        line = {FAILING: "exit 9", ENDLESS: "sleep 1000"}.get(name, f"echo {name}")
        return {
            "name": name,
            "task_id": {"value": name},
            "agent_id": offer["agent_id"],
            "command": {"value": line},
            "resources": [
                {"name": "cpus", "type": "SCALAR", "scalar": {"value": CPUS}},
                {"name": "mem", "type": "SCALAR", "scalar": {"value": MEM}},
            ],
        }

    def updated(self, update):
        status = update["status"]
        name, state = status["task_id"]["value"], status["state"]
        self.seen[name].append(state)
        if name == ENDLESS and state == "TASK_RUNNING":
            self.driver.kill(status["agent_id"]["value"], name)
        if all(TERMINAL & set(states) for states in self.seen.values()):
            self.done.set()

    def faults(self):
        wanted = {FAILING: "TASK_FAILED", ENDLESS: "TASK_KILLED"}
        for name, states in self.seen.items():
            expected = wanted.get(name, "TASK_FINISHED")
            if not states or states[-1] != expected or "TASK_RUNNING" not in states:
                yield f"{name}: {states}, not ending in {expected}"
        yield from (f"ERROR: {message}" for message in self.errors)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--client", choices=["avmesos", "mesoshttp"], required=True)
    parser.add_argument("--master", required=True, help="host:port")
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--timeout", type=float, default=60)
    args = parser.parse_args()

    start = time.monotonic()
    runner = Runner(importlib.import_module(f"{args.client}.client"), args.master, args.tasks)
    threading.Thread(target=runner.client.register, daemon=True).start()
    in_time = runner.done.wait(args.timeout)
    # The client stops at its next event; that is not waited for.
    if runner.driver:
        runner.driver.tearDown()
    faults = list(runner.faults())
    print("\n".join(faults), end="\n" if faults else "")
    finished = sum("TASK_FINISHED" in states for states in runner.seen.values())
    seconds = time.monotonic() - start
    print(f"{args.client}: {finished} of {args.tasks} finished in {seconds:.1f} s")
    if not in_time:
        return 3
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
