# SPDX-License-Identifier: Apache-2.0
"""Snapshots of volumes, with their guest off and running; growth under a running guest; guests on linked clones. What QEMU sees of its disks is asked of QEMU."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket

import pytest

from harness import wait_until
from test_guest import add_image, boots
from test_pools import loop  # noqa: F401
from test_volumes import MIB, POOL, bytes_of, images, info, on_terminal, refusal, sh, volume

pytestmark = pytest.mark.needs("qemu-img", "qemu-io", "qemu-system-x86_64", "as", "ld")
GUEST = """---
apiVersion: weft/v1
kind: Guest
metadata: {name: web}
spec:
  memory: {size: 32MiB}
  disks: [{file: tiny.img}, {volume: data}]
"""


@pytest.fixture
def host(make_host):
    return make_host(before=add_image)


def names(host, name="data"):
    return [s["name"] for s in host.weft("volume", "snapshot", "list", name, "-o", "json").json()]


def snapshot(host, *args, check=True):
    return host.weft("volume", "snapshot", *args, check=check)


def inside(path):
    return [s["name"] for s in info(path).get("snapshots", [])]


def write(path, letter, where="0"):
    sh(f"qemu-io -f qcow2 -c 'write -P {ord(letter)} {where} 64k' {path}")


def qemu(host, command, guest="web", **arguments):
    """Asks QEMU over a second connection; its monitor takes one at a time, so weftd is stopped meanwhile."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
        s.settimeout(20)
        s.connect(str(host.root / f"run/guests/{guest}/qmp.sock"))
        lines = s.makefile("rw")
        lines.readline()
        for name, args in (("qmp_capabilities", {}), (command, arguments)):
            lines.write(json.dumps({"execute": name, "arguments": args}) + "\n")
            lines.flush()
            while True:
                answer = json.loads(lines.readline())
                if "return" in answer or "error" in answer:
                    break
        return answer["return"]


def sizes_in_qemu(host):
    """{node: size} of the disks as the guest's QEMU knows them."""
    host.stop()
    found = {b["inserted"]["node-name"]: b["inserted"]["image"]["virtual-size"] for b in qemu(host, "query-block") if "inserted" in b}
    host.start()
    return found


def test_snapshots_without_a_guest(host, tmp_path):
    host.apply(POOL + volume("data", "size: 8MiB") + volume("plain", "size: 8MiB, format: raw"), "--wait=20s")
    file = images(host) / "data.qcow2"
    assert names(host) == []
    write(file, "A")
    snapshot(host, "create", "data", "one")
    write(file, "B")
    snapshot(host, "create", "data", "two")
    assert names(host) == inside(file) == ["one", "two"]
    assert wait_until(lambda: host.objects("volume", "data")[0]["status"]["details"]["volume"]["snapshots"] == 2, 10)
    host.apply(POOL + volume("data", "size: 16MiB") + volume("plain", "size: 8MiB, format: raw"), "--wait=20s")
    for args, word in ((("create", "data", "one"), "has a snapshot 'one' already"), (("revert", "data", "three", "--yes"), "has no snapshot 'three'"),
                       (("revert", "data", "one"), "loses what was written to it since for good: say --yes"), (("delete", "data", "one"), "loses what it holds for good"),
                       (("create", "data", "1"), "is no name for a snapshot"), (("create", "plain", "one"), "is a raw image, and such have no snapshots"),
                       (("create", "none", "one"), "there is no volume 'none'"), (("shake", "data", "one"), "is nothing to do with a snapshot")):
        done = snapshot(host, *args, check=False)
        assert done.status == 1 and word in done.err, done
    assert bytes_of(file, tmp_path)[:1] == b"B"
    snapshot(host, "revert", "data", "one", "--yes")
    wait_until(lambda: info(file)["virtual-size"] == 16 * MIB, 20, "it is what it was, and grows again")
    host.wait_ready("volume", "data")
    assert bytes_of(file, tmp_path)[:1] == b"A"
    snapshot(host, "delete", "data", "one", "--yes")
    assert names(host) == inside(file) == ["two"]
    sh(f"qemu-img check -f qcow2 {file}")
    assert [e["type"] for e in host.events() if e["type"].startswith("Snapshot")] == ["SnapshotCreated"] * 2 + ["SnapshotReverted", "SnapshotDeleted"]
    host.restart()
    assert names(host) == ["two"]
    assert sorted(os.listdir(images(host))) == ["data.qcow2", "plain.raw"]
    # What is read through another stays as it is.
    host.apply(POOL + volume("data", "size: 16MiB") + volume("plain", "size: 8MiB, format: raw") + volume("linked", "base: data"), "--wait=20s")
    done = snapshot(host, "delete", "data", "two", "--yes", check=False)
    assert done.status == 1 and "'linked' is a linked clone of 'data'" in done.err
    host.weft("delete", "volume", "linked")
    (images(host) / "linked.qcow2").unlink()


