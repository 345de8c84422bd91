# SPDX-License-Identifier: Apache-2.0
"""weftd, the child that works for it, or the program that this runs, is killed while a volume of a Ceph cluster is made, cloned, linked or grown, and while it goes back to a snapshot:
each write to the cluster takes its time, and the kill comes after the n-th. However it ends, what is there when all has been tried again is whole, and nothing half is
left beside it. A sample is tried, from a seed that is printed (WEFT_SEED repeats it); WEFT_SWEEP=all tries every one."""
import contextlib
import os
import random
import signal
import subprocess
import threading
import time

import pytest

from harness import wait_until
from test_pool_crash import SEED
from test_pool_rbd import cluster, emptied, host, info, pool, sha256, volume  # noqa: F401

pytestmark = pytest.mark.needs("ceph-mon", "ceph-osd", "rbd", "iptables", "qemu-img")
WRITE_MS = 150
STEPS = 14  # about as many writes as the longest of them takes
WAYS = ("helper", "weftd", "program")
SAMPLE = 5


def base(directory):
    return volume(f"source: {{file: {directory}/source, format: raw}}, size: 8MiB", "base")


# What is killed: the manifest before it and the one that is applied. Going back is no manifest.
WORKS = {
    "create": lambda d: (base(d), base(d) + volume("size: 4MiB")),
    "copy": lambda d: (base(d), base(d) + volume(f"source: {{file: {d}/source, format: raw}}")),
    "clone": lambda d: (base(d), base(d) + volume("clone: base")),
    "link": lambda d: (base(d), base(d) + volume("base: base")),
    "grow": lambda d: (base(d), base(d).replace("8MiB", "16MiB")),
    "revert": lambda d: (base(d), None),
}


def children(pid):
    return [int(line) for line in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]


def kill(host, way):
    """The helper, and what it has begun; weftd, with which they go; or what the helper has begun, if there is anything yet."""
    pid = host.weftd_pid()
    if way == "weftd":
        host.stop(signal.SIGKILL)
        return
    helpers = children(pid)
    for child in helpers if way == "helper" else [grandchild for helper in helpers for grandchild in children(helper)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def bytes_of(cluster, name):  # noqa: F811
    return sha256(cluster.export(name))


def once(host, cluster, directory, work, way, step):  # noqa: F811
    before, wanted = WORKS[work](directory)
    host.apply(pool(cluster) + before, "--wait=120s")
    data = bytes_of(cluster, "base")
    if work == "revert":
        host.weft("volume", "snapshot", "create", "base", "one")
        cluster.rbd("bench", "--io-type", "write", "--io-size", "65536", "--io-total", "4M", "vms/base")
        assert bytes_of(cluster, "base") != data

    def begin():
        if wanted:
            host.apply(pool(cluster) + wanted, check=False)
        else:
            host.weft("volume", "snapshot", "revert", "base", "one", "--yes", check=False)
    cluster.limit_writes(WRITE_MS)
    try:
        begun = threading.Thread(target=begin)
        begun.start()
        time.sleep(WRITE_MS / 1000 * (step + 0.5))
        kill(host, way)
        begun.join()
    finally:
        cluster.limit_writes(0)
    if way == "weftd":
        host.start()
    if wanted:
        host.apply(pool(cluster) + wanted, "--wait=120s")
    else:
        wait_until(lambda: host.weft("volume", "snapshot", "revert", "base", "one", "--yes", check=False).status == 0, 60, "done again it is whole")
        host.wait_ready("volume", "base", 60)
    names = ["base", "web"] if work in ("create", "copy", "clone", "link") else ["base"]
    wait_until(lambda: sorted(cluster.images()) == names, 60, "nothing half is left")
    if work == "grow":
        assert info(cluster, "base")["size"] == 16 << 20 and cluster.export("base")[8 << 20:] == bytes(8 << 20)
        assert sha256(cluster.export("base")[:8 << 20]) == data
    else:
        assert bytes_of(cluster, "base") == data
    if work in ("clone", "link"):
        assert bytes_of(cluster, "web") == data
    if work == "copy":
        assert cluster.export("web") == (directory / "source").read_bytes()
    if work == "revert":
        host.weft("volume", "snapshot", "delete", "base", "one", "--yes")
    assert not cluster.json("rbd", "snap", "ls", "vms/base"), "nor a snapshot of ours"
    host.apply((pool(cluster) + (wanted or before)).replace("spec: {pool: ceph,", "spec: {reclaim: delete, pool: ceph,"), "--wait=60s")
    host.delete_all()
    wait_until(lambda: cluster.images() == [], 60)


@pytest.mark.no_laws
def test_killed_at_each_step(host, cluster, tmp_path):  # noqa: F811
    (tmp_path / "source").write_bytes(os.urandom(2 << 20))
    every = [(work, way, step) for work in WORKS for way in WAYS for step in range(STEPS) if way != "program" or work == "copy"]
    random.seed(SEED)
    print(f"WEFT_SEED={SEED}")
    for work, way, step in every if os.environ.get("WEFT_SWEEP") == "all" else random.sample(every, SAMPLE):
        print(f"{work}: {way} is killed after write {step}")
        once(host, cluster, tmp_path, work, way, step)
