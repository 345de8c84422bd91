# SPDX-License-Identifier: Apache-2.0
"""Pools of type lvm, on spare disks of the lab and on device mappings over them; judged with lvs, vgs, blkid and dmsetup."""
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import BUILD, wait_until

pytestmark = [pytest.mark.lab_state("storage"), pytest.mark.needs("lvm", "dmsetup", "blkid")]
DISKS = ["/dev/disk/by-id/virtio-lab-data0", "/dev/disk/by-id/virtio-lab-data1"]
MIB = 1 << 20


def sh(command, check=True):
    done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout.strip()


def report(command, name, columns, *rest):
    """{name: {column: value}} of lvs or vgs."""
    out = sh(f"{command} --foreign --reportformat json --units b --nosuffix -o {name},{columns} {' '.join(rest)} 2>/dev/null", check=False)
    return {row[name]: row for row in next(iter(json.loads(out)["report"][0].values()))}


def lvs(group="wt0", columns="lv_size,lv_tags,lv_attr,pool_lv,data_percent,lv_uuid,lv_when_full"):
    return report("lvs", "lv_name", columns, group)


def groups():
    return report("vgs", "vg_name", "vg_uuid,vg_tags,lv_count,vg_systemid")


def by_hand(command, group="wt0", check=True):
    """A command of lvm as its host gives it."""
    name, rest = command.split(" ", 1)
    owner = groups().get(group, {}).get("vg_systemid")
    return sh(f"{name} " + (f"--config 'global/system_id_source=lvmlocal local/system_id={owner}' " if owner else "") + rest, check)


def wipe():
    for group in ("wt0", "wt1"):
        by_hand(f"vgremove -ff -y {group}", group, check=False)
    sh("dmsetup remove --retry wt-slow; "
       + "; ".join(f"wipefs -aq {d}; dd if=/dev/zero of={d} bs=1M count=2 conv=notrunc; dd if=/dev/zero of={d} bs=1M count=2 conv=notrunc "
                   f"seek=$(( $(blockdev --getsize64 {d}) / 1048576 - 2 ))" for d in DISKS), check=False)
    assert "wt0" not in groups()


@pytest.fixture
def disks():
    wipe()
    yield DISKS
    wipe()


@pytest.fixture
def host(disks, make_host):  # after the disks, so that it goes first
    return make_host()


def pool(spec="", name="fast", devices=DISKS[:1]):
    named = f", devices: [{', '.join(f'{{path: {d}}}' for d in devices)}]" if devices else ""
    return f"apiVersion: weft/v1\nkind: Pool\nmetadata: {{name: {name}}}\nspec: {{type: lvm, volumeGroup: wt0{named}{spec}}}\n"


THIN = ", thinPool: {name: thin, size: 50%}"


def volume(spec="size: 64MiB", name="web", pool="fast"):
    return f"---\napiVersion: weft/v1\nkind: Volume\nmetadata: {{name: {name}}}\nspec: {{pool: {pool}, {spec}}}\n"


def message(host, kind, name, type="Ready"):
    return host.condition(kind, name, type).get("message") or ""


def says(host, kind, name, words, type="Ready", timeout=30):
    """Waits until an object's condition says so."""
    def look():
        found = message(host, kind, name, type)
        assert words in found, f"{found!r}, not {words!r}"
        return True
    wait_until(look, timeout)


def details(host, kind, name):
    return host.objects(kind, name)[0]["status"]["details"][kind]


