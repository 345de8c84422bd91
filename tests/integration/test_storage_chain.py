# SPDX-License-Identifier: Apache-2.0
"""All of a storage network as one chain: an iSCSI target, a LUN of it under a name, a volume group on that, volumes in it, a guest on one. Made in one go of
nothing and deleted in one go; logged out by hand, grown and deleted on the target meanwhile. What is true is asked of iscsiadm, lsblk, lvs, dmsetup and udev's
own files. The target is this host's."""
import contextlib
import glob
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import iscsi_sessions, wait_until
from test_guest import add_image
from test_pool_iscsi import PASSWORD, PORTALS, TARGET, TPG, leave_nothing, ours, records, secret  # noqa: F401
from test_pool_lvm import MIB, by_hand, groups, lvs
from test_pools import sh

pytestmark = [pytest.mark.lab_state("servers"),
              pytest.mark.needs("iscsiadm", "lvm", "multipath", "dmsetup", "qemu-system-x86_64", "as", "ld")]
LINK = Path("/dev/weft/lun/vgdisk")
NAMES = ("pool san", "lun vgdisk", "pool fast", "volume data")
ASKING = ("status",), ("get", "all"), ("describe", "pool", "fast"), ("describe", "volume", "data"), ("lun", "list")
THIN = ", thinPool: {name: thin, size: 50%}"


def wwid(n):
    return f"36001405a000000{n}00004000800000000"


def chain(secret, n=2, portals=PORTALS, group=THIN, volume="size: 64MiB", rest=""):  # noqa: F811
    """Manifests: the n-th LUN, over one portal or several."""
    return f"""apiVersion: weft/v1
kind: Pool
metadata: {{name: san}}
spec: {{type: iscsi, portals: [{", ".join(portals)}], target: {TARGET}, chap: {{user: host1, password: {{file: {secret}}}}}}}
---
apiVersion: weft/v1
kind: Lun
metadata: {{name: vgdisk}}
spec: {{pool: san, lun: {n}}}
---
apiVersion: weft/v1
kind: Pool
metadata: {{name: fast}}
spec: {{type: lvm, volumeGroup: wt0, devices: [{{lun: vgdisk}}]{group}}}
---
apiVersion: weft/v1
kind: Volume
metadata: {{name: data}}
spec: {{pool: fast, {volume}}}
---
{rest}"""


GUEST = """apiVersion: weft/v1
kind: Volume
metadata: {name: web}
spec: {pool: fast, size: 32MiB, source: {file: tiny.img, format: raw}, reclaim: delete}
---
apiVersion: weft/v1
kind: Guest
metadata: {name: web}
spec: {memory: {size: 32MiB}, disks: [{volume: web}], rng: false, balloon: false, shutdownTimeout: 1s}
"""


def left():
    """What weft and those that work for it leave on a host with all of that."""
    def files(directory, pattern):
        return sorted(str(path) for path in Path(directory).rglob(pattern) if not path.is_dir())
    return {
        "sessions": iscsi_sessions(), "records": files("/etc/iscsi", "*weft*"), "disks": sh("lsblk -ndo NAME --include 8", check=False).split(),
        "device mapper": sorted(line.split()[0] for line in sh("dmsetup ls").splitlines() if not line.startswith("No devices")),
        "rules": files("/run/udev/rules.d", "*weft*") + files("/etc/udev/rules.d", "*weft*"), "multipath": files("/etc/multipath", "*weft*"),
        "maps": [line for line in Path("/etc/multipath/wwids").read_text().splitlines() if not line.startswith("#")]
        if os.path.exists("/etc/multipath/wwids") else [],
        "links": sorted(str(path) for path in Path("/dev/weft").rglob("*")), "volumes": [str(path) for path in Path("/dev").glob("wt0*")],
    }


