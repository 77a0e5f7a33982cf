#!/usr/bin/env python3
"""Three ZooKeeper servers, three masters and two agents on this host lose parts under pymesos' eyes.

The framework finds its master by zk://, as unmodified pymesos does, and keeps tasks that never end. The
first agent finds it by zk://, the second by a list of the masters. Run it with the Python that
tests/compat/venv makes, as root. With --long the leader is stopped for 30 s, and killed ten times. All
processes are children of this one and end with it. The last line is `N passed, N failed`.

What a leader's death costs alone, on a machine that does nothing else and with programs built for speed:

    failover.py --programs FOLDER --only the_leader_is_killed --rounds 10 --within 6
"""

import argparse
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from checks import Failed, expect, free_port, run
from framework import Framework, Late, scalars
from pymesos import MesosSchedulerDriver, Scheduler
from states import TERMINAL

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Where Debian's package has the server; it names the other archives itself.
ARCHIVE = "/usr/share/java/zookeeper.jar"
SESSION = 5
TASKS = 10


class Keeper(Scheduler):
    """Keeps tasks that never end, and every status that it is told."""

    def __init__(self):
        self.todo = [f"stays-{number}" for number in range(TASKS)]
        self.updates = {}
        self.subscriptions = 0
        self.lock = threading.Lock()

    def registered(self, driver, framework_id, master_info):
        self.subscriptions += 1

    def reregistered(self, driver, master_info):
        self.subscriptions += 1

    def resourceOffers(self, driver, offers):
        for offer in offers:
            with self.lock:
                tasks, self.todo = self.todo[:5], self.todo[5:]
            infos = [self.task(name, offer) for name in tasks]
            if infos:
                driver.launchTasks(offer.id, infos, {"refuse_seconds": 1})
            else:
                driver.declineOffer(offer.id, {"refuse_seconds": 1})

    def task(self, name, offer):
        return {
            "task_id": {"value": name},
            "agent_id": {"value": offer.agent_id.value},
            "name": name,
            "command": {"shell": True, "value": "echo began; exec sleep 100000"},
            "resources": scalars(cpus=0.1, mem=32),
        }

    def statusUpdate(self, driver, update):
        # An update that is told twice has the same number.
        told = self.updates.setdefault(update.task_id.value, {})
        told[update.get("uuid", len(told))] = update.state

    def states(self, name):
        return list(self.updates.get(name, {}).values())

    def runs(self):
        return sum(self.states(name)[-1:] == ["TASK_RUNNING"] for name in self.names())

    def names(self):
        return [f"stays-{number}" for number in range(TASKS)]


