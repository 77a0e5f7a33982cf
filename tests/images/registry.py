#!/usr/bin/env python3
"""Debian's docker-registry on loopback, with the images of build.py in it.

    tests/images/registry.py [--port PORT] [--folder FOLDER] [NAME...]

Builds the images, starts the registry, puts them there under their names with the tag `latest`, prints
`ready 127.0.0.1:PORT`, and serves until its standard input ends or it is told to end.
"""

import argparse
import http.client
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import build


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Registry:
    """One docker-registry process and its folder."""

    def __init__(self, folder, port=None, extra=(), authority=None, authorization=None):
        self.folder = pathlib.Path(folder)
        self.port = port or free_port()
        self.name = f"127.0.0.1:{self.port}"
        self.extra = dict(extra)
        self.authority = authority
        self.headers = {"Authorization": authorization} if authorization else {}
        self.process = None

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "config.yml"
        config.write_text(json.dumps({
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "storage")}},
            "http": {"addr": self.name},
        } | self.extra | ({"http": {"addr": self.name} | self.extra["http"]} if "http" in self.extra else {})))
        log = open(self.folder / "registry.log", "ab")
        self.process = subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                self.ask("GET", "/v2/")
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"error: docker-registry does not answer, see {log.name}")
                time.sleep(0.05)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def ask(self, method, path, body=None, headers=()):
        if self.authority:
            context = ssl.create_default_context(cafile=self.authority)
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, self.headers | dict(headers))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def expect(self, wanted, method, path, *rest):
        status, headers, body = self.ask(method, path, *rest)
        if status not in wanted:
            sys.exit(f"error: {method} {path}: {status} {body[:500]}")
        return headers

    def push(self, layout, name, tag="latest"):
        """Puts an OCI layout there: its blobs, then manifests, those that others name first."""
        documents = []

        def walk(descriptor, tag):
            path = layout / "blobs" / "sha256" / descriptor["digest"].removeprefix("sha256:")
            document = json.loads(path.read_text())
            for below in document.get("manifests", []):
                walk(below, below["digest"])
            for blob in [document["config"], *document["layers"]] if "config" in document else []:
                self.push_blob(layout, name, blob)
            documents.append((tag, descriptor["mediaType"], path.read_bytes()))

        walk(json.loads((layout / "index.json").read_text())["manifests"][0], tag)
        for reference, media_type, body in documents:
            self.expect([201], "PUT", f"/v2/{name}/manifests/{reference}", body, {"Content-Type": media_type})

    def push_blob(self, layout, name, blob):
        status, _, _ = self.ask("HEAD", f"/v2/{name}/blobs/{blob['digest']}")
        if status == 200:
            return
        place = self.expect([202], "POST", f"/v2/{name}/blobs/uploads/", b"")["Location"]
        place = place.removeprefix(f"http://{self.name}").removeprefix(f"https://{self.name}")
        data = (layout / "blobs" / "sha256" / blob["digest"].removeprefix("sha256:")).read_bytes()
        joined = "&" if "?" in place else "?"
        headers = {"Content-Type": "application/octet-stream"}
        self.expect([201], "PUT", f"{place}{joined}digest={blob['digest']}", data, headers)

    def blob_file(self, digest):
        """Where the registry keeps a blob."""
        plain = digest.removeprefix("sha256:")
        return self.folder / "storage/docker/registry/v2/blobs/sha256" / plain[:2] / plain / "data"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int)
    parser.add_argument("--folder", type=pathlib.Path, help="where the registry keeps its blobs; a temporary one")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    layouts = build.build(arguments.names or list(build.IMAGES))
    with tempfile.TemporaryDirectory(prefix="registry-") as temporary:
        with Registry(arguments.folder or temporary, arguments.port) as registry:
            for name, layout in layouts.items():
                registry.push(layout, name)
            print(f"ready {registry.name}", flush=True)
            try:
                while os.read(0, 4096):
                    pass
            except KeyboardInterrupt:
                pass


if __name__ == "__main__":
    main()
