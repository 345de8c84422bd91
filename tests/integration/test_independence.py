# SPDX-License-Identifier: Apache-2.0
"""What fails stands for itself: it keeps neither the daemon nor the next apply from working."""
import pytest

from harness import wait_until

BRIDGE = """
apiVersion: weft/v1
kind: Bridge
metadata: {name: %s}
spec: {ports: [%s]}
"""


@pytest.mark.no_laws  # its port is gone for good
def test_what_failed_before_does_not_hold_up_another_apply(make_host):
    host = make_host(before=lambda h: h.run("ip", "link", "add", "v0", "type", "veth", "peer", "v1"))
    host.apply(BRIDGE % ("br1", "v0"), "--wait=20s")
    host.run("ip", "link", "del", "v0")
    wait_until(lambda: not host.ready("bridge", "br1"), 10, "br1 misses its port")
    assert "v0" in host.condition("bridge", "br1")["message"]
    host.apply(BRIDGE % ("br2", ""), "--wait=20s")
    assert "br2" in host.links()
    host.restart()
    host.wait_ready("bridge", "br2")
    host.run("ip", "link", "add", "v0", "type", "veth", "peer", "v1")
    host.wait_ready("bridge", "br1", 10)
    assert host.links()["v0"]["master"] == "br1"


def test_a_refused_apply_leaves_the_others_alone(host):
    host.apply(BRIDGE % ("br1", ""), "--wait=20s")
    index = host.links()["br1"]["ifindex"]
    done = host.apply(BRIDGE % ("br2", "nosuch0"), check=False)
    assert done.status == 1 and "nosuch0" in done.err and "does not exist" in done.err
    links = host.links()
    assert links["br1"]["ifindex"] == index and "br2" not in links