def test_an_order_that_takes_long_is_seen_to_go_on(make_host, tmp_path):
    """qemu-img does not tell how far it is with a snapshot, so that the time is what moves."""
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow/qemu-img").write_text(f'#!/bin/sh\n[ "$1" = snapshot ] && sleep 3\nexec {shutil.which("qemu-img")} "$@"\n')
    (tmp_path / "slow/qemu-img").chmod(0o755)
    host = make_host(environment={**os.environ, "PATH": f"{tmp_path}/slow:{os.environ['PATH']}"})
    host.apply(POOL + volume("data", "size: 8MiB"), "--wait=20s")
    said = on_terminal(host, "volume", "snapshot", "create", "data", "one")
    assert re.search(r"volume/data: create +[12] s", said), said
    assert names(host) == ["one"]


def test_snapshots_and_growth_under_a_running_guest(host):
    text = POOL + volume("data", "size: 8MiB") + GUEST
    host.apply(text, "--wait=40s")
    wait_until(lambda: boots(host) > 0, 60, "the guest boots")
    file = images(host) / "data.qcow2"
    pid = host.process("qemu-system.*guest=web,")
    snapshot(host, "create", "data", "one")
    snapshot(host, "create", "data", "two")
    snapshot(host, "delete", "data", "two", "--yes")
    assert names(host) == inside(file) == ["one"]
    done = snapshot(host, "revert", "data", "one", "--yes", check=False)
    assert done.status == 1 and "weft guest stop web" in done.err
    done = snapshot(host, "create", "data", "one", check=False)
    assert done.status == 1 and "one" in done.err
    host.apply(text.replace("size: 8MiB", "size: 24MiB"), "--wait=20s")
    assert info(file)["virtual-size"] == 24 * MIB
    assert sorted(sizes_in_qemu(host).values()) == [1 * MIB, 24 * MIB]
    assert host.process("qemu-system.*guest=web,") == pid
    # A growth that is taken back before it is final has not begun.
    host.apply(text.replace("size: 8MiB", "size: 48MiB"), "--confirm=60s", check=False)
    host.weft("rollback")
    assert info(file)["virtual-size"] == 24 * MIB
    host.apply(text.replace("size: 8MiB", "size: 24MiB"), "--wait=20s")
    # A full copy of what is being written waits until nobody does.
    host.apply(volume("copy", "clone: data, reclaim: delete"), name="copy.yaml")
    refusal(host, "copy", "data.qcow2' is in use by a running guest; this is done once the guest is off")
    host.weft("guest", "kill", "web")
    host.wait_ready("volume", "copy", 90)
    wait_until(lambda: pid not in host.pids(), 20)
    snapshot(host, "revert", "data", "one", "--yes")
    wait_until(lambda: info(file)["virtual-size"] == 24 * MIB, 20)
    sh(f"qemu-img check -f qcow2 {file}")


