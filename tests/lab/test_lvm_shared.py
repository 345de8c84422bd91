# SPDX-License-Identifier: Apache-2.0
"""Two hosts with one disk and a volume group that they share by lvmlockd and sanlock: a volume that a guest of one uses is locked, also when its
host loses its power, until sanlock knows that it is dead. Judged with lvmlockctl, lvs and dmsetup."""
import json
import os
import time

import pytest

import vm
from test_leases import READY, TINY, WEFT
from test_service import until

DEVICE = "/dev/disk/by-id/virtio-lab-shared"
POOL = """
apiVersion: weft/v1
kind: Pool
metadata: {{name: fast}}
spec: {{type: lvm, volumeGroup: wt-s, devices: [{{path: %s}}], reclaim: delete, {shared}}}
""" % DEVICE
VOLUME = """
---
apiVersion: weft/v1
kind: Volume
metadata: {{name: {name}}}
spec: {{pool: fast, {more}}}
"""
GUEST = """
---
apiVersion: weft/v1
kind: Guest
metadata: {{name: {name}}}
spec: {{state: {state}, memory: {{size: 32MiB}}, disks: [{{file: /w/{name}.img}}, {{volume: {volume}}}]}}
"""
SIZE = "size: 64MiB, reclaim: delete"
SHARED = ("shared: true, hostId: 1", "shared: true, hostId: 2")


def share_disk(pair, directory):
    """One disk in both; what the other has written is seen, since neither QEMU keeps any of it."""
    path = directory / "shared.raw"
    path.touch()
    os.truncate(path, 2 << 30)
    for host in pair:
        host.qmp.run("blockdev-add", driver="raw", **{"node-name": "shared", "file": {"driver": "file", "filename": str(path), "locking": "off"}})
        host.qmp.run("device_add", driver="virtio-blk-pci", drive="shared", bus="place1", serial="lab-shared", **{"share-rw": True})
        until(host, f"test -b {DEVICE}")


def apply(host, *parts, more=""):
    (host.share / "m.yaml").write_text("".join(parts))
    return host.agent.run(f"{WEFT} apply -f {vm.SHARE}/m.yaml --prune {more}", 120)


def message(host, kind, name):
    return host.agent.check(WEFT + f""" get {kind} {name} -o json | jq -r '.status.conditions[] | select(.type == "Ready") | .message // ""'""", 60)


def says(host, kind, name, *words):
    for word in words:
        until(host, WEFT + f" get {kind} {name} -o json | grep -qF -- \"{word}\"", 60)


def ready(host, kind, name, seconds=120):
    until(host, READY.format(kind=kind, name=name), seconds)


def locks(host):
    told = until(host, "lvmlockctl --info")  # answers only one at a time
    return sorted(line.split()[2] for line in told.splitlines() if line.startswith("LK LV") and line.split()[2] != "un")


def wait_for_locks(host, *expected):
    deadline = time.monotonic() + 60
    while locks(host) != list(expected):
        assert time.monotonic() < deadline, (locks(host), expected)


def leases(host):
    told = until(host, f"{WEFT} lease list --pool fast -o json 2>/dev/null | jq -e .")
    return sorted((one["volume"], one["guest"] or "", one["host"], one["mode"], one["alive"]) for one in json.loads(told))


def is_active(host, name="web"):
    return host.agent.run(f"dmsetup info wt--s-{name}", 60)[0] == 0


