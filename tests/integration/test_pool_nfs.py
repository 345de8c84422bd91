# SPDX-License-Identifier: Apache-2.0
"""Pools on an NFS server that is really there, and then is not: stopped, or its packets dropped. Needs the kernel's NFS server and client, as tests/lab has."""
import os
import signal
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from harness import EXAMPLES, wait_until
from test_pools import Loop, message, mounts, sh, volume
from test_volume_crash import sweep

pytestmark = pytest.mark.needs("exportfs", "mount.nfs", "systemctl", "qemu-img")
EXPORT = Path("/srv/weft-test-nfs")
CONF = Path("/etc/nfs.conf.d/weft-test.conf")
SERVER, CLIENT = "10.88.0.1", "10.88.0.2"
LINK = "weftnfs0"
POOL = f"""apiVersion: weft/v1
kind: Pool
metadata: {{name: images}}
spec: {{type: nfs, server: {SERVER}, export: {EXPORT}, version: "4.2", options: [hard, "timeo=600"]}}
"""
BRIDGE = "apiVersion: weft/v1\nkind: Bridge\nmetadata: {name: br7}\nspec: {}\n"


class Server:
    """The NFS server of this machine, in the root namespace; the hosts of tests reach it by a wire."""

    def __init__(self):
        EXPORT.mkdir(exist_ok=True)
        EXPORT.chmod(0o711)
        CONF.parent.mkdir(parents=True, exist_ok=True)
        CONF.write_text("[nfsd]\ngrace-time=10\nlease-time=10\n")
        self.start()

    def plug_in(self, host):
        sh(f"ip link add {LINK} type veth peer name nfs0 netns {host.ns}")
        sh(f"ip addr add {SERVER}/24 dev {LINK} && ip link set {LINK} up")
        host.run("ip", "addr", "add", f"{CLIENT}/24", "dev", "nfs0")
        host.run("ip", "link", "set", "nfs0", "up")

    def unplug(self):
        sh(f"ip link del {LINK}", check=False)

    def start(self):
        """Stopping it takes the exports away."""
        sh(f"systemctl start nfs-server && exportfs -o rw,sync,no_root_squash,insecure,no_subtree_check 10.88.0.0/24:{EXPORT}")

    def stop(self):
        sh("systemctl stop nfs-server")

    def drop(self):
        sh(f"iptables -I INPUT -i {LINK} -j DROP")

    def let_through(self):
        sh(f"while iptables -D INPUT -i {LINK} -j DROP 2>/dev/null; do :; done")

    def close(self):
        self.let_through()
        self.start()
        sh(f"exportfs -u 10.88.0.0/24:{EXPORT}", check=False)
        self.unplug()
        sh(f"rm -rf {EXPORT} {CONF}")


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def host(server, make_host):
    return make_host(own_mounts=False, before=server.plug_in)


OUTAGES = {"stopped": ("stop", "start"), "silent": ("drop", "let_through")}
outages = pytest.mark.parametrize("outage", [pytest.param("stopped", marks=pytest.mark.lab_full), "silent"])


def degraded(host):
    condition = host.condition("pool", "images", "Degraded")
    return condition.get("message") if condition.get("status") == "True" else None


def test_contract_nfs(host, server):
    (EXPORT / "theirs").write_text("x")
    host.apply(POOL + volume("size: 8MiB", pool="images"), "--wait=60s")
    source, kind, options = mounts(host)["images"]
    line = next(line for line in Path(f"/proc/{host.weftd_pid()}/mountinfo").read_text().splitlines() if "/mounts/images " in line)
    assert (source, kind) == (f"{SERVER}:{EXPORT}", "nfs4") and {"nosuid", "nodev", "noexec"} <= options
    assert {"vers=4.2", "hard", "timeo=600"} <= set(line.split()[-1].split(","))
    assert (EXPORT / "web.qcow2").exists() and sorted(p.name for p in EXPORT.iterdir() if not p.name.startswith(".")) == ["theirs", "web.qcow2"]
    inode = (EXPORT / "web.qcow2").stat().st_ino
    host.restart(signal.SIGKILL)
    host.wait_ready("volume", "web")
    assert line in Path(f"/proc/{host.weftd_pid()}/mountinfo").read_text().splitlines(), "found, not mounted again"
    host.apply(POOL + volume("size: 16MiB", pool="images"), "--wait=60s")
    host.delete_all()
    assert not mounts(host) and (EXPORT / "web.qcow2").stat().st_ino == inode
    host.apply(POOL + volume("size: 16MiB", pool="images"), "--wait=60s")
    assert (EXPORT / "web.qcow2").stat().st_ino == inode


