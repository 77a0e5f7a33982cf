#!/usr/bin/env python3
"""Images from a real registry, as root on this host: pulled, run, and refused in words.

Each check starts a master and an agent of its own; Debian's docker-registry holds the images of
build.py. What goes wrong has to be told in the task's status, and must leave nothing behind. The last
line is `N passed, N failed`.
"""

import argparse
import contextlib
import gzip
import http.client
import http.server
import io
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "compat"))

import build  # noqa: E402
import host  # noqa: E402
import registry  # noqa: E402
from host import expect  # noqa: E402

class Node(host.Cluster):
    """A master and one agent with the flags given."""

    def __init__(self, folder, programs, *flags):
        super().__init__(folder, programs)
        self.flags = flags
        self.work = folder / "node"

    def __enter__(self):
        self.start_master()
        self.spawn(
            "node",
            "tepui-agent",
            f"--master={self.master}",
            "--ip=127.0.0.1",
            f"--port={host.free_port()}",
            "--hostname=node",
            "--resources=cpus:8;mem:4096;disk:4096;ports:[31000-31100]",
            "--switch_user=false",
            *self.flags,
        )
        self.until(20, "the agent to register", lambda: self.registered() == 1)
        return self

    def __exit__(self, kind, *_):
        self.stop()
        if kind:
            self.logs()

    def run(self, *arguments, timeout=120):
        return subprocess.run(
            [self.programs / "tepui", "run", *arguments],
            env=os.environ | {"TEPUI_MASTER": self.master},
            capture_output=True, text=True, timeout=timeout, check=False,
        )

    def succeeds(self, *arguments, output):
        done = self.run(*arguments)
        expect(done.returncode == 0, f"{arguments}: exit {done.returncode}: {done.stdout!r} {done.stderr!r}")
        expect(done.stdout == output, f"{arguments}: {done.stdout!r}")

    def fails(self, *arguments, words):
        done = self.run(*arguments)
        expect(done.returncode != 0, f"{arguments} ends well: {done.stdout!r}")
        for word in words:
            expect(word in done.stderr, f"{word!r} is not in {done.stderr!r}")
        self.is_clean()

    def is_clean(self):
        """Nothing is left of what did not come."""
        store = self.store()
        left = [path for folder in ["staging", "graves"] for path in (store / folder).iterdir()]
        self.until(5, "scratch folders to go", lambda: not self.scratches())
        expect(not left, f"left behind: {left}")

    def store(self):
        for flag in self.flags:
            if flag.startswith("--docker_store_dir="):
                return pathlib.Path(flag.split("=", 1)[1])
        return self.work / "store"

    def scratches(self):
        return [path for folder in ["containers", "graves"] for path in (self.work / "provisioner" / folder).iterdir()]

    def layers(self):
        return sorted(path.name for path in (self.store() / "layers" / "sha256").iterdir())