def test_a_group_is_made_of_a_blank_disk_and_goes_when_it_is_empty(host):
    host.apply(pool(", reclaim: delete") + volume() + volume("size: 65MiB, reclaim: delete", "db"), "--wait=60s")
    instance = (host.root / "lib/instance").read_text().strip() if (host.root / "lib/instance").exists() else None
    tags = groups()["wt0"]["vg_tags"]
    mark = next(t for t in tags.split(",") if t.startswith("weft:"))
    assert mark.endswith(":Pool/fast") and f"weft-host:{os.uname().nodename}" in tags and (not instance or instance in mark)
    assert groups()["wt0"]["vg_systemid"] == f"weft-{mark.split(':')[1]}", "it belongs to this host"
    seen = lvs()
    assert {n: (int(v["lv_size"]), v["lv_attr"][0], v["lv_tags"].split(":")[2]) for n, v in seen.items()} == {
        "web": (64 * MIB, "-", "Volume/web"), "db": (68 * MIB, "-", "Volume/db")}, "sizes are whole extents"
    assert os.path.realpath("/dev/wt0/web").startswith("/dev/dm-")
    assert details(host, "pool", "fast")["devices"] == [os.path.realpath(DISKS[0])]
    with open("/dev/wt0/web", "r+b") as disk:
        disk.write(b"a guest's bytes")
    before = seen["web"]["lv_uuid"]
    host.restart(signal.SIGKILL)
    host.wait_ready("volume", "web")
    host.weft("delete", "volume", "web", "--wait=30s")
    assert lvs()["web"]["lv_uuid"] == before, "the bytes stay"
    host.apply(pool(", reclaim: delete") + volume() + volume("size: 65MiB, reclaim: delete", "db"), "--wait=60s")
    assert Path("/dev/wt0/web").open("rb").read(15) == b"a guest's bytes"
    host.weft("delete", "volume", "db", "--wait=30s")
    assert set(lvs()) == {"web"}
    host.apply(pool(", reclaim: delete") + volume("size: 64MiB, reclaim: delete"), "--wait=60s")
    host.weft("delete", "--now", "--wait=60s", "volume/web", "pool/fast")
    assert "wt0" not in groups() and sh(f"blkid -p {DISKS[0]}", check=False) == ""


def test_thin_volumes(host):
    text = pool(THIN) + volume("size: 8GiB") + volume("size: 64MiB, reclaim: delete", "db")
    host.apply(text, "--wait=60s")
    seen = lvs()
    assert {n: (v["lv_attr"][0], v["pool_lv"]) for n, v in seen.items()} == {"thin": ("t", ""), "web": ("V", "thin"), "db": ("V", "thin")}
    assert seen["thin"]["lv_when_full"] == "error" and seen["thin"]["lv_tags"].endswith(":Pool/fast")
    assert int(seen["web"]["lv_size"]) == 8 << 30 and details(host, "volume", "web")["allocated"] in ("0", "0B")
    sh("dd if=/dev/zero of=/dev/wt0/web bs=1M count=32 oflag=direct; sync")
    host.restart()
    host.wait_ready("volume", "web")
    assert re.fullmatch(r"3[123]\d\d\dKiB|3[23]MiB", details(host, "volume", "web")["allocated"]), "as exactly as lvm tells it"
    host.weft("delete", "volume", "db", "--wait=30s")
    assert set(lvs()) == {"thin", "web"}


@pytest.mark.lab_full
def test_growing_and_never_shrinking(host):
    host.apply(pool(THIN) + volume("size: 64MiB"), "--wait=60s")
    uuid = lvs()["web"]["lv_uuid"]
    host.apply(pool(THIN) + volume("size: 128MiB"), "--wait=60s")
    wait_until(lambda: int(lvs()["web"]["lv_size"]) == 128 * MIB, 20)
    refused = host.apply(pool(THIN) + volume("size: 64MiB"), check=False)
    assert refused.status == 2 and "never shrinks" in refused.err
    assert lvs()["web"]["lv_uuid"] == uuid and int(lvs()["web"]["lv_size"]) == 128 * MIB


