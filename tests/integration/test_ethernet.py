# SPDX-License-Identifier: Apache-2.0
"""Ethernet: a link that is there already is set, kept so, and given back as it was."""
import pytest

from harness import wait_until

NIC = """
apiVersion: weft/v1
kind: Ethernet
metadata: {name: nic0}
spec: {%s}
"""


@pytest.fixture
def host(make_host):
    def connect(host):
        host.run("ip", "link", "add", "nic0", "type", "veth", "peer", "name", "far0")
        host.run("sysctl", "-qw", "net.ipv6.conf.far0.disable_ipv6=1")  # else its link-local address comes and stays
        host.run("ip", "link", "set", "far0", "up")
        host.run("ip", "link", "set", "nic0", "mtu", "1400")
        host.run("ip", "addr", "add", "10.90.0.9/24", "dev", "nic0")
    return make_host(before=connect)


def test_a_nic_is_set_and_neither_made_nor_marked(host):
    before = host.links()["nic0"]
    host.apply(NIC % "mtu: 1450, addresses: [10.90.0.1/24, \"fd90::1/64\"], routes: [{to: 10.91.0.0/24, via: 10.90.0.2}]", "--wait=20s")
    nic = host.links()["nic0"]
    assert nic["mtu"] == 1450 and "UP" in nic["flags"] and "ifalias" not in nic and nic["ifindex"] == before["ifindex"]
    assert host.addresses("nic0") == {"10.90.0.9/24", "10.90.0.1/24", "fd90::1/64"}, "the address that was there stays"
    assert host.json("ip", "-j", "route", "show", "10.91.0.0/24")
    host.run("ip", "link", "set", "nic0", "down", "mtu", "1300")
    wait_until(lambda: host.links()["nic0"]["mtu"] == 1450 and "UP" in host.links()["nic0"]["flags"] and "10.90.0.1/24" in host.addresses("nic0")
               and host.json("ip", "-j", "route", "show", "10.91.0.0/24"))


def test_a_nic_that_is_not_there_is_waited_for(host):
    refused = host.apply((NIC % "mtu: 1450").replace("nic0", "nic9"), check=False)
    assert refused.status == 1 and "nic9 does not exist" in refused.err


def test_a_row_that_is_dropped_goes_back(host):
    host.apply(NIC % "mtu: 1450, mac: \"02:00:00:00:00:77\"", "--wait=20s")
    host.apply(NIC % "up: true", "--wait=20s")
    wait_until(lambda: host.links()["nic0"]["mtu"] == 1400 and host.links()["nic0"]["address"] != "02:00:00:00:00:77")


@pytest.mark.parametrize("name, why", [("nic0", "nic0 is no NIC with SR-IOV"), ("nic9", "nic9 does not exist")])
def test_a_link_without_virtual_functions_gets_none(host, name, why):
    """Those that have some are in test_vfs.py."""
    refused = host.apply((NIC % "vfs: 2").replace("nic0", name), check=False)
    assert refused.status in (1, 2) and why in refused.err, refused