def qemus():
    """{pid} of the guests, which run in this host's own network."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_text(errors="replace")
            if "qemu-system" in words.split("\0")[0]:
                found.add(int(path.parent.name))
    return found


@pytest.fixture
def multipathd():
    """As Debian leaves it, but that it looks at paths more often: it makes no map by itself."""
    conf = Path("/etc/multipath.conf")
    conf.write_text('defaults {\n find_multipaths strict\n polling_interval 2\n max_polling_interval 2\n}\nblacklist {\n devnode "^(vd|loop)"\n}\n')
    sh("modprobe -a dm_multipath dm_round_robin dm_thin_pool; systemctl restart multipathd; multipathd show config >/dev/null")
    yield
    sh("systemctl stop multipathd.socket multipathd", check=False)
    conf.unlink()


@pytest.fixture
def blank():
    """The LUNs are there and empty, before and afterwards."""
    def empty():
        for n in (2, 3):
            offer(n)
            os.truncate(f"/var/lab/luns/{n}", 0)
            os.truncate(f"/var/lab/luns/{n}", 1 << 30)
        sh("losetup -c /dev/loop77")
    empty()
    yield
    empty()


@pytest.fixture
def nothing_stands(blank, multipathd):
    """Whatever becomes of the test, nothing of the host stands on the LUNs afterwards."""
    yield
    for pid in qemus():
        os.kill(pid, signal.SIGKILL)
    if sh("dmsetup ls | grep ^wt0-", check=False):
        by_hand("vgchange -an wt0", check=False)
        sh("for i in 1 2 3; do dmsetup ls | grep -o '^wt0-[^[:space:]]*' | xargs -r -n1 dmsetup remove --force; done; multipath -F", check=False)
    for pattern in ("/run/udev/rules.d/72-weft-*", "/etc/multipath/conf.d/weft-*"):
        for path in glob.glob(pattern):
            os.unlink(path)


@pytest.fixture
def host(nothing_stands, make_host):  # which is held to the laws first
    return make_host(own_network=False, before=add_image)


def offer(n, on=True):
    """The target offers the LUN, or has it no more."""
    place, core = TPG / f"lun/lun_{n}", next(Path("/sys/kernel/config/target/core").glob(f"*_0/{n}"))
    if on and not place.exists():
        place.mkdir()
        (place / "backstore").symlink_to(core)
    elif not on:
        (place / "backstore").unlink()
        place.rmdir()


def said(host, kind, name, words, type="Ready", timeout=90):
    def look():
        condition = host.condition(kind, name, type)
        text = condition.get("message") or ""
        assert words in text and (type != "Degraded" or condition["status"] == "True"), f"{type} {condition}"
        return text
    return wait_until(look, timeout, f"{kind} {name}")


def is_well(host, *names, timeout=120):
    """Ready, and nothing to complain of."""
    for kind, name in (one.split() for one in names or NAMES):
        def well():
            conditions = {c["type"]: c for c in host.objects(kind, name)[0]["status"]["conditions"]}  # noqa: B023
            assert conditions["Ready"]["status"] == "True" and conditions.get("Degraded", {}).get("status") != "True", conditions
            return True
        wait_until(well, timeout, f"{kind} {name} is well")


def word_of(place="/dev/wt0/data"):
    return sh(f"timeout -s KILL 60 dd if={place} bs=4096 skip=256 count=1 iflag=direct status=none | tr -d '\\0'")


def write_word(word, place="/dev/wt0/data"):
    sh(f"(echo -n {word}; head -c 4096 /dev/zero) | head -c 4096 | dd of={place} bs=4096 seek=256 count=1 oflag=direct conv=fsync,notrunc status=none")


def stands_on(place):
    """[(name, type)] of a device and all that it stands on, as lsblk has it."""
    found = []

    def walk(device):
        found.append((device["name"], device["type"]))
        for child in device.get("children", []):
            walk(child)
    for device in json.loads(sh(f"lsblk -J -s -o NAME,TYPE {place}"))["blockdevices"]:
        walk(device)
    return found


def counts(host, more=1, timeout=90):
    """The guest goes on counting on its disk, and no error reached it."""
    before = host.console_log("web").count(".")
    wait_until(lambda: host.console_log("web").count(".") > before + more, timeout, "the guest counts")
    assert "E" not in host.console_log("web").replace("BOOTED", "").replace("BYE", "")


def size_of_group():
    return int(sh("vgs --foreign --units b --nosuffix --noheadings -o vg_size wt0 2>/dev/null"))


def logout_by_hand(names):
    for name in names:
        sh(f"iscsiadm -m session -r {name.removeprefix('session')} --logout")


def is_there(portals):
    """What must be true of the chain, by tools that are not weft's."""
    shown = sh("iscsiadm -m session")
    assert all(f"{portal}:3260,1 {TARGET}" in shown for portal in portals) and len(ours()) == len(portals)
    assert len(records()) == len(portals)
    device, below = os.path.realpath(LINK), stands_on("/dev/wt0/data")
    if len(portals) > 1:
        assert Path(f"/sys/block/{os.path.basename(device)}/dm/uuid").read_text().strip() == f"mpath-{wwid(2)}"
        assert ("weft-vgdisk", "mpath") in below and len({name for name, type in below if type == "disk"}) == len(portals)
    else:
        assert Path(f"/sys/block/{os.path.basename(device)}/device/wwid").read_text().strip() == f"naa.{wwid(2)[1:]}"
        assert {name for name, type in below if type == "disk"} == {os.path.basename(device)}
    assert os.path.realpath(sh("pvs --foreign --noheadings -o pv_name -S vg_name=wt0 2>/dev/null")) == device
    seen = lvs()
    assert int(seen["data"]["lv_size"]) == 64 * MIB and seen["data"]["lv_tags"].endswith(":Volume/data") and seen["data"]["lv_attr"][4] == "a"
    return seen


