#!/usr/bin/env python3
"""Runs pods and checked tasks on a cluster and looks at what the framework is told of them.

The rules are those of Mesos' default executor and of its checks. Each case is a framework of its
own. The last line is `N passed, N failed`.
"""

import argparse
import contextlib
import http.server
import json
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

from checks import Failed, expect, free_port
from framework import Framework, Late, task

QUICK = {"delay_seconds": 0, "interval_seconds": 0.2, "timeout_seconds": 2}
HEALTH = "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"
CHECK = "REASON_TASK_CHECK_STATUS_UPDATED"


def health(kind, failures=2, **how):
    fields = {"type": kind, "consecutive_failures": failures, "grace_period_seconds": 0}
    return QUICK | fields | how


def http_server(port, then="sleep 1000"):
    """A server that answers 200 for as long as there is an index.html."""
    return f"echo up > index.html; httpd -p 127.0.0.1:{port} -h .; {then}"


@contextlib.contextmanager
def https_server():
    """A server with a certificate that nobody signed; gives its port."""
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/key.pem", f"{folder}/certificate.pem"]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=nobody"]
        subprocess.run(
            [*command, "-keyout", files[0], "-out", files[1]], check=True, capture_output=True
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files[1], files[0])
        server = http.server.HTTPServer(("127.0.0.1", 0), Quiet)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


class Quiet(http.server.BaseHTTPRequestHandler):
    """Has nothing, and redirects to it."""

    def do_GET(self):
        self.send_response(302 if self.path == "/" else 204)
        self.send_header("Location", "/nothing")
        self.end_headers()

    def log_message(self, *_):
        pass


def healths(statuses):
    return [status["healthy"] for status in statuses if status.get("reason") == HEALTH]