def test_a_device_that_has_grown_is_told_to_its_guest(make_host, loop):  # noqa: F811
    disk = loop(size=8 * MIB)
    host = make_host(before=add_image)
    text = POOL.replace("type: dir, path: images", f"type: disk, device: {disk.device}") + volume("data", "size: 8MiB") + GUEST
    host.apply(text, "--wait=40s")
    wait_until(lambda: boots(host) > 0, 60, "the guest boots")
    assert 8 * MIB in sizes_in_qemu(host).values()
    os.truncate(disk.file, 16 * MIB)
    sh(f"losetup -c {disk.device}")
    host.apply(text.replace("size: 8MiB", "size: 16MiB"), "--wait=20s")
    wait_until(lambda: 16 * MIB in sizes_in_qemu(host).values(), 20)
    done = snapshot(host, "create", "data", "one", check=False)
    assert done.status == 1 and "pool of type disk, which has no snapshots" in done.err
    host.delete_all()


def test_atomic_judges_all_else_before_a_volume_grows(host):
    """Growing cannot be taken back, so that it, and what needs it, comes when all else is Ready; or never."""
    image = images(host) / "data.qcow2"
    host.apply(POOL + volume("data", "size: 8MiB"), "--wait=20s")
    broken = "---\napiVersion: weft/v1\nkind: Guest\nmetadata: {name: broken}\nspec: {memory: {size: 32MiB}, boot: {kernel: absent}}\n"
    done = host.apply(POOL + volume("data", "size: 16MiB") + GUEST + broken, "--atomic", "--wait=5s", check=False)
    assert done.status == 1 and "broken" in done.err
    assert info(image)["virtual-size"] == 8 * MIB and not host.objects("guest")
    host.apply(POOL + volume("data", "size: 16MiB") + GUEST, "--atomic", "--wait=60s")
    assert info(image)["virtual-size"] == 16 * MIB and host.ready("guest", "web") and host.ready("volume", "data")


def test_guests_on_linked_clones(host, tmp_path):
    """Two guests on one base at a time, which stays as it is; QEMU is given the whole chain open."""
    files = host.root / "lib/files"
    clones = "".join(volume(name, f"base: base, size: {size}MiB") for name, size in (("one", 2), ("two", 4)))
    guests = "".join(GUEST.replace("name: web", f"name: {name}").replace("{file: tiny.img}, {volume: data}", "{volume: %s}" % name) for name in ("one", "two"))
    text = POOL + volume("base", "source: {file: tiny.img, format: raw}") + clones
    host.apply(text + guests, "--wait=60s")
    before = bytes_of(images(host) / "base.qcow2", tmp_path)
    for name in ("one", "two"):
        wait_until(lambda name=name: "BOOTED" in host.console_log(name), 60, f"{name} boots from its clone")
        argv = host.pids()[host.process(f"qemu-system.*guest={name},")]
        assert "base-file" not in argv and "-base1-file" in argv and ".qcow2" not in argv
    assert bytes_of(images(host) / "base.qcow2", tmp_path) == before == (files / "tiny.img").read_bytes()
    done = host.apply(text + guests.replace("volume: two", "volume: base"), check=False)
    assert done.status == 2 and "must not be written" in done.err
    host.apply(text.replace("size: 2MiB", "size: 3MiB") + guests, "--wait=20s")
    assert info(images(host) / "one.qcow2")["virtual-size"] == 3 * MIB


@pytest.mark.parametrize("what", ["revert one", "resize"])
def test_what_was_interrupted_is_brought_to_an_end(host, tmp_path, what):
    """As a weftd leaves it that dies while qemu-img is at an image: the note beside it, and clusters that belong to nobody."""
    host.apply(POOL + volume("data", "size: 8MiB"), "--wait=20s")
    file = images(host) / "data.qcow2"
    write(file, "A")
    snapshot(host, "create", "data", "one")
    write(file, "B")
    instance = os.getxattr(file, "user.weft").decode().split(":")[1]
    host.stop(signal.SIGKILL)
    note = images(host) / f".data.qcow2.{instance}.weft-begun"
    note.write_text(what + "\n")
    host.start()
    host.wait_ready("volume", "data")
    wait_until(lambda: not note.exists(), 20)
    assert bytes_of(file, tmp_path)[:1] == (b"A" if "revert" in what else b"B")
    sh(f"qemu-img check -f qcow2 {file}")
