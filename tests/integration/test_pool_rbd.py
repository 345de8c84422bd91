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
from test_pools import message, sh

pytestmark = pytest.mark.needs("ceph-mon", "ceph-osd", "rbd", "qemu-img")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = ceph.Cluster(tmp_path_factory.mktemp("ceph"))
    cluster.keyring = cluster.make_user("weft")
    yield cluster
    cluster.close()


@pytest.fixture
def host(cluster, make_host):
    yield make_host(before=cluster.plug_in)
    for name in cluster.images():
        cluster.rbd("rm", "--no-progress", f"vms/{name}")


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