@pytest.mark.lab_full
def test_growth_and_deletion_wait_for_who_confirms(host):
    """Of volumes, and of a group and a thin pool that are empty: they would be others if they were made anew."""
    empty = pool(THIN + ", reclaim: delete")
    host.apply(empty, "--wait=60s")
    before = groups()["wt0"]["vg_uuid"], lvs()["thin"]["lv_uuid"]
    host.apply(pool(THIN + ", reclaim: delete", "other", DISKS[1:]).replace("wt0", "wt1"), "--prune", "--confirm", "60s")
    wait_until(lambda: "wt1" in groups(), 60, "what can be taken back is done at once")
    host.weft("rollback")
    wait_until(lambda: "wt1" not in groups(), 60)
    assert (groups()["wt0"]["vg_uuid"], lvs()["thin"]["lv_uuid"]) == before
    host.apply(empty + volume("size: 64MiB, reclaim: delete", "grows") + volume("size: 64MiB, reclaim: delete", "goes"), "--wait=60s")
    sh("echo -n precious | dd of=/dev/wt0/goes conv=fsync,notrunc status=none")
    uuids = {name: (v["lv_uuid"], v["lv_size"]) for name, v in lvs().items()}
    after = empty + volume("size: 128MiB, reclaim: delete", "grows") + volume("size: 32MiB, reclaim: delete", "comes")
    for answer in ("rollback", "time", "confirm"):
        host.apply(after, "--prune", "--confirm", "15s" if answer == "time" else "60s")
        wait_until(lambda: "comes" in lvs(), 60)
        assert {name: (v["lv_uuid"], v["lv_size"]) for name, v in lvs().items() if name != "comes"} == uuids
        if answer == "time":
            wait_until(lambda: {o["metadata"]["name"] for o in host.objects("volume")} == {"grows", "goes"}, 60)
        else:
            host.weft(answer)
        if answer != "confirm":
            wait_until(lambda: "comes" not in lvs(), 60)
            assert {name: (v["lv_uuid"], v["lv_size"]) for name, v in lvs().items()} == uuids
            assert sh("dd if=/dev/wt0/goes bs=8 count=1 status=none") == "precious" and host.ready("volume", "goes")
    wait_until(lambda: {name: int(v["lv_size"]) for name, v in lvs().items() if name != "thin"} == {"grows": 128 * MIB, "comes": 32 * MIB}, 60)
    assert lvs()["grows"]["lv_uuid"] == uuids["grows"][0]


@pytest.mark.lab_full
def test_a_group_goes_with_the_apply_that_made_it(host):
    """`reclaim: keep` is about what may hold something: what is undone leaves the disk as it was, and what was there before stays."""
    text = pool(THIN) + volume()
    host.apply(text, "--confirm", "60s")
    wait_until(lambda: "wt0" in groups() and "web" in lvs(), 60, "what can be taken back is done at once")
    host.weft("rollback")
    wait_until(lambda: "wt0" not in groups(), 60, "it goes as it came")
    host.apply(text, "--wait=60s")  # of the same disk, which is blank again
    host.weft("delete", "--now", "--wait=60s", "volume/web", "pool/fast")
    before = groups()["wt0"]["vg_uuid"], lvs()["web"]["lv_uuid"]
    host.apply(text, "--confirm", "60s")
    host.wait_ready("volume", "web", 60)
    host.weft("rollback")
    wait_until(lambda: not host.objects("pool"), 60)
    assert (groups()["wt0"]["vg_uuid"], lvs()["web"]["lv_uuid"]) == before


def test_what_others_have_made_stays_theirs(host):
    sh(f"vgcreate wt0 {DISKS[0]}; lvcreate -qq -L 32M -n theirs wt0; lvcreate -qq -L 32M -n web wt0; echo precious > /dev/wt0/web")
    before = {n: v["lv_uuid"] for n, v in lvs().items()}
    host.apply(pool(", reclaim: delete") + volume("size: 32MiB, reclaim: delete"), check=False)
    says(host, "volume", "web", "not weft's")
    host.apply(pool(", reclaim: delete") + volume("size: 32MiB, adopt: true"), "--wait=60s")
    assert lvs()["web"]["lv_tags"].endswith(":Volume/web") and lvs()["theirs"]["lv_tags"] == "" and groups()["wt0"]["vg_tags"] == ""
    host.delete_all()
    assert {n: v["lv_uuid"] for n, v in lvs().items()} == before and Path("/dev/wt0/web").open("rb").read(8) == b"precious"


