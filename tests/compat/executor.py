#!/usr/bin/env python3
"""An executor on pymesos' driver, unmodified; executor_run.py launches it on a cluster.

What a task does stands in its `data`: `finish` runs and finishes, `wait` runs until it is killed,
`die` ends this process with 3. A message of the framework is sent back with `echo ` before it.
"""

import base64
import os
import sys
import threading

from pymesos import Executor, MesosExecutorDriver


class Runner(Executor):
    """Answers for its tasks, which are words only."""

    def __init__(self):
        self.waiting = set()

    def registered(self, driver, executor_info, framework_info, agent_info):
        print(f"registered at {agent_info['hostname']}", flush=True)

    def launchTask(self, driver, task):
        name = task["task_id"]["value"]
        what = base64.b64decode(task["data"]).decode()
        self.tell(driver, name, "TASK_RUNNING", healthy=True)
        if what == "finish":
            self.tell(driver, name, "TASK_FINISHED", message="done")
        elif what == "die":
            print("dies", flush=True)
            # The update is sent by another thread.
            threading.Timer(1, os._exit, [3]).start()
        else:
            self.waiting.add(name)

    def killTask(self, driver, task_id):
        name = task_id["value"]
        if name in self.waiting:
            self.waiting.remove(name)
            self.tell(driver, name, "TASK_KILLED", message="as you say")

    def frameworkMessage(self, driver, message):
        driver.sendFrameworkMessage(
            base64.b64encode(b"echo " + base64.b64decode(message)).decode()
        )

    def shutdown(self, driver):
        print("shut down", flush=True)

    def tell(self, driver, name, state, **more):
        labels = {"labels": [{"key": "pid", "value": str(os.getpid())}]}
        update = {
            "task_id": {"value": name},
            "state": state,
            "data": base64.b64encode(b"from the executor").decode(),
            "labels": labels,
            **more,
        }
        driver.sendStatusUpdate(update)


def main():
    driver = MesosExecutorDriver(Runner())
    driver.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
