# SPDX-License-Identifier: Apache-2.0
"""Two hosts with one disk and a volume group that they share by lvmlockd and sanlock: a volume that a guest of one uses is locked, also when its
host loses its power, until sanlock knows that it is dead; it grows, is copied and has snapshots as those of one host have. Judged with lvmlockctl, lvs, dmsetup
and the bytes."""
import json
import os
import time

import pytest

import build
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
WEFTD = "systemd-run --quiet --unit weft-test /srv/weft/build/dev/weftd --root /w"
SIZE = "size: 64MiB, reclaim: delete"
PATIENCE = 300  # seconds: an order to lvm takes one or two on hosts at rest, and half a minute where the machine has much else to do
STOPPED = "told=$(lvmlockctl --info) && ! echo \"$told\" | grep wt-s"
SHARED = ("shared: true, hostId: 1", "shared: true, hostId: 2")


def wait(host, command, seconds=PATIENCE):
    """The output of a command that has to succeed in the end."""
    return until(host, command, seconds)


def share_disk(pair, directory):
    """One disk in both; what the other has written is seen, since neither QEMU keeps any of it."""
    path = directory / "shared.raw"
    path.touch()
    os.truncate(path, 2 << 30)
    for host in pair:
        host.qmp.run("blockdev-add", driver="raw", **{"node-name": "shared", "file": {"driver": "file", "filename": str(path), "locking": "off"}})
        host.qmp.run("device_add", driver="virtio-blk-pci", drive="shared", bus="place1", serial="lab-shared", **{"share-rw": True})
        wait(host, f"test -b {DEVICE}")


def apply(host, *parts):
    (host.share / "m.yaml").write_text("".join(parts))
    host.agent.check(f"{WEFT} apply -f {vm.SHARE}/m.yaml --prune", PATIENCE)


def message(host, kind, name):
    return host.agent.check(WEFT + f""" get {kind} {name} -o json | jq -r '.status.conditions[] | select(.type == "Ready") | .message // ""'""", PATIENCE)


def says(host, kind, name, *words):
    for word in words:
        wait(host, WEFT + f" get {kind} {name} -o json | grep -qF -- \"{word}\"")


def ready(host, kind, name, seconds=PATIENCE):
    wait(host, READY.format(kind=kind, name=name), seconds)


def locks(host):
    told = wait(host, "lvmlockctl --info")  # answers only one at a time
    return sorted(line.split()[2] for line in told.splitlines() if line.startswith("LK LV") and line.split()[2] != "un")


def wait_for_locks(host, *expected):
    deadline = time.monotonic() + PATIENCE
    while locks(host) != list(expected):
        assert time.monotonic() < deadline, (locks(host), expected)


def leases(host):
    told = wait(host, f"set -o pipefail; {WEFT} lease list --pool fast -o json 2>/dev/null | jq -e .")
    return sorted((one["volume"], one["guest"] or "", one["host"], one["mode"], one["alive"]) for one in json.loads(told))


def is_active(host, name="web"):
    return host.agent.run(f"dmsetup info wt--s-{name}", PATIENCE)[0] == 0


def start_weft(host):
    host.agent.check("mkdir -p /w && " + TINY + "; for n in one two share1 share2; do cp tiny.img $n.img; done", PATIENCE)
    wait(host, f"{WEFT} history")