@pytest.mark.lab_full
def test_a_disk_that_carries_something_is_refused(host):
    sh(f"mkfs.ext4 -q {DISKS[0]}")
    uuid = sh(f"blkid -p -s UUID -o value {DISKS[0]}")
    host.apply(pool(), check=False)
    says(host, "pool", "fast", "carries a filesystem (ext4)")
    assert sh(f"blkid -p -s UUID -o value {DISKS[0]}") == uuid and "wt0" not in groups()
    host.weft("delete", "pool", "fast", "--wait=20s")
    sh(f"wipefs -aq {DISKS[0]}; dd if=/dev/zero of={DISKS[0]} bs=1M count=64; udevadm settle; pvcreate -q {DISKS[0]}")
    host.apply(pool(), "--wait=60s")  # what an interrupted vgcreate leaves
    assert "wt0" in groups()


@pytest.mark.lab_full
def test_a_missing_disk_is_named(host):
    text = pool(devices=DISKS) + volume()
    host.apply(text, "--wait=60s")
    host.apply(text.replace(f", {{path: {DISKS[1]}}}", "") + volume(name="second"), check=False)
    says(host, "pool", "fast", "lacks device", "Degraded")
    assert "add it to devices" in message(host, "pool", "fast", "Degraded")
    says(host, "volume", "second", "while PVs are missing")
    assert host.ready("volume", "web")
    host.apply(text + volume(name="second"), "--wait=60s")
    assert set(lvs()) == {"web", "second"}


@pytest.mark.lab_full
def test_no_room(host):
    host.apply(pool() + volume("size: 100GiB"), check=False)
    says(host, "volume", "web", "insufficient free space")
    assert lvs() == {}
    host.weft("delete", "volume", "web", "--wait=20s")


@pytest.mark.lab_full
def test_a_full_thin_pool_is_degraded_and_says_so(host):
    host.apply(pool(", thinPool: {name: thin, size: 64MiB}") + volume("size: 256MiB"), "--wait=60s")
    sh("dd if=/dev/zero of=/dev/wt0/web bs=1M count=62 oflag=direct")
    host.restart()
    says(host, "pool", "fast", "nearly full: 96.", "Degraded")
    sh("dd if=/dev/zero of=/dev/wt0/web bs=1M count=100 oflag=direct", check=False)
    host.restart()
    says(host, "pool", "fast", "is full: guests that write are refused; extend it with lvextend", "Degraded")
    by_hand("lvextend -qq -L +64M wt0/thin")
    host.restart()
    wait_until(lambda: not message(host, "pool", "fast", "Degraded") or host.condition("pool", "fast", "Degraded")["status"] == "False", 20)


@pytest.mark.lab_full
def test_a_source_is_copied_and_an_interrupted_copy_is_swept(host):
    files = host.root / "lib/files"
    files.mkdir(parents=True, exist_ok=True)
    sh(f"cd {files}; head -c 100M /dev/urandom > base.raw; qemu-img convert -O qcow2 -f raw base.raw base.qcow2")
    host.apply(pool(THIN), "--wait=60s")
    (host.scratch / "volume.yaml").write_text(volume("size: 512MiB, source: {file: base.qcow2}"))
    with subprocess.Popen([BUILD / "weft", "--socket", host.root / "run/weft.sock", "apply", "-f", host.scratch / "volume.yaml"]) as applying:
        wait_until(lambda: "weft-new" in lvs().get("web", {}).get("lv_tags", ""), 30, "it is being made")
        host.stop(signal.SIGKILL)
        applying.wait()
    half = lvs()["web"]
    assert "weft-new" in half["lv_tags"]
    host.start()
    wait_until(lambda: "web" not in lvs() or lvs()["web"]["lv_uuid"] != half["lv_uuid"], 30, "swept")
    host.apply(pool(THIN) + volume("size: 512MiB, source: {file: base.qcow2}"), "--wait=60s")
    assert lvs()["web"]["lv_tags"].endswith(":Volume/web")
    assert sh(f"cmp -n $((100 << 20)) {files}/base.raw /dev/wt0/web && echo same") == "same"


