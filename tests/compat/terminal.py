"""A program on a pseudo terminal of its own, as a person uses it."""

import fcntl
import os
import pty
import select
import struct
import termios
import time


class Terminal:
    """A program that has a terminal; what it shows is collected."""

    def __init__(self, command, environment, rows, columns):
        self.shown = b""
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            # The size is there before the program looks.
            self.resize(rows, columns, 0)
            os.execvpe(command[0], [str(word) for word in command], environment)

    def resize(self, rows, columns, descriptor=None):
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.master if descriptor is None else descriptor, termios.TIOCSWINSZ, size)

    def type(self, keys):
        os.write(self.master, keys.encode())

    def shows(self, text, seconds=20):
        """Whether a text comes up; what was shown up to its end is forgotten."""
        deadline = time.monotonic() + seconds
        wanted = text.encode()
        while wanted not in self.shown:
            left = deadline - time.monotonic()
            if left <= 0 or not self.read(left):
                return False
        self.shown = self.shown.split(wanted, 1)[1]
        return True

    def read(self, seconds):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return False
        try:
            piece = os.read(self.master, 65536)
        except OSError:
            return False
        self.shown += piece
        return bool(piece)

    def is_raw(self):
        return not termios.tcgetattr(self.master)[3] & termios.ISIG

    def wait(self):
        """The program's exit code, once it has shown all it had to."""
        while self.read(20):
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.master)
        return os.waitstatus_to_exitcode(status)
