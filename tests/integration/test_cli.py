# SPDX-License-Identifier: Apache-2.0
"""The command line as a person and a script use it."""
import json
import os
import pty
import select
import time

import pytest

from harness import BUILD

BRIDGE = """
apiVersion: weft/v1
kind: Bridge
metadata: {name: br3}
spec: {addresses: [10.3.0.1/24], mtu: 1400}
"""
POOL = """
apiVersion: weft/v1
kind: Pool
metadata: {name: local}
spec: {type: dir, path: images}
---
apiVersion: weft/v1
kind: Volume
metadata: {name: data}
spec: {pool: local, size: 1MiB, format: raw}
"""


def write(host, name, text):
    path = host.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_apply_tells_what_it_did(host):
    write(host, "m/a.yaml", BRIDGE)
    write(host, "m/b.yml", POOL)
    write(host, "m/.hidden.yaml", "not: this")
    done = host.weft("apply", "-f", "m", "--wait")
    assert done.out.splitlines()[:3] == ["bridge/br3 created", "pool/local created", "volume/data created"]
    again = host.weft("apply", "-f", "m")
    assert again.out.splitlines()[:3] == ["bridge/br3 unchanged", "pool/local unchanged", "volume/data unchanged"]
    assert "weft apply -f m --wait" in host.weft("history").out


def test_what_get_prints_can_be_applied_again(host):
    host.weft("apply", "-f", "-", input=BRIDGE + "---" + POOL)
    for how in (["all", "-o", "yaml"], ["all", "-o", "json"], ["bridge", "br3", "-o", "json"], ["pools,volumes", "-o", "yaml"]):
        done = host.weft("apply", "-f", "-", input=host.weft("get", *how).out)
        objects = done.out.splitlines()[:-1]
        assert objects and all(line.endswith(" unchanged") for line in objects), done.out
    assert host.weft("get", "all", "-o", "name").out.split() == ["bridge/br3", "pool/local", "volume/data"]


def test_kinds_are_named_as_people_do(host):
    host.weft("apply", "-f", "-", input=BRIDGE)
    for words in (["Bridge"], ["bridges", "br3"], ["BRIDGE/br3"], ["bridge", "br3"]):
        assert "br3" in host.weft("get", *words).out
    wrong = host.weft("get", "brigde", check=False)
    assert wrong.status == 2 and "did you mean 'Bridge'?" in wrong.err
    assert host.weft("get", "bridge", "br4", check=False).status == 1


def test_exit_statuses(host):
    assert host.weft("diff").status == 0
    assert host.weft("diff", "-f", write(host, "b.yaml", BRIDGE), check=False).status == 3
    bad = host.weft("apply", "-f", "-", input=BRIDGE.replace("mtu", "mtru"), check=False)
    assert bad.status == 2 and "<stdin>:5:34: error: unknown field 'mtru'" in bad.err and "\033" not in bad.err
    for wrong in (["appyl"], ["apply"], ["apply", "-f", "nowhere.yaml"], ["get"], ["get", "all", "-o", "xml"], ["rollback", "x"]):
        assert host.weft(*wrong, check=False).status == 2, wrong
    for failing in (["confirm"], ["rollback"], ["--socket", "/nowhere/weft.sock", "status"], ["guest", "stop", "nobody"]):
        assert host.weft(*failing, check=False).status == 1, failing
    (host.root / "binary.yaml").write_bytes(b"a: b\n\xff\xfe")
    binary = host.weft("apply", "-f", "binary.yaml", check=False)
    assert binary.status == 2 and "binary.yaml:2:1: error" in binary.err


def test_confirm_and_rollback(host):
    host.weft("apply", "-f", "-", input=BRIDGE)
    pending = host.weft("apply", "-f", "-", "--confirm", "60s", input=BRIDGE.replace("1400", "1300"))
    assert "weft confirm" in pending.out
    assert host.weft("apply", "-f", "-", input=POOL, check=False).status == 1
    host.weft("rollback")
    assert "1400" in host.weft("get", "bridges").out
    host.weft("apply", "-f", "-", "--confirm=60s", input=BRIDGE.replace("1400", "1300"))
    host.weft("confirm")
    assert "1300" in host.weft("get", "bridges").out
    host.weft("rollback")
    assert "1400" in host.weft("get", "bridges").out


