# SPDX-License-Identifier: Apache-2.0
"""What becomes of logical volumes: which host they belong to, snapshots, copies of files, growth under a running guest. Judged with lvs and vgs, which are given the
system ID of the host that is asked, and by the bytes."""
import json
import os
import signal
from pathlib import Path

import pytest

from harness import SOURCE, wait_until
from test_guest import add_image
from test_pool_lvm import DISKS, MIB, THIN, by_hand, disks, groups, host, lvs, message, pool, says, sh, volume  # noqa: F401
from test_volume_snapshots import qemu

pytestmark = [pytest.mark.lab_state("storage"), pytest.mark.needs("lvm", "dmsetup", "blkid", "qemu-system-x86_64", "as", "ld")]
GUEST = "---\napiVersion: weft/v1\nkind: Guest\nmetadata: {name: %s}\nspec: {memory: {size: 32MiB}, disks: [{file: tiny.img}, {volume: web}]%s}\n"
COPY = 64 << 10


def put(letter, at=0, place="/dev/wt0/web"):
    with open(place, "r+b", buffering=0) as disk:
        disk.seek(at)
        disk.write(letter.encode() * COPY)
        os.fsync(disk.fileno())


def got(at=0, place="/dev/wt0/web"):
    return sh(f"dd if={place} bs=64K skip={at // COPY} count=1 iflag=direct status=none | tr -d '\\0' | cut -c1")


def snapshots(host, name="web"):
    return [(s["name"], s["size"]) for s in host.weft("volume", "snapshot", "list", name, "-o", "json").json()]


def order(host, *args, check=True):
    return host.weft("volume", "snapshot", *args, "--yes", check=check)


def leases(host):
    return [(one["volume"], one["guest"], one["host"], one["mode"]) for one in host.weft("lease", "list", "-o", "json").json()]


def go_back_and_forth(host):
    """The same for thin and ordinary ones."""
    put("A")
    put("Z", 16 * MIB)
    order(host, "create", "web", "one")
    put("B")
    order(host, "create", "web", "two")
    put("C", 32 * MIB)
    assert [name for name, _ in snapshots(host)] == ["one", "two"]
    refused = order(host, "create", "web", "two", check=False)
    assert refused.status != 0 and "already" in refused.err
    order(host, "revert", "web", "one")
    assert (got(), got(16 * MIB), got(32 * MIB)) == ("A", "Z", "") and [name for name, _ in snapshots(host)] == ["one", "two"]
    put("D", 48 * MIB)
    order(host, "revert", "web", "two")
    assert (got(), got(16 * MIB), got(32 * MIB), got(48 * MIB)) == ("B", "Z", "", "")
    order(host, "revert", "web", "one")
    assert (got(), got(16 * MIB)) == ("A", "Z")
    refused = order(host, "revert", "web", "three", check=False)
    assert refused.status != 0 and "no snapshot 'three'" in refused.err
    host.wait_ready("volume", "web")
    assert host.objects("volume", "web")[0]["status"]["details"]["volume"]["snapshots"] == 2
    host.restart(signal.SIGKILL)
    host.wait_ready("volume", "web")
    order(host, "delete", "web", "one")
    assert got() == "A" and [name for name, _ in snapshots(host)] == ["two"]


@pytest.mark.lab_full
def test_snapshots_of_a_thin_volume(host):  # noqa: F811
    text = pool(THIN) + volume("size: 64MiB, reclaim: delete")
    host.apply(text, "--wait=60s")
    go_back_and_forth(host)
    seen = lvs()
    assert set(seen) == {"thin", "web", "web.two"} and seen["web"]["lv_tags"].split(":")[-1] == "Volume/web" or "weft-was" in seen["web"]["lv_tags"]
    host.apply(text.replace("64MiB", "96MiB"), "--wait=60s")
    assert int(lvs()["web"]["lv_size"]) == 96 * MIB and snapshots(host) == [("two", "64MiB")]
    order(host, "revert", "web", "two")
    wait_until(lambda: int(lvs()["web"]["lv_size"]) == 96 * MIB, 30, "what was reverted grows again")
    host.wait_ready("volume", "web")
    host.weft("delete", "volume", "web", "--now", "--wait=60s")
    assert set(lvs()) == {"thin"}, "its snapshots go with it"