def ask(host, seconds):
    """How long commands took, asked in turn for a while: half of them, and all."""
    commands = (["get", "pool"], ["get", "all"], ["get", "volume", "-o", "json"], ["describe", "pool", "images"], ["events"], ["status"], ["history"],
                ["topology"], ["explain", "pool"], ["get", "pool", "images", "-o", "yaml"], ["lease", "list"], ["lun", "list"])
    took, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        for command in commands:
            begin = time.monotonic()
            host.weft(*command, check=command[0] != "lease")  # which fails where it cannot see them all, and says so
            took.append(time.monotonic() - begin)
    return statistics.median(took), max(took)


@outages
def test_promise_12_a_dead_server_holds_up_nothing(host, server, outage):
    host.apply(POOL + volume("size: 8MiB", pool="images"), "--wait=60s")
    calm = ask(host, 3)
    end, begin = OUTAGES[outage]
    getattr(server, end)()
    dead = ask(host, 20)
    print(f"median and slowest command: {calm} before, {dead} while the server is {outage}")
    assert dead[0] < 3 * calm[0] + 0.1 and dead[1] < 10, "nothing waits for the server"
    host.apply(BRIDGE, "--wait=20s")
    assert "br7" in host.links()
    begun = time.monotonic()
    host.apply(volume("size: 8MiB", "second", "images")[4:], check=False)
    host.weft("diff", check=False)
    assert time.monotonic() - begun < 20
    getattr(server, begin)()
    host.wait_ready("volume", "second", 120)
    wait_until(lambda: not degraded(host), 60, "it recovers without a hand")


@outages
def test_promise_13_it_says_what_was_last_seen(host, server, outage):
    host.apply(POOL + volume("size: 8MiB", pool="images"), "--wait=60s")
    assert degraded(host) is None
    before = time.time()
    end, begin = OUTAGES[outage]
    getattr(server, end)()
    text = wait_until(lambda: degraded(host), 15, "Degraded")
    print(text)
    assert "does not answer" in text and (SERVER in text or "no answer" in text)
    seen = host.objects("pool", "images")[0]["status"]["details"]["pool"]["lastSeen"]
    assert f"last seen to work at {seen}" in text
    assert abs(time.mktime(time.strptime(seen, "%Y-%m-%d %H:%M:%S")) - before) < 30
    assert host.ready("volume", "web"), "what was seen stays what was seen"
    assert f"last seen to work at {seen}" in host.condition("volume", "web", "Degraded")["message"]
    getattr(server, begin)()
    wait_until(lambda: degraded(host) is None, 60, "works again")
    assert host.condition("volume", "web", "Degraded").get("status") != "True"
    assert any("works again" in str(e) for e in host.events())
    with open(host.root / "lib/mounts/images/web.qcow2", "r+b") as image:
        image.read(512)


def test_promise_13_what_is_not_mounted_is_not_called_ready(host, server):
    server.stop()
    host.apply(POOL, check=False)
    wait_until(lambda: "cannot be mounted" in message(host, "pool", "images"), 60)
    assert not host.ready("pool", "images") and not mounts(host)
    server.start()
    host.wait_ready("pool", "images", 120)
    sh(f"umount -l {host.root}/lib/mounts/images")
    wait_until(lambda: mounts(host).get("images") and host.ready("pool", "images"), 30, "mounted again")