@pytest.mark.lab_full
def test_promise_17_two_hosts_that_share_a_volume_group(pair, directory):
    a, b = pair
    share_disk(pair, directory)
    for host in pair:
        start_weft(host)
    apply(a, POOL.format(shared="shared: true"), VOLUME.format(name="web", more=SIZE))
    says(a, "pool", "fast", "lvmlockd does not run: systemctl enable --now")
    a.agent.check("systemctl start lvmlockd", PATIENCE)
    says(a, "pool", "fast", "sanlock does not run")
    a.agent.check("systemctl start sanlock", PATIENCE)
    says(a, "pool", "fast", "this host has no number among them: write hostId")
    assert a.agent.run("vgs wt-s")[0] != 0, "nothing was begun"
    b.agent.check("systemctl start sanlock lvmlockd", PATIENCE)
    web, many = VOLUME.format(name="web", more=SIZE), VOLUME.format(name="many", more=SIZE + ", shared: true")
    one = GUEST.format(name="one", volume="web", state="running")
    apply(a, POOL.format(shared=SHARED[0]), web, many, one)
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
    wait(b, f"set -o pipefail; {WEFT} lease list -o json | jq -e '.[0].alive == \"yes\"'")  # once sanlock has seen two signs of it
    assert leases(b) == [("web", "", "lab-a", "alone", "yes")]
    status, out = b.agent.run(f"{WEFT} lease break web --yes", PATIENCE)
    assert status == 1 and "no lease for a person to break" in out and "'lab-a'" in out, out
    apply(b, POOL.format(shared=SHARED[1]), theirs[0].replace("64MiB", "96MiB"), theirs[1], two)
    says(b, "volume", "web", "on host 'lab-a'")
    apply(b, POOL.format(shared=SHARED[1]), *theirs, two)
    # weftd's life is nothing to its guests' locks.
    a.agent.check(f"systemctl kill -s KILL weft-test; systemctl reset-failed weft-test; {WEFTD}", PATIENCE)
    wait(a, f"{WEFT} history")
    ready(a, "guest", "one")
    wait_for_locks(a, "ex")
    # It is let go.
    a.agent.check(f"{WEFT} guest stop one", PATIENCE)
    wait(a, "! dmsetup info wt--s-web")
    ready(b, "guest", "two")
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
    a.agent.check(f"{WEFT} guest start one", PATIENCE)
    says(a, "guest", "one", "is in use on host 'lab-b' (host_id 2)")
    b.agent.check("sync")
    b.qmp.run("system_reset")
    ready(a, "guest", "one", 2 * PATIENCE)
    wait_for_locks(a, "ex", "sh")
    # It has booted again, and starts the locks anew.
    b.wait_for_agent()
    b.mount_share()
    build.mount(b)
    b.agent.check(f"rm -rf /w/run; systemctl start sanlock lvmlockd; {WEFTD}", PATIENCE)
    wait(b, f"{WEFT} history")
    assert locks(b) == [] and not is_active(b, "many")
    ready(b, "guest", "share2", 2 * PATIENCE)
    wait_for_locks(b, "sh")
    says(b, "guest", "two", "is in use on host 'lab-a' (host_id 1)")
    b.agent.check(f"{WEFT} delete --now --wait=200s guest/two guest/share2 volume/web volume/many pool/fast", PATIENCE)
    wait(b, STOPPED)  # as before it had the Pool
    wait_for_locks(a, "ex", "sh")
    a.agent.check(f"{WEFT} delete --now --wait=200s guest/one guest/share1 volume/web volume/many pool/fast", PATIENCE)
    wait(a, STOPPED)
    assert a.agent.run("vgs --shared wt-s")[0] != 0
    assert a.agent.check(f"blkid -p {DEVICE} || true") == ""


def lvm(host, command, seconds=PATIENCE):
    """A command of lvm as a person of that host gives it; locks that are held for a moment are waited for."""
    name, rest = command.split(" ", 1)
    return wait(host, f"{name} --config 'global/use_lvmlockd=1 local/host_id={1 if host.directory.name == 'lab-a' else 2}' {rest} 2>/dev/null", seconds).strip()


def logical_volumes(host):
    """{name: (MiB, origin)}; of a snapshot what has been kept beside its origin's size is not counted."""
    rows = lvm(host, "lvs --noheadings --units m --nosuffix --separator , -o lv_name,lv_size,origin_size,origin wt-s").split()
    return {name: (float(origin_size or size), origin) for name, size, origin_size, origin in (row.split(",") for row in rows)}


def put(host, letter, name="web"):
    host.agent.check(f"head -c 4096 /dev/zero | tr '\\0' {letter} | dd of=/dev/wt-s/{name} bs=4096 oflag=direct conv=notrunc status=none")


def first_byte(host, name="web"):
    """Of a volume that no guest has."""
    lvm(host, f"lvchange -aey wt-s/{name}")
    byte = host.agent.check(f"dd if=/dev/wt-s/{name} bs=4096 count=1 iflag=direct status=none | head -c 1")
    lvm(host, f"lvchange -an wt-s/{name}")
    return byte


def snapshot(host, *words):
    return host.agent.run(f"{WEFT} volume snapshot {' '.join(words)} --yes", PATIENCE)


