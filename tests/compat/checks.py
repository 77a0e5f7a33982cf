"""What all checks of this folder are written with."""

import socket
import subprocess
import time

from framework import Late


class Failed(Exception):
    """A check did not hold; the text says which."""


def expect(holds, text):
    if not holds:
        raise Failed(text)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(cluster, checks):
    """Starts the cluster, runs every check; the numbers of those that passed and failed."""
    passed, failed = 0, 0
    try:
        cluster.start()
        for name, check in checks:
            start = time.monotonic()
            try:
                check()
                passed += 1
                verdict = "ok"
            except (Failed, Late, OSError, ValueError, subprocess.TimeoutExpired) as error:
                failed += 1
                verdict = f"FAILED: {error}"
            print(f"test {name} ... {verdict} ({time.monotonic() - start:.1f} s)", flush=True)
    except Failed as error:
        failed += 1
        print(f"test the_cluster_starts ... FAILED: {error}", flush=True)
    finally:
        cluster.stop()
        if failed:
            cluster.logs()
    return passed, failed
