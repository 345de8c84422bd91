# SPDX-License-Identifier: Apache-2.0
"""Leases: two weftds on one directory are two hosts with one pool. Who holds a volume is read from the file beside its image, and whether its lock is held
with fcntl."""
import fcntl
import json
import os
import signal
import struct
import subprocess
from pathlib import Path

import pytest

from harness import EXAMPLES, SOURCE, wait_until

pytestmark = pytest.mark.needs("qemu-system-x86_64", "qemu-img", "as", "ld")
F_OFD_GETLK, F_OFD_SETLK = 36, 37


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A boot sector that runs for ever, as an image."""
    directory = tmp_path_factory.mktemp("tiny")
    subprocess.run(["as", SOURCE / "tests/data/tiny-guest.S", "-o", directory / "tiny.o"], check=True)
    subprocess.run(["ld", "--oformat", "binary", "-Ttext", "0x7c00", directory / "tiny.o", "-o", directory / "tiny.img"], check=True)
    os.truncate(directory / "tiny.img", 1 << 20)
    return directory / "tiny.img"


@pytest.fixture
def shared(tmp_path, tiny):
    """The storage that hosts share."""
    directory = tmp_path / "shared"
    directory.mkdir(mode=0o711)
    return directory


def pool(directory, name="san"):
    return f"---\napiVersion: weft/v1\nkind: Pool\nmetadata: {{name: {name}}}\nspec: {{type: dir, path: {directory}}}\n"


def volume(tiny, name="data", more=""):
    return ("---\napiVersion: weft/v1\nkind: Volume\n"
            f"metadata: {{name: {name}}}\nspec: {{pool: san, size: 1MiB, format: raw, source: {{file: {tiny}, format: raw}}{more}}}\n")


def guest(name="web", disk="volume: data", more=""):
    return ("---\napiVersion: weft/v1\nkind: Guest\n"
            f"metadata: {{name: {name}}}\nspec: {{memory: {{size: 32MiB}}, disks: [{{{disk}}}]{more}}}\n")


def record(directory, image="data.raw"):
    path = directory / f".{image}.weft-lease"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else None


def locked(directory, image="data.raw"):
    """Is any byte but the first locked?"""
    with open(directory / f".{image}.weft-lease", "rb+") as file:
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 1, 0, 0)
        return struct.unpack("hhqqi4x", fcntl.fcntl(file, F_OFD_GETLK, lock))[0] != fcntl.F_UNLCK


def message(host, kind, name):
    return host.condition(kind, name).get("message") or ""


def pid_of(host, name="web"):
    return next((pid for pid, line in host.pids().items() if f"guest={name}," in line), None)


def test_a_lease_is_held_as_long_as_its_guest_runs(host, shared, tiny):
    host.apply(pool(shared) + volume(tiny) + guest(), "--wait=60s")
    (held,) = record(shared)
    assert (held["guest"], held["host"], held["mode"]) == ("web", os.uname().nodename, "alone") and locked(shared)
    pid = pid_of(host)
    for how in signal.SIGTERM, signal.SIGKILL:
        host.restart(how)
        host.wait_ready("guest", "web")
        assert record(shared) == [held] and locked(shared) and pid_of(host) == pid, "it is not let go of"
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid_of(host) not in (pid, None), 60, "the guest is started again")
    host.wait_ready("guest", "web")
    assert record(shared) == [held] and locked(shared)
    host.weft("guest", "kill", "web")
    wait_until(lambda: record(shared) is None, 30, "the lease goes with the guest")
    assert os.listdir(shared) == ["data.raw"]
    host.weft("guest", "start", "web")
    host.wait_ready("guest", "web")
    assert record(shared) and locked(shared)


@pytest.fixture
def two(make_host, shared, tiny):
    """Two hosts with one pool and one volume, which the first has made."""
    first, second = make_host(), make_host()
    first.apply(pool(shared) + volume(tiny), "--wait=20s")
    second.apply(pool(shared) + volume(tiny, more=", adopt: true"), "--wait=20s")
    return first, second


def test_promise_17_a_volume_in_use_is_refused_to_another_host(two, shared, tiny):
    first, second = two
    mark = os.getxattr(shared / "data.raw", "user.weft")
    first.apply(guest(), "--wait=60s")
    (held,) = record(shared)
    began = second.apply(guest("other"), "--wait=5s", check=False)
    assert began.status == 3, began
    said = message(second, "guest", "other")
    assert "'web'" in said and os.uname().nodename in said and held["since"] in said and "stop that guest first" in said, said
    assert pid_of(second, "other") is None and record(shared) == [held] and os.getxattr(shared / "data.raw", "user.weft") == mark
    first.weft("delete", "guest", "web", "--now", "--wait=30s")
    second.wait_ready("guest", "other", 90)  # it has asked again by itself
    (held,) = record(shared)
    assert held["guest"] == "other" and locked(shared) and os.getxattr(shared / "data.raw", "user.weft") == mark
    larger = first.apply(volume(tiny).replace("size: 1MiB", "size: 2MiB"), "--wait=5s", check=False)
    assert larger.status == 3 and "'other'" in message(first, "volume", "data"), "nor does it grow or go under a guest of another host"
    assert os.stat(shared / "data.raw").st_size == 1 << 20
    first.apply(volume(tiny), "--wait=20s")


def listed(host, *options):
    return [(lease["pool"], lease["volume"], lease["guest"], lease["host"], lease["alive"])
            for lease in host.weft("lease", "list", "-o", "json", *options).json() if "volume" in lease]


def die(host, name="web"):
    """The host ends as if the power was cut."""
    pid = pid_of(host, name)
    host.stop(signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 30, "QEMU is gone")


def test_a_dead_hosts_lease_is_broken_by_a_person(two, shared, tiny):
    first, second = two
    name = os.uname().nodename
    first.apply(guest(), "--wait=60s")
    second.apply(guest("other"), "--wait=1s", check=False)
    assert listed(first) == listed(second) == [("san", "data", "web", name, "yes")]
    assert listed(second, "--network", "lan") == listed(second, "--pool", "none") == []
    assert "web" in second.weft("lease", "list").out and second.weft("lease", "list", "--pool", "none").out == ""
    (held,) = record(shared)
    refused = second.weft("lease", "break", "data", "--yes", check=False)
    assert refused.status == 1 and "runs" in refused.err and record(shared) == [held], refused
    die(first)
    assert not locked(shared) and listed(second) == [("san", "data", "web", name, "unknown")]
    unasked = second.weft("lease", "break", "data", check=False)
    assert unasked.status == 2 and "--yes" in unasked.err and "what is on it is lost" in unasked.err and record(shared) == [held], unasked
    assert "lease break data" in message(second, "guest", "other") or wait_until(
        lambda: "lease break data" in message(second, "guest", "other"), 90, "it says what can be done")
    assert second.weft("lease", "break", "data", "--yes").out == "volume/data: lease broken\n"
    second.wait_ready("guest", "other", 60)
    assert [one["guest"] for one in record(shared)] == ["other"] and locked(shared)
    events = [event for event in second.events() if event["type"] == "LeaseBroken"]
    assert len(events) == 1 and "'web'" in events[0]["text"], events
    first.start()  # the host was only cut off: its guest does not come back to what another has now
    wait_until(lambda: "'other'" in message(first, "guest", "web"), 60, "it is refused")
    assert pid_of(first) is None and [one["guest"] for one in record(shared)] == ["other"]
    second.weft("delete", "guest", "other", "--now", "--wait=30s")
    first.wait_ready("guest", "web", 120)
    assert second.weft("lease", "break", "nothing", "--yes", check=False).status == 1


def test_a_lease_that_is_gone_is_said_and_taken_again(two, shared, tiny):
    first, second = two
    first.apply(guest(), "--wait=60s")
    (held,) = record(shared)
    (shared / ".data.raw.weft-lease").unlink()  # as somebody might who knows better
    second.apply(guest("other"), "--wait=3s", check=False)
    assert [one["guest"] for one in record(shared)] == ["other"] and not second.ready("guest", "other"), "QEMU locks the image, too"
    first.restart()
    wait_until(lambda: "'other'" in message(first, "guest", "web"), 60, "the guest whose lease is gone is not Ready")
    assert pid_of(first) and not first.ready("guest", "web")
    second.weft("delete", "guest", "other", "--now", "--wait=30s")
    first.wait_ready("guest", "web", 120)
    (again,) = record(shared)
    assert again["guest"] == "web" and again["instance"] == held["instance"]


def test_a_base_is_leased_for_reading(host, shared, tiny):
    clones = "".join(f"---\napiVersion: weft/v1\nkind: Volume\nmetadata: {{name: {name}}}\nspec: {{pool: san, base: data}}\n" for name in ("one", "two"))
    host.apply(pool(shared) + volume(tiny) + clones + guest("a", "volume: one") + guest("b", "volume: two"), "--wait=60s")
    assert sorted((one["guest"], one["mode"]) for one in record(shared)) == [("a", "read"), ("b", "read")] and locked(shared)
    assert [(one["guest"], one["mode"]) for one in record(shared, "one.qcow2")] == [("a", "alone")] and locked(shared, "one.qcow2")
    host.weft("delete", "guest", "a", "--now", "--wait=30s")
    assert [one["guest"] for one in record(shared)] == ["b"] and record(shared, "one.qcow2") is None
    host.weft("delete", "guest", "b", "--now", "--wait=30s")
    assert record(shared) is None


def test_a_base_has_room_for_many_readers(host, shared, tiny):
    others = [{"instance": "0123456789abcdef", "host": "elsewhere", "guest": f"web-{i}", "since": "2026-01-01T00:00:00Z", "mode": "read"} for i in range(300)]
    clone = "---\napiVersion: weft/v1\nkind: Volume\nmetadata: {name: one}\nspec: {pool: san, base: data}\n"
    host.apply(pool(shared) + volume(tiny) + clone, "--wait=20s")
    (shared / ".data.raw.weft-lease").write_text("".join(json.dumps(one) + "\n" for one in others))
    host.apply(guest("a", "volume: one"), "--wait=60s")
    assert record(shared)[:300] == others and [one["guest"] for one in record(shared)[300:]] == ["a"]
    assert len(listed(host)) == 302 and host.weft("lease", "break", "data", "--yes", check=False).status == 1
    host.weft("delete", "guest", "a", "--now", "--wait=30s")
    assert record(shared) == others
    assert host.weft("lease", "break", "data", "--yes").status == 0 and record(shared) is None


def test_a_shared_volume_is_for_many(make_host, shared, tiny):
    first, second, third = make_host(), make_host(), make_host()
    first.apply(pool(shared) + volume(tiny, more=", shared: true") + guest("a") + guest("b"), "--wait=60s")
    second.apply(pool(shared) + volume(tiny, more=", shared: true, adopt: true") + guest("c"), "--wait=60s")
    assert sorted((one["guest"], one["mode"]) for one in record(shared)) == [(name, "shared") for name in "abc"]
    for host, name in ((first, "a"), (first, "b"), (second, "c")):
        argv = host.pids()[pid_of(host, name)]
        assert "share-rw=on" in argv and "cache.direct=on" in argv
    third.apply(pool(shared) + volume(tiny, more=", adopt: true") + guest("alone"), "--wait=3s", check=False)
    assert "in another way" in message(third, "guest", "alone"), "who wants it alone is refused"
    second.weft("delete", "guest", "c", "--now", "--wait=30s")
    assert sorted(one["guest"] for one in record(shared)) == ["a", "b"]
    unsafe = first.apply(guest("a", "volume: data, cache: writeback"), check=False)
    assert unsafe.status == 2 and "cache: none" in unsafe.err
    tables = first.apply(volume(tiny, "more", ", shared: true").replace("format: raw, source", "format: qcow2, source"), check=False)
    assert tables.status == 2 and "format: raw" in tables.err


def test_one_volume_for_two_guests_of_one_host(host, shared, tiny):
    host.apply(pool(shared) + volume(tiny) + guest() + guest("other", more=", state: stopped"), "--wait=60s")
    refused = host.apply(guest("other"), check=False)
    assert refused.status == 2 and "has this disk as well" in refused.err and "shared: true" in refused.err
    host.weft("guest", "start", "other")  # an order goes past the manifests' rules, but not past the lease
    wait_until(lambda: "'web' on this host" in message(host, "guest", "other"), 30, "it is refused")
    host.weft("guest", "stop", "web")
    host.wait_ready("guest", "other", 90)
    assert [one["guest"] for one in record(shared)] == ["other"]
    host.weft("guest", "stop", "other")
    host.weft("guest", "start", "web")
    host.wait_ready("guest", "web", 90)


def test_what_is_no_lease_is_neither_believed_nor_overwritten(host, shared, tiny):
    host.apply(pool(shared) + volume(tiny), "--wait=20s")
    file = shared / ".data.raw.weft-lease"
    for text in b"\x00\xff\xfe", b'{"instance": 7}\n', b'{"instance": "' + b"x" * 400 + b'", "host": "h", "guest": "g"}\n', b'[' * 70000:
        file.write_bytes(text)
        host.apply(guest(), "--wait=2s", check=False)
        wait_until(lambda: str(file) in message(host, "guest", "web"), 90, "it is said")
        assert file.read_bytes() == text and pid_of(host) is None
        host.weft("delete", "guest", "web", check=False)
        file.unlink()
    file.symlink_to("/etc/passwd")
    host.apply(guest(), "--wait=2s", check=False)
    wait_until(lambda: str(file) in message(host, "guest", "web"), 90, "it is said")
    file.unlink()
    host.wait_ready("guest", "web", 90)


def test_the_example_of_a_shared_disk(host):
    host.apply(EXAMPLES / "shared.yaml", "--wait=60s")
    cluster = host.root / "lib/cluster"
    assert sorted((one["guest"], one["mode"]) for one in record(cluster, "quorum.raw")) == [("node-1", "shared"), ("node-2", "shared")]
    assert [one["guest"] for one in record(cluster, "node-1.qcow2")] == ["node-1"]


def test_whoever_keeps_a_lease_locked_holds_up_nothing(host, shared, tiny):
    """As a host does that hangs while it has the pool: what is asked is answered, with what keeps it."""
    host.apply(pool(shared) + volume(tiny) + guest(), "--wait=30s")
    path = shared / ".data.raw.weft-lease"
    assert path.stat().st_mode & 0o777 == 0o600, "who may open it may lock it"
    path.chmod(0o644)
    with open(path, "rb+") as file:
        fcntl.fcntl(file, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0))
        for command in ("lease", "list"), ("lease", "break", "data", "--yes"):
            refused = host.weft(*command, check=False, timeout=30)
            assert refused.status == 1 and "is locked by another program" in refused.err and "no leases" not in refused.err
        assert host.weft("delete", "guest", "web", "--now", "--wait=1s", check=False, timeout=30).status == 3
    wait_until(lambda: not record(shared), 60, "the lease is given back once it can be")
    host.apply(guest(), "--wait=30s")
    assert path.stat().st_mode & 0o777 == 0o600
