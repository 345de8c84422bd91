# SPDX-License-Identifier: Apache-2.0
"""Pools of type rbd, against a Ceph cluster that is really there (ceph.py), and then is not. What is true is asked of the cluster by `rbd`, `ceph` and qemu-img."""
import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

import ceph
from harness import EXAMPLES, wait_until
from test_leases import tiny  # noqa: F401, a fixture
from test_volumes import begin, on_terminal

pytestmark = pytest.mark.needs("ceph-mon", "ceph-osd", "rbd", "iptables", "qemu-img", "qemu-system-x86_64", "as", "ld")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = ceph.Cluster(tmp_path_factory.mktemp("ceph"))
    cluster.keyring = cluster.make_user("weft")
    cluster.key = cluster.keyring.read_text().split()[-1]
    yield cluster
    cluster.close()


@pytest.fixture
def emptied(cluster):
    """The cluster has no images again afterwards, when the test's hosts are gone."""
    yield
    try:
        for name in cluster.images():
            cluster.rbd("snap", "purge", "--no-progress", f"vms/{name}", check=False)
            wait_until(lambda: cluster.rbd("rm", "--no-progress", f"vms/{name}") or True, 60, "nobody uses it any more")
    except BaseException:
        cluster.show()
        raise


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


def mark(cluster, image="web"):
    return cluster.rbd("image-meta", "get", f"vms/{image}", "weft.mark").strip()


def info(cluster, image="web"):
    return cluster.json("rbd", "info", f"vms/{image}")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_contract_rbd(host, cluster):
    text = (EXAMPLES / "ceph.yaml").read_text()
    text = text.replace("/etc/weft/secrets/ceph", str(cluster.keyring)).replace("size: 8GiB", "size: 8MiB")
    text = re.sub(r"monitors: .*", f"monitors: [{ceph.ADDRESS}]", text).partition("---\napiVersion: weft/v1\nkind: Guest")[0]
    host.apply(text, "--wait=60s")
    assert info(cluster, "web-disk")["size"] == 8 << 20 and cluster.images() == ["web-disk"]
    owner = mark(cluster, "web-disk").split(":")
    assert owner[0] == "weft" and owner[2] == "Volume/web-disk"
    judge = json.loads(cluster.run("qemu-img", "info", "-U", "--output=json", f"rbd:vms/web-disk:id=admin:conf={cluster.dir}/ceph.conf"))
    assert (judge["virtual-size"], judge["format"]) == (8 << 20, "raw")
    host.apply(text.replace("8MiB", "16MiB"), "--wait=60s")
    assert info(cluster, "web-disk")["size"] == 16 << 20
    image_id = info(cluster, "web-disk")["id"]
    host.delete_all()
    assert info(cluster, "web-disk")["id"] == image_id, "its bytes stay"
    shrunk = host.apply(text, "--wait=20s", check=False)
    assert info(cluster, "web-disk")["size"] == 16 << 20, shrunk
    host.apply(text.replace("8MiB", "16MiB").replace("size:", "reclaim: delete, size:"), "--wait=60s")
    assert info(cluster, "web-disk")["id"] == image_id, "taken up again"
    host.delete_all()
    wait_until(lambda: cluster.images() == [], 30, "reclaim: delete")


def test_what_is_not_ours_is_left_alone(host, cluster):
    cluster.rbd("create", "vms/web", "--size", "4M")
    cluster.rbd("create", "vms/other", "--size", "4M")
    before = info(cluster)
    host.apply(pool(cluster) + volume("size: 8MiB, reclaim: delete"), check=False)
    wait_until(lambda: "exists and is not weft's" in host.condition("volume", "web").get("message", ""), 20)
    assert info(cluster) == before
    host.apply(volume("size: 8MiB, reclaim: delete, adopt: true")[4:], "--wait=60s")
    assert info(cluster)["id"] == before["id"] and info(cluster)["size"] == 8 << 20 and mark(cluster).endswith(":Volume/web")
    cluster.rbd("image-meta", "set", "vms/web", "weft.mark", "weft:0123456789abcdef:Volume/web")
    host.weft("delete", "--now", "--wait=20s", "volume", "web", check=False)
    assert sorted(cluster.images()) == ["other", "web"], "the mark of another weft"


