# SPDX-License-Identifier: Apache-2.0
"""A guest on an image of Ceph where weftd and the guest's QEMU are services: the key comes as a credential of systemd's and reaches QEMU through the
launcher's unit. Driven from outside the lab's host, like test_service.py; the rest of pools in Ceph clusters needs no such host."""
import os
import subprocess

import pytest

import vm
from test_service import fabric, installed, until
from workshop import SOURCE

MANIFESTS = """
apiVersion: weft/v1
kind: Pool
metadata: {name: ceph}
spec: {type: rbd, pool: vms, monitors: [192.0.2.70], user: weft, keyring: {credential: ceph}}
---
apiVersion: weft/v1
kind: Volume
metadata: {name: web}
spec: {pool: ceph, source: {file: /share/tiny.img, format: raw}}
---
apiVersion: weft/v1
kind: Guest
metadata: {name: web}
spec: {memory: {size: 32MiB}, disks: [{volume: web}], shutdownTimeout: 30s}
"""
# The key is in a file for grep, which is among the processes that are looked at.
WITH_KEY = r"""sed -n 's/.*key = //p' /etc/ceph/ceph.client.weft.keyring >/run/key; [ $(wc -c </run/key) = 41 ] || exit 3
for p in /proc/[0-9]*; do tr '\0' '\n' <$p/cmdline; tr '\0' '\n' <$p/environ; done 2>/dev/null | grep -cFf /run/key
journalctl --no-pager | grep -cFf /run/key; grep -rlFf /run/key /run/weft /var/lib/weft /var/log 2>/dev/null | wc -l"""


@pytest.mark.lab_full
def test_a_guest_on_an_image_of_ceph(tmp_path):
    subprocess.run(["as", SOURCE / "tests/data/tiny-guest.S", "-o", tmp_path / "tiny.o"], check=True)
    subprocess.run(["ld", "--oformat", "binary", "-Ttext", "0x7c00", tmp_path / "tiny.o", "-o", tmp_path / "tiny.img"], check=True)
    os.truncate(tmp_path / "tiny.img", 1 << 20)
    with installed(tmp_path / "h", "ceph") as lab:
        (lab.share / "tiny.img").write_bytes((tmp_path / "tiny.img").read_bytes())
        (lab.share / "ceph.yaml").write_text(MANIFESTS)
        lab.agent.check(f"set -e; cp {vm.SHARE}/ceph.yaml /etc/weft/; mkdir -p /etc/systemd/system/weftd.service.d; "
                        "printf '[Service]\\nLoadCredential=ceph:/etc/ceph/ceph.client.weft.keyring\\n' >/etc/systemd/system/weftd.service.d/ceph.conf; "
                        "systemctl daemon-reload; systemctl start weftd || { journalctl -u weftd --no-pager | tail -40; exit 1; }", 120)
        until(lab, "grep -q BOOTED /run/weft/guests/web/console.log", 180)
        assert lab.agent.check("rbd status vms/web --format json | jq '.watchers | length'").strip() == "1"
        assert "weft.mark" in lab.agent.check("rbd image-meta ls vms/web")
        assert lab.agent.run(WITH_KEY)[1].split() == ["0", "0", "0"]
        before = fabric(lab), lab.agent.check("pgrep -f [q]emu-system.*guest=web,")
        lab.agent.check("systemctl restart weftd", 60)
        assert (fabric(lab), lab.agent.check("pgrep -f [q]emu-system.*guest=web,")) == before
        lab.agent.check("mv /etc/weft/ceph.yaml /tmp; weft delete --now --wait=60s guest/web volume/web pool/ceph", 120)
        assert lab.agent.check("rbd ls vms").split() == ["web"]
