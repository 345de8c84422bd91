# SPDX-License-Identifier: Apache-2.0
"""Pools of type rbd, against a Ceph cluster that is really there (ceph.py), and then is not. What is true is asked of the cluster by `rbd`, `ceph` and qemu-img."""
import hashlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

import ceph
from harness import wait_until
from test_leases import tiny  # noqa: F401, a fixture

pytestmark = pytest.mark.needs("ceph-mon", "ceph-osd", "rbd", "qemu-img")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = ceph.Cluster(tmp_path_factory.mktemp("ceph"))
    cluster.keyring = cluster.make_user("weft")
    yield cluster
    cluster.close()


@pytest.fixture
def emptied(cluster):
    """The cluster has no images again afterwards, when the test's hosts are gone."""
    yield
    for name in cluster.images():
        cluster.rbd("snap", "purge", "--no-progress", f"vms/{name}", check=False)
        wait_until(lambda: cluster.rbd("rm", "--no-progress", f"vms/{name}") or True, 60, "nobody uses it any more")


@pytest.fixture
def host(cluster, emptied, make_host):
    return make_host(before=cluster.plug_in)


def pool(cluster, more="", name="ceph", keyring=None, monitors=f"{ceph.ADDRESS}:6789"):
    return f"""apiVersion: weft/v1
kind: Pool
metadata: {{name: {name}}}
spec: {{type: rbd, pool: vms, monitors: ["{monitors}"], user: weft, keyring: {{file: {keyring or cluster.keyring}}}{more}}}
"""


def volume(spec, name="web"):
    return f"---\napiVersion: weft/v1\nkind: Volume\nmetadata: {{name: {name}}}\nspec: {{pool: ceph, {spec}}}\n"


def instance(host):
    return (host.root / "lib/instance").read_text().strip()


def test_contract_rbd(host, cluster):
    host.apply(pool(cluster) + volume("size: 8MiB"), "--wait=60s")
    info = cluster.json("rbd", "info", "vms/web")
    assert (info["name"], info["size"]) == ("web", 8 << 20)
    assert re.fullmatch(r"weft:[^:]+:Volume/web", cluster.rbd("image-meta", "get", "vms/web", "weft.mark").strip())
    assert cluster.images() == ["web"]


def guest(name="web", disk="volume: web"):
    return ("---\napiVersion: weft/v1\nkind: Guest\n"
            f"metadata: {{name: {name}}}\nspec: {{memory: {{size: 32MiB}}, disks: [{{{disk}}}]}}\n")


def counted(cluster, image="web"):
    """What the guest has written in its second sector: it counts there."""
    return cluster.export(image)[512:1024]


def test_a_guest_boots_from_an_image_and_writes_to_it(host, cluster, tiny):
    key = cluster.keyring.read_text().split()[-1]
    host.apply(pool(cluster) + volume(f"size: 4MiB, source: {{file: {tiny}, format: raw}}") + guest(), "--wait=60s")
    wait_until(lambda: "BOOTED" in host.console_log("web"), 60, "it boots")
    first = counted(cluster)
    wait_until(lambda: counted(cluster) != first, 30, "it writes")
    pid = host.process("qemu-system.*guest=web,")
    watchers = cluster.json("rbd", "status", "vms/web")["watchers"]
    assert len(watchers) == 1, "QEMU has it open, and nobody else"
    assert host.places_of_secret(key) == [str(cluster.keyring)] or host.places_of_secret(key) == []
    host.restart(signal.SIGKILL)
    host.wait_ready("guest", "web")
    assert host.process("qemu-system.*guest=web,") == pid
