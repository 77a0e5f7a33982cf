"""What all checks of this folder are written with."""

import socket


class Failed(Exception):
    """A check did not hold; the text says which."""


def expect(holds, text):
    if not holds:
        raise Failed(text)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