class Cases:
    """Each method whose name begins with `case_` gets a framework."""

    def __init__(self, master, tepui=None):
        self.master = master
        self.tepui = tepui

    def case_a_task_is_healthy_by_http_until_it_is_not_and_then_killed(self, framework):
        port = free_port()
        line = http_server(port, "sleep 1; rm index.html; sleep 1000")
        check = health("HTTP", http={"port": port, "path": "/index.html"})
        framework.launch(task("web", line, health_check=check))
        (end,) = framework.wait_for_end("web")
        expect(end["state"] == "TASK_KILLED", end)
        expect(end["healthy"] is False, end)
        statuses = framework.seen["web"]
        expect(healths(statuses)[0] in (True, False), statuses)
        expect(True in healths(statuses), f"never healthy: {statuses}")
        expect(healths(statuses)[-2:] == [False, False], f"{healths(statuses)}")

    def case_by_https_whatever_the_certificate(self, framework):
        # The network is the node's: the server may as well stand outside.
        with https_server() as port:
            check = health("HTTP", http={"port": port, "scheme": "https"})
            framework.launch(task("tls", "sleep 1000", health_check=check))
            framework.until(10, "healthy", lambda: healths(framework.seen.get("tls", [])))
            expect(healths(framework.seen["tls"]) == [True], framework.seen)

    def case_tcp_checks_tell_of_changes_and_do_not_kill(self, framework):
        port = free_port()
        line = f"sleep 0.7; httpd -p 127.0.0.1:{port} -h .; sleep 1000"
        check = QUICK | {"type": "TCP", "tcp": {"port": port}}
        framework.launch(task("tcp", line, check=check))
        framework.until(
            10, "a connection", lambda: results(framework, "tcp")[-1:] == [{"succeeded": True}]
        )
        expect(results(framework, "tcp") == [{"succeeded": False}, {"succeeded": True}], framework)
        first = framework.wait_for("tcp", "RUNNING")
        expect(first["check_status"] == {"type": "TCP", "tcp": {}}, first)
        framework.kill("tcp")
        (end,) = framework.wait_for_end("tcp")
        expect((end["state"], "healthy" in end) == ("TASK_KILLED", False), end)

    def case_a_command_checks_a_task_from_within_its_container(self, framework):
        line = "sleep 0.7; touch up; sleep 1000"
        check = QUICK | {"type": "COMMAND", "command": {"command": {"value": "[ -e up ] || exit 5"}}}
        framework.launch(task("file", line, check=check))
        framework.until(
            10, "exit code 0", lambda: results(framework, "file")[-1:] == [{"exit_code": 0}]
        )
        expect(results(framework, "file") == [{"exit_code": 5}, {"exit_code": 0}], framework)

    def case_failures_within_the_grace_period_do_not_count(self, framework):
        check = health("COMMAND", 1, command={"value": "[ -e up ]"}) | {"grace_period_seconds": 30}
        line = "sleep 1; touch up; sleep 1; rm up; sleep 1000"
        framework.launch(task("slow", line, health_check=check))
        (end,) = framework.wait_for_end("slow")
        expect(healths(framework.seen["slow"]) == [True, False], healths(framework.seen["slow"]))
        expect(end["healthy"] is False, end)

    def case_a_check_that_hangs_has_failed(self, framework):
        check = health("COMMAND", command={"value": "sleep 100"}) | {"timeout_seconds": 0.5}
        framework.launch(task("hung", "sleep 1000", health_check=check))
        (end,) = framework.wait_for_end("hung")
        expect((end["state"], end["healthy"]) == ("TASK_KILLED", False), end)

    def case_a_pod_runs_until_its_last_task_has_finished(self, framework):
        framework.launch_group(
            "pod", task("a", "true"), task("b", "sleep 1; echo b"), task("c", "sleep 2")
        )
        for end in framework.wait_for_end("a", "b", "c"):
            expect(end["state"] == "TASK_FINISHED", end)
            expect(end["source"] == "SOURCE_EXECUTOR", end)
            expect(end["message"] == "Command exited with status 0", end)
            expect(end["executor_id"] == {"value": "pod"}, end)
            parent = end["container_status"]["container_id"]["parent"]
            expect("parent" not in parent, end)
        for name in "abc":
            expect(framework.states(name) == ["STARTING", "RUNNING", "FINISHED"], framework.history())
        failure = framework.until(10, "the executor's end", lambda: framework.failures)[0]
        expect((failure["executor_id"], failure["status"]) == ({"value": "pod"}, 0), failure)

    def case_one_task_that_fails_takes_its_group_with_it_and_no_other(self, framework):
        agent = framework.launch_group(
            "pod", task("fails", "sleep 1; exit 3"), task("along", "sleep 1000")
        )
        framework.wait_for("along", "RUNNING")
        framework.launch_group("pod", task("stays", "sleep 1000"), agent=agent)
        fails, along = framework.wait_for_end("fails", "along")
        expect(fails["state"] == "TASK_FAILED", fails)
        expect(fails["message"] == "Command exited with status 3", fails)
        expect(along["state"] == "TASK_KILLED", along)
        expect(framework.states("along")[-2:] == ["KILLING", "KILLED"], framework.history())
        time.sleep(0.5)
        expect(framework.states("stays") == ["STARTING", "RUNNING"], framework.history())
        framework.kill("stays")
        framework.wait_for_end("stays")

    def case_a_kill_of_one_task_kills_its_group(self, framework):
        framework.launch_group("pod", *(task(name, "sleep 1000") for name in "abc"))
        for name in "abc":
            framework.wait_for(name, "RUNNING")
        framework.kill("b")
        ends = framework.wait_for_end("a", "b", "c")
        expect([end["state"] for end in ends] == ["TASK_KILLED"] * 3, ends)
        expect(not any("healthy" in end for end in ends), ends)

    def case_a_pod_of_three_whose_health_fails_is_killed_and_started_again(self, framework):
        for attempt in ("first", "second"):
            port = free_port()
            check = health("HTTP", http={"port": port, "path": "/index.html"})
            names = [f"{name}-{attempt}" for name in ("web", "side", "car")]
            ill = "until [ -e sick ]; do sleep 0.1; done; rm index.html; sleep 1000"
            web = task(names[0], http_server(port, ill), health_check=check)
            # Through the network that they share.
            get = f"until wget -q -O - http://127.0.0.1:{port}/; do sleep 0.1; done; sleep 1000"
            side, car = task(names[1], get), task(names[2], "sleep 1000")
            framework.launch_group(attempt, web, side, car)
            framework.until(15, "healthy", lambda: True in healths(framework.seen.get(names[0], [])))
            framework.until(15, "side", lambda: self.read(framework, names[1]) == "up\n")
            if attempt == "second":
                break
            self.touch_sick(framework, names[0])
            ends = framework.wait_for_end(*names)
            expect([end["state"] for end in ends] == ["TASK_KILLED"] * 3, ends)
            expect(all(end["healthy"] is False for end in ends), ends)
            expect(healths(framework.seen[names[0]])[-2:] == [False, False], framework.history())

    def case_a_command_checks_a_task_of_a_pod(self, framework):
        check = health("COMMAND", command={"value": "[ -e up ]"})
        framework.launch_group(
            "pod",
            task("a", "touch up; sleep 1.5; rm up; sleep 1000", health_check=check),
            task("b", "sleep 1000"),
        )
        ends = framework.wait_for_end("a", "b")
        expect([end["state"] for end in ends] == ["TASK_KILLED"] * 2, ends)
        told = healths(framework.seen["a"])
        # The first one may come before the file is there.
        expect(told[-3:] == [True, False, False], told)

    def case_a_task_that_ignores_sigterm_is_killed_when_its_grace_is_over(self, framework):
        stubborn = "trap '' TERM; while :; do sleep 0.1; done"
        policy = {"grace_period": {"nanoseconds": 1_000_000_000}}
        framework.launch_group("pod", task("a", stubborn, kill_policy=policy))
        framework.wait_for("a", "RUNNING")
        time.sleep(0.3)
        start = time.monotonic()
        framework.kill("a")
        (end,) = framework.wait_for_end("a")
        expect(end["message"] == "Command terminated with signal Killed", end)
        expect(0.9 < time.monotonic() - start < 2.5, f"{time.monotonic() - start:.1f} s")

    def case_a_task_past_its_completion_time_fails_and_kills_its_group(self, framework):
        limit = {"nanoseconds": 1_000_000_000}
        framework.launch_group(
            "pod", task("a", "sleep 1000", max_completion_time=limit), task("b", "sleep 1000")
        )
        a, b = framework.wait_for_end("a", "b")
        expect((a["state"], a["reason"]) == ("TASK_FAILED", "REASON_MAX_COMPLETION_TIME_REACHED"), a)
        expect(b["state"] == "TASK_KILLED", b)
        expect("KILLING" not in framework.states("a"), framework.history())

    def case_an_executor_that_is_shut_down_ends_its_tasks(self, framework):
        agent = framework.launch_group("pod", task("a", "sleep 1000"), task("b", "sleep 1000"))
        framework.wait_for("b", "RUNNING")
        framework.call("shutdown", executor_id={"value": "pod"}, agent_id={"value": agent})
        ends = framework.wait_for_end("a", "b")
        expect([end["state"] for end in ends] == ["TASK_KILLED"] * 2, ends)

    def case_tasks_of_a_pod_share_a_volume_of_its_sandbox(self, framework):
        source = {"type": "SANDBOX_PATH", "sandbox_path": {"type": "PARENT", "path": "shared"}}
        volume = {"mode": "RW", "container_path": "common", "source": source}
        container = {"type": "MESOS", "volumes": [volume]}
        reads = "until grep hello common/word; do sleep 0.1; done; sleep 1000"
        framework.launch_group(
            "pod",
            task("writes", "echo hello > common/word; sleep 1000", container=container),
            task("reads", reads, container=container),
        )
        framework.wait_for("reads", "RUNNING")
        framework.until(10, "a word", lambda: self.read(framework, "reads") == "hello\n")

    def case_a_pod_past_its_memory_fails_for_that_reason(self, framework):
        if not self.tepui:
            # Where the agent is this host's, there may be no limit to pass.
            return
        # Both are within the one limit of their pod.
        framework.launch_group("pod", task("eats", "tail /dev/zero"), task("along", "sleep 1000"))
        ends = framework.wait_for_end("eats", "along")
        told = [(end["state"], end.get("reason")) for end in ends]
        expect(told == [("TASK_FAILED", "REASON_CONTAINER_LIMITATION_MEMORY")] * 2, ends)

    def case_a_pod_has_the_memory_of_the_tasks_that_it_has(self, framework):
        if not self.tepui:
            return
        line = "while :; do grep MemTotal /proc/meminfo; sleep 0.2; done"
        agent = framework.launch_group("pod", task("first", line))
        framework.wait_for("first", "RUNNING")
        seen = lambda: [int(line.split()[1]) >> 10 for line in self.lines(framework, "first")]
        framework.until(20, "the executor's memory and one task's", lambda: 64 in seen())
        framework.launch_group("pod", task("second", "sleep 1000"), agent=agent)
        framework.wait_for("second", "RUNNING")
        framework.until(20, "more with two tasks", lambda: seen()[-1:] == [96])
        framework.kill("second")
        framework.wait_for_end("second")
        framework.until(20, "less with one", lambda: seen()[-1:] == [64])

    def touch_sick(self, framework, name):
        """The agent lets nobody write; its disk, where it is this host's, does, and so does a task."""
        if self.tepui:
            command = [self.tepui, "--master", self.master, "exec", name]
            subprocess.run([*command, "sh", "-c", "touch $MESOS_SANDBOX/sick"], check=True)
            return
        agent = framework.last(name)["agent_id"]["value"]
        work_dir = fetch(f"http://{self.agent(agent)}/flags")["flags"]["work_dir"]
        folder = f"{work_dir}/slaves/{agent}{self.sandbox(framework, name)}"
        with open(f"{folder}/sick", "w", encoding="utf-8"):
            pass

    def agent(self, agent):
        state = fetch(f"http://{self.master}/master/state")
        found = [one for one in state["slaves"] if one["id"] == agent]
        return found[0]["pid"].split("@")[1]

    def sandbox(self, framework, name):
        """The sandbox of a task as the agent's files API knows it."""
        executor = framework.last(name)["executor_id"]["value"]
        return f"/frameworks/{framework.id}/executors/{executor}/runs/latest/tasks/{name}"

    def read(self, framework, name):
        agent = self.agent(framework.last(name)["agent_id"]["value"])
        path = urllib.parse.quote(f"{self.sandbox(framework, name)}/stdout")
        address = f"http://{agent}/files/read?path={path}&offset=0&length=1000"
        try:
            return fetch(address)["data"]
        except OSError:
            return None

    def lines(self, framework, name):
        """The whole lines that a task wrote last."""
        agent = self.agent(framework.last(name)["agent_id"]["value"])
        path = urllib.parse.quote(f"{self.sandbox(framework, name)}/stdout")
        address = f"http://{agent}/files/read?path={path}"
        try:
            size = fetch(f"{address}&offset=-1")["offset"]
            return fetch(f"{address}&offset={max(0, size - 1000)}")["data"].split("\n")[1:-1]
        except OSError:
            return []

    def all(self):
        names = [name for name in type(self).__dict__ if name.startswith("case_")]
        return [(name.removeprefix("case_"), getattr(self, name)) for name in names]


def results(framework, name):
    """What a check of a task found, as it was told."""
    told = [s for s in framework.seen.get(name, []) if s.get("reason") == CHECK]
    return [next(v for k, v in s["check_status"].items() if k != "type") for s in told]


def fetch(address):
    with urllib.request.urlopen(address, timeout=5) as answer:
        return json.load(answer)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--master", required=True, help="host:port")
    parser.add_argument("--only", default="", help="part of the names of the cases to run")
    parser.add_argument("--tepui", help="the command, where agents are not on this host")
    args = parser.parse_args()
    passed, failed = 0, 0
    for name, case in Cases(args.master, args.tepui).all():
        if args.only not in name:
            continue
        start = time.monotonic()
        framework = None
        try:
            framework = Framework(args.master, name, ["TASK_KILLING_STATE"])
            case(framework)
            passed += 1
            verdict = "ok"
        except (Failed, Late, OSError, KeyError, IndexError) as error:
            failed += 1
            verdict = f"FAILED: {error!r}"
        finally:
            if framework:
                framework.teardown()
        print(f"test {name} ... {verdict} ({time.monotonic() - start:.1f} s)", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
