"""A small framework over the v1 scheduler API in JSON, with nothing but Python's own library.

It acknowledges every update, keeps what is offered, and waits for what its tasks become.
"""

import http.client
import json
import threading
import time

from states import TERMINAL

PATH = "/api/v1/scheduler"


class Late(Exception):
    """What was waited for did not come in time; the text tells what there was."""


def scalars(**amounts):
    """Resources by name, as in scalars(cpus=0.1, mem=32)."""
    return [
        {"name": name, "type": "SCALAR", "scalar": {"value": value}}
        for name, value in amounts.items()
    ]


class Framework:
    """One subscription; events are taken on a thread of its own."""

    def __init__(self, master, name, capabilities=()):
        self.master = master
        self.id = None
        self.stream_id = None
        self.offers = {}
        self.seen = {}
        self.failures = []
        self.errors = []
        self.changed = threading.Condition()
        info = {
            "user": "root",
            "name": name,
            "roles": ["*"],
            "checkpoint": True,
            "capabilities": [{"type": kind} for kind in ("MULTI_ROLE", *capabilities)],
        }
        self.stream = http.client.HTTPConnection(master, timeout=120)
        call = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
        self.stream.request("POST", PATH, json.dumps(call), self.headers())
        answer = self.stream.getresponse()
        if answer.status != 200:
            raise OSError(f"SUBSCRIBE is answered {answer.status}: {answer.read().decode()}")
        self.stream_id = answer.headers["Mesos-Stream-Id"]
        threading.Thread(target=self.read, args=[answer], daemon=True).start()
        self.until(10, "SUBSCRIBED", lambda: self.id)

    def headers(self):
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.stream_id:
            headers["Mesos-Stream-Id"] = self.stream_id
        return headers

    def call(self, kind, **content):
        body = {"framework_id": {"value": self.id}, "type": kind.upper(), kind.lower(): content}
        connection = http.client.HTTPConnection(self.master, timeout=10)
        connection.request("POST", PATH, json.dumps(body), self.headers())
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        if answer.status != 202:
            raise OSError(f"{kind} is answered {answer.status}: {text}")

    def read(self, answer):
        try:
            while line := answer.readline():
                self.take(json.loads(answer.read(int(line))))
        except (OSError, ValueError, http.client.HTTPException):
            # The stream ends with the test.
            pass

    def take(self, event):
        kind = event["type"].lower()
        content = event.get(kind)
        with self.changed:
            if kind == "subscribed":
                self.id = content["framework_id"]["value"]
            elif kind == "offers":
                self.offers |= {offer["id"]["value"]: offer for offer in content["offers"]}
            elif kind == "rescind":
                self.offers.pop(content["offer_id"]["value"], None)
            elif kind == "update":
                status = content["status"]
                self.seen.setdefault(status["task_id"]["value"], []).append(status)
            elif kind == "failure":
                self.failures.append(content)
            elif kind == "error":
                self.errors.append(content["message"])
            self.changed.notify_all()
        if kind == "update" and "uuid" in status:
            wanted = {key: status[key] for key in ("agent_id", "task_id", "uuid")}
            self.call("acknowledge", **wanted)

    def until(self, seconds, what, holds):
        """Waits for a condition and gives its value."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while not (value := holds()):
                if self.errors or time.monotonic() > deadline:
                    raise Late(f"{what} within {seconds} s; {self.errors or self.history()}")
                # Not all that is waited for is an event.
                self.changed.wait(0.1)
            return value

    def history(self):
        return {task: self.states(task) for task in self.seen}

    def states(self, task):
        return [status["state"].removeprefix("TASK_") for status in self.seen.get(task, [])]

    def last(self, task):
        return self.seen[task][-1]

    def wait_for(self, task, state, seconds=15):
        """The first status of a task in this state."""

        def found():
            return next((s for s in self.seen.get(task, []) if s["state"] == f"TASK_{state}"), None)

        return self.until(seconds, f"{task} {state}", found)

    def wait_for_end(self, *tasks, seconds=20):
        """The last status of each task."""

        def ended():
            return all(TERMINAL & {s["state"] for s in self.seen.get(task, [])} for task in tasks)

        self.until(seconds, f"the end of {', '.join(tasks)}", ended)
        return [self.last(task) for task in tasks]

    def offer(self, agent=None):
        """An offer, of a given agent if one is named; it is used up by who asks."""

        def found():
            fits = (o for o in self.offers.values() if agent in (None, o["agent_id"]["value"]))
            return next(fits, None)

        offer = self.until(15, "an offer", found)
        del self.offers[offer["id"]["value"]]
        return offer

    def launch(self, *tasks):
        """Launches tasks on one agent; gives its id."""
        return self.accept({"type": "LAUNCH", "launch": {"task_infos": list(tasks)}}, tasks)

    def launch_group(self, executor, *tasks, agent=None):
        """Launches tasks as one group of a default executor; gives the agent's id."""
        info = {
            "type": "DEFAULT",
            "executor_id": {"value": executor},
            "framework_id": {"value": self.id},
            "resources": scalars(cpus=0.1, mem=32, disk=32),
        }
        group = {"executor": info, "task_group": {"tasks": list(tasks)}}
        return self.accept({"type": "LAUNCH_GROUP", "launch_group": group}, tasks, agent)

    def accept(self, operation, tasks, agent=None):
        offer = self.offer(agent)
        for task in tasks:
            task["agent_id"] = offer["agent_id"]
        self.call(
            "accept",
            offer_ids=[offer["id"]],
            operations=[operation],
            filters={"refuse_seconds": 0},
        )
        return offer["agent_id"]["value"]

    def kill(self, task, grace=None):
        content = {"task_id": {"value": task}}
        if grace is not None:
            content["kill_policy"] = {"grace_period": {"nanoseconds": int(grace * 1e9)}}
        self.call("kill", **content)

    def teardown(self):
        body = {"framework_id": {"value": self.id}, "type": "TEARDOWN"}
        connection = http.client.HTTPConnection(self.master, timeout=10)
        connection.request("POST", PATH, json.dumps(body), self.headers())
        connection.getresponse().read()


def task(name, line, **fields):
    """A task that runs a line of shell."""
    return {
        "name": name,
        "task_id": {"value": name},
        "command": {"value": line},
        "resources": scalars(cpus=0.1, mem=32),
        **fields,
    }
