# SPDX-License-Identifier: Apache-2.0
"""A host whose iSCSI target is away when it boots: driven from outside, since it boots. The target is the host's own, and a reboot takes it away: the
kernel keeps no configuration of targets."""
import pytest

import vm
from test_service import lab, until  # noqa: F401
from workshop import SOURCE

MANIFESTS = """
apiVersion: weft/v1
kind: Pool
metadata: {name: san}
spec:
  type: iscsi
  portals: [192.0.2.60]
  target: iqn.2003-01.org.linux-iscsi.san:sn.1
  chap: {user: host1, password: {file: /etc/weft/secrets/chap}}
---
apiVersion: weft/v1
kind: Lun
metadata: {name: system}
spec: {pool: san, lun: 1}
---
apiVersion: weft/v1
kind: Guest
metadata: {name: web}
spec: {memory: {size: 32MiB}, disks: [{lun: system}]}
"""
READY = """weft get %s -o json | jq -e 'if type == "array" then .[0] else . end | .status.conditions[] | select(.type == "Ready") | .status == "True"'"""
SERVE = (f"cd /tmp; cp {vm.SHARE}/lib.sh .; . ./lib.sh; addresses servers0 192.0.2.50 192.0.2.60; addresses servers1 198.51.100.60; "
         "rm -rf /var/lab/luns; losetup -D; mkdir -p /etc/target/pr; iscsi_target")


def serve(host):
    (host.share / "lib.sh").write_bytes((SOURCE / "tests/lab/states/lib.sh").read_bytes())
    host.agent.check(f"bash -ec '{SERVE}'", 60)


@pytest.mark.lab_full
def test_promise_27_a_target_that_is_away_at_boot(lab):  # noqa: F811
    (lab.share / "san.yaml").write_text(MANIFESTS)
    serve(lab)
    lab.agent.check(f"set -e; mkdir -p -m 700 /etc/weft/secrets; echo lab-secret-of-host1 >/etc/weft/secrets/chap; chmod 600 /etc/weft/secrets/chap; "
                    f"cp {vm.SHARE}/san.yaml /etc/weft/; systemctl enable --now iscsid.socket; systemctl start weftd")
    until(lab, READY % "guest web", 120)
    lab.reboot()
    until(lab, READY % "network lan9", 120)
    assert lab.agent.run("ls /sys/class/iscsi_session/*")[0] != 0
    text = until(lab, "weft get pool san -o json | grep -F 192.0.2.60")
    assert text and lab.agent.run(READY % "guest web")[0] != 0
    serve(lab)
    until(lab, READY % "guest web", 180)
    assert lab.agent.check("readlink -f /dev/weft/lun/system").startswith("/dev/sd")
    assert lab.agent.check("grep -rl lab-secret /etc/iscsi/nodes /etc/iscsi/ifaces /var/lib/weft /run/weft || true") == ""
