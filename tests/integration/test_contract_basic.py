# SPDX-License-Identifier: Apache-2.0
"""examples/basic.yaml: an isolated network, and a bridge with a tap. What they are as links is in test_bridge_tap.py."""
import re

import pytest

from harness import EXAMPLES, wait_until

pytestmark = pytest.mark.needs("dnsmasq", "udhcpc", "dig", "rdisc6")


@pytest.fixture
def host(make_host):
    host = make_host()
    host.apply(EXAMPLES / "basic.yaml", "--wait=20s")
    return host


def test_contract_basic_isolated_network_serves(host, plug):
    for table in "iptables", "ip6tables":
        for chain in "INPUT", "FORWARD", "OUTPUT":
            host.run(table, "-P", chain, "DROP")
    guest, neighbour = plug("quiet"), plug("quiet")
    lease = guest.lease()
    assert re.fullmatch(r"10\.201\.0\.[1-9]\d", lease["ip"]) and lease["dns"] == "10.201.0.1" and lease["router"] == ""
    assert "status: REFUSED" in guest.run("dig", "+time=2", "+tries=1", "@10.201.0.1", "example.org"), "DNS answers, and knows nothing beyond"
    neighbour.run("ip", "addr", "add", "10.201.0.200/24", "dev", "eth0")
    assert neighbour.pings(lease["ip"]), "guests of one network reach each other"
    for table in "iptables", "ip6tables":
        for chain in "INPUT", "FORWARD", "OUTPUT":
            host.run(table, "-P", chain, "ACCEPT")


def test_contract_basic_isolated_means_isolated(host, plug, outside):
    guest, stranger = plug("quiet"), plug("br7")
    guest.lease()
    assert guest.pings("10.201.0.1")
    assert host.run("ip", "-6", "addr", "show", "dev", "quiet") == "", "no IPv6 where none was asked for"
    # Even to one that gives itself routes and addresses, on a host that forwards.
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    guest.run("ip", "route", "add", "default", "via", "10.201.0.1")
    guest.run("ip", "-6", "addr", "add", "fd77::10/64", "dev", "eth0", "nodad")
    bridge = host.links()["quiet"]["address"]
    guest.run("ip", "-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0")
    guest.run("ip", "neigh", "replace", "fe80::1", "lladdr", bridge, "dev", "eth0")
    stranger.run("ip", "addr", "add", "10.7.0.2/24", "dev", "eth0")
    stranger.run("ip", "route", "add", "default", "via", "10.7.0.1")
    assert stranger.pings("10.99.0.2"), "the host forwards"
    for beyond in "10.99.0.2", "10.99.0.1", "10.7.0.1", "10.7.0.2", "fd99::2", "fd99::1":
        assert not guest.pings(beyond), beyond
    for server in outside, stranger:
        assert not server.pings(guest.run("ip", "-4", "-br", "addr", "show", "dev", "eth0").split()[2].split("/")[0])
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")


def test_contract_basic_tap(host):
    tap = host.links()["tap7"]
    info = tap["linkinfo"]["info_data"]
    assert info["persist"] and info["multi_queue"] and info["user"] == "weft-qemu"
    assert tap["master"] == "br7" and tap["mtu"] == 1400 and tap["address"] == "52:54:00:07:07:07"
    assert wait_until(lambda: host.ready("tap", "tap7"))
