#!/usr/bin/env python3
"""Runs tasks on custom executors (executor.py) through pymesos, unmodified, on one agent.

What is looked at: every update as the executor made it, one executor for several tasks, messages both
ways, a kill that the executor answers, its shutdown, its death, and one that never registers. The
executor's program is `python3 executor.py` in the sandbox's root unless --executor says otherwise.
The last line is a summary.

Exit codes: 0 all as it must be, 1 something else was seen, 2 bad command line, 3 not done in time.
"""

import argparse
import base64
import sys
import threading
import time

from pymesos import MesosSchedulerDriver, Scheduler
from states import TERMINAL

CPUS = 0.1
MEM = 64


class Story(Scheduler):
    """Launches one task after the other, each when what came before was seen."""

    def __init__(self, command, environment, image):
        self.command = command
        self.environment = environment
        self.image = image
        self.offers = []
        self.updates = {}
        self.messages = []
        self.lost = {}
        self.faults = []
        self.changed = threading.Condition()

    def resourceOffers(self, driver, offers):
        with self.changed:
            self.offers.extend(offers)
            self.changed.notify_all()

    def offerRescinded(self, driver, offer_id):
        with self.changed:
            self.offers = [offer for offer in self.offers if offer.id.value != offer_id.value]

    def statusUpdate(self, driver, update):
        reason = update.get("reason", "")
        print(f"{update.task_id.value}: {update.state} {reason} {update.get('message', '')}", flush=True)
        with self.changed:
            self.updates.setdefault(update.task_id.value, []).append(update)
            self.changed.notify_all()

    def frameworkMessage(self, driver, executor_id, agent_id, message):
        with self.changed:
            self.messages.append((executor_id.value, base64.b64decode(message).decode()))
            self.changed.notify_all()

    def executorLost(self, driver, executor_id, agent_id, status):
        print(f"executor {executor_id.value} is gone: {status}", flush=True)
        with self.changed:
            self.lost[executor_id.value] = status
            self.changed.notify_all()

    def error(self, driver, message):
        with self.changed:
            self.faults.append(f"the master says: {message}")
            self.changed.notify_all()

    def until(self, what, holds, seconds=60):
        with self.changed:
            self.changed.wait_for(lambda: self.faults or holds(), seconds)
            if not holds():
                self.faults.append(f"waited {seconds} s for {what}")
            if self.faults:
                raise TimeoutError(what)

    def states(self, name):
        return [update.state for update in self.updates.get(name, [])]

    def ended(self, name):
        return any(state in TERMINAL for state in self.states(name))

    def executor(self, name, command):
        container = {"container": self.image} if self.image else {}
        return {
            "executor_id": {"value": name},
            "name": name,
            "command": {
                "shell": True,
                "value": command or self.command,
                "environment": {
                    "variables": [
                        {"name": key, "value": value} for key, value in self.environment.items()
                    ]
                },
            },
            "shutdown_grace_period": {"nanoseconds": 3 * 10**9},
            "resources": self.resources(),
            **container,
        }

    def resources(self):
        return [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": CPUS}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": MEM}},
        ]

    def launch(self, driver, executor, names, what, command=None):
        """One ACCEPT with all tasks, on the agent that had the first one."""
        agent = next((all[0].agent_id.value for all in self.updates.values() if all), None)
        mem = MEM * (len(names) + 1)

        def wanted(offer):
            room = sum(r.scalar.value for r in offer.resources if r.name == "mem")
            return room >= mem and agent in (None, offer.agent_id.value)

        for _ in range(30):
            self.until("an offer", lambda: self.offers)
            if any(wanted(offer) for offer in self.offers):
                break
            # What came in parts comes as one when it was given back.
            with self.changed:
                back, self.offers = self.offers, []
            for offer in back:
                driver.declineOffer(offer.id, {"refuse_seconds": 0})
        self.until("an offer that suffices", lambda: any(wanted(offer) for offer in self.offers))
        with self.changed:
            offer = next(offer for offer in self.offers if wanted(offer))
            self.offers.remove(offer)
        tasks = [
            {
                "task_id": {"value": name},
                "agent_id": {"value": offer.agent_id.value},
                "name": name,
                "executor": self.executor(executor, command),
                "data": base64.b64encode(what.encode()).decode(),
                "resources": self.resources(),
            }
            for name in names
        ]
        driver.launchTasks(offer.id, tasks, {"refuse_seconds": 0})

    def expect(self, holds, text):
        if not holds:
            self.faults.append(text)

    def tell(self, driver):
        self.launch(driver, "one", ["f1", "f2"], "finish")
        self.until("two ends", lambda: self.ended("f1") and self.ended("f2"))
        for name in ["f1", "f2"]:
            self.expect(self.states(name) == ["TASK_RUNNING", "TASK_FINISHED"], f"{name}: {self.states(name)}")
            for update in self.updates[name]:
                self.expect(update.source == "SOURCE_EXECUTOR", f"source {update.source}")
                self.expect(update.executor_id.value == "one", f"executor {update.executor_id}")
                self.expect(base64.b64decode(update.data) == b"from the executor", "no data")
                self.expect("container_id" in update.container_status, "no container")
            self.expect(self.updates[name][0].healthy is True, "its health is lost")
            self.expect(self.updates[name][1].message == "done", "its message is lost")

        self.launch(driver, "one", ["w"], "wait")
        self.until("w to run", lambda: self.states("w"))
        pids = {update.labels.labels[0].value for all in self.updates.values() for update in all}
        self.expect(len(pids) == 1, f"more than one process: {pids}")
        agent = self.updates["w"][0].agent_id
        driver.sendFrameworkMessage({"value": "one"}, agent, base64.b64encode(b"hello").decode())
        self.until("the echo", lambda: self.messages)
        self.expect(self.messages == [("one", "echo hello")], f"messages {self.messages}")
        driver.killTask({"value": "w"})
        self.until("the kill", lambda: self.ended("w"))
        self.expect(self.updates["w"][-1].message == "as you say", "not the executor's own words")

        self.launch(driver, "one", ["left"], "wait")
        self.until("left to run", lambda: self.states("left"))
        driver._send(
            {
                "type": "SHUTDOWN",
                "framework_id": {"value": driver.framework_id},
                "shutdown": {"executor_id": {"value": "one"}, "agent_id": agent},
            }
        )
        self.until("the end of the executor", lambda: "one" in self.lost)
        self.until("the end of its task", lambda: self.ended("left"))
        last = self.updates["left"][-1]
        self.expect(last.state == "TASK_FAILED", f"left is {last.state}")
        self.expect(last.reason == "REASON_EXECUTOR_TERMINATED", f"left ended by {last.reason}")

        self.launch(driver, "two", ["d"], "die")
        self.until("the death", lambda: self.ended("d") and "two" in self.lost)
        self.expect(self.states("d") == ["TASK_RUNNING", "TASK_FAILED"], f"d: {self.states('d')}")
        self.expect(self.updates["d"][-1].message == "Executor terminated", "another message")
        self.expect(self.lost["two"] == 3 << 8, f"exit status {self.lost['two']}")

        self.launch(driver, "three", ["n"], "finish", "sleep 1000")
        self.until("the time to register to be over", lambda: self.ended("n"))
        last = self.updates["n"][-1]
        self.expect(last.state == "TASK_FAILED", f"n is {last.state}")
        self.expect(
            last.reason == "REASON_EXECUTOR_REGISTRATION_TIMEOUT", f"n ended by {last.reason}"
        )
        self.expect(last.message.startswith("Executor did not register within"), last.message)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--master", required=True, metavar="HOST:PORT")
    parser.add_argument("--executor", default="python3 executor.py", help="its command")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--image", help="a Docker image to run it in")
    args = parser.parse_args()

    image = {"type": "MESOS", "mesos": {"image": {"type": "DOCKER", "docker": {"name": args.image}}}}
    environment = dict(pair.split("=", 1) for pair in args.env)
    story = Story(args.executor, environment, image if args.image else None)
    framework = {
        "user": "root",
        "name": "executors",
        "hostname": "compat",
        "capabilities": [{"type": "PARTITION_AWARE"}],
    }
    driver = MesosSchedulerDriver(story, framework, args.master, use_addict=True)
    start = time.monotonic()
    driver.start()
    in_time = True
    try:
        story.tell(driver)
    except TimeoutError:
        in_time = False
    driver.stop()
    driver.join()
    for fault in story.faults:
        print(f"fault: {fault}")
    print(f"executors: {len(story.faults)} faults in {time.monotonic() - start:.1f} s")
    if not in_time:
        return 3
    return 1 if story.faults else 0


if __name__ == "__main__":
    sys.exit(main())