class Cluster:
    """All the processes, by name; what has ended is started again when it is asked for."""

    def __init__(self, folder, programs):
        self.folder = folder
        self.programs = programs
        self.processes = {}
        self.ports = {name: free_port() for name in self.all()}
        self.quorum = {name: (free_port(), free_port()) for name in ZOOKEEPERS}
        servers = ",".join(f"127.0.0.1:{self.ports[name]}" for name in ZOOKEEPERS)
        self.zk = f"zk://{servers}/mesos"
        self.masters = ",".join(f"127.0.0.1:{self.ports[name]}" for name in MASTERS)

    @staticmethod
    def all():
        return [*ZOOKEEPERS, *MASTERS, *AGENTS]

    def start(self):
        for name in self.all():
            self.ensure(name)
        self.until(60, "two agents to register", lambda: len(self.agents()) == 2)

    def ensure(self, *names):
        """Starts those that do not run."""
        for name in names:
            process = self.processes.get(name)
            if process is not None and process.poll() is None:
                continue
            kind = name.rstrip("0123456789")
            command = {"zk": self.zookeeper, "master": self.master, "node": self.agent}[kind](name)
            log = open(self.folder / f"{name}.log", "ab")
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def zookeeper(self, name):
        work = self.folder / name
        work.mkdir(exist_ok=True)
        (work / "myid").write_text(name.removeprefix("zk"))
        lines = ["tickTime=500", "initLimit=20", "syncLimit=6", f"dataDir={work}"]
        lines += [f"clientPort={self.ports[name]}", "clientPortAddress=127.0.0.1"]
        lines += ["admin.enableServer=false"]
        for number, (quorum, election) in enumerate(self.quorum.values(), 1):
            lines.append(f"server.{number}=127.0.0.1:{quorum}:{election}")
        config = self.folder / f"{name}.cfg"
        config.write_text("\n".join(lines) + "\n")
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return ["java", "-Xmx128m", "-cp", ARCHIVE, main, config]

    def master(self, name):
        return [
            self.programs / "tepui-master",
            "--ip=127.0.0.1",
            f"--port={self.ports[name]}",
            "--hostname=localhost",
            f"--zk={self.zk}",
            f"--zk_session_timeout={SESSION}secs",
            "--quorum=2",
        ]

    def agent(self, name):
        work = self.folder / name
        work.mkdir(exist_ok=True)
        return [
            self.programs / "tepui-agent",
            f"--master={self.zk if name == AGENTS[0] else self.masters}",
            f"--zk_session_timeout={SESSION}secs",
            "--ip=127.0.0.1",
            f"--port={self.ports[name]}",
            f"--hostname={name}",
            "--resources=cpus:4;mem:2048;disk:1024;ports:[31000-31100]",
            "--switch_user=false",
            f"--default_rootfs={self.rootfs()}",
            f"--work_dir={work}",
        ]

    def rootfs(self):
        """A root for tasks, around the host's static busybox."""
        rootfs = self.folder / "rootfs"
        if not rootfs.exists():
            for name in ["bin", "dev", "etc", "proc", "sys", "tmp", "mnt/mesos/sandbox"]:
                (rootfs / name).mkdir(parents=True)
            busybox = subprocess.run(["which", "busybox"], capture_output=True, text=True)
            expect(busybox.returncode == 0, "no busybox on this host: apt-get install busybox-static")
            (rootfs / "bin/busybox").write_bytes(pathlib.Path(busybox.stdout.strip()).read_bytes())
            (rootfs / "bin/busybox").chmod(0o755)
            for applet in ["sh", "sleep", "echo"]:
                (rootfs / "bin" / applet).symlink_to("busybox")
        return rootfs

    def get(self, master, path):
        """What a master answers itself; none where it sends elsewhere, or says nothing in time."""
        url = f"http://127.0.0.1:{self.ports[master]}{path}"
        try:
            with OPENER.open(url, timeout=2) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def leaders(self):
        """The masters that say that they lead."""
        metrics = {name: self.get(name, "/metrics/snapshot") for name in MASTERS}
        return [name for name, found in metrics.items() if found and found["master/elected"] == 1]

    def leader(self):
        self.until(60, "a leader", lambda: len(self.leaders()) == 1)
        return self.leaders()[0]

    def agents(self):
        found = [self.get(name, "/master/slaves") for name in MASTERS]
        active = [agent for one in found if one for agent in one["slaves"] if agent["active"]]
        return [agent["hostname"] for agent in active]

    def tasks(self):
        found = [self.get(name, "/master/tasks") for name in MASTERS]
        return {task["id"]: task["state"] for one in found if one for task in one["tasks"]}

    def kill(self, name):
        self.processes[name].kill()
        self.processes[name].wait()

    def until(self, seconds, what, holds):
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise Failed(f"waited {seconds} s for {what}")
            time.sleep(0.1)

    def stop(self):
        for process in self.processes.values():
            # A stopped process does not hear the end either.
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def logs(self):
        for name in [*MASTERS, *AGENTS]:
            text = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
            print(f"--- {name}", *text[-25:], sep="\n", flush=True)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(NoRedirect)
ZOOKEEPERS = ["zk1", "zk2", "zk3"]
MASTERS = ["master1", "master2", "master3"]
AGENTS = ["node1", "node2"]


