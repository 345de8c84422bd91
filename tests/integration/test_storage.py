# SPDX-License-Identifier: Apache-2.0
"""Pools and Volumes: what stands in the directory, read with qemu-img and stat; and that no manifest loses bytes."""
import json
import os
import signal
import subprocess
import time

import pytest

from harness import BUILD, wait_until

POOL = """
apiVersion: weft/v1
kind: Pool
metadata: {name: local}
spec: {type: dir, path: images}
"""
VOLUME = """
apiVersion: weft/v1
kind: Volume
metadata: {name: web-data}
spec: {pool: local, size: 64MiB, format: qcow2}
"""
BOTH = POOL + "---" + VOLUME
MIB = 1 << 20

pytestmark = pytest.mark.needs("qemu-img")


def images(host):
    return host.root / "lib/images"


def size(path, format="qcow2"):
    out = subprocess.run(["qemu-img", "info", "-U", "-f", format, "--output=json", path], capture_output=True, check=True).stdout
    return json.loads(out)["virtual-size"]


def state(path):
    st = os.stat(path)
    return st.st_ino, st.st_mtime_ns, st.st_ctime_ns


@pytest.mark.lab
def test_contract_web_data(host):
    host.apply(BOTH, "--wait=20s")
    file = images(host) / "web-data.qcow2"
    assert size(file) == 64 * MIB
    assert os.stat(file).st_mode & 0o7777 == 0o600 and os.stat(images(host)).st_mode & 0o7777 == 0o711
    assert os.getxattr(file, "user.weft").decode().endswith(":Volume/web-data")
    assert os.listdir(images(host)) == ["web-data.qcow2"]
    before = state(file)
    host.weft("delete", "volume", "web-data", "--wait=20s")
    host.weft("delete", "pool", "local", "--wait=20s")
    assert state(file) == before
    host.apply(BOTH, "--wait=20s")  # taken up again
    assert state(file) == before


def test_reclaim_delete_leaves_nothing(host):
    host.apply(BOTH.replace("format: qcow2", "format: raw, reclaim: delete"), "--wait=20s")
    assert (images(host) / "web-data.raw").stat().st_size == 64 * MIB
    host.delete_all()
    wait_until(lambda: not images(host).exists(), 10, "the directory goes with its last image")


def test_it_grows_and_never_shrinks(host):
    host.apply(BOTH, "--wait=20s")
    file = images(host) / "web-data.qcow2"
    host.apply(BOTH.replace("64MiB", "128MiB"), "--wait=20s")
    wait_until(lambda: size(file) == 128 * MIB, 10)
    for text, word in ((BOTH, "never shrinks"), (BOTH.replace("64MiB", "128MiB").replace("qcow2", "raw"), "format of a Volume cannot be changed"),
                       (BOTH.replace("64MiB", "128MiB").replace("path: images", "path: other"), "directory of a Pool cannot be changed")):
        done = host.apply(text, check=False)
        assert done.status == 2 and word in done.err and "manifest.yaml:" in done.err
    assert size(file) == 128 * MIB and os.listdir(images(host)) == ["web-data.qcow2"]


def test_a_new_weftd_after_sigkill_touches_nothing(host):
    host.apply(BOTH, "--wait=20s")
    before = state(images(host) / "web-data.qcow2")
    host.restart(signal.SIGKILL)
    host.wait_ready("volume", "web-data")
    assert state(images(host) / "web-data.qcow2") == before


def test_foreign_file_is_left_alone_until_adopted(host):
    images(host).mkdir(parents=True)
    file = images(host) / "web-data.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", file, "8M"], check=True)
    before = state(file)
    host.apply(BOTH, check=False)
    wait_until(lambda: "not weft's" in host.condition("volume", "web-data").get("message", ""), 10)
    assert state(file) == before
    host.apply(BOTH.replace("format: qcow2", "format: qcow2, adopt: true, reclaim: delete"), "--wait=20s")
    assert size(file) == 64 * MIB and state(file)[0] == before[0]
    host.delete_all()
    assert file.exists()  # adopted, so not ours to delete


def test_a_disk_that_is_gone_is_missed(host):
    host.apply(BOTH, "--wait=20s")
    file, away = images(host) / "web-data.qcow2", host.scratch / "away"
    inode = state(file)[0]
    file.rename(away)
    wait_until(lambda: "was there and is gone" in host.condition("volume", "web-data").get("message", ""), 10)
    host.restart()
    time.sleep(0.5)
    assert not file.exists()
    away.rename(file)
    host.wait_ready("volume", "web-data")
    assert state(file)[0] == inode


def test_no_room_is_said_and_leaves_nothing(make_host, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0711", "weft-test", small], check=True)
    try:
        host = make_host()  # sees what was mounted before it
        host.apply(BOTH.replace("path: images", f"path: {small}").replace("format: qcow2", "format: raw, preallocation: falloc"), check=False)
        wait_until(lambda: "there is no room" in host.condition("volume", "web-data").get("message", ""), 10)
        wait_until(lambda: os.listdir(small) == [], 5)
        subprocess.run(["mount", "-o", "remount,size=100m", small], check=True)
        host.wait_ready("volume", "web-data", 90)
        host.delete_all()
    finally:
        subprocess.run(["umount", "-l", small])


def test_a_source_is_copied_and_checked(host):
    files = host.root / "lib/files"
    files.mkdir(parents=True, exist_ok=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", files / "base.qcow2", "8M"], check=True)
    digest = subprocess.run(["sha256sum", files / "base.qcow2"], capture_output=True, text=True).stdout.split()[0]
    source = "format: raw, source: {file: base.qcow2, sha256: %s}"
    host.apply(BOTH.replace("format: qcow2", source % digest), "--wait=20s")
    assert (images(host) / "web-data.raw").stat().st_size == 64 * MIB
    other = VOLUME.replace("web-data", "other").replace("format: qcow2", source % ("0" * 64))
    host.apply(other, check=False)
    wait_until(lambda: "is not what the manifest says" in host.condition("volume", "other").get("message", ""), 10)
    assert os.listdir(images(host)) == ["web-data.raw"]
    host.weft("delete", "volume", "other", "--wait=20s")


def test_sigkill_in_the_middle_of_making_one(host):
    files = host.root / "lib/files"
    files.mkdir(parents=True, exist_ok=True)
    with open(files / "big.raw", "wb") as big:
        big.truncate(4 << 30)  # takes its time to be summed
    text = BOTH.replace("64MiB", "4GiB").replace("format: qcow2", "source: {file: big.raw, format: raw, sha256: %s}" % ("0" * 64))
    apply = host.popen(BUILD / "weft", "--socket", host.root / "run/weft.sock",
                       "apply", "-f", "-", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    apply.stdin.write(text.encode())
    apply.stdin.close()
    wait_until(lambda: any("sha256sum" in line for line in host.pids().values()) or images(host).exists() and host.objects("volume"), 10)
    host.restart(signal.SIGKILL)
    wait_until(lambda: not any("sha256sum" in line or "qemu-img" in line for line in host.pids().values()), 10, "what it was at ends with it")
    wait_until(lambda: not images(host).exists() or os.listdir(images(host)) == [], 10)
    host.delete_all()