@pytest.mark.lab_full
def test_contract_storage(host, secret):  # noqa: F811
    """From nothing, in one apply; weftd dies; somebody logs out; all is deleted at once, and what is to be kept is there again afterwards."""
    before, text = left(), chain(secret)
    host.apply(text + GUEST, "--wait=180s")
    is_well(host, *NAMES, "guest web")
    seen = is_there(PORTALS)
    assert {name: (v["lv_attr"][0], v["pool_lv"]) for name, v in seen.items()} == {"thin": ("t", ""), "data": ("V", "thin"), "web": ("V", "thin")}
    assert 'SYMLINK+="weft/lun/vgdisk"' in "".join(Path(path).read_text() for path in left()["rules"])
    write_word("kept")
    counts(host)
    assert host.places_of_secret(PASSWORD) == []

    guests, sessions, maps = qemus(), iscsi_sessions(), sh("dmsetup table")
    assert len(guests) == 1
    host.restart(signal.SIGKILL)
    is_well(host, *NAMES, "guest web")
    assert (qemus(), iscsi_sessions(), sh("dmsetup table")) == (guests, sessions, maps)
    wait_until(lambda: host.diff() == [], 60, "spare sessions have been seen as well")

    logout_by_hand(sessions)
    wait_until(lambda: len(ours()) == 2 and not set(ours()) & set(sessions), 90, "it is logged in again")
    is_well(host, *NAMES, "guest web")
    is_there(PORTALS)
    assert word_of() == "kept" and qemus() == guests
    counts(host)

    host.weft("delete", "--now", "--wait=120s", "-f", host.scratch / "manifest.yaml", timeout=180)
    assert host.objects() == [] and qemus() == set()
    wait_until(lambda: left() == before, 60, "nothing is left")
    # The volume group and `data` are kept, which says nothing of reclaim; `web` is not.
    host.apply(text, "--wait=120s")
    assert word_of() == "kept" and set(lvs()) == {"thin", "data"}
    host.apply(text.replace("size: 64MiB", "size: 64MiB, reclaim: delete").replace(THIN, f"{THIN}, reclaim: delete"), "--wait=60s")
    host.weft("delete", "--now", "--wait=120s", "-f", host.scratch / "manifest.yaml", timeout=180)
    wait_until(lambda: left() == before, 60, "nothing is left")
    assert sh("wipefs -n /var/lab/luns/2") == "", "nor on the disk"


@pytest.mark.lab_full
@pytest.mark.parametrize("group", ["", THIN], ids=["ordinary", "thin"])
def test_a_session_without_multipath_that_is_logged_out(host, secret, group):  # noqa: F811
    """The disk that comes back is another one to the kernel. The volume is led to it, also under who has it open."""
    before = left()
    host.apply(chain(secret, portals=PORTALS[:1], group=group), "--wait=120s")
    is_well(host)
    is_there(PORTALS[:1])
    write_word("kept")
    sessions, disk = ours(), os.path.realpath(LINK)
    with open("/dev/wt0/data", "rb", buffering=0) as held:
        logout_by_hand(sessions)
        wait_until(lambda: ours() and not set(ours()) & set(sessions), 90, "it is logged in again")
        is_well(host)
        sh("blockdev --flushbufs /dev/wt0/data")
        held.seek(4096 * 256)
        assert held.read(4) == b"kept"
    assert os.path.realpath(LINK) != disk, "or there was nothing to be seen here"
    is_there(PORTALS[:1])
    assert word_of() == "kept"
    write_word("new")
    assert word_of() == "new" and host.diff() == []
    host.weft("delete", "--now", "--wait=120s", "-f", host.scratch / "manifest.yaml", timeout=180)
    wait_until(lambda: left() == before, 60, "nothing is left")