@pytest.mark.lab_full
def test_volumes_of_a_shared_group_grow_are_copied_and_go_back(pair, directory):
    a, b = pair
    share_disk(pair, directory)
    for host in pair:
        start_weft(host)
        host.agent.check("systemctl start sanlock lvmlockd", PATIENCE)
    web, many = VOLUME.format(name="web", more=SIZE), VOLUME.format(name="many", more=SIZE + ", shared: true")
    one, share1 = GUEST.format(name="one", volume="web", state="running"), GUEST.format(name="share1", volume="many", state="running")
    apply(a, POOL.format(shared=SHARED[0]), web, many, one)
    ready(a, "guest", "one")
    web = web.replace("64MiB", "96MiB")
    theirs = [part.replace("reclaim: delete", "adopt: true") for part in (web, many)]
    # It grows, and has a snapshot made, under its guest.
    apply(a, POOL.format(shared=SHARED[0]), web, many, one)
    wait(a, f"[ $(blockdev --getsize64 /dev/wt-s/web) = {96 << 20} ]")
    put(a, "A")
    status, out = snapshot(a, "create", "web", "before")
    assert status == 0, out
    put(a, "B")
    assert logical_volumes(a) == {"web": (96, ""), "many": (64, ""), "web.before": (96, "web")}
    wait_for_locks(a, "ex")
    # Of the other host it is none of the business.
    apply(b, POOL.format(shared=SHARED[1]), *theirs)
    ready(b, "volume", "web")
    for words in (("create", "web", "more"), ("delete", "web", "before"), ("revert", "web", "before")):
        status, out = snapshot(b, *words)
        assert status != 0 and "'lab-a'" in out, (words, out)
    apply(b, POOL.format(shared=SHARED[1]), *theirs, VOLUME.format(name="taken", more="clone: web"))
    says(b, "volume", "taken", "locked by other host")
    apply(b, POOL.format(shared=SHARED[1]), *theirs)
    # A copy waits until the guest no longer writes to it, and is in use nowhere afterwards.
    copy, changes = VOLUME.format(name="copy", more="clone: web, reclaim: delete"), lvm(a, "vgs --noheadings -o vg_seqno wt-s")
    apply(a, POOL.format(shared=SHARED[0]), web, many, one, copy)
    says(a, "volume", "copy", "'/dev/wt-s/web' is in use by a running guest; this is done once the guest is off")
    wait_for_locks(a, "ex")
    assert lvm(a, "vgs --noheadings -o vg_seqno wt-s") == changes, "nothing was begun"
    a.agent.check(f"{WEFT} guest stop one", PATIENCE)
    ready(a, "volume", "copy")
    wait(a, "! dmsetup info wt--s-web")
    wait_for_locks(a)
    assert not is_active(a, "copy") and first_byte(a, "copy") == "B"
    # The other host takes the volume back to what it was.
    status, out = snapshot(b, "revert", "web", "before")
    assert status == 0, out
    wait_for_locks(b)
    assert not is_active(b) and first_byte(a) == "A"
    ready(a, "volume", "web")
    ready(b, "volume", "web")
    lvm(a, "lvchange -aey wt-s/web")  # somebody has it, who is no guest
    status, out = snapshot(b, "delete", "web", "before")
    assert status != 0 and "'lab-a'" in out, out
    lvm(a, "lvchange -an wt-s/web")
    status, out = snapshot(b, "delete", "web", "before")
    assert status == 0, out
    wait_for_locks(b)
    assert set(logical_volumes(b)) == {"web", "many", "copy"} and first_byte(b) == "A"
    # One that several hosts write to has no snapshots.
    status, out = snapshot(a, "create", "many", "early")
    assert status == 0, out
    wait_for_locks(a)
    assert not is_active(a, "many")
    apply(a, POOL.format(shared=SHARED[0]), web, many, copy, share1)
    says(a, "guest", "share1", "has snapshots")
    wait_for_locks(a)
    wait(a, f"{WEFT} volume snapshot delete many early --yes")  # the guest tries now and then
    ready(a, "guest", "share1")
    wait_for_locks(a, "sh")
    status, out = snapshot(a, "create", "many", "late")
    assert status != 0 and "shares it with others" in out, out
    b.agent.check(f"{WEFT} delete --now --wait=200s volume/web volume/many pool/fast", PATIENCE)
    a.agent.check(f"{WEFT} delete --now --wait=200s guest/share1 volume/web volume/many volume/copy pool/fast", PATIENCE)
    wait(a, STOPPED)
    assert a.agent.run("vgs --shared wt-s")[0] != 0
