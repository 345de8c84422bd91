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


# ---- what is wrong ----

OUTAGES = {
    "monitor stopped": (lambda c: c.pause("mon"), lambda c: c.go_on("mon"), f"no monitor of the cluster answers at {ceph.ADDRESS}:6789"),
    "packets dropped": (lambda c: c.drop(), lambda c: c.let_through(), f"no monitor of the cluster answers at {ceph.ADDRESS}:6789"),
    "OSD stopped": (lambda c: c.pause("osd"), lambda c: c.go_on("osd"), "the monitors answer, but the OSDs of pool 'vms' do not"),
}


def degraded(host):
    condition = host.condition("pool", "ceph", "Degraded")
    return condition.get("message") if condition.get("status") == "True" else None


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_dead_cluster_holds_up_nothing_and_comes_back(host, cluster, outage):
    end, begin, sentence = OUTAGES[outage]
    host.apply(pool(cluster) + volume("size: 8MiB"), "--wait=60s")
    assert degraded(host) is None
    end(cluster)
    try:
        text = wait_until(lambda: degraded(host), 15, "Degraded")
        assert "last seen to work at 20" in text
        text = wait_until(lambda: sentence in degraded(host) and degraded(host), 30, "it says what is wrong")
        assert host.ready("volume", "web"), "what was seen stays what was seen"
        for command in (["get", "all"], ["describe", "pool", "ceph"], ["events"], ["status"], ["topology"]):
            begun = time.monotonic()
            host.weft(*command)
            assert time.monotonic() - begun < 5, f"{command} waits for the cluster"
        host.apply(volume("size: 8MiB", "second")[4:], check=False)
        assert "does not answer" in wait_until(lambda: host.condition("volume", "second").get("message"), 20)
    finally:
        begin(cluster)
    host.wait_ready("volume", "second", 120)
    wait_until(lambda: not degraded(host), 60, "it recovers without a hand")
    assert sorted(cluster.images()) == ["second", "web"]


def said(host, sentence):
    """What is said of the Pool, once it has that sentence in it."""
    text = host.condition("pool", "ceph").get("message") or ""
    return not host.ready("pool", "ceph") and sentence in text and text


def test_what_is_wrong_is_one_sentence(host, cluster, tmp_path):
    other = tmp_path / "other"
    other.write_text(cluster.make_user("other", "elsewhere").read_text().replace("client.other", "client.weft"))
    other.chmod(0o600)
    garbage = tmp_path / "garbage"
    garbage.write_text("[client.nobody]\n\tkey = AAAA\n")
    garbage.chmod(0o600)
    pools = {
        pool(cluster, keyring=other): "does not let client.weft in with the key in file '" + str(other),
        pool(cluster, keyring=garbage): f"file '{garbage}' has no key of client.weft",
        pool(cluster, keyring=tmp_path / "absent"): f"file '{tmp_path}/absent' cannot be opened: No such file or directory",
        pool(cluster).replace("pool: vms", "pool: elsewhere"): "the cluster has no pool 'elsewhere'",
        pool(cluster, ", namespace: elsewhere"): "pool 'vms' has no namespace 'elsewhere'",
        pool(cluster, ", cluster: 9f8e7d6c-5b4a-4321-8765-0123456789ab"): f"the cluster that answers is {cluster.fsid}",
        pool(cluster, monitors=f"{ceph.ADDRESS}:6788"): f"no monitor of the cluster answers at {ceph.ADDRESS}:6788",
    }
    for manifest, sentence in pools.items():
        host.apply(manifest, check=False)
        text = wait_until(lambda: said(host, sentence), 60, sentence)
        assert "\n" not in text and len(text) < 400, text
    host.apply(pool(cluster, f", cluster: {cluster.fsid}"), "--wait=30s")
    bare = tmp_path / "bare"
    bare.write_text(cluster.keyring.read_text().split()[-1] + "\n")
    bare.chmod(0o600)
    host.apply(pool(cluster, f", cluster: {cluster.fsid}", keyring=bare), "--wait=30s")


# ---- leases ----

@pytest.fixture
def two_hosts(cluster, emptied, make_host):
    return [make_host(before=cluster.plug_in) for _ in range(2)]


def lockers(cluster, image="web"):
    """Who holds the lease: the cookies of the lock on the image's header."""
    image_id = cluster.json("rbd", "info", f"vms/{image}")["id"]
    info = cluster.json("rados", "-p", "vms", "lock", "info", f"rbd_header.{image_id}", "weft")
    return [locker["cookie"] for locker in info["lockers"]]


def runs(host, name="web"):
    return any(re.search(f"qemu-system.*guest={name},", line) for line in host.pids().values())


@pytest.mark.no_laws
def test_promise_17_a_second_host_is_refused(two_hosts, cluster, tiny):
    here, there = two_hosts
    manifest = pool(cluster) + volume(f"size: 4MiB, source: {{file: {tiny}, format: raw}}")
    here.apply(manifest + guest(), "--wait=60s")
    (cookie,) = lockers(cluster)
    assert cookie.split()[1] == "web" and cookie.split()[3] == os.uname().nodename
    there.apply(manifest.replace("size:", "adopt: true, size:") + guest("other"), check=False)
    refused = wait_until(lambda: there.condition("guest", "other").get("message"), 30)
    wait_until(lambda: "is used by guest 'web' on host" in there.condition("guest", "other")["message"], 30, refused)
    assert not runs(there, "other") and lockers(cluster) == [cookie]
    here.restart(signal.SIGKILL)
    here.wait_ready("guest", "web")
    assert lockers(cluster) == [cookie], "a later weftd finds it again"
    here.weft("guest", "stop", "--now", "web", check=False)
    here.weft("guest", "kill", "web", check=False)
    there.wait_ready("guest", "other", 120)
    (cookie,) = lockers(cluster)
    assert cookie.split()[1] == "other"
