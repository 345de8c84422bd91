# SPDX-License-Identifier: Apache-2.0
"""Pools on devices: a filesystem by UUID, label or device, and a whole device, on loop devices. What is mounted is read from the kernel's list, what is on
a device with blkid."""
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import wait_until

pytestmark = pytest.mark.needs("losetup", "mkfs.ext4", "blkid", "qemu-img", "/dev/loop-control")
MIB = 1 << 20


def sh(command, check=True):
    return subprocess.run(command, shell=True, check=check, capture_output=True, text=True).stdout.strip()


class Loop:
    """A block device of 64 MiB, blank or with a filesystem."""

    def __init__(self, directory, fs=None, size=64 * MIB):
        self.file = directory / "disk"
        directory.mkdir(exist_ok=True)
        with open(self.file, "wb") as file:
            file.truncate(size)
        self.device = None
        self.attach()
        if fs:
            sh(f"mkfs.{fs} -q -L images {self.device}")

    def attach(self):
        self.device = sh(f"losetup -f --show {self.file}")

    def detach(self):
        if self.device:
            sh(f"losetup -d {self.device}")
        self.device = None

    def tag(self, name):
        return sh(f"blkid -p -s {name} -o value {self.device}", check=False)


@pytest.fixture
def loop(tmp_path):
    made = []

    def make(*args, **options):
        made.append(Loop(tmp_path / f"loop{len(made)}", *args, **options))
        return made[-1]
    yield make
    for one in made:
        one.detach()


@pytest.fixture
def host(loop, make_host):  # after loop, so that it goes first
    return make_host(own_mounts=False)


def pool(spec, name="data"):
    return f"apiVersion: weft/v1\nkind: Pool\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"


def volume(spec, name="web", pool="data"):
    return f"---\napiVersion: weft/v1\nkind: Volume\nmetadata: {{name: {name}}}\nspec: {{pool: {pool}, {spec}}}\n"


def mounts(host):
    """{directory below the state directory: (source, type, options)}"""
    found = {}
    for line in Path(f"/proc/{host.weftd_pid()}/mountinfo").read_text().splitlines():
        before, after = line.split(" - ")
        where = before.split()[4]
        if where.startswith(f"{host.root}/lib/mounts/"):
            found[where.rsplit("/", 1)[1]] = (after.split()[1], after.split()[0], set(before.split()[5].split(",")))
    return found


def message(host, kind, name):
    return host.condition(kind, name).get("message") or ""


def test_a_filesystem_by_uuid(host, loop):
    disk = loop("ext4")
    text = pool(f"type: fs, uuid: {disk.tag('UUID')}, options: [noatime]") + volume("size: 8MiB")
    host.apply(text, "--wait=20s")
    source, kind, options = mounts(host)["data"]
    assert (source, kind) == (disk.device, "ext4") and {"nosuid", "nodev", "noexec", "noatime"} <= options
    image = host.root / "lib/mounts/data/web.qcow2"
    assert os.stat(image).st_dev != os.stat(host.root).st_dev and os.getxattr(image, "user.weft")
    seen = host.objects("pool", "data")[0]["status"]["details"]["pool"]
    assert 30 * MIB < size_of(seen["capacity"]) <= 64 * MIB and seen["location"].startswith("UUID="), seen

    def mounted():
        """The mount with its number; others on this machine come and go."""
        return [line for line in Path(f"/proc/{host.weftd_pid()}/mountinfo").read_text().splitlines() if f" {image.parent} " in line]
    before = os.stat(image).st_ino, mounted()
    host.restart(signal.SIGKILL)
    host.wait_ready("volume", "web")
    assert len(mounted()) == 1 and (os.stat(image).st_ino, mounted()) == before, "found, not mounted again"
    host.weft("delete", "volume", "web", "--wait=20s")
    host.weft("delete", "pool", "data", "--wait=20s")
    assert not mounts(host) and not image.parent.exists()
    host.apply(text, "--wait=20s")
    assert os.stat(image).st_ino == before[0], "the image is taken up again"