def test_begins_as_a_copy_of_a_file(host, cluster, tmp_path):
    data = os.urandom(3 << 20) + bytes(1 << 20)
    raw, source = tmp_path / "raw", tmp_path / "source.qcow2"
    raw.write_bytes(data)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, source], check=True)
    wrong = volume(f"size: 8MiB, source: {{file: {source}, format: qcow2, sha256: {'0' * 64}}}")
    host.apply(pool(cluster) + wrong, check=False)
    wait_until(lambda: "its SHA-256 is" in host.condition("volume", "web").get("message", ""), 30)
    assert cluster.images() == []
    host.apply(volume(f"size: 8MiB, source: {{file: {source}, format: qcow2, sha256: {sha256(source.read_bytes())}}}")[4:], "--wait=60s")
    assert cluster.export("web") == data + bytes(4 << 20) and cluster.images() == ["web"]


def test_clones(host, cluster, tmp_path):
    data = os.urandom(4 << 20)
    (tmp_path / "source").write_bytes(data)
    base = pool(cluster) + volume(f"source: {{file: {tmp_path}/source, format: raw}}", "base")
    local = f"---\napiVersion: weft/v1\nkind: Pool\nmetadata: {{name: local}}\nspec: {{type: dir, path: local}}\n"
    host.apply(base + volume("base: base, size: 8MiB, reclaim: delete", "linked") + volume("clone: base", "full") + local
               + volume(f"size: 4MiB, source: {{file: {tmp_path}/source, format: raw}}", "file").replace("pool: ceph", "pool: local")
               + volume("clone: file", "copied"), "--wait=60s")
    assert sorted(cluster.images()) == ["base", "copied", "full", "linked"]
    assert info(cluster, "linked")["parent"]["image"] == "base" and "parent" not in info(cluster, "full")
    assert cluster.export("linked") == data + bytes(4 << 20)
    assert cluster.export("full") == cluster.export("copied") == data
    assert cluster.json("rbd", "snap", "ls", "vms/base") == [], "what it began from is out of sight"
    assert host.objects("volume", "linked")[0]["status"]["details"]["volume"]["backing"] == "rbd:vms/base"
    host.apply(base.replace("source:", "reclaim: delete, source:"), "--wait=60s")
    refused = host.weft("delete", "--now", "--wait=20s", "volume", "base", check=False)
    assert refused.status and "base" in cluster.images(), refused
    host.weft("delete", "--now", "--wait=60s", "volume", "linked")
    wait_until(lambda: "linked" not in cluster.images(), 30)
    host.weft("delete", "--now", "--wait=60s", "volume", "full", "base")
    wait_until(lambda: "base" not in cluster.images(), 60, "with the last clone the base can go")
    assert cluster.export("full") == data


