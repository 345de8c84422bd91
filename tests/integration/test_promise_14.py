# SPDX-License-Identifier: Apache-2.0
"""Promise 14: finding one volume opens that volume's image and no other. The kernel tells which files are opened (inotify)."""
import ctypes
import os
import struct
import subprocess

import pytest

from test_storage import POOL, VOLUME, images

pytestmark = pytest.mark.needs("qemu-img")
IN_OPEN = 0x20
IMAGES = 300
libc = ctypes.CDLL(None, use_errno=True)


class Opened:
    """The names of the files of a directory that are opened within the block."""

    def __init__(self, directory):
        self.directory = directory

    def __enter__(self):
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert libc.inotify_add_watch(self.fd, os.fsencode(self.directory), IN_OPEN) > 0, os.strerror(ctypes.get_errno())
        return self

    def __exit__(self, *error):
        self.names = set()
        try:
            while data := os.read(self.fd, 1 << 20):
                while data:
                    size = struct.unpack_from("iIII", data)[3]
                    self.names.add(data[16:16 + size].rstrip(b"\0").decode())
                    data = data[16 + size:]
        except BlockingIOError:
            pass
        os.close(self.fd)
        self.names = {name for name in self.names if name.endswith((".qcow2", ".raw"))}


def volume(name, size="8MiB"):
    return "---" + VOLUME.replace("web-data", name).replace("64MiB", size)


def test_promise_14_finding_one_volume_opens_no_other_image(host):
    directory = images(host)
    host.apply(POOL + "".join(volume(f"v{i}") for i in range(20)), "--wait=60s")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", directory / "f0.qcow2", "8M"], check=True)
    for i in range(1, IMAGES):  # of others
        (directory / f"f{i}.qcow2").write_bytes((directory / "f0.qcow2").read_bytes())
    with Opened(directory) as witness:
        os.stat(directory / "v7.qcow2")
        open(directory / "v7.qcow2", "rb").close()
    assert witness.names == {"v7.qcow2"}, "the witness sees what is opened"
    with Opened(directory) as opened:
        for command in (["get", "volume", "v7", "-o", "json"], ["describe", "volume", "v7"], ["get", "volume"], ["get", "pool", "local"],
                        ["describe", "pool", "local"], ["diff"]):
            host.weft(*command)
    assert opened.names == set(), "what is known is not looked for"
    with Opened(directory) as opened:
        host.apply(volume("new")[3:], "--wait=20s")
    assert opened.names <= {"new.qcow2"} and (directory / "new.qcow2").exists()
    with Opened(directory) as opened:
        host.apply(volume("v7", "16MiB")[3:], "--wait=20s")
    assert opened.names == {"v7.qcow2"}
    with Opened(directory) as opened:
        host.restart()
        host.wait_ready("volume", "v19")
        host.wait_ready("volume", "v0")
    ours = {f"v{i}.qcow2" for i in range(20)} | {"new.qcow2"}
    assert opened.names <= ours, "a new weftd looks at what is its own"
    host.delete_all()
