#!/usr/bin/env python3
"""Starts a master and two agents on this host and lets clients that are not ours work with them.

Clients: pymesos (pymesos_run.py, revocable_run.py), avmesos and mesoshttp (http_run.py), reads as monitoring makes
them, and the `tepui` command. Agents need root. All processes are children of this one and end with
it. The last line is `N passed, N failed`.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import exporter
import terminal_run
from checks import Failed, expect, free_port, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
APPLETS = [
    *["sh", "echo", "sleep", "cat", "hostname", "true", "false", "printf", "[", "ls", "stty"],
    *["grep", "httpd", "ln", "mkdir", "rm", "touch", "wget"],
]


class Cluster:
    """One master and two agents, each with its log in a folder of its own."""

    def __init__(self, folder, programs):
        self.folder = folder
        self.programs = programs
        self.processes = {}
        self.master = f"127.0.0.1:{free_port()}"

    def start(self):
        self.start_master()
        rootfs = self.rootfs()
        for name in ["node1", "node2"]:
            self.spawn(
                name,
                "tepui-agent",
                f"--master={self.master}",
                "--ip=127.0.0.1",
                f"--port={free_port()}",
                f"--hostname={name}",
                "--resources=cpus:2;mem:2048;disk:4096;ports:[31000-31100]",
                "--switch_user=false",
                f"--default_rootfs={rootfs}",
                "--executor_registration_timeout=20secs",
                "--resource_estimator=fixed:cpus:1;mem:256",
            )
        self.until(20, "two agents to register", lambda: self.registered() == 2)

    def start_master(self):
        host, port = self.master.split(":")
        self.spawn("master", "tepui-master", f"--ip={host}", f"--port={port}")
        self.until(10, "the master to answer", lambda: self.state() is not None)

    def restart_master(self):
        self.processes["master"].kill()
        self.processes["master"].wait()
        self.start_master()

    def spawn(self, name, program, *flags):
        work = self.folder / name
        work.mkdir(exist_ok=True)
        log = open(self.folder / f"{name}.log", "ab")
        command = [self.programs / program, *flags, f"--work_dir={work}"]
        self.processes[name] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )

    def rootfs(self):
        """A root for tasks, around the host's static busybox."""
        rootfs = self.folder / "rootfs"
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp", "mnt/mesos/sandbox"]:
            (rootfs / name).mkdir(parents=True)
        busybox = shutil.which("busybox")
        if busybox is None:
            raise Failed("no busybox on this host: apt-get install busybox-static")
        shutil.copy(busybox, rootfs / "bin/busybox")
        for applet in APPLETS:
            (rootfs / "bin" / applet).symlink_to("busybox")
        (rootfs / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
        (rootfs / "etc/group").write_text("root:x:0:\n")
        self.add_python(rootfs)
        return rootfs

    def add_python(self, rootfs):
        """The Python of the clients where it is on this host, their packages and the executor.

        The packages are elsewhere: the checkout may be in a folder that tasks have their own of.
        """
        python = ROOT / "target/venv/bin/python"
        asked = "import sys, sysconfig; print(sys._base_executable, *map(sysconfig.get_paths().get, ['stdlib', 'purelib']))"
        answer = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True)
        program, library, packages = answer.stdout.split()
        self.python = os.path.realpath(program)
        self.packages = "/opt/packages"
        left_out = shutil.ignore_patterns("test", "tests", "idlelib", "ensurepip", "__pycache__", "site-packages", "pip", "*cython*", "*Cython*")
        for folder, place in [(library, library), (packages, self.packages)]:
            target = rootfs / place.lstrip("/")
            shutil.copytree(folder, target, ignore=left_out, dirs_exist_ok=True)
        needed = {self.python}
        objects = [self.python, *pathlib.Path(library).glob("lib-dynload/*.so")]
        listed = subprocess.run(["ldd", *objects], capture_output=True, text=True, check=False)
        for word in listed.stdout.split():
            if word.startswith("/") and not word.endswith(":"):
                needed.add(word)
        for name in needed:
            target = rootfs / name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, target)
        shutil.copy(ROOT / "tests/compat/executor.py", rootfs / "executor.py")

    def state(self):
        try:
            with urllib.request.urlopen(f"http://{self.master}/master/state", timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return None

    def figures(self):
        with urllib.request.urlopen(f"http://{self.master}/metrics/snapshot", timeout=5) as answer:
            return json.load(answer)

    def registered(self):
        state = self.state()
        return len(state["slaves"]) if state else 0

    def running(self):
        frameworks = self.state()["frameworks"]
        return [task["id"] for framework in frameworks for task in framework["tasks"]]

    def until(self, seconds, what, holds):
        deadline = time.monotonic() + seconds
        while not holds():
            for name, process in self.processes.items():
                expect(process.poll() is None, f"{name} ended with {process.returncode}")
            expect(time.monotonic() < deadline, f"waited {seconds} s for {what}")
            time.sleep(0.05)

    def stop(self):
        for process in reversed(self.processes.values()):
            process.terminate()
        for name, process in self.processes.items():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                print(f"{name} does not end on SIGTERM: killed")
                process.kill()
                process.wait()

    def logs(self):
        for name in self.processes:
            lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
            print(f"-- the end of {name}'s log")
            print("\n".join(lines[-40:]))


class Clients:
    """The checks: each method whose name begins with `check_` is one."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.environment = os.environ | {"TEPUI_MASTER": cluster.master}

    def command(self, *arguments):
        return [self.cluster.programs / "tepui", *arguments]

    def tepui(self, *arguments):
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def check_pymesos_runs_20_tasks_on_both_agents(self):
        client = subprocess.run(
            [
                ROOT / "target/venv/bin/python",
                ROOT / "tests/compat/pymesos_run.py",
                f"--master={self.cluster.master}",
                "--tasks=20",
                "--agents=2",
                "--timeout=60",
            ],
            timeout=120,
            check=False,
        )
        expect(client.returncode == 0, f"pymesos_run.py exits with {client.returncode}")

    def check_pymesos_executor_runs_messages_kills_and_ends_in_every_way(self):
        client = subprocess.run(
            [
                ROOT / "target/venv/bin/python",
                ROOT / "tests/compat/executor_run.py",
                f"--master={self.cluster.master}",
                f"--executor=exec {self.cluster.python} /executor.py",
                f"--env=PYTHONPATH={self.cluster.packages}",
            ],
            timeout=240,
            check=False,
        )
        expect(client.returncode == 0, f"executor_run.py exits with {client.returncode}")

    def check_revocable_resources_go_to_who_knows_them(self):
        client = subprocess.run(
            [
                ROOT / "target/venv/bin/python",
                ROOT / "tests/compat/revocable_run.py",
                f"--master={self.cluster.master}",
                "--timeout=60",
            ],
            timeout=120,
            check=False,
        )
        expect(client.returncode == 0, f"revocable_run.py exits with {client.returncode}")
        figures = self.cluster.figures()
        found = [figures[f"master/{name}_revocable_total"] for name in ["cpus", "mem"]]
        expect(found == [2, 512], f"revocable resources of two agents: {found}")

    def check_avmesos_runs_20_tasks_and_kills_one(self):
        self.http_client("avmesos")

    def check_mesoshttp_runs_20_tasks_and_kills_one(self):
        self.http_client("mesoshttp")

    def http_client(self, name):
        client = subprocess.run(
            [
                ROOT / "target/venv/bin/python",
                ROOT / "tests/compat/http_run.py",
                f"--client={name}",
                f"--master={self.cluster.master}",
            ],
            timeout=120,
            check=False,
        )
        expect(client.returncode == 0, f"http_run.py exits with {client.returncode}")

    def check_pods_and_checked_tasks_end_by_the_rules_of_mesos(self):
        client = subprocess.run(
            [
                sys.executable,
                ROOT / "tests/compat/pod_run.py",
                f"--master={self.cluster.master}",
            ],
            timeout=180,
            check=False,
        )
        expect(client.returncode == 0, f"pod_run.py exits with {client.returncode}")

    def check_an_exporter_finds_every_key_it_reads(self):
        # So that there is a framework to look at.
        task = self.tepui("run", "--detach", "--", "sleep 1000").stdout.strip()
        missing = exporter.missing(self.cluster.master)
        self.tepui("kill", task)
        expect(not missing, f"missing: {missing}")

    def check_run_gives_output_and_exit_code(self):
        done = self.tepui("run", "--", "echo hello; echo oops >&2; exit 7")
        expect(done.stdout == "hello\n", f"stdout is {done.stdout!r}, stderr {done.stderr!r}")
        expect(done.stderr == "oops\n", f"stderr is {done.stderr!r}")
        expect(done.returncode == 7, f"exit code is {done.returncode}")

    def check_run_executes_several_words_without_a_shell(self):
        done = self.tepui("run", "--env", "A=1", "--", "echo", "$A; exit 3", "ä")
        expect(done.stdout == "$A; exit 3 ä\n", f"{done.stdout!r}, {done.stderr!r}")
        expect(done.returncode == 0, f"exit code is {done.returncode}")

    def check_run_keeps_every_byte(self):
        command = self.command("run", "--", "printf 'a\\377\\000\\nb'; cat /bin/busybox")
        done = subprocess.run(
            command, env=self.environment, capture_output=True, timeout=60, check=False
        )
        wanted = b"a\xff\x00\nb" + pathlib.Path(shutil.which("busybox")).read_bytes()
        expect(done.stdout == wanted, f"{len(done.stdout)} bytes, {done.stderr!r}")

    def check_run_tells_death_by_a_signal(self):
        done = self.tepui("run", "--", "kill -9 $$")
        expect(done.returncode == 137, f"exit code is {done.returncode}: {done.stderr}")

    def check_run_says_what_no_node_has(self):
        command = self.command("run", "--cpus=8", "true")
        run = subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True)
        said = run.stderr.readline()
        run.send_signal(signal.SIGINT)
        expect("no node offers 8 cpus; the largest is node" in said, said)
        expect(run.wait(10) == 130, f"exit code is {run.returncode}")

    def check_ctrl_c_kills_the_task(self):
        command = self.command("run", "--", "echo up; sleep 1000")
        run = subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        expect(run.stdout.readline() == "up\n", "no output while the task runs")
        run.send_signal(signal.SIGINT)
        expect(run.wait(20) == 130, f"exit code is {run.returncode}: {run.stderr.read()}")
        self.cluster.until(5, "the task to be gone", lambda: not self.cluster.running())

    def check_detach_tasks_logs_kill(self):
        started = self.tepui("run", "--detach", "--name=web", "--", "echo up; sleep 1000")
        expect(started.returncode == 0, started.stderr)
        task = started.stdout.strip()
        expect(task.startswith("web-"), f"the id is {task!r}")
        listed = json.loads(self.tepui("tasks", "--json").stdout)
        states = [(one["id"], one["state"]) for one in listed]
        expect(states == [(task, "TASK_RUNNING")], f"tasks are {states}")
        follower = subprocess.Popen(
            self.command("logs", "-f", task), env=self.environment, stdout=subprocess.PIPE, text=True
        )
        expect(follower.stdout.readline() == "up\n", "logs -f shows nothing")
        killed = self.tepui("kill", task)
        expect(killed.returncode == 0, killed.stderr)
        expect("TASK_KILLED" in killed.stderr, killed.stderr)
        expect(follower.wait(10) == 0, f"logs -f exits with {follower.returncode}")
        expect(self.tepui("logs", task).stdout == "up\n", "logs of a killed task")
        expect(self.tepui("logs", "nothing").returncode == 1, "logs of no task")

    def check_output_is_followed_across_rotation(self):
        line = (
            "i=0; while [ $i -lt 1000 ]; do echo line $i of a thousand lines that are followed;"
            " i=$((i+1)); [ $((i%10)) = 0 ] && sleep 0.02; done"
        )
        size = "CONTAINER_LOGGER_MAX_STDOUT_SIZE=8KB"
        keep = "CONTAINER_LOGGER_LOGROTATE_STDOUT_OPTIONS=rotate 9"
        done = self.tepui("run", "--env", size, "--env", keep, "--", line)
        wanted = "".join(f"line {i} of a thousand lines that are followed\n" for i in range(1000))
        expect(done.stdout == wanted, f"{len(done.stdout)} bytes, {done.stderr}")
        rotated = list(self.cluster.folder.glob("node*/slaves/**/runs/*/stdout.1"))
        expect(rotated, "nothing was rotated")

    def check_ports_are_held_and_told(self):
        done = self.tepui("run", "--port=0", "--port=31077", "--", "echo $PORT $PORT0 $PORT1")
        first, again, second = done.stdout.split()
        expect(31000 <= int(first) <= 31100 and first == again, done.stdout)
        expect(second == "31077", done.stdout)

    def check_top_and_cp_show_a_task_and_its_files(self):
        line = "mkdir -p d/e; echo x > d/e/f; ln -s /etc/passwd d/link; echo up; while true; do :; done"
        task = self.tepui("run", "--detach", "--name=busy", "--", line).stdout.strip()
        here = self.cluster.folder / "copied"
        copied = self.tepui("cp", f"{task}:d", str(here))
        expect(copied.returncode == 0, copied.stderr)
        found = sorted(str(path.relative_to(here)) for path in here.rglob("*"))
        expect(found == ["e", "e/f"], f"{found}")
        expect((here / "e/f").read_text() == "x\n", "another file")
        refused = self.tepui("cp", "file", f"{task}:file")
        expect("tepui exec -i" in refused.stderr, refused.stderr)
        rows = json.loads(self.tepui("top", "--json", "--interval=0.5").stdout)
        busy = [row["cpus"] for row in rows if row["task"] == task]
        self.tepui("kill", task)
        expect(busy and busy[0] is not None and busy[0] > 0.05, f"{rows}")

    def check_a_pod_ends_with_the_code_of_what_failed(self):
        pod = {
            "name": "web",
            "tasks": [
                {"name": "a", "command": "echo one; sleep 1; exit 4", "ports": [0]},
                {"name": "b", "command": ["sh", "-c", "echo two $A; sleep 1000"], "env": {"A": "1"}},
            ],
        }
        file = self.cluster.folder / "pod.json"
        file.write_text(json.dumps(pod))
        done = self.tepui("pod", "run", str(file))
        expect(done.returncode == 4, f"exit code is {done.returncode}: {done.stderr}")
        expect(sorted(done.stdout.splitlines()) == ["a: one", "b: two 1"], done.stdout)
        expect("b: the task ended as TASK_KILLED" in done.stderr, done.stderr)
        # Its sandbox is found when its executor is gone, too.
        listed = json.loads(self.tepui("tasks", "--all", "--json").stdout)
        first = next(one["id"] for one in listed if one["id"].endswith("-a"))
        expect(self.tepui("logs", first).stdout == "one\n", f"logs of {first}")
    def detached(self, *words):
        started = self.tepui("run", "--detach", *words)
        expect(started.returncode == 0, started.stderr)
        return started.stdout.strip()

    def check_exec_runs_a_command_in_the_container_of_a_task(self):
        task = self.detached("--name=host", "--env", "TASK=yes", "--", "echo here > file; sleep 1000")
        line = "cat; cat file; echo $TASK $EXEC >&2; exit 7"
        done = subprocess.run(
            self.command("exec", "-i", "-e", "EXEC=too", task, "sh", "-c", line),
            env=self.environment,
            input="typed\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        expect(done.stdout == "typed\nhere\n", f"stdout {done.stdout!r}, {done.stderr!r}")
        expect(done.stderr == "yes too\n", f"stderr is {done.stderr!r}")
        expect(done.returncode == 7, f"exit code is {done.returncode}")
        done = self.tepui("exec", task, "sh", "-c", "kill -9 $$")
        expect(done.returncode == 137, f"exit code is {done.returncode}: {done.stderr}")
        done = self.tepui("exec", task, "nothing")
        expect(done.returncode == 125, f"exit code is {done.returncode}")
        expect('execute "nothing"' in done.stderr, done.stderr)
        self.tepui("kill", task)

    def check_exec_keeps_every_byte_of_a_command_that_ends_at_once(self):
        task = self.detached("--name=host", "--", "sleep 1000")
        command = self.command("exec", task, "cat", "/bin/busybox")
        done = subprocess.run(
            command, env=self.environment, capture_output=True, timeout=60, check=False
        )
        wanted = pathlib.Path(shutil.which("busybox")).read_bytes()
        expect(done.stdout == wanted, f"{len(done.stdout)} bytes, {done.stderr!r}")
        self.tepui("kill", task)

    def check_exec_on_a_terminal_is_a_shell(self):
        task = self.detached("--name=host", "--", "sleep 1000")
        command = self.command("exec", "-it", task, "sh")
        fault = terminal_run.session(command, self.environment)
        expect(fault is None, fault)
        self.tepui("kill", task)

    def check_exec_ends_with_its_connection_and_with_its_task(self):
        task = self.detached("--name=host", "--", "sleep 1000")
        line = "echo up; sleep 1000"
        # A kill asks all that is in the container to end, and takes what is left with it.
        for end, codes in [
            (lambda run: run.send_signal(signal.SIGINT), [130]),
            (lambda run: self.tepui("kill", task), [143, 137]),
        ]:
            run = subprocess.Popen(
                self.command("exec", task, "sh", "-c", line),
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            expect(run.stdout.readline() == "up\n", "no output while the command runs")
            end(run)
            expect(run.wait(20) in codes, f"exit code is {run.returncode}: {run.stderr.read()}")
        self.cluster.until(5, "the task to be gone", lambda: not self.cluster.running())

    def agent(self, call, **arguments):
        """Status and answer of a call to the first agent."""
        pid = sorted(node["pid"] for node in self.cluster.state()["slaves"])[0]
        body = {"type": call.upper(), call: arguments}
        request = urllib.request.Request(
            f"http://{pid.split('@')[1]}/slave(1)/api/v1",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def check_containers_stand_alone_and_nest_by_the_agents_api(self):
        alone = {"value": "alone"}
        nested = {"value": "n1", "parent": alone}

        def launch(container, line):
            call = "launch_nested_container" if "parent" in container else "launch_container"
            return self.agent(call, container_id=container, command={"value": line})

        for container, line, status in [
            (nested, "sleep 1000", 400),
            (alone, "echo here; sleep 1000", 200),
            (alone, "sleep 1000", 202),
            (nested, "echo there; sleep 1000", 200),
        ]:
            found = launch(container, line)
            expect(found[0] == status, f"launch of {container}: {found}")
        for name, stdout in [("alone", "here\n"), ("alone/containers/n1", "there\n")]:
            file = f"node*/containers/{name}/stdout"
            read = lambda: [one.read_text() for one in self.cluster.folder.glob(file)]
            self.cluster.until(5, f"the output of {name}", lambda: read() == [stdout])
        found = self.agent("get_containers", show_nested=True, show_standalone=True)
        listed = [one["container_id"]["value"] for one in json.loads(found[1])["get_containers"]["containers"]]
        expect(listed == ["n1", "alone"], f"containers are {listed}")
        found = self.agent("remove_nested_container", container_id=nested)
        expect(found == (500, "Nested container has not terminated yet"), found)
        found = self.agent("kill_nested_container", container_id=nested)
        expect(found == (200, ""), found)
        found = self.agent("wait_nested_container", container_id=nested)
        wanted = '{"type":"WAIT_NESTED_CONTAINER","wait_nested_container":{"exit_status":9}}'
        expect(found == (200, wanted), found)
        found = self.agent("remove_nested_container", container_id=nested)
        expect(found == (200, ""), found)
        gone = lambda: not list(self.cluster.folder.glob("node*/containers/alone/containers/n1"))
        self.cluster.until(5, "the sandbox to be removed", gone)
        expect(launch(nested, "sleep 1000")[0] == 200, "a second container of this name")
        expect(self.agent("kill_container", container_id=alone) == (200, ""), "kill")
        self.cluster.until(
            5,
            "all to be gone",
            lambda: self.agent("wait_container", container_id=alone)
            == (404, "Container alone cannot be found"),
        )
        expect(self.agent("remove_container", container_id=alone) == (200, ""), "remove")

    def check_a_run_that_is_killed_from_elsewhere_ends(self):
        command = self.command("run", "--name=victim", "--", "echo up; sleep 1000")
        run = subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        expect(run.stdout.readline() == "up\n", "no output while the task runs")
        victim = [task for task in self.cluster.running() if task.startswith("victim-")]
        killed = self.tepui("kill", *victim)
        expect(killed.returncode == 0, killed.stderr)
        expect(run.wait(20) == 143, f"exit code is {run.returncode}: {run.stderr.read()}")

    def check_a_run_outlives_the_death_of_the_master(self):
        line = "echo up; while [ ! -e go ]; do sleep 0.1; done; exit 5"
        run = subprocess.Popen(
            self.command("run", "--name=survivor", "--", line),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        expect(run.stdout.readline() == "up\n", "no output while the task runs")
        self.cluster.restart_master()
        self.cluster.until(30, "the agents to be back", lambda: self.cluster.registered() == 2)
        self.cluster.until(30, "the task to be back", self.cluster.running)
        for sandbox in self.cluster.folder.glob("node*/**/runs/*/stdout"):
            (sandbox.parent / "go").touch()
        expect(run.wait(30) == 5, f"exit code is {run.returncode}: {run.stderr.read()}")

    def check_nodes_are_free_again(self):
        nodes = json.loads(self.tepui("nodes", "--json").stdout)
        used = [node["used_resources"]["cpus"] for node in nodes]
        expect(used == [0, 0], f"cpus in use after all: {used}")

    def all(self):
        names = [name for name in type(self).__dict__ if name.startswith("check_")]
        return [(name.removeprefix("check_"), getattr(self, name)) for name in names]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "target/debug")
    parser.add_argument("--only", default="", help="part of the names of the checks to run")
    args = parser.parse_args()
    if os.geteuid() != 0:
        print("error: agents need root", file=sys.stderr)
        return 2
    # A SIGTERM ends the children, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="tepui-compat-") as folder:
        cluster = Cluster(pathlib.Path(folder), args.programs)
        named = [(name, check) for name, check in Clients(cluster).all() if args.only in name]
        passed, failed = run(cluster, named)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