@pytest.mark.lab_full
def test_snapshots_of_an_ordinary_volume(host):  # noqa: F811
    text = pool() + volume("size: 64MiB, reclaim: delete")
    host.apply(text, "--wait=60s")
    go_back_and_forth(host)
    used = float(lvs(columns="snap_percent")["web.two"]["snap_percent"])
    assert used < 5, "going back takes up nothing of the snapshots"
    host.apply(text.replace("64MiB", "96MiB"), check=False)
    says(host, "volume", "web", "has snapshots")
    order(host, "delete", "web", "two")
    wait_until(lambda: int(lvs()["web"]["lv_size"]) == 96 * MIB, 60)
    order(host, "create", "web", "last")
    by_hand("lvchange -qq --addtag weft-reverting:last wt0/web")  # as a weftd leaves it that dies on the way back
    host.restart(signal.SIGKILL)
    says(host, "volume", "web", "do it again")
    order(host, "revert", "web", "last")
    host.wait_ready("volume", "web")
    host.weft("delete", "volume", "web", "--now", "--wait=60s")
    assert set(lvs()) == set()


@pytest.mark.lab_full
def test_under_a_running_guest_it_grows_and_is_snapshot(disks, make_host):  # noqa: F811
    host = make_host(before=add_image)  # noqa: F811
    text = pool(THIN) + volume("size: 64MiB, reclaim: delete") + GUEST % ("one", "")
    host.apply(text, "--wait=120s")
    pid = host.objects("guest", "one")[0]["status"]["details"]["qemu"]["pid"]
    host.apply(text.replace("64MiB", "96MiB"), "--wait=60s")
    assert int(lvs()["web"]["lv_size"]) == 96 * MIB
    order(host, "create", "web", "live")
    refused = order(host, "revert", "web", "live", check=False)
    assert refused.status != 0 and "one" in refused.err
    host.stop()
    sizes = {b["inserted"]["image"]["filename"]: b["inserted"]["image"]["virtual-size"] for b in qemu(host, "query-block", "one") if "inserted" in b}
    assert 96 * MIB in sizes.values(), sizes
    host.start()
    host.wait_ready("guest", "one", 60)
    assert leases(host) == [("web", "one", os.uname().nodename, "alone")]
    assert host.objects("guest", "one")[0]["status"]["details"]["qemu"]["pid"] == pid
    host.delete_all()


@pytest.mark.lab_full
def test_copies_of_files_and_of_files_as_volumes(host):  # noqa: F811
    files = host.root / "lib/files"
    files.mkdir(parents=True, exist_ok=True)
    (files / "disk.raw").write_bytes(b"raw bytes" + bytes(3 * MIB - 9))
    text = ("apiVersion: weft/v1\nkind: Pool\nmetadata: {name: images}\nspec: {type: dir, path: images}\n---\n" + pool()
            + volume("source: {file: disk.raw, format: raw}, format: raw", "plain", "images") + volume("clone: plain", "web")
            + volume("source: {file: disk.raw, format: raw}, format: qcow2", "packed", "images") + volume("clone: packed", "other"))
    host.apply(text, "--wait=120s")
    assert {n: int(v["lv_size"]) for n, v in lvs().items()} == {"web": 4 * MIB, "other": 4 * MIB}, "whole extents"
    for name in ("web", "other"):
        assert Path(f"/dev/wt0/{name}").open("rb").read(9) == b"raw bytes"