def processes_with(secret):
    """Those that were given it as an argument or in the environment."""
    found = []
    for proc in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if secret.encode() in (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes():
                found.append(proc.name)
    return found


def test_an_interrupted_copy_leaves_nothing(host, cluster, tmp_path):
    """weftd is killed while a copy is on its way: what there is of it goes, and it is made anew as a whole. Meanwhile nobody sees the key."""
    source = tmp_path / "source"
    source.write_bytes(os.urandom(64 << 20))
    wanted = pool(cluster) + volume(f"source: {{file: {source}, format: raw}}")
    cluster.limit_writes(50)
    try:
        applying = threading.Thread(target=host.apply, args=(wanted,), kwargs={"check": False})
        applying.start()
        (temporary,) = wait_until(cluster.images, 30, "it has begun")
        assert temporary.startswith("web.") and temporary.endswith(".weft-new")
        wait_until(lambda: subprocess.run(["pgrep", "-f", f"qemu-img.*image={temporary},"], capture_output=True).stdout, 20, "qemu-img copies")
        assert not processes_with(cluster.key)
        host.stop(signal.SIGKILL)
        applying.join()
    finally:
        cluster.limit_writes(0)
    assert cluster.images() == [temporary]
    wait_until(lambda: not cluster.json("rbd", "status", f"vms/{temporary}")["watchers"], 30, "the cluster sees that it is dead")
    host.start()
    host.apply(pool(cluster), "--wait=60s")
    wait_until(lambda: cluster.images() == [], 30, "swept")
    host.apply(wanted, "--wait=120s")
    assert cluster.images() == ["web"] and sha256(cluster.export("web")) == sha256(source.read_bytes())


def guest(name="web", disk="volume: web"):
    return ("---\napiVersion: weft/v1\nkind: Guest\n"
            f"metadata: {{name: {name}}}\nspec: {{memory: {{size: 32MiB}}, disks: [{{{disk}}}]}}\n")


def counted(cluster, image="web"):
    """What the guest has written in its second sector: it counts there."""
    return cluster.export(image)[512:1024]


def test_a_guest_boots_from_an_image_and_writes_to_it(host, cluster, tiny):
    host.apply(pool(cluster) + volume(f"size: 4MiB, source: {{file: {tiny}, format: raw}}") + guest(), "--wait=60s")
    wait_until(lambda: "BOOTED" in host.console_log("web"), 60, "it boots")
    first = counted(cluster)
    wait_until(lambda: counted(cluster) != first, 30, "it writes")
    pid = host.process("qemu-system.*guest=web,")
    watchers = cluster.json("rbd", "status", "vms/web")["watchers"]
    assert len(watchers) == 1, "QEMU has it open, and nobody else"
    assert not host.places_of_secret(cluster.key)
    host.restart(signal.SIGKILL)
    host.wait_ready("guest", "web")
    assert host.process("qemu-system.*guest=web,") == pid
    host.apply(pool(cluster, monitors=ceph.ADDRESS), "--wait=60s")
    assert "restart" not in host.weft("diff").out, "other monitors are no reason to start it anew"
    assert host.process("qemu-system.*guest=web,") == pid


# ---- what is wrong ----

OUTAGES = {
    "packets dropped": (lambda c: c.drop(), lambda c: c.let_through(), f"no monitor of the cluster answers at {ceph.ADDRESS}:6789"),
    "OSD stopped": (lambda c: c.pause("osd"), lambda c: c.go_on("osd"), "the monitors answer, but the OSDs of pool 'vms' do not"),
}


def degraded(host):
    condition = host.condition("pool", "ceph", "Degraded")
    return condition.get("message") if condition.get("status") == "True" else None


@pytest.mark.no_laws  # they are held to by all others here, and take long
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
        assert "pool 'ceph' does not answer" in host.condition("volume", "web", "Degraded")["message"]
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
    wait_until(lambda: host.condition("volume", "web", "Degraded").get("status") != "True", 20)
    assert sorted(cluster.images()) == ["second", "web"]


def test_a_guest_waits_for_its_cluster_and_goes_on(host, cluster, tiny):
    host.apply(pool(cluster) + volume(f"size: 4MiB, source: {{file: {tiny}, format: raw}}") + guest(), "--wait=60s")
    wait_until(lambda: "BOOTED" in host.console_log("web"), 60, "it boots")
    pid = host.process("qemu-system.*guest=web,")
    cluster.pause("mon")
    cluster.pause("osd")
    try:
        wait_until(lambda: degraded(host), 15, "Degraded")
        host.restart(signal.SIGKILL)
        wait_until(lambda: "no monitor of the cluster answers" in host.condition("pool", "ceph").get("message", ""), 30)
        assert host.process("qemu-system.*guest=web,") == pid
    finally:
        cluster.go_on("mon")
        cluster.go_on("osd")
    host.wait_ready("guest", "web", 120)
    host.wait_ready("pool", "ceph", 120)
    first = counted(cluster)
    wait_until(lambda: counted(cluster) != first, 60, "it writes again")
    assert host.process("qemu-system.*guest=web,") == pid


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
    manifest = pool(cluster) + volume(f"adopt: true, size: 4MiB, source: {{file: {tiny}, format: raw}}")
    here.apply(manifest + guest(), "--wait=60s")
    (cookie,) = lockers(cluster)
    assert cookie.split()[1] == "web" and cookie.split()[3] == os.uname().nodename
    owner = mark(cluster)
    there.apply(manifest + guest("other"), check=False)
    refusal = "is used by guest 'web' on host"
    wait_until(lambda: refusal in there.condition("guest", "other").get("message", ""), 30, refusal)
    assert not runs(there, "other") and lockers(cluster) == [cookie] and mark(cluster) == owner
    here.restart(signal.SIGKILL)
    here.wait_ready("guest", "web")
    assert lockers(cluster) == [cookie], "a later weftd finds it again"
    broken = there.weft("lease", "break", "web", "--yes", check=False)
    assert broken.status and "a lease is broken only of what is dead" in broken.err, "it is seen to live"
    here.weft("guest", "kill", "web")
    there.wait_ready("guest", "other", 120)
    (cookie,) = lockers(cluster)
    assert cookie.split()[1] == "other"
    there.weft("delete", "--now", "--wait=60s", "guest", "other")
    assert lockers(cluster) == []


@pytest.mark.no_laws
def test_promise_17_the_lease_of_a_dead_host_is_broken_by_a_person(two_hosts, cluster, tiny):
    here, there = two_hosts
    manifest = pool(cluster) + volume(f"adopt: true, size: 4MiB, source: {{file: {tiny}, format: raw}}")
    here.apply(manifest + guest(), "--wait=60s")
    wait_until(lambda: "BOOTED" in here.console_log("web"), 60, "it boots, and writes")
    first = counted(cluster)
    wait_until(lambda: counted(cluster) != first, 30)
    (watcher,) = cluster.json("rbd", "status", "vms/web")["watchers"]
    here.run("ip", "link", "set", "ceph0", "down")  # cut off, and as good as dead
    there.apply(manifest + guest("other"), check=False)
    wait_until(lambda: "if its host is dead for good" in there.condition("guest", "other").get("message", ""), 30)
    wait_until(lambda: there.weft("lease", "break", "web", "--yes", check=False).status == 0, 60, "once it is not seen any more")
    there.wait_ready("guest", "other", 120)
    wait_until(lambda: "BOOTED" in there.console_log("other"), 60, "it boots")
    blocked = cluster.run("ceph", "osd", "blocklist", "ls")
    assert watcher["address"] in blocked, "who is cut off cannot write any more"


def names(host, name="web"):
    return [s["name"] for s in host.weft("volume", "snapshot", "list", name, "-o", "json").json()]


def test_snapshots_and_growth_while_a_guest_runs(host, cluster, tiny):
    image = f"source: {{file: {tiny}, format: raw}}"
    host.apply(pool(cluster) + volume(f"size: 4MiB, {image}") + guest(), "--wait=60s")
    wait_until(lambda: "BOOTED" in host.console_log("web"), 60, "it boots")
    host.weft("volume", "snapshot", "create", "web", "one")
    assert names(host) == [s["name"] for s in cluster.json("rbd", "snap", "ls", "vms/web")] == ["one"]
    then = cluster.export("web@one")
    wait_until(lambda: counted(cluster) != then[512:1024], 30, "the guest goes on")
    refused = host.weft("volume", "snapshot", "revert", "web", "one", "--yes", check=False)
    assert refused.status and cluster.export("web@one") == then, "not under a running guest"
    host.apply(pool(cluster) + volume(f"size: 8MiB, {image}") + guest(), "--wait=60s")
    assert info(cluster)["size"] == 8 << 20 and runs(host)
    host.weft("guest", "kill", "web")
    wait_until(lambda: not runs(host), 30)
    host.weft("volume", "snapshot", "revert", "web", "one", "--yes")
    wait_until(lambda: info(cluster)["size"] == 8 << 20, 30, "it is what it was, and grows again")
    assert cluster.export("web") == then + bytes(4 << 20)
    host.weft("volume", "snapshot", "delete", "web", "one", "--yes")
    assert names(host) == []


def test_how_far_going_back_is(host, cluster):
    host.apply(pool(cluster) + volume("size: 256MiB"), "--wait=60s")
    host.weft("volume", "snapshot", "create", "web", "one")
    cluster.rbd("bench", "--io-type", "write", "--io-size", "4M", "--io-total", "64M", "vms/web")
    cluster.limit_writes(50)
    try:
        said = on_terminal(host, "volume", "snapshot", "revert", "web", "one", "--yes")
    finally:
        cluster.limit_writes(0)
    assert re.search(r"volume/web: revert +going back \[[#-]+\] +\d+ %", said), said
    assert not any(cluster.export("web"))


def test_with_snapshots_it_is_deleted_as_a_whole(host, cluster):
    host.apply(pool(cluster) + volume("size: 4MiB, reclaim: delete"), "--wait=60s")
    host.weft("volume", "snapshot", "create", "web", "one")
    cluster.rbd("snap", "protect", "vms/web@one")
    host.weft("delete", "--now", "--wait=60s", "volume", "web")
    wait_until(lambda: cluster.images() == [], 30)


def test_a_full_cluster(host, cluster, tmp_path):
    """Refused in a sentence, and nothing half stays; what is there is well, and all goes on by itself when there is room."""
    source = tmp_path / "source"
    source.write_bytes(b"word" + bytes((1 << 20) - 4))
    text = pool(cluster) + volume("size: 16MiB", "there")
    host.apply(text, "--wait=60s")
    cluster.rbd("bench", "--io-type", "write", "--io-size", "1M", "--io-total", "16M", "vms/there")
    new = text + volume("size: 4MiB", "empty") + volume(f"source: {{file: {source}, format: raw}}", "copy") + volume("clone: there", "clone")
    cluster.fill(True)
    try:
        host.apply(new)
        for name in ("empty", "copy", "clone"):
            wait_until(lambda: "the cluster has no room" in host.condition("volume", name)["message"], 60, f"{name} is refused")
        wait_until(lambda: cluster.images() == ["there"], 30, "and nothing of it is there")
        assert host.ready("volume", "there") and host.ready("pool", "ceph")
    finally:
        cluster.fill(False)
    for name in ("empty", "copy", "clone"):
        host.wait_ready("volume", name, 90)
    assert sorted(cluster.images()) == ["clone", "copy", "empty", "there"] and cluster.export("copy") == source.read_bytes()


@pytest.mark.parametrize("begins_as", ["source", "clone"])
def test_a_cluster_that_fills_up(host, cluster, tmp_path, begins_as):
    """While something is copied to it: that ends in a sentence, and is begun anew when there is room."""
    source = tmp_path / "source"
    source.write_bytes(os.urandom(256 << 20))
    begins = f"source: {{file: {source}, format: raw}}"
    text = pool(cluster)
    if begins_as == "clone":
        text, begins = text + volume(begins, "base"), "clone: base"
        host.apply(text, "--wait=120s")
    before = cluster.images()
    cluster.limit_writes(100)
    try:
        begin(host, text + volume(begins))
        wait_until(lambda: len(cluster.images()) > len(before), 60, "it is being copied")
        cluster.fill(True)
        cluster.limit_writes(0)
        wait_until(lambda: "the cluster has no room" in host.condition("volume", "web").get("message", ""), 60, "it is refused")
        wait_until(lambda: cluster.images() == before, 60, "and nothing half is left")
        assert host.ready("pool", "ceph")
    finally:
        cluster.limit_writes(0)
        cluster.fill(False)
    host.wait_ready("volume", "web", 120)
    assert sha256(cluster.export("web")) == sha256(source.read_bytes())


@pytest.mark.lab_full
@pytest.mark.needs("ceph-mgr")
def test_says_how_much_room_there_is(host, cluster):
    """The manager knows; without one the cluster does not say."""
    host.apply(pool(cluster), "--wait=60s")
    assert "capacity" not in host.objects("pool", "ceph")[0]["status"]["details"]["pool"]
    cluster.start_manager()
    try:
        stats = wait_until(lambda: cluster.json("ceph", "df")["pools"][0]["stats"], 300, "the manager has counted")
        host.restart()
        seen = wait_until(lambda: "MiB" in host.objects("pool", "ceph")[0]["status"]["details"]["pool"]["available"], 30)
        available = host.objects("pool", "ceph")[0]["status"]["details"]["pool"]["available"]
        assert seen and abs(int(available.removesuffix("MiB")) - (stats["max_avail"] >> 20)) < 64
    finally:
        cluster.stop("mgr")