@pytest.mark.lab_full
def test_promise_17_two_hosts_that_share_a_volume_group(pair, directory):
    a, b = pair
    share_disk(pair, directory)
    for host in pair:
        host.agent.check("mkdir -p /w && " + TINY + "; for n in one two share1 share2; do cp tiny.img $n.img; done", 120)
        until(host, f"{WEFT} history")
    apply(a, POOL.format(shared="shared: true"), VOLUME.format(name="web", more=SIZE))
    says(a, "pool", "fast", "lvmlockd does not run: systemctl enable --now")
    a.agent.check("systemctl start lvmlockd", 60)
    says(a, "pool", "fast", "sanlock does not run")
    a.agent.check("systemctl start sanlock", 60)
    says(a, "pool", "fast", "this host has no number among them: write hostId")
    assert a.agent.run("vgs wt-s")[0] != 0, "nothing was begun"
    b.agent.check("systemctl start sanlock lvmlockd", 60)
    web, many = VOLUME.format(name="web", more=SIZE), VOLUME.format(name="many", more=SIZE + ", shared: true")
    one = GUEST.format(name="one", volume="web", state="running")
    status, out = apply(a, POOL.format(shared=SHARED[0]), web, many, one)
    assert status == 0, out
    ready(a, "guest", "one")
    wait_for_locks(a, "ex")
    assert is_active(a) and not is_active(a, "many"), "what no guest has is in use nowhere"
    says(a, "pool", "fast", "without a watchdog")
    # The other one.
    apply(b, POOL.format(shared="reclaim: keep").replace("reclaim: delete, ", ""))
    says(b, "pool", "fast", "hosts share by lvmlockd (lock type sanlock): write `shared: true`")
    theirs = [part.replace("reclaim: delete", "adopt: true") for part in (web, many)]
    two = GUEST.format(name="two", volume="web", state="running")
    apply(b, POOL.format(shared=SHARED[1]), *theirs, two)
    ready(b, "volume", "web")
    says(b, "guest", "two", "is in use on host 'lab-a' (host_id 1): stop its guest there")
    wait_for_locks(b)
    assert not is_active(b)
    assert leases(a) == [("web", "one", "lab-a", "alone", "yes")]
    until(b, f"{WEFT} lease list -o json | jq -e '.[0].alive == \"yes\"'", 60)  # once sanlock has seen two signs of it
    assert leases(b) == [("web", "", "lab-a", "alone", "yes")]
    status, out = b.agent.run(f"{WEFT} lease break web --yes", 60)
    assert status == 1 and "no lease for a person to break" in out and "'lab-a'" in out, out
    apply(b, POOL.format(shared=SHARED[1]), *[part.replace("64MiB", "96MiB") for part in theirs], two)
    says(b, "volume", "web", "on host 'lab-a'")
    apply(b, POOL.format(shared=SHARED[1]), *theirs, two)
    # weftd's life is nothing to its guests' locks.
    a.agent.check("systemctl kill -s KILL weft-test; systemctl reset-failed weft-test; systemd-run --quiet --unit weft-test /srv/weft/build/dev/weftd --root /w", 60)
    until(a, f"{WEFT} history")
    ready(a, "guest", "one")
    wait_for_locks(a, "ex")
    # It is let go.
    a.agent.check(f"{WEFT} guest stop one", 120)
    until(a, "! dmsetup info wt--s-web")
    ready(b, "guest", "two", 180)
    wait_for_locks(b, "ex")
    wait_for_locks(a)
    # One for many.
    shared = [GUEST.format(name=f"share{n}", volume="many", state="running") for n in (1, 2)]
    apply(a, POOL.format(shared=SHARED[0]), web, many, one, shared[0])
    apply(b, POOL.format(shared=SHARED[1]), *theirs, two, shared[1])
    ready(a, "guest", "share1")
    ready(b, "guest", "share2")
    wait_for_locks(a, "sh")
    wait_for_locks(b, "ex", "sh")
    assert {(guest, host) for name, guest, host, mode, _ in leases(a) if name == "many"} == {("share1", "lab-a"), ("", "lab-b")}
    # The other one's power is cut. Nobody has to say so: sanlock knows after its time.
    a.agent.check(f"{WEFT} guest start one", 60)
    says(a, "guest", "one", "is in use on host 'lab-b' (host_id 2)")
    b.close()
    ready(a, "guest", "one", 420)
    wait_for_locks(a, "ex", "sh")
    a.agent.check(f"{WEFT} delete --now --wait=200s guest/one guest/share1 volume/web volume/many pool/fast", 240)
    assert a.agent.run("vgs --shared wt-s")[0] != 0 and "wt-s" not in until(a, "lvmlockctl --info")
    assert a.agent.check(f"blkid -p {DEVICE} || true") == ""