@pytest.mark.lab_full
@pytest.mark.no_laws
def test_a_group_belongs_to_one_host(disks, make_host):  # noqa: F811
    """Two weftds on one disk are two hosts."""
    first, second = make_host(before=add_image), make_host(before=add_image)
    text = pool(THIN) + volume("size: 64MiB")
    theirs = pool(THIN) + volume("size: 64MiB, adopt: true")
    first.apply(text, "--wait=60s")
    put("A")
    owner, name = groups()["wt0"]["vg_systemid"], os.uname().nodename
    second.apply(theirs + GUEST % ("two", ""), check=False)
    says(second, "pool", "fast", f"belongs to host '{name}' (system ID {owner})")
    assert "weft lease break" in message(second, "pool", "fast")
    assert not second.ready("volume", "web") and not second.ready("guest", "two")
    first.apply(text + GUEST % ("one", ""), "--wait=120s")
    assert leases(first) == [("web", "one", name, "alone")] and leases(second) == [("web", None, name, "alone")]
    refused = first.weft("lease", "break", "web", "--yes", check=False)
    assert refused.status == 1 and "guest 'one' of this host" in refused.err
    assert groups()["wt0"]["vg_systemid"] == owner
    # The first one dies.
    first.weft("guest", "kill", "one")
    wait_until(lambda: sh("dmsetup info -c --noheadings -o open wt0-web").strip() == "0", 60, "QEMU has let go of it")
    first.stop(signal.SIGKILL)
    by_hand("vgchange -an wt0")
    assert second.weft("lease", "break", "web", "--yes").status == 0
    wait_until(lambda: second.ready("guest", "two"), 120, "it goes on by itself")
    mine = groups()["wt0"]["vg_systemid"]
    assert mine != owner and mine.startswith("weft-") and got() == "A"
    assert leases(second) == [("web", "two", name, "alone")]
    first.start()
    says(first, "pool", "fast", f"(system ID {mine})")
    assert not first.ready("volume", "web") and groups()["wt0"]["vg_systemid"] == mine and leases(first) == [("web", None, name, "alone")]
    # It gives the group up with its Pool, and the other one sees that.
    second.weft("delete", "--now", "--wait=120s", "guest/two", "volume/web", "pool/fast")
    wait_until(lambda: first.ready("volume", "web"), 180, "it takes what was given up")
    assert got() == "A" and groups()["wt0"]["vg_systemid"] == owner


@pytest.mark.lab_full
def test_a_group_of_others_gets_no_system_id(host):  # noqa: F811
    sh(f"vgcreate -qq wt0 {DISKS[0]}")
    host.apply(pool() + volume("size: 32MiB, reclaim: delete"), "--wait=60s")
    assert groups()["wt0"]["vg_systemid"] == "" and groups()["wt0"]["vg_tags"] == ""
    host.delete_all()
    by_hand("vgchange -qq -y --config 'global/system_id_source=lvmlocal local/system_id=elsewhere' --systemid elsewhere wt0")
    host.apply(pool(), check=False)
    says(host, "pool", "fast", "belongs to host 'elsewhere' (system ID elsewhere)")
    host.weft("delete", "pool", "fast", "--wait=90s")
    assert groups()["wt0"]["vg_systemid"] == "elsewhere"


@pytest.fixture
def lockd(disks):  # noqa: F811
    sh("systemctl start sanlock lvmlockd")
    yield "--config 'global/use_lvmlockd=1 local/host_id=1'"
    sh("vgremove -ff -y --config 'global/use_lvmlockd=1 local/host_id=1' wt0; systemctl stop lvmlockd sanlock", check=False)


@pytest.mark.lab_full
@pytest.mark.needs("sanlock", "lvmlockd")
def test_whether_hosts_share_a_group_is_said_as_it_is(lockd, make_host):
    """tests/lab/test_lvm_shared.py uses one: lvmlockd answers in the host's own network namespace alone."""
    host = make_host()
    sh(f"vgcreate -qq {lockd} --shared --lock-type sanlock wt0 {DISKS[0]}")
    host.apply(pool() + volume(), check=False)
    says(host, "pool", "fast", "share by lvmlockd (lock type sanlock): write `shared: true`")
    host.weft("delete", "--now", "volume/web", "pool/fast", "--wait=60s")
    sh(f"vgremove -qq -y {lockd} wt0; vgcreate -qq wt0 {DISKS[0]}")
    host.apply(pool(", shared: true, hostId: 1, reclaim: delete"), check=False)
    says(host, "pool", "fast", "is not one that hosts share")
    host.weft("delete", "--now", "pool/fast", "--wait=60s")
    assert groups()["wt0"]["vg_tags"] == "", "it is left as it is"
