# SPDX-License-Identifier: Apache-2.0
"""Luns where there are none: what is waited for, what is refused, and the list of the disks that this machine has, beside what the kernel shows. Real
ones are in tests/lab/test_luns.py."""
import json
from pathlib import Path

import pytest

from harness import wait_until

WWID = "36001405fffffff900004000800000000"  # nobody's
OTHER = "36001405fffffff800004000800000000"


def lun(name, fields):
    return f"apiVersion: weft/v1\nkind: Lun\nmetadata: {{name: {name}}}\nspec: {{{fields}}}\n---\n"


GUEST = "apiVersion: weft/v1\nkind: Guest\nmetadata: {name: db}\nspec: {memory: {size: 32MiB}, disks: [{lun: data}]}\n"


def listed(host):
    return host.weft("lun", "list", "-o", "json").json()


def disks_of_this_machine():
    """{device: bytes} of what is a disk and no part of a map"""
    found = {}
    for block in Path("/sys/block").iterdir():
        kind = block / "device/subsystem"
        if kind.exists() and kind.resolve().name in ("scsi", "virtio", "nvme") and not any((block / "holders").glob("dm-*")):
            found[f"/dev/{block.name}"] = int((block / "size").read_text()) * 512
    return found


def test_list_shows_what_the_kernel_shows(host):
    there = disks_of_this_machine()
    if not there:
        pytest.skip("this machine has no disk that is SCSI, virtio or NVMe")
    found = wait_until(lambda: {disk["device"]: disk["size"] for disk in listed(host)}, what="the disks are listed")
    assert {device: size for device, size in found.items() if device in there} == there
    host.weft("lun", "list")
    assert listed(host)[0]["users"] is not None


def test_a_disk_that_is_away_is_waited_for(host):
    host.apply(lun("data", f'wwid: "{WWID}"') + GUEST)
    wait_until(lambda: f"no disk with WWID {WWID} is there" in host.condition("lun", "data")["message"])
    wait_until(lambda: "waits for lun/data" in json.dumps(host.objects("guest", "db")))
    assert not Path("/dev/weft/lun/data").exists()
    assert [disk["device"] for disk in wait_until(lambda: [disk for disk in listed(host) if disk.get("name") == "data"])] == [None]
    host.restart()
    wait_until(lambda: f"no disk with WWID {WWID} is there" in host.condition("lun", "data")["message"])
    host.weft("delete", "guest/db", "lun/data", "--wait=20s")
    assert not [disk for disk in listed(host) if disk.get("name") == "data" and Path(f"{host.root}/lib/luns/data.json").exists()]


def test_a_name_stays_with_its_disk(host):
    host.apply(lun("data", f'wwid: "{WWID}"'))
    wait_until(lambda: Path(f"{host.root}/lib/luns/data.json").exists())
    refused = host.apply(lun("data", f'wwid: "{OTHER}"'), check=False)
    assert refused.status == 2 and f"bound to the disk with WWID {WWID}" in refused.err
    refused = host.apply(lun("copy", f'wwid: "{WWID}"'), check=False)
    assert refused.status == 2 and "this disk is Lun/" in refused.err
    host.weft("delete", "lun/data", "--wait=20s")
    assert not Path(f"{host.root}/lib/luns/data.json").exists()
    host.apply(lun("data", f'wwid: "{OTHER}"'))
    wait_until(lambda: OTHER in Path(f"{host.root}/lib/luns/data.json").read_text())
    host.weft("delete", "lun/data", "--wait=20s")
