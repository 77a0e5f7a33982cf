#!/usr/bin/env python3
"""Runs tasks on a cluster through pymesos, unmodified, and looks at every status it is told.

N tasks must end as TASK_FINISHED and one more, which exits with 9, as TASK_FAILED with that number
in its message. Run it with the Python that tests/compat/venv makes. The last line is a summary.

Exit codes: 0 all as it must be, 1 something else was seen, 2 bad command line, 3 not done in time.
"""

import argparse
import sys
import threading
import time

from pymesos import MesosSchedulerDriver, Scheduler
from states import TERMINAL

CPUS = 0.1
MEM = 32
FAILING = "fails"


def scalar(resources, name):
    """The amount of a scalar resource in an offer, whatever its parts."""
    return sum(r.scalar.value for r in resources if r.name == name)


class Runner(Scheduler):
    """Launches what is left on whatever is offered, spread over the agents of one round."""

    def __init__(self, tasks):
        self.todo = [f"works-{number}" for number in range(tasks)] + [FAILING]
        self.seen = {name: [] for name in self.todo}
        self.agents = {}
        self.message = ""
        self.faults = []
        self.done = threading.Event()

    def registered(self, driver, framework_id, master_info):
        print(f"registered as {framework_id.value}", flush=True)

    def reregistered(self, driver, master_info):
        self.faults.append("had to register again")

    def resourceOffers(self, driver, offers):
        room = {
            offer.id.value: min(
                scalar(offer.resources, "cpus") / CPUS, scalar(offer.resources, "mem") / MEM
            )
            for offer in offers
        }
        chosen = {offer.id.value: [] for offer in offers}
        # One task an offer in turn, so that each agent gets its share.
        while self.todo and any(free >= 1 for free in room.values()):
            for offer in offers:
                if self.todo and room[offer.id.value] >= 1:
                    room[offer.id.value] -= 1
                    chosen[offer.id.value].append(self.task(self.todo.pop(0), offer))
        for offer in offers:
            tasks = chosen[offer.id.value]
            if tasks:
                driver.launchTasks(offer.id, tasks, {"refuse_seconds": 1})
            else:
                driver.declineOffer(offer.id, {"refuse_seconds": 1})

    def task(self, name, offer):
        self.agents[name] = offer.agent_id.value
        line = "echo broken >&2; exit 9" if name == FAILING else f"echo {name}; sleep 0.2"
        return {
            "task_id": {"value": name},
            "agent_id": {"value": offer.agent_id.value},
            "name": name,
            "command": {"shell": True, "value": line},
            "resources": [
                {"name": "cpus", "type": "SCALAR", "scalar": {"value": CPUS}},
                {"name": "mem", "type": "SCALAR", "scalar": {"value": MEM}},
            ],
        }

    def statusUpdate(self, driver, update):
        name, state = update.task_id.value, update.state
        message = update.get("message", "")
        print(f"{name}: {state} {message}".rstrip(), flush=True)
        self.seen.setdefault(name, []).append(state)
        if name == FAILING and state == "TASK_FAILED":
            self.message = message
        if all(states and states[-1] in TERMINAL for states in self.seen.values()):
            self.done.set()

    def error(self, driver, message):
        self.faults.append(f"the master says: {message}")
        self.done.set()

    def judge(self, agents):
        """What was seen and must not be, beyond what was noted on the way."""
        faults = list(self.faults)
        for name, states in self.seen.items():
            end = "TASK_FAILED" if name == FAILING else "TASK_FINISHED"
            if not states or states[-1] != end:
                faults.append(f"{name} ended as {states}, not {end}")
            elif "TASK_RUNNING" not in states:
                faults.append(f"{name} was never told to run: {states}")
        if "exited with status 9" not in self.message:
            faults.append(f"the exit code 9 is not in the message {self.message!r}")
        used = len(set(self.agents.values()))
        if used < agents:
            faults.append(f"{used} agents got tasks, not {agents}")
        return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--master", required=True, metavar="HOST:PORT")
    parser.add_argument("--tasks", type=int, default=20, help="tasks that finish (20)")
    parser.add_argument("--agents", type=int, default=1, help="agents that must get some (1)")
    parser.add_argument("--timeout", type=float, default=120, help="seconds (120)")
    args = parser.parse_args()

    runner = Runner(args.tasks)
    framework = {"user": "root", "name": "pymesos", "hostname": "compat"}
    driver = MesosSchedulerDriver(runner, framework, args.master, use_addict=True)
    start = time.monotonic()
    driver.start()
    in_time = runner.done.wait(args.timeout)
    took = time.monotonic() - start
    driver.stop()
    driver.join()

    ends = [states[-1] for states in runner.seen.values() if states]
    faults = runner.judge(args.agents)
    for fault in faults:
        print(f"fault: {fault}")
    print(
        f"pymesos: {ends.count('TASK_FINISHED')} of {args.tasks} finished,"
        f" {ends.count('TASK_FAILED')} of 1 failed ({runner.message}),"
        f" on {len(set(runner.agents.values()))} agents, in {took:.1f} s"
    )
    if not in_time:
        return 3
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