@pytest.mark.lab_full
@pytest.mark.parametrize("portals", [PORTALS[:1], PORTALS], ids=["disk", "map"])
def test_a_lun_that_grows_on_the_target(host, secret, portals):  # noqa: F811
    """Nobody tells weft: name, group and pool have the new size, and the volumes may use it. A group of others is left to them."""
    host.apply(chain(secret, 3, portals, group=""), "--wait=120s")
    is_well(host)
    before = size_of_group()
    sh("truncate -s 1536M /var/lab/luns/3; losetup -c /dev/loop77")
    wait_until(lambda: host.objects("lun", "vgdisk")[0]["status"]["details"]["lun"]["size"] == "1536MiB", 180, "the Lun has it")
    assert sh(f"blockdev --getsize64 {LINK}") == str(1536 * MIB)
    size = wait_until(lambda: (n := size_of_group()) > before and n, 60)
    assert size == before + 512 * MIB
    is_well(host)
    assert host.diff() == []
    host.apply(chain(secret, 3, portals, group="", volume="size: 1200MiB"), "--wait=60s")
    assert int(lvs()["data"]["lv_size"]) == 1200 * MIB
    # One that weft has not made: the Pool says what could be done. (Below the target there is a loop device with the same bytes.)
    by_hand(f"vgchange --devices {os.path.realpath(LINK)} --deltag {next(tag for tag in groups()['wt0']['vg_tags'].split(',') if tag.startswith('weft:'))} wt0")
    sh("truncate -s 2G /var/lab/luns/3; losetup -c /dev/loop77")
    said(host, "pool", "fast", "has 2.0 GiB, of which volume group 'wt0' uses 1.5 GiB: pvresize", timeout=180)
    assert host.ready("pool", "fast") and host.diff() == []
    assert size_of_group() == size


@pytest.mark.lab_full
@pytest.mark.parametrize("portals", [PORTALS[:1], PORTALS], ids=["disk", "map"])
def test_a_lun_that_is_deleted_under_io(host, secret, portals):  # noqa: F811
    """It says what was seen last and when, and holds up nothing; offered again, all goes on by itself."""
    host.apply(chain(secret, portals=portals, group="" if len(portals) == 1 else THIN), "--wait=120s")
    is_well(host)
    write_word("kept")
    writes = host.scratch / "written"
    with subprocess.Popen(f"while dd if=/dev/zero of=/dev/wt0/data bs=64k count=64 oflag=direct conv=notrunc seek=128; do echo >>{writes}; done",
                          shell=True, stderr=subprocess.DEVNULL) as writer:
        try:
            wait_until(writes.exists, 30, "somebody writes")
            offer(2, False)
            said(host, "pool", "fast", "last seen to work at", "Degraded")
            wait_until(lambda: "last seen to work at" in json.dumps(host.objects("lun", "vgdisk")), 90, "so does the Lun, Degraded or Failed")
            said(host, "volume", "data", "last seen to work at", "Degraded")
            for words in ASKING:
                begun = time.monotonic()
                host.weft(*words)
                assert time.monotonic() < begun + 10, words
            time.sleep(75)  # a session is rescanned once a minute, and what is asked anew then tells no size
            said(host, "pool", "fast", "last seen to work at", "Degraded")
            assert "last seen to work at" in json.dumps(host.objects("lun", "vgdisk"))
            assert "shrank" not in json.dumps(host.objects())
            offer(2)
            is_well(host, timeout=180)
            if len(portals) > 1:  # what waited goes on, and has seen nothing
                n = len(writes.read_bytes())
                wait_until(lambda: len(writes.read_bytes()) > n + 1, 90, "it goes on")
                assert writer.poll() is None
        finally:
            offer(2)
            writer.kill()
    assert word_of() == "kept" and host.diff() == []
    sh("dd if=/dev/zero of=/dev/wt0/data bs=64k count=16 oflag=direct conv=fsync,notrunc seek=128 status=none")
    is_there(portals)