@pytest.mark.lab_full
def test_a_restart_beside_a_dead_server(host, server):
    host.apply(POOL + volume("size: 8MiB", pool="images"), "--wait=60s")
    server.drop()
    host.restart(signal.SIGKILL)
    assert "images" in mounts(host)
    text = wait_until(lambda: degraded(host), 20)
    assert "has not been seen to work since" in text
    assert ask(host, 5)[1] < 10
    host.restart()
    server.let_through()
    host.wait_ready("volume", "web", 120)
    wait_until(lambda: degraded(host) is None, 60)


@pytest.mark.lab_full
def test_a_pool_can_go_while_its_server_is_dead(host, server):
    host.apply(POOL, "--wait=60s")
    server.stop()
    wait_until(lambda: degraded(host), 20)
    host.weft("delete", "--now", "--wait=60s", "pool", "images")
    assert not mounts(host)
    server.start()


@pytest.mark.lab_full
def test_no_room_on_the_server(host, server, tmp_path):
    disk = Loop(tmp_path / "disk", "ext4", size=24 << 20)
    try:
        sh(f"exportfs -u 10.88.0.0/24:{EXPORT}; mount {disk.device} {EXPORT} && chmod 711 {EXPORT}")
        sh(f"exportfs -o rw,sync,no_root_squash,insecure,no_subtree_check,fsid=77 10.88.0.0/24:{EXPORT}")
        host.apply(POOL + volume("size: 64MiB, format: raw, preallocation: falloc", pool="images"), check=False)
        wait_until(lambda: "there is no room" in message(host, "volume", "web"), 120)
        wait_until(lambda: os.listdir(EXPORT) == ["lost+found"], 20, "no half volume")
        host.weft("delete", "volume", "web", "--wait=20s")
        host.delete_all()
    finally:
        sh(f"exportfs -u 10.88.0.0/24:{EXPORT}; umount -l {EXPORT}", check=False)
        disk.detach()


def test_options_that_are_not_a_pools(host, server):
    refused = host.apply(POOL.replace("hard", "vers=3").replace('"timeo=600"', "exec"), check=False)
    assert refused.status == 2 and refused.err.count("weft itself says how") == 2 and "manifest.yaml:4:" in refused.err


def test_the_example(host, server, tmp_path):
    disk = Loop(tmp_path / "disk")
    exports = Path("/exports/images")
    try:
        sh(f"mkfs.ext4 -q -U 0b4a9b8e-6a53-4d0f-8a0e-54e3a2a1c0de {disk.device}; mkdir -p {exports}; chmod 711 {exports}")
        sh(f"ip addr add 192.0.2.50/32 dev {LINK}; exportfs -o rw,sync,no_root_squash,insecure,no_subtree_check 10.88.0.0/24:{exports}")
        host.run("ip", "route", "add", "192.0.2.50", "via", SERVER)
        host.apply(EXAMPLES / "pools.yaml", "--wait=90s")
        assert mounts(host)["images"][0] == f"192.0.2.50:{exports}" and mounts(host)["fast"][0] == disk.device
        assert (exports / "web-1.qcow2").exists() and (host.root / "lib/mounts/fast/scratch.raw").stat().st_size == 16 << 20
        host.delete_all()
        assert not mounts(host) and (exports / "web-1.qcow2").exists()
        host.run("ip", "route", "del", "192.0.2.50")
    finally:
        sh(f"exportfs -u 10.88.0.0/24:{exports}; rm -f {exports}/web-1.qcow2", check=False)
        disk.detach()


@pytest.mark.lab_full
@pytest.mark.no_laws
@pytest.mark.needs("qemu-io")
def test_killed_at_each_step_of_a_volumes_life(server, make_host, tmp_path):
    """The same as in a directory of the host; what has come of it is looked at where the server has it."""
    made = []

    def make(environment):
        server.unplug()
        made.append(make_host(own_mounts=False, before=server.plug_in, environment=environment))
        made[-1].images = EXPORT
        return made[-1]
    sweep(make, POOL.replace("name: images", "name: local"), tmp_path)
