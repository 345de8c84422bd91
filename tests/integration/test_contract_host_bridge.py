# SPDX-License-Identifier: Apache-2.0
"""examples/host-bridge.yaml: a bridge over a VLAN over a bond that speaks LACP with a switch, and guests in a VLAN of a trunk."""
import subprocess

import pytest

from harness import EXAMPLES, wait_until
from test_bridge_vlans import ACCESS, tagged, vlans
from test_promises import add_image

pytestmark = pytest.mark.needs("link:bond", "link:bridge vlan_filtering 1", "qemu-system-x86_64", "as", "ld")
HOST_BRIDGE = (EXAMPLES / "host-bridge.yaml").read_text()
DESK = """
---
apiVersion: weft/v1
kind: Guest
metadata: {name: desk}
spec: {memory: {size: 32MiB}, disks: [{file: tiny.img, readOnly: true}], interfaces: [{network: office}], shutdownTimeout: 1s}
"""


class Switch:
    """A namespace with a bond of the far ends of eth0 and eth1, 192.0.2.1 in its VLAN 20, and the far end of eth2 with a link for VLAN 20."""

    def __init__(self, host):
        self.ns = f"{host.ns}-switch"
        subprocess.run(["ip", "netns", "add", self.ns], check=True)
        for number in range(3):
            host.run("ip", "link", "add", f"eth{number}", "type", "veth", "peer", "name", f"far{number}", "netns", self.ns)
        self.run("ip link add wire type bond mode 802.3ad lacp_rate fast miimon 100")
        for number in range(2):
            self.run(f"ip link set far{number} mtu 9000 master wire")
            self.run(f"ip link set far{number} up")
        self.run("ip link set wire up mtu 9000")
        self.vlan("wire", "192.0.2.1/24")
        self.run("ip link set far2 up")
        self.vlan("far2", "10.20.0.1/24")

    def vlan(self, link, address):
        self.run(f"ip link add {link}.20 link {link} type vlan id 20")
        self.run(f"ip addr add {address} dev {link}.20")
        self.run(f"ip link set {link}.20 up")

    def run(self, command, check=True):
        return subprocess.run(["ip", "netns", "exec", self.ns, *command.split()], capture_output=True, text=True, check=check)

    def close(self):
        subprocess.run(["ip", "netns", "del", self.ns], capture_output=True)


@pytest.fixture
def switches():
    made = []
    yield made
    for switch in made:
        switch.close()


@pytest.fixture
def host(switches, make_host):
    def connect(host):
        add_image(host)
        switches.append(Switch(host))
        host.wait_quiet()
    return make_host(before=connect)


def test_contract_host_bridge(host, switches):
    host.apply(HOST_BRIDGE + DESK, "--allow-disruption", "--wait=90s")
    switch, links = switches[0], host.links()
    wait_until(lambda: switch.run("ping -n -c1 -W1 -M do -s 8000 192.0.2.10", check=False).returncode == 0, 60, "the host answers over VLAN and bond")
    assert links["br0"]["mtu"] == links["bond0.20"]["mtu"] == links["bond0"]["mtu"] == 9000
    assert links["bond0.20"]["master"] == "br0" and host.addresses("br0") == {"192.0.2.10/24"}
    bond = links["bond0"]["linkinfo"]["info_data"]
    assert (bond["mode"], bond["ad_lacp_rate"], bond["miimon"], bond["xmit_hash_policy"]) == ("802.3ad", "fast", 100, "layer3+4")
    assert host.json("ip", "-j", "route", "show", "default")[0]["gateway"] == "192.0.2.1"
    assert vlans(host, "eth2") == {1: ACCESS, **tagged((10, 10), (20, 29))}
    assert vlans(host, "desk.0") == {20: ACCESS} and links["desk.0"]["master"] == "trunk0"


def test_contract_host_bridge_says_what_is_not_seamless(host, switches):
    """A NIC in use goes into the bond: diff names it, for how long, and apply asks."""
    host.run("ip", "link", "set", "eth0", "up")
    host.run("ip", "addr", "add", "192.0.2.9/24", "dev", "eth0")
    host.wait_quiet()
    host.before = host.snapshot()
    path = host.scratch / "bridge.yaml"
    path.write_text(HOST_BRIDGE)
    plan = host.weft("diff", "-f", path, "-o", "json", check=False).json()["plan"]
    disruptive = [step for step in plan if step["disruptive"]]
    assert [step["resource"] for step in disruptive] == ["link/eth0"] and "about 3 s" in disruptive[0]["note"]
    refused = host.apply(path, check=False)
    assert refused.status == 1 and "--confirm" in refused.err and "master" not in host.links()["eth0"]
