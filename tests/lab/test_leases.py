# SPDX-License-Identifier: Apache-2.0
"""Two hosts with one NFS export: what a guest of one uses is refused to the other, also when its host is gone, until a person breaks the lease. The
first host is the NFS server; the second dies."""
import json
import time

import pytest

import vm
from test_service import until

WEFT = "/srv/weft/build/dev/weft --socket /w/run/weft.sock"
MANIFEST = """
apiVersion: weft/v1
kind: Pool
metadata: {{name: images}}
spec: {{type: nfs, server: 10.66.0.1, export: /srv/leases, version: "4.2", options: [hard]}}
---
apiVersion: weft/v1
kind: Volume
metadata: {{name: data}}
spec: {{pool: images, size: 1MiB, format: raw, source: {{file: /w/tiny.img, format: raw}}{more}}}
---
apiVersion: weft/v1
kind: Guest
metadata: {{name: {guest}}}
spec: {{state: {state}, memory: {{size: 32MiB}}, disks: [{{volume: data, cache: none}}]}}
"""
TINY = """set -e; cd /w
as /srv/weft/tests/data/tiny-guest.S -o tiny.o
ld --oformat binary -Ttext 0x7c00 tiny.o -o tiny.img
truncate -s 1M tiny.img
id weft-qemu >/dev/null 2>&1 || useradd -r -s /usr/sbin/nologin weft-qemu
systemd-run --quiet --unit weft-test /srv/weft/build/dev/weftd --root /w"""
SERVER = """set -e; mkdir -p -m 711 /srv/leases /etc/nfs.conf.d
printf '[nfsd]\\ngrace-time=10\\nlease-time=10\\n' >/etc/nfs.conf.d/t.conf
systemctl start nfs-server
exportfs -o rw,sync,no_root_squash,insecure,no_subtree_check 10.66.0.0/24:/srv/leases"""
READY = "set -o pipefail; " + WEFT + """ get {kind} {name} -o json | jq -e '.status.conditions[] | select(.type == "Ready") | .status == "True"'"""


def apply(host, state, guest, more=""):
    (host.share / "m.yaml").write_text(MANIFEST.format(state=state, guest=guest, more=more))
    return host.agent.run(f"{WEFT} apply -f {vm.SHARE}/m.yaml --wait=30s", 120)


def leases(host):
    return [(one["guest"], one["host"], one["alive"]) for one in json.loads(host.agent.check(f"{WEFT} lease list --pool images -o json", 60))]


def message(host, guest):
    return host.agent.check(WEFT + f""" get guest {guest} -o json | jq -r '.status.conditions[] | select(.type == "Ready") | .message // ""'""", 60)


@pytest.mark.lab_full
def test_promise_17_two_hosts_with_one_export(pair):
    a, b = pair
    a.agent.check(SERVER, 120)
    for host in pair:
        host.agent.check("mkdir -p /w && " + TINY, 120)
        until(host, f"{WEFT} history")
    status, out = apply(a, "stopped", "first")
    assert status == 0, out
    until(a, READY.format(kind="volume", name="data"), 120)
    status, out = apply(b, "running", "second", ", adopt: true")
    until(b, READY.format(kind="guest", name="second"), 180)
    assert leases(a) == leases(b) == [("second", "lab-b", "yes")], "the server knows that it is held, so the other host does"
    apply(a, "running", "first", "")
    said = message(a, "first")
    assert "'second'" in said and "'lab-b'" in said and "stop that guest first" in said, said
    status, out = a.agent.run(f"{WEFT} lease break data --yes", 60)
    assert status == 1 and "runs" in out, out
    b.close()  # the power is cut
    until(a, f"{WEFT} lease list --pool images -o json | jq -e '.[0].alive == \"unknown\"'", 120)
    assert "'lab-b'" in message(a, "first") and leases(a) == [("second", "lab-b", "unknown")], "that its lock is gone gives its disk to nobody"
    began = time.monotonic()
    status, out = a.agent.run(f"{WEFT} lease break data --yes", 60)
    assert status == 0, out
    until(a, READY.format(kind="guest", name="first"), 180)
    assert leases(a) == [("first", "lab-a", "yes")], f"after {time.monotonic() - began:.0f} s"