class Proxy:
    """Between the agent and a registry; `spoil(path, headers)` says what goes wrong with an answer."""

    def __init__(self, target, spoil):
        self.asked = []
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                proxy.asked.append(self.path)
                fault = spoil(self.path, self.headers)
                if fault == "500":
                    self.send_response(500)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                connection = http.client.HTTPConnection("127.0.0.1", target, timeout=30)
                headers = {name: value for name, value in self.headers.items() if name.lower() in ["accept", "range"]}
                connection.request("GET", self.path, headers=headers)
                answer = connection.getresponse()
                body = answer.read()
                self.send_response(answer.status)
                for name in ["Content-Type", "Content-Range", "Content-Length", "Docker-Content-Digest"]:
                    if answer.getheader(name):
                        self.send_header(name, answer.getheader(name))
                self.end_headers()
                self.close_connection = True
                if fault == "half":
                    body = body[: len(body) // 2]
                if fault == "slow":
                    for at in range(0, len(body), 4096):
                        time.sleep(0.02)
                        self.wfile.write(body[at : at + 4096])
                else:
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.name = f"127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Checks:
    """The checks: each method whose name begins with `check_` is one."""

    def __init__(self, programs, folder, registry_):
        self.programs = programs
        self.folder = folder
        self.registry = registry_
        self.count = 0

    def node(self, *flags):
        return Node(self.new_folder(), self.programs, *flags)

    def new_folder(self):
        self.count += 1
        folder = self.folder / str(self.count)
        folder.mkdir()
        return folder

    def image(self, name):
        return f"{self.registry.name}/{name}"

    def manifest(self, layout):
        """The manifest for this machine, and its layers."""
        documents = [json.loads((layout / "index.json").read_text())["manifests"][0]]
        while True:
            digest = documents[-1]["digest"].removeprefix("sha256:")
            document = json.loads((layout / "blobs/sha256" / digest).read_text())
            if "layers" in document:
                return document
            documents.append(next(one for one in document["manifests"] if one["platform"]["architecture"] == "amd64"))

    def check_images_of_both_formats_run_from_a_registry(self):
        with self.node() as node:
            node.succeeds("--image", self.image("busybox"), "--", "echo $IMAGE; echo $PATH", output=f"busybox\n{build.PATH[5:]}\n")
            node.succeeds("--image", self.image("odd"), output="odd: ok by default\n")
            node.succeeds("--image", self.image("python"), "--", "python3 -c 'import pymesos, ssl, sys; print(sys.version_info.major)'", output="3\n")
            marked = """python3 -c 'import os; print(os.getxattr("/opt/marked", "user.tepui").decode())'"""
            node.succeeds("--image", self.image("python"), "--", marked, output="yes\n")
            node.until(5, "scratch folders to go", lambda: not node.scratches())
            node.is_clean()

    def check_servers_in_images_are_reached(self):
        with self.node() as node:
            environment = os.environ | {"TEPUI_MASTER": node.master}
            port = host.free_port()
            started = subprocess.Popen(
                [self.programs / "tepui", "run", "--image", self.image("redis"), "--", f"redis-server --port {port} --protected-mode no --save ''"],
                env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            expect(answer(port, b"PING\r\n") == b"+PONG\r\n", "redis does not answer")
            started.terminate()
            port = host.free_port()
            served = subprocess.Popen(
                [self.programs / "tepui", "run", "--image", self.image("python"), "--", f"cd /usr/lib; exec python3 -m http.server {port}"],
                env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            expect(answer(port, b"GET /os-release HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200"), "http.server does not answer")
            served.terminate()
            started.wait(20)
            served.wait(20)

    def check_one_image_wanted_by_many_at_once_is_pulled_once(self):
        with Proxy(self.registry.port, lambda *_: None) as proxy, self.node() as node:
            results = []
            runs = [
                threading.Thread(target=lambda: results.append(node.run("--image", f"{proxy.name}/busybox", "--", "echo up")))
                for _ in range(6)
            ]
            for one in runs:
                one.start()
            for one in runs:
                one.join()
            expect([done.stdout for done in results] == ["up\n"] * 6, str([done.stderr for done in results]))
            blobs = [path for path in proxy.asked if "/blobs/" in path]
            expect(len(blobs) == len(set(blobs)) == 2, f"asked for {proxy.asked}")
            # What is here is not asked for again; with --pull the manifest is, and no layer.
            before = len(proxy.asked)
            node.succeeds("--image", f"{proxy.name}/busybox", "--", "echo again", output="again\n")
            expect(len(proxy.asked) == before, f"asked again: {proxy.asked[before:]}")

    def check_layers_are_shared_by_images_and_changes_are_not(self):
        with self.node() as node:
            node.succeeds("--image", self.image("busybox"), "--", "echo x > /new; rm /bin/wget; ls /new", output="/new\n")
            node.succeeds("--image", self.image("busybox"), "--", "ls /new 2>/dev/null; ls /bin/wget", output="/bin/wget\n")
            expect(len(node.layers()) == 1, f"layers are {node.layers()}")

    def check_a_blob_that_is_cut_off_goes_on_where_it_stopped(self):
        seen = []

        def spoil(path, headers):
            if "/blobs/" in path and len(seen) < 3:
                seen.append(headers.get("Range"))
                return ["500", "half", "half"][len(seen) - 1]
            return None

        with Proxy(self.registry.port, spoil) as proxy, self.node() as node:
            node.succeeds("--image", f"{proxy.name}/busybox", "--", "echo up", output="up\n")

    def check_a_registry_that_goes_on_failing_is_told(self):
        layer = self.manifest(build.INTO / "busybox")["layers"][0]["digest"]
        with Proxy(self.registry.port, lambda path, _: "500" if layer in path else None) as proxy, self.node() as node:
            node.fails("--image", f"{proxy.name}/busybox", "--", "true", words=["500 Internal Server Error", layer])

    def check_a_slow_registry_is_waited_for(self):
        with Proxy(self.registry.port, lambda path, _: "slow" if "/blobs/" in path else None) as proxy, self.node() as node:
            node.succeeds("--image", f"{proxy.name}/busybox", "--", "echo up", output="up\n")

    def check_a_kill_ends_a_pull(self):
        def spoil(path, _):
            if "/blobs/" in path:
                time.sleep(1000)

        with Proxy(self.registry.port, spoil) as proxy, self.node() as node:
            environment = os.environ | {"TEPUI_MASTER": node.master}
            run = subprocess.Popen([self.programs / "tepui", "run", "--image", f"{proxy.name}/busybox", "--", "true"], env=environment, stderr=subprocess.PIPE, text=True)
            node.until(20, "the pull to begin", lambda: any("/blobs/" in path for path in proxy.asked))
            run.terminate()
            run.wait(20)
            node.until(5, "the pull to end", lambda: not list((node.store() / "staging").iterdir()))
            node.is_clean()

    def check_a_wrong_digest_and_a_missing_layer_are_told(self):
        own = self.new_folder()
        with registry.Registry(own) as spoilt, self.node() as node:
            spoilt.push(build.INTO / "busybox", "wrong")
            layer = self.manifest(build.INTO / "busybox")["layers"][0]["digest"]
            file = spoilt.blob_file(layer)
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(data)
            node.fails("--image", f"{spoilt.name}/wrong", "--", "true", words=[f"blob {layer}", "the content has digest", f"not {layer}"])
            file.unlink()
            node.fails("--image", f"{spoilt.name}/wrong", "--", "true", words=[layer, "404 Not Found"])
            node.fails("--image", f"{spoilt.name}/nothing", "--", "true", words=["nothing:latest", "404 Not Found"])
            node.fails("--image", f"{spoilt.name}/wrong@sha256:{'0' * 64}", "--", "true", words=["404 Not Found"])
            node.fails("--image", f"{spoilt.name}/Wrong", "--", "true", words=["names no image"])

    def check_a_password_is_shown_where_it_is_asked_for(self):
        own = self.new_folder()
        made = subprocess.run(
            ["htpasswd", "-Bbn", "user", "password"], stdout=subprocess.PIPE, text=True, check=True,
        )
        (own / "htpasswd").write_text(made.stdout)
        extra = {"auth": {"htpasswd": {"realm": "test", "path": str(own / "htpasswd")}}}
        basic = "Basic dXNlcjpwYXNzd29yZA=="
        with registry.Registry(own, extra=extra, authorization=basic) as closed:
            closed.push(build.INTO / "busybox", "closed")
            image = f"{closed.name}/closed"
            with self.node() as node:
                node.fails("--image", image, "--", "true", words=["401 Unauthorized", "--docker_config"])
            wrong = json.dumps({"auths": {closed.name: {"username": "user", "password": "wrong"}}})
            with self.node(f"--docker_config={wrong}") as node:
                node.fails("--image", image, "--", "true", words=["401 Unauthorized", "was shown"])
            config = own / "config.json"
            config.write_text(json.dumps({"auths": {f"http://{closed.name}": {"auth": basic.split()[1]}}}))
            with self.node(f"--docker_config={config}") as node:
                node.succeeds("--image", image, "--", "echo up", output="up\n")

    def check_tls_is_believed_by_the_operators_authority(self):
        own = self.new_folder()
        certificates(own)
        extra = {"http": {"tls": {"certificate": str(own / "server.pem"), "key": str(own / "server.key")}}}
        with registry.Registry(own, extra=extra, authority=own / "ca.pem") as closed:
            closed.push(build.INTO / "busybox", "busybox")
            address = f"--docker_registry=https://{closed.name}"
            with self.node(address) as node:
                node.fails("--image", "busybox", "--", "true", words=["TLS with", "UnknownIssuer"])
            with self.node(address, f"--ca_file={own / 'ca.pem'}") as node:
                node.succeeds("--image", "busybox", "--", "echo up", output="up\n")

    def check_a_mirror_is_asked_first_and_the_registry_where_it_has_nothing(self):
        with Proxy(self.registry.port, lambda path, _: "500" if "/manifests/" in path and "odd" in path else None) as proxy:
            origin = self.registry.name
            with self.node(f"--docker_registry_mirrors={origin}=http://{proxy.name}") as node:
                node.succeeds("--image", self.image("busybox"), "--", "echo up", output="up\n")
                expect(any("/blobs/" in path for path in proxy.asked), "the mirror was not asked")
                node.succeeds("--image", self.image("odd"), output="odd: ok by default\n")

    def check_layouts_and_archives_in_a_folder_run(self):
        images = self.new_folder()
        shutil.copytree(build.INTO / "odd", images / "layout")
        archive(self.manifest(build.INTO / "busybox"), build.INTO / "busybox", images / "saved:1.tar")
        with self.node(f"--docker_registry={images}") as node:
            node.succeeds("--image", "layout", output="odd: ok by default\n")
            node.succeeds("--image", "saved:1", "--", "echo $IMAGE", output="busybox\n")
            node.fails("--image", "other", "--", "true", words=["no image other in"])
            (images / "broken.tar").write_bytes(b"no archive at all")
            node.fails("--image", "broken", "--", "true", words=["broken.tar"])

    def check_a_full_disk_is_told_and_unused_images_make_room(self):
        store = self.new_folder()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4500k", "tmpfs", str(store)], check=True)
        try:
            with self.node(f"--docker_store_dir={store}", "--image_store_size=1GB") as node:
                node.fails("--image", self.image("redis"), "--", "true", words=["No space left on device"])
                node.succeeds("--image", self.image("busybox"), "--", "echo up", output="up\n")
                before = node.layers()
                node.succeeds("--image", self.image("odd"), output="odd: ok by default\n")
                expect(not set(before) <= set(node.layers()), "the unused image stayed")
        finally:
            subprocess.run(["umount", str(store)], check=True)

    def check_a_store_past_its_bound_loses_what_nobody_uses(self):
        with self.node("--image_store_size=2500KB") as node:
            node.succeeds("--image", self.image("busybox"), "--", "echo up", output="up\n")
            before = node.layers()
            node.succeeds("--image", self.image("odd"), output="odd: ok by default\n")
            node.until(5, "the older image to go", lambda: not set(before) <= set(node.layers()))
            node.fails("--image", self.image("redis"), "--", "true", words=["too big"])

    def all(self):
        names = [name for name in type(self).__dict__ if name.startswith("check_")]
        return [(name.removeprefix("check_"), getattr(self, name)) for name in names]


def answer(port, question):
    """What a server says, once it is there."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(question)
                return connection.recv(4096)
        except OSError:
            expect(time.monotonic() < deadline, f"nobody listens on {port}")
            time.sleep(0.1)


def certificates(folder):
    """An authority, and a certificate of its for 127.0.0.1."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test authority", "-days", "30")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=registry")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "server.pem", "-days", "30", "-extfile", "names")


def archive(manifest, layout, path):
    """An image as `docker save` writes it: layers in folders of their own, unpacked."""
    def blob(descriptor):
        return (layout / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")).read_bytes()

    names = []
    with tarfile.open(path, "w") as tar:
        def add(name, data):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))

        add("config.json", blob(manifest["config"]))
        for index, layer in enumerate(manifest["layers"]):
            names.append(f"layer{index}/layer.tar")
            add(names[-1], gzip.decompress(blob(layer)))
        add("manifest.json", json.dumps([{"Config": "config.json", "RepoTags": ["saved:1"], "Layers": names}]).encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=pathlib.Path, default=host.ROOT / "target/debug")
    parser.add_argument("--only", action="append", default=[])
    arguments = parser.parse_args()
    layouts = build.build(list(build.IMAGES))
    passed, failed = 0, 0
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tepui-images-")))
        shared = folder / "registry"
        there = stack.enter_context(registry.Registry(shared))
        for name, layout in layouts.items():
            there.push(layout, name)
        checks = Checks(arguments.programs.resolve(), folder, there)
        for name, check in checks.all():
            if arguments.only and not any(part in name for part in arguments.only):
                continue
            begun = time.monotonic()
            try:
                check()
            except (host.Failed, subprocess.SubprocessError, OSError) as error:
                failed += 1
                print(f"FAIL {name}: {error}", flush=True)
            else:
                passed += 1
                print(f"pass {name} ({time.monotonic() - begun:.1f} s)", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
