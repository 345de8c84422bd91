# SPDX-License-Identifier: Apache-2.0
"""Pools of weftd as a service: their mounts are units of systemd's, stand in the host's mount namespace, and outlive weftd. Driven from outside the
lab's host, like test_service.py."""
import pytest

import vm
from test_service import lab, until  # noqa: F401
from test_units import show

POOLS = """
apiVersion: weft/v1
kind: Pool
metadata: {name: images}
spec: {type: nfs, server: 127.0.0.1, export: /srv/pool-test, version: "4.2", options: [hard]}
---
apiVersion: weft/v1
kind: Pool
metadata: {name: data-1}
spec: {type: fs, uuid: 5c6b2a0e-2d6a-4d6c-9a58-0f3a7f0e9b11}
---
apiVersion: weft/v1
kind: Volume
metadata: {name: web}
spec: {pool: images, size: 8MiB}
---
apiVersion: weft/v1
kind: Volume
metadata: {name: db}
spec: {pool: data-1, size: 8MiB, format: raw}
"""
UNITS = {"images": "var-lib-weft-mounts-images.mount", "data-1": r"var-lib-weft-mounts-data\x2d1.mount"}


@pytest.fixture
def pools(lab):  # noqa: F811
    """The lab with an NFS export, a disk with a filesystem, and weftd with pools on both."""
    (lab.share / "pools.yaml").write_text(POOLS)
    lab.agent.check("set -e; mkdir -p -m 711 /srv/pool-test /etc/nfs.conf.d; printf '[nfsd]\\ngrace-time=10\\nlease-time=10\\n' >/etc/nfs.conf.d/t.conf; "
                    "systemctl start nfs-server; exportfs -o rw,sync,no_root_squash,no_subtree_check 127.0.0.1:/srv/pool-test; "
                    "mkfs.ext4 -q -F -U 5c6b2a0e-2d6a-4d6c-9a58-0f3a7f0e9b11 /dev/disk/by-id/virtio-lab-data0; udevadm settle; "
                    f"cp {vm.SHARE}/pools.yaml /etc/weft/; systemctl start weftd || {{ journalctl -u weftd --no-pager | tail -40; exit 1; }}", 120)
    until(lab, r"""weft get volumes -o json | jq -e 'length == 2 and all(.[]; .status.conditions[] | select(.type == "Ready") | .status == "True")'""", 120)
    return lab


def mounts(lab):  # noqa: F811
    """As the host itself sees them, with their numbers."""
    return lab.agent.check("grep -F /var/lib/weft/mounts/ /proc/1/mountinfo | cut -d' ' -f1,5,6 | sort")


@pytest.mark.lab
def test_mounts_of_pools_are_units_of_the_host(pools):
    lab = pools  # noqa: F811
    for name, unit in UNITS.items():
        seen = show(lab, unit, "ActiveState", "Where", "FragmentPath")
        assert seen["ActiveState"] == "active" and seen["Where"] == f"/var/lib/weft/mounts/{name}" and "/transient/" in seen["FragmentPath"], seen
    before = mounts(lab)
    assert before.count("nosuid,nodev,noexec") == 2
    assert lab.agent.check("ls /srv/pool-test /var/lib/weft/mounts/data-1").split() == [
        "/srv/pool-test:", "web.qcow2", "/var/lib/weft/mounts/data-1:", "db.raw", "lost+found"]
    lab.agent.check("systemctl restart weftd; systemctl kill --signal=KILL --kill-whom=main weftd")
    until(lab, "weft diff")
    assert mounts(lab) == before, "neither a restart nor a crash of weftd touches them"
    lab.agent.check("systemctl stop 'var-lib-weft-mounts-images.mount'")
    until(lab, "grep -qF /var/lib/weft/mounts/images /proc/1/mountinfo && weft diff", 60)
    lab.agent.check("mv /etc/weft/pools.yaml /tmp; weft delete --now --wait=60s pool/images pool/data-1 volume/web volume/db", 120)
    assert lab.agent.run("grep -F /var/lib/weft/mounts/ /proc/1/mountinfo")[0] == 1
    assert all(show(lab, unit, "ActiveState")["ActiveState"] == "inactive" for unit in UNITS.values())
    assert lab.agent.check("ls /srv/pool-test").split() == ["web.qcow2"]