def test_describe_events_explain(host):
    host.weft("apply", "-f", "-", input=BRIDGE)
    text = host.weft("describe", "bridge/br3").out
    assert "Conditions" in text and "link/br3" in text and "mtu: 1400" in text and "Created" in text
    events = [json.loads(line) for line in host.weft("events", "--object", "bridges/br3", "-o", "json").out.splitlines()]
    assert events and all(e["object"] == "Bridge/br3" for e in events)
    assert len(host.weft("events", "-n", "1").out.splitlines()) == 1
    assert "type:" in host.weft("explain", "bridge.mtu").out
    assert "did you mean 'mtu'" in host.weft("explain", "bridge.mtru", check=False).err
    assert "Bridge/br3" in host.weft("topology").out
    assert json.loads(host.weft("topology", "-o", "json").out)["nodes"]


def read_until(fd, what, seconds=10):
    seen, end = b"", time.monotonic() + seconds
    while what not in seen and time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                seen += os.read(fd, 65536)
            except OSError:
                break
    assert what in seen, seen
    return seen


def on_terminal(host, *args, **env):
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update({"TERM": "xterm", "LANG": "C.UTF-8", **env})
        os.execv(BUILD / "weft", ["weft", "--socket", str(host.root / "run/weft.sock"), *args])
    return pid, fd


def test_colours_are_for_terminals(host):
    host.weft("apply", "-f", "-", input=BRIDGE)
    assert "\033" not in host.weft("get", "all").out
    for env, colored in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        pid, fd = on_terminal(host, "get", "bridges", **env)
        seen = read_until(fd, b"10.3.0.1/24")
        os.waitpid(pid, 0)
        os.close(fd)
        assert (b"\033[" in seen) == colored, (env, seen)


def test_watch_shows_what_changes(host):
    host.weft("apply", "-f", "-", input=BRIDGE)
    pid, fd = on_terminal(host, "get", "bridges", "--watch")
    try:
        read_until(fd, b"1400")
        host.weft("apply", "-f", "-", input=BRIDGE.replace("1400", "1300"))
        read_until(fd, b"1300")
    finally:
        os.kill(pid, 15)
        os.waitpid(pid, 0)
        os.close(fd)


GUEST = """
apiVersion: weft/v1
kind: Guest
metadata: {name: deaf}
spec: {memory: {size: 64MiB}, shutdownTimeout: 3s, disks: [{volume: data}]}
"""


@pytest.mark.needs("qemu-system-x86_64")
def test_what_is_leaving_can_be_wanted_again(host):
    """A guest that does not hear leaves slowly; while it does, plans look at it."""
    host.weft("apply", "-f", "-", "--wait", input=POOL + "---" + GUEST)
    host.weft("delete", "guest", "deaf")
    assert host.weft("apply", "-f", "-", "--dry-run", input=POOL + "---" + GUEST, timeout=20).status == 0
    host.weft("apply", "-f", "-", "--wait=30s", input=POOL + "---" + GUEST)
    assert host.condition("Guest", "deaf")["status"] == "True"


@pytest.mark.needs("qemu-system-x86_64")
def test_orders_to_guests(host):
    host.weft("apply", "-f", "-", "--wait", input=POOL + "---" + GUEST)
    assert host.weft("guest", "pause", "deaf").out.startswith("guest/deaf: pause is ordered")
    assert "paused" in host.weft("get", "guest", "deaf").out
    host.weft("guest", "resume", "deaf")
    host.weft("guest", "kill", "deaf")
    assert "stopped by root" in host.weft("get", "guest", "deaf").out
    gone = host.weft("guest", "console", "deaf", check=False)
    assert gone.status == 1 and "does not run" in gone.err
    assert host.weft("guest", "start", "deaf", "nobody", check=False).status == 1
    host.weft("apply", "-f", "-", "--wait", input=POOL + "---" + GUEST)
    talk = host.weft("guest", "console", "deaf", "--timeout", "1s", input="", timeout=10)
    assert talk.status == 0