@pytest.mark.lab_full
def test_clones(host):
    text = pool(THIN) + volume("size: 64MiB", "base") + volume("base: base", "linked") + volume("base: base, size: 96MiB", "larger") \
        + volume("clone: base", "full")
    host.apply(pool(THIN) + volume("size: 64MiB", "base"), "--wait=60s")
    Path("/dev/wt0/base").open("r+b").write(b"what all begin with")
    host.apply(text, "--wait=60s")
    seen = lvs(columns="lv_size,lv_attr,origin,lv_tags")
    assert {n: (int(seen[n]["lv_size"]) // MIB, seen[n]["origin"]) for n in ("linked", "larger", "full")} == {
        "linked": (64, "base"), "larger": (96, "base"), "full": (64, "")}
    for name in ("linked", "larger", "full"):
        assert Path(f"/dev/wt0/{name}").open("rb").read(19) == b"what all begin with" and seen[name]["lv_tags"].endswith(f":Volume/{name}")
    assert host.weft("delete", "volume", "base", check=False).status != 0, "it is referenced"


@pytest.mark.lab_full
def test_on_a_lun(host):
    """As the contract has it: the device is a map over two portals, by the name of its Lun."""
    sh("umount /mnt/none; vgs vg9 && vgremove -ff -y vg9; wipefs -aq /dev/mapper/lun1", check=False)
    wwid = sh("dmsetup info -c --noheadings -o uuid lun1").removeprefix("mpath-")
    lun = f"---\napiVersion: weft/v1\nkind: Lun\nmetadata: {{name: vgdisk}}\nspec: {{wwid: '{wwid}'}}\n"
    host.apply(pool(THIN + ", reclaim: delete", devices=[]).replace("volumeGroup: wt0", "volumeGroup: wt0, devices: [{lun: vgdisk}]") + lun
               + volume("size: 64MiB, reclaim: delete"), "--wait=60s")
    assert os.path.realpath(report("vgs", "vg_name", "pv_name", "wt0")["wt0"]["pv_name"]) == os.path.realpath("/dev/mapper/lun1")
    host.weft("delete", "--now", "--wait=60s", "volume/web", "pool/fast", "lun/vgdisk")
    assert "wt0" not in groups()


@pytest.mark.lab_full
def test_put_out_of_use_it_comes_back(host):
    host.apply(pool() + volume(), "--wait=60s")
    by_hand("lvchange -an wt0/web")
    host.restart()
    wait_until(lambda: lvs()["web"]["lv_attr"][4] == "a", 30, "active again")
    host.wait_ready("volume", "web")


@pytest.mark.lab_full
def test_in_use_it_is_not_removed(host):
    host.apply(pool() + volume("size: 64MiB, reclaim: delete"), "--wait=60s")
    with open("/dev/wt0/web", "rb"):
        host.weft("delete", "volume", "web", "--wait=3s", check=False)
        wait_until(lambda: any("in use" in str(e) for e in host.events()), 20)
        assert "web" in lvs()
    wait_until(lambda: "web" not in lvs(), 60)


@pytest.mark.lab_full
def test_a_device_that_hangs_holds_up_nothing(host):
    """A mapping under the group is suspended: whatever touches it waits in the kernel, where no signal reaches it."""
    sectors = int(sh(f"blockdev --getsz {DISKS[1]}"))
    sh(f"echo 0 {sectors} linear {DISKS[1]} 0 | dmsetup create wt-slow")
    try:
        host.apply(pool(devices=["/dev/mapper/wt-slow"]) + volume(), "--wait=60s")
        sh("dmsetup suspend --nolockfs wt-slow")
        says(host, "pool", "fast", "does not answer", "Degraded")
        assert "last seen to work at" in message(host, "pool", "fast", "Degraded")
        begin = time.monotonic()
        host.weft("get", "pools")
        assert time.monotonic() - begin < 5
        time.sleep(15)
        stuck = sh("ps -eo stat,args | grep -c '^D.*[w]eftd'", check=False)
        assert int(stuck or 0) <= 3, "questions do not pile up"
        assert details(host, "pool", "fast")["capacity"]
        sh("dmsetup resume wt-slow")
        wait_until(lambda: host.condition("pool", "fast", "Degraded").get("status") != "True", 60)
        host.wait_ready("volume", "web")
    finally:
        sh("dmsetup resume wt-slow", check=False)


ASKING = ("get", "pools"), ("describe", "pool", "fast"), ("get", "volume", "web"), ("get", "volumes"), ("lease", "list"), ("status",)


@pytest.mark.lab_full
@pytest.mark.parametrize("table,words", (("error", "cannot be read"), (f"delay {DISKS[1]} 0 20000", "does not answer")), ids=("error", "delay"))
def test_a_device_that_fails_or_is_slow(host, table, words):
    """Of a mapping under the group: each read fails, or takes twenty seconds."""
    sectors = int(sh(f"blockdev --getsz {DISKS[1]}"))

    def load(what):
        sh(f"echo 0 {sectors} {what} | dmsetup load wt-slow; dmsetup suspend --nolockfs --noflush wt-slow; dmsetup resume --noudevsync wt-slow")

    linear = f"linear {DISKS[1]} 0"
    sh(f"echo 0 {sectors} {linear} | dmsetup create wt-slow; modprobe dm_delay")
    try:
        host.apply(pool(devices=["/dev/mapper/wt-slow"]) + volume(), "--wait=60s")
        load(table)
        says(host, "pool", "fast", words, "Degraded", 60)
        assert "last seen to work at" in message(host, "pool", "fast", "Degraded")
        for words in ASKING:
            begin = time.monotonic()
            host.weft(*words, check=words[0] != "lease")  # which fails where it cannot see them all
            assert time.monotonic() - begin < 15, words
        assert details(host, "pool", "fast")["capacity"]
        load(linear)
        wait_until(lambda: host.condition("pool", "fast", "Degraded").get("status") != "True", 120)
        host.wait_ready("volume", "web", 60)
        host.apply(pool(devices=["/dev/mapper/wt-slow"]) + volume() + volume(name="second"), "--wait=60s")
    finally:
        load(linear)


@pytest.mark.lab_full
@pytest.mark.no_laws
def test_what_others_do_by_hand_is_seen(host):
    """udev speaks in the host's own network namespace alone, so that is where this weftd runs."""
    host.stop()
    host.daemon = subprocess.Popen([BUILD / "weftd", "--root", host.root], stdin=subprocess.DEVNULL, stdout=open(host.log_path, "ab"), stderr=subprocess.STDOUT)
    wait_until(lambda: host.weft("history", check=False).status == 0)
    host.apply(pool() + volume(), "--wait=60s")
    by_hand("lvextend -qq -L 96M wt0/web")
    wait_until(lambda: "larger than the manifest says" in json.dumps(host.objects("volume", "web")), 20)
    by_hand("lvremove -qq -y wt0/web")
    wait_until(lambda: not host.ready("volume", "web"), 20, "it is missed")
    assert "web" not in lvs(), "no empty one is put in its place"
    host.weft("delete", "--now", "volume/web", "pool/fast", "--wait=30s")


@pytest.mark.lab_full
def test_made_by_sigkill_at_any_time(host):
    """However weftd dies, the volumes come: each is whole or not there."""
    names = [f"v{i}" for i in range(8)]
    text = pool(THIN) + "".join(volume("size: 16MiB", n) for n in names)
    host.apply(pool(THIN), "--wait=60s")
    host.apply(text, check=False)
    for _ in range(4):
        time.sleep(0.7)
        host.restart(signal.SIGKILL)
    for name in names:
        host.wait_ready("volume", name, 60)
    seen = lvs()
    assert set(seen) == {"thin", *names} and all(seen[n]["lv_tags"].endswith(f":Volume/{n}") for n in names)