class Checks:
    """What is done to the cluster, one after another, and what must hold then."""

    def __init__(self, cluster, is_long, rounds, within):
        self.cluster = cluster
        self.is_long = is_long
        self.rounds = rounds
        self.within = within
        self.keeper = Keeper()
        framework = {"user": "root", "name": "keeper", "hostname": "h", "failover_timeout": 600}
        self.driver = MesosSchedulerDriver(self.keeper, framework, cluster.zk, use_addict=True)

    def all(self, only):
        """Those whose names hold one of these texts, between the first and the last; all, without any."""
        first, *between, last = [name for name in type(self).__dict__ if name.startswith("check_")]
        wanted = [name for name in between if not only or any(text in name for text in only)]
        names = [first, *wanted, last]
        return [(name.removeprefix("check_"), getattr(self, name)) for name in names]

    def settled(self):
        """One master leads, every agent is with it, and no task was lost, ended or run twice."""
        self.cluster.ensure(*ZOOKEEPERS, *MASTERS)
        self.cluster.leader()
        self.cluster.until(60, "both agents", lambda: sorted(self.cluster.agents()) == AGENTS)

        def is_whole():
            tasks = self.cluster.tasks()
            return len(tasks) == TASKS and set(tasks.values()) == {"TASK_RUNNING"}

        self.cluster.until(60, "every task to be known as running", is_whole)
        for name in self.keeper.names():
            states = set(self.keeper.states(name))
            expect(not states & TERMINAL, f"{name} was told to be {states}")
        # How often a task began is in its own output.
        outputs = [path.read_text() for path in self.cluster.folder.glob("node*/slaves/**/stdout")]
        expect(outputs == ["began\n"] * TASKS, f"{TASKS} tasks have written {outputs}")

    def first_offer(self, begun):
        """How long after a moment a framework has its first offer."""
        while time.monotonic() < begun + 60:
            for name in MASTERS:
                try:
                    probe = Framework(f"127.0.0.1:{self.cluster.ports[name]}", "probe")
                except (OSError, Late):
                    continue
                try:
                    probe.offer()
                    return time.monotonic() - begun
                finally:
                    probe.teardown()
            time.sleep(0.05)
        raise Failed("no offer within 60 s")

    def check_tasks_run_on_both_agents(self):
        self.driver.start()
        self.cluster.until(60, "every task to run", lambda: self.keeper.runs() == TASKS)
        self.settled()

    def check_tepui_finds_the_leader_by_zk_and_by_a_list(self):
        tepui = self.cluster.programs / "tepui"
        for master in [self.cluster.zk, self.cluster.masters]:
            command = [tepui, "--master", master, "nodes", "--json"]
            answer = subprocess.run(command, capture_output=True, text=True, timeout=30)
            expect(answer.returncode == 0, f"{master}: {answer.stderr}")
            found = sorted(node["hostname"] for node in json.loads(answer.stdout))
            expect(found == AGENTS, f"{master}: {found}")

    def check_the_leader_is_killed(self):
        times = []
        for _ in range(self.rounds):
            leader = self.cluster.leader()
            begun = time.monotonic()
            self.cluster.kill(leader)
            times.append(self.first_offer(begun))
            self.settled()
        times.sort()
        print(f"first offer after the leader's death: {', '.join(f'{t:.2f}' for t in times)} s")
        # A machine that does other work is late.
        expect(times[0] < SESSION + 15, f"{times}")
        late = [time for time in times if self.within and time > self.within]
        expect(not late, f"{len(late)} of {len(times)} took more than {self.within} s")

    def check_the_leader_is_stopped_and_goes_on(self):
        old = self.cluster.leader()
        process = self.cluster.processes[old]
        process.send_signal(signal.SIGSTOP)
        time.sleep(30 if self.is_long else SESSION + 3)
        new = self.cluster.leader()
        expect(new != old, "a stopped master leads")
        process.send_signal(signal.SIGCONT)
        state = self.cluster.get(old, "/master/state")
        expect(state is None, f"{old} answers as the leader")
        expect(process.wait(timeout=15) == 1, f"{old} ended with {process.returncode}")
        log = (self.cluster.folder / f"{old}.log").read_text()
        expect("lost leadership" in log, f"{old} does not say why it ended")
        expect(self.cluster.leaders() == [new], "two masters lead")
        self.settled()

    def check_one_zookeeper_server_is_killed(self):
        leader = self.cluster.leader()
        for name in ZOOKEEPERS:
            self.cluster.kill(name)
            time.sleep(SESSION)
            self.cluster.ensure(name)
            time.sleep(SESSION)
        print(f"led by {leader} before, by {self.cluster.leader()} now")
        self.settled()

    def check_two_zookeeper_servers_are_killed_and_come_back(self):
        for name in ZOOKEEPERS[:2]:
            self.cluster.kill(name)
        leaders = self.cluster.leaders
        self.cluster.until(SESSION + 5, "nobody to lead", lambda: leaders() == [])
        time.sleep(1)
        expect(leaders() == [], "a master leads without ZooKeeper")
        self.settled()

    def check_every_task_ends_once(self):
        for name in self.keeper.names():
            self.driver.killTask({"value": name})
        keeper = self.keeper
        ended = lambda name: TERMINAL & set(keeper.states(name))
        self.cluster.until(60, "every task to end", lambda: all(map(ended, keeper.names())))
        for name in keeper.names():
            ends = [state for state in keeper.states(name) if state in TERMINAL]
            expect(ends == ["TASK_KILLED"], f"{name} ended as {ends}")
        self.driver.stop()
        self.driver.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "target/debug")
    parser.add_argument("--long", action="store_true", default="TEPUI_LONG" in os.environ)
    parser.add_argument("--only", action="append", default=[], metavar="TEXT")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often the leader is killed")
    parser.add_argument("--within", type=float, metavar="SECONDS", help="each time to a first offer")
    args = parser.parse_args()
    rounds = args.rounds or (10 if args.long else 1)
    if os.geteuid() != 0:
        print("error: agents need root", file=sys.stderr)
        return 2
    if not os.path.exists(ARCHIVE):
        print(f"error: no {ARCHIVE}; apt-get install zookeeper", file=sys.stderr)
        return 2
    # The clients complain of each connection that is lost, which is what happens here.
    logging.disable(logging.WARNING)
    # A SIGTERM ends the children, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="tepui-failover-") as folder:
        cluster = Cluster(pathlib.Path(folder), args.programs)
        checks = Checks(cluster, args.long, rounds, args.within)
        passed, failed = run(cluster, checks.all(args.only))
    print(f"{passed} passed, {failed} failed")
    # The driver's threads may still wait for a master.
    sys.stdout.flush()
    os._exit(1 if failed else 0)


if __name__ == "__main__":
    sys.exit(main())
