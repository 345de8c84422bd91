# SPDX-License-Identifier: Apache-2.0
"""Guests whose disk fails under them: they stand, and go on by themselves when the disk is well again. Device-mapper makes disks that fail; where there is none,
a loop device whose file is cut short does, on newer kernels. A small filesystem is soon full."""
import os
import signal
import subprocess
import time

import pytest

from harness import wait_until
from test_leases import guest, pid_of, tiny  # noqa: F401

pytestmark = pytest.mark.needs("qemu-system-x86_64", "qemu-img", "as", "ld", "losetup", "mkfs.ext4", "dmsetup", "/dev/loop-control")
MIB = 1 << 20


def sh(command):
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout.strip()


def console(host, name="web"):
    path = host.root / f"run/guests/{name}/console.log"
    return path.read_text(errors="replace") if path.exists() else ""


def works(host):
    """The guest writes to its disk, and has met no error."""
    before = console(host).count(".")
    wait_until(lambda: console(host).count(".") > before + 1, 60, "the guest writes")
    assert "E" not in console(host).replace("BOOTED", "").replace("BYE", ""), "the guest has seen nothing"


def degraded(host):
    condition = host.condition("guest", "web", "Degraded")
    return condition["message"] if condition.get("status") == "True" else ""


def run_state(host):
    return host.objects("guest", "web")[0]["status"]["details"].get("qemu", {}).get("runState")


def events(host, type):
    return [event["text"] for event in host.events() if event["type"] == type]


class CutLoop:
    """A block device whose file is cut short: what is read gives errors."""

    def __init__(self, directory, tiny):
        self.file = directory / "disk"
        self.file.write_bytes(tiny.read_bytes())
        self.device = sh(f"losetup -f --show {self.file}")

    def fail(self):
        self.lost = self.file.read_bytes()
        os.truncate(self.file, 0)

    def mend(self):
        with open(self.file, "r+b") as file:
            file.write(self.lost)

    def detach(self):
        sh(f"losetup -d {self.device}")


class Mapped(CutLoop):
    """A map of device-mapper's over it, which becomes one of errors."""

    def __init__(self, directory, tiny):
        super().__init__(directory, tiny)
        self.below, self.name = self.device, f"weft-test-{os.getpid()}"
        self.sectors = sh(f"blockdev --getsz {self.below}")
        sh(f"dmsetup create {self.name} --table '0 {self.sectors} linear {self.below} 0'")
        self.device = f"/dev/mapper/{self.name}"

    def load(self, table):
        sh(f"dmsetup suspend --noflush {self.name}; dmsetup load {self.name} --table '0 {self.sectors} {table}'; dmsetup resume {self.name}")

    def fail(self):
        self.load("error")

    def mend(self):
        self.load(f"linear {self.below} 0")

    def detach(self):
        sh(f"dmsetup remove --retry {self.name}")
        sh(f"losetup -d {self.below}")


@pytest.fixture
def disk(tmp_path, tiny):  # noqa: F811
    mapper = subprocess.run(["dmsetup", "version"], capture_output=True).returncode == 0
    one = (Mapped if mapper else CutLoop)(tmp_path, tiny)
    yield one
    one.detach()


@pytest.fixture
def host(disk, make_host):  # after the disk, so that it goes first
    return make_host()


def on(disk, more=""):
    return guest(disk=f"file: {disk.device}, cache: none{more}")


def test_promise_15_a_guest_goes_on_when_its_disk_does(host, disk):
    host.apply(on(disk), "--wait=60s")
    pid = pid_of(host)
    works(host)
    disk.fail()
    wait_until(lambda: run_state(host) == "io-error", 60, "it stands")
    wait_until(lambda: disk.device in degraded(host) and "goes on by itself" in degraded(host), 20, "status says why")
    assert len(events(host, "GuestStands")) == 1 and not events(host, "GuestResumed")
    time.sleep(3)  # it is tried now and then, in vain
    assert len(events(host, "GuestStands")) == 1 and not events(host, "GuestResumed")
    host.restart(signal.SIGKILL)
    wait_until(lambda: "goes on by itself" in degraded(host), 20, "a new weftd takes it up")
    disk.mend()
    works(host)
    wait_until(lambda: events(host, "GuestResumed"), 30, "it is told")
    wait_until(lambda: not degraded(host), 20, "all is well")
    assert host.ready("guest", "web") and pid_of(host) == pid and run_state(host) == "running"
    assert not any("works again" in text for text in events(host, "Health")[:-1]), "it was not taken to be well while it was tried"


def test_a_guest_that_was_paused_stays_so(host, disk):
    host.apply(on(disk), "--wait=60s")
    works(host)
    disk.fail()
    wait_until(lambda: run_state(host) == "io-error", 60, "it stands")
    host.weft("guest", "pause", "web")
    disk.mend()
    before = console(host)
    time.sleep(5)
    assert console(host) == before and run_state(host) in ("io-error", "paused") and host.ready("guest", "web")
    host.weft("guest", "resume", "web")
    works(host)
    host.wait_ready("guest", "web")
    assert run_state(host) == "running"


def test_a_guest_that_is_to_see_errors_does(host, disk):
    host.apply(on(disk, ", onError: report"), "--wait=60s")
    works(host)
    disk.fail()
    wait_until(lambda: "E" in console(host).replace("BOOTED", ""), 60, "the guest is told")
    assert run_state(host) == "running" and not events(host, "GuestStands")
    disk.mend()


@pytest.fixture
def small(tmp_path):
    """A filesystem of 16 MiB on a device of its own."""
    with open(tmp_path / "small", "wb") as file:
        file.truncate(16 * MIB)
    device = sh(f"losetup -f --show {tmp_path}/small")
    sh(f"mkfs.ext4 -q -m 0 {device}")
    yield device
    sh(f"losetup -d {device}")


def fill(path):
    with open(path, "wb", buffering=0) as file:
        with pytest.raises(OSError):
            while True:
                file.write(bytes(4096))


def test_a_full_pool(small, make_host, tiny):  # noqa: F811
    host = make_host(own_mounts=False)
    host.apply(f"---\napiVersion: weft/v1\nkind: Pool\nmetadata: {{name: san}}\nspec: {{type: fs, device: {small}}}\n", "--wait=20s")
    where = host.root / "lib/mounts/san"
    sh(f"qemu-img convert -c -f raw -O qcow2 {tiny} {where}/data.qcow2")  # what is compressed is written anew, elsewhere
    volume = "---\napiVersion: weft/v1\nkind: Volume\nmetadata: {name: data}\nspec: {pool: san, size: 1MiB, adopt: true}\n"
    host.apply(volume + guest(more=", state: paused"), "--wait=60s")
    fill(where / "filler")
    host.weft("guest", "resume", "web")
    host.apply(volume + guest(), check=False)
    wait_until(lambda: run_state(host) == "io-error", 60, "it stands")
    wait_until(lambda: "no room" in degraded(host) and f"{where}/data.qcow2" in degraded(host), 20, "status says why")
    (where / "filler").unlink()
    works(host)
    wait_until(lambda: events(host, "GuestResumed"), 30, "it is told")
    host.wait_ready("guest", "web")