def size_of(text):
    number, unit = re.fullmatch(r"(\d+)([KMGT]i)?B", text).groups()
    return int(number) << {None: 0, "Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}[unit]


def test_by_label_and_by_device(host, loop):
    by_label, by_device = loop("ext4"), loop("ext4")
    sh(f"e2label {by_device.device} other")
    host.apply(pool("type: fs, label: images, fsType: ext4") + "---\n" + pool(f"type: fs, device: {by_device.device}", "two"), "--wait=20s")
    assert {name: m[0] for name, m in mounts(host).items()} == {"data": by_label.device, "two": by_device.device}


def test_unmounted_by_hand_it_is_mounted_again(host, loop):
    disk = loop("ext4")
    host.apply(pool(f"type: fs, device: {disk.device}") + volume("size: 8MiB"), "--wait=20s")
    sh(f"umount {host.root}/lib/mounts/data")
    wait_until(lambda: mounts(host)["data"][0] == disk.device, 10, "mounted again")
    host.wait_ready("volume", "web")


def test_options_are_set_back(host, loop):
    disk = loop("ext4")
    host.apply(pool(f"type: fs, device: {disk.device}, options: [noatime]"), "--wait=20s")
    sh(f"mount -o remount,relatime,nosuid,nodev,noexec {host.root}/lib/mounts/data")
    wait_until(lambda: "noatime" in mounts(host)["data"][2], 10, "set back")
    host.wait_ready("pool", "data")


def test_a_device_is_waited_for(host, loop):
    disk = loop("ext4")
    uuid = disk.tag("UUID")
    disk.detach()
    host.apply(pool(f"type: fs, uuid: {uuid}") + volume("size: 8MiB"), check=False)
    wait_until(lambda: f"no device is UUID={uuid}" in message(host, "pool", "data"), 10)
    assert not mounts(host)
    disk.attach()
    host.weft("apply", "--wait=90s", "-f", host.scratch / "manifest.yaml")
    assert mounts(host)["data"][0] == disk.device


def test_a_filesystem_is_made_only_where_nothing_is(host, loop):
    blank, used, dirty = loop(), loop("ext4"), loop()
    with open(dirty.device, "r+b") as device:
        device.seek(700 * 1024)
        device.write(b"what somebody has written")
    host.apply(pool(f"type: fs, device: {blank.device}", "plain"), check=False)
    wait_until(lambda: "`format: ext4` makes one" in message(host, "pool", "plain"), 10)
    assert blank.tag("TYPE") == ""
    host.weft("delete", "pool", "plain", "--wait=20s")
    host.apply(pool(f"type: fs, device: {blank.device}, format: ext4", "plain"), "--wait=30s")
    assert blank.tag("TYPE") == "ext4" and mounts(host)["plain"][:2] == (blank.device, "ext4")
    uuid, used_uuid = blank.tag("UUID"), used.tag("UUID")
    host.restart()
    host.wait_ready("pool", "plain")
    host.apply(pool(f"type: fs, device: {used.device}, format: xfs", "used") + "---\n" + pool(f"type: fs, device: {dirty.device}, format: ext4", "dirty"), check=False)
    wait_until(lambda: "carries a filesystem (ext4)" in message(host, "pool", "used"), 10)
    wait_until(lambda: "carries data without a signature" in message(host, "pool", "dirty"), 10)
    assert (blank.tag("UUID"), used.tag("UUID"), dirty.tag("TYPE")) == (uuid, used_uuid, "")
    host.weft("delete", "--wait=20s", "pool/used", "pool/dirty")


def test_what_others_have_mounted_there_stays(host, loop):
    mine, theirs = loop("ext4"), loop("ext4")
    where = host.root / "lib/mounts/data"
    where.mkdir(parents=True)
    sh(f"mount {theirs.device} {where}")
    host.apply(pool(f"type: fs, device: {mine.device}"), check=False)
    wait_until(lambda: "not weft's" in message(host, "pool", "data"), 10)
    assert mounts(host)["data"][0] == theirs.device
    sh(f"umount {where}")
    host.wait_ready("pool", "data")
    assert mounts(host)["data"][0] == mine.device


def test_what_is_in_use_stays_mounted(host, loop):
    disk = loop("ext4")
    host.apply(pool(f"type: fs, device: {disk.device}"), "--wait=20s")
    user = subprocess.Popen(["sleep", "600"], cwd=host.root / "lib/mounts/data")
    try:
        host.weft("delete", "pool", "data", "--wait=2s", check=False)
        wait_until(lambda: any(f"in use by sleep ({user.pid})" in str(e) for e in host.events()), 10, "it says by whom")
        assert "data" in mounts(host)
        user.kill()
        user.wait()
        wait_until(lambda: not mounts(host), 30, "unmounted once it is free")
    finally:
        user.kill()
        user.wait()


def test_no_room_on_a_small_filesystem(host, loop):
    disk = loop("ext4")
    host.apply(pool(f"type: fs, device: {disk.device}") + volume("size: 200MiB, format: raw, preallocation: falloc"), check=False)
    wait_until(lambda: "there is no room" in message(host, "volume", "web"), 20)
    wait_until(lambda: os.listdir(host.root / "lib/mounts/data") == ["lost+found"], 10, "no half volume")
    host.weft("delete", "volume", "web", "--wait=20s")


def test_a_whole_device(host, loop):
    disk = loop()
    text = pool(f"type: disk, device: {disk.device}") + volume("size: 64MiB")
    host.apply(text, "--wait=20s")
    with open(disk.device, "r+b") as device:
        device.write(b"a guest's bytes")
    host.restart()
    host.wait_ready("volume", "web")
    host.apply(text + volume("size: 8MiB", "second"), check=False)
    refused = host.apply(text + volume("size: 8MiB", "second"), check=False)
    assert refused.status == 2 and "is Volume/web already" in refused.err
    refused = host.apply(text.replace("size: 64MiB", "size: 64MiB, reclaim: delete"), check=False)
    assert refused.status == 2 and "not deleted by weft" in refused.err
    host.apply(text.replace("64MiB", "65MiB"), check=False)
    wait_until(lambda: "less than the volume's 65.0 MiB" in message(host, "volume", "web"), 10)
    host.apply(text, check=False)
    host.weft("delete", "volume", "web", "--wait=20s")
    with open(disk.device, "rb") as device:
        assert device.read(15) == b"a guest's bytes"


def test_a_device_with_something_on_it_is_taken_only_if_told(host, loop):
    disk = loop("ext4")
    uuid = disk.tag("UUID")
    text = pool(f"type: disk, device: {disk.device}") + volume("size: 64MiB")
    host.apply(text, check=False)
    wait_until(lambda: "not weft's" in message(host, "volume", "web"), 10)
    host.apply(text.replace("size: 64MiB", "size: 64MiB, adopt: true"), "--wait=20s")
    host.restart()
    host.wait_ready("volume", "web")
    assert disk.tag("UUID") == uuid


def test_a_source_is_copied_onto_a_device(host, loop):
    disk = loop()
    files = host.root / "lib/files"
    files.mkdir(parents=True, exist_ok=True)
    (files / "base.raw").write_bytes(b"begin" + bytes(2 * MIB))
    sh(f"cd {files} && qemu-img convert -O qcow2 -f raw base.raw base.qcow2")
    host.apply(pool(f"type: disk, device: {disk.device}") + volume("size: 64MiB, source: {file: base.qcow2}"), "--wait=30s")
    with open(disk.device, "rb") as device:
        assert device.read(5) == b"begin"


def test_zfs_is_refused_with_what_to_use(host):
    refused = host.apply(pool("type: zfs, dataset: tank/x"), check=False)
    assert refused.status == 2 and "type: dir" in refused.err and "/dev/zvol/" in refused.err


def test_a_secret_that_is_shown_would_be_found(host):
    """The search that tests of secrets rely on sees what it is for."""
    secret = "".join(("s3", "same", str(os.getpid())))
    assert host.places_of_secret(secret) == []
    shown = subprocess.Popen(["sleep", "60"], env={"PASSWORD": secret})
    argument = subprocess.Popen(["sh", "-c", "sleep 60; : " + secret])
    (host.root / "lib/files").mkdir(parents=True, exist_ok=True)
    (host.root / "lib/files/plain").write_text(secret)
    host.apply("apiVersion: weft/v1\nkind: Bridge\nmetadata: {name: br7, labels: {note: %s}}\nspec: {}\n" % secret, "--wait=20s")
    found = wait_until(lambda: (f := host.places_of_secret(secret)) and len(f) >= 5 and f, 10)
    for place in (f"/proc/{shown.pid}/environ", f"/proc/{argument.pid}/cmdline", "weft get all -o yaml", str(host.root / "lib/files/plain")):
        assert place in found, found
    for process in (shown, argument):
        process.kill()
        process.wait()


def test_a_volume_goes_with_its_bytes_before_its_pool(host, loop):
    disk = loop("ext4")
    host.apply(pool(f"type: fs, device: {disk.device}, options: [noatime]") + volume("size: 8MiB, format: raw, reclaim: delete"), "--wait=20s")
    host.weft("delete", "--now", "--wait=20s", "pool/data", "volume/web")
    assert not mounts(host)
    sh(f"mkdir {host.scratch}/look && mount -o ro {disk.device} {host.scratch}/look")
    assert os.listdir(host.scratch / "look") == ["lost+found"]
    sh(f"umount {host.scratch}/look")
