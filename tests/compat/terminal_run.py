#!/usr/bin/env python3
"""Uses a shell on a terminal as a person does: terminal_run.py COMMAND..., as in `tepui exec -it T sh`.

Looked at: the window's size and its changes, Ctrl-C, the exit code, and that the terminal is the
shell's. Exit codes: 0 all as it must be, 1 something else was seen.
"""

import os
import sys
import time

from terminal import Terminal


def session(command, environment):
    """What was wrong; None where nothing was."""
    shell = Terminal(command, environment, rows=40, columns=100)
    # Quoted, so that what is typed is not what is shown.
    shell.type("echo re''ady; stty size\n")
    if not shell.shows("ready"):
        return f"no shell: {shell.shown!r}"
    if not shell.shows("40 100"):
        return f"not the window's size: {shell.shown!r}"
    if not shell.is_raw():
        return "the terminal is not the shell's"
    shell.resize(24, 80)
    shell.type("sleep 1; stty size\n")
    if not shell.shows("24 80"):
        return f"not the new size: {shell.shown!r}"
    shell.type("echo wait''ing; sleep 1000\n")
    if not shell.shows("waiting"):
        return f"the command does not begin: {shell.shown!r}"
    time.sleep(0.2)
    shell.type("\x03")
    shell.type("echo inter''rupted $?\n")
    if not shell.shows("interrupted 130"):
        return f"Ctrl-C ends nothing: {shell.shown!r}"
    shell.type("exit 7\n")
    status = shell.wait()
    return None if status == 7 else f"exit code {status}: {shell.shown!r}"


if __name__ == "__main__":
    fault = session(sys.argv[1:], os.environ)
    if fault:
        print(fault)
        sys.exit(1)
