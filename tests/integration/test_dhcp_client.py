# SPDX-License-Identifier: Apache-2.0
"""A host's own addresses by DHCP: a client for each link that asks, which works on by itself; what becomes of it when server, client or weftd go away."""
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from dhcp import Server
from harness import EXAMPLES, wait_until

pytestmark = [pytest.mark.needs("dhcpcd"), pytest.mark.needs("dnsmasq")]
LINK = """
apiVersion: weft/v1
kind: Ethernet
metadata: {name: eth0}
spec: {dhcp4: true, dhcpMetric: 77%s}
"""
BRIDGE = """
apiVersion: weft/v1
kind: Bridge
metadata: {name: br1}
spec: {ports: [eth0], takeover: eth0, dhcp4: true%s}
"""


@pytest.fixture
def servers():
    """They stay until their hosts are gone."""
    made = []
    yield made
    for server in made:
        server.close()


@pytest.fixture
def host(servers, make_host):
    """With a DHCP server as host.server, on the far side of eth0."""
    def before(host):
        host.server = Server(host)
        servers.append(host.server)
        host.wait_quiet()
    return make_host(before=before)


def address(host, link="eth0", family=4):
    """The one that is leased, if there is one."""
    option = "-4" if family == 4 else "-6"
    found = [a for l in host.json("ip", option, "-j", "addr", "show", "dev", link, "scope", "global") for a in l["addr_info"] if a.get("dynamic")]
    return found[0]["local"] if found else None


def default_routes(host, option="-4"):
    return [(r["dev"], r.get("gateway"), r.get("metric")) for r in host.json("ip", option, "-j", "route", "show", "default")]


def details(host):
    """What weft tells of the client on eth0."""
    return host.objects("ethernet", "eth0")[0]["status"]["details"]["dhcp-client"]


def client(host):
    """The first of the client's processes, as weft has noted it."""
    pid = details(host)["pid"]
    assert Path(f"/proc/{pid}").exists()
    return pid


def degraded(host, kind="ethernet", name="eth0"):
    condition = host.condition(kind, name, "Degraded")
    return condition["message"] if condition and condition["status"] == "True" else ""


def outside_files():
    """What a DHCP client usually writes to."""
    return {path: Path(path).read_bytes() if Path(path).exists() else None for path in ("/etc/resolv.conf", "/etc/hostname", "/etc/dhcpcd.conf")} | {
        directory: sorted(os.listdir(directory)) if os.path.isdir(directory) else [] for directory in ("/run/dhcpcd", "/var/lib/dhcpcd")}


def test_an_address_with_its_routes_until_nobody_asks_any_more(host):
    before = outside_files()
    host.apply(LINK % "", "--wait=30s")
    got = address(host)
    assert got in host.server.lent() and host.server.answers(got)
    assert default_routes(host) == [("eth0", "10.9.0.1", 77)]
    told = details(host)
    assert told["addresses"] == [f"{got}/24"] and told["routers"] == ["10.9.0.1"] and told["server"] == "10.9.0.1"
    assert outside_files().keys() == before.keys() and all(outside_files()[k] == before[k] for k in before if not k.startswith(("/run", "/var"))), "only its own files"
    assert set(outside_files()["/var/lib/dhcpcd"]) == set(before["/var/lib/dhcpcd"]) and set(outside_files()["/run/dhcpcd"]) == set(before["/run/dhcpcd"])
    host.apply(LINK.replace("dhcp4: true, dhcpMetric: 77", "dhcp4: false") % "", "--wait=30s")
    assert address(host) is None and default_routes(host) == [] and not [p for p in host.pids().values() if "dhcpcd" in p]
    wait_until(lambda: got not in host.server.lent(), what="the lease is given back")


def test_both_families(host):
    host.apply(LINK % ", dhcp6: true", "--wait=40s")
    wait_until(lambda: address(host) and address(host, family=6), what="an address of each family")
    assert host.server.answers(address(host)) and host.server.answers(address(host, family=6))
    wait_until(lambda: [metric for _, _, metric in default_routes(host, "-6")] == [77], what="a default route by the router's word")
    assert host.ready("ethernet", "eth0") and not degraded(host)
    host.apply(LINK.replace(", dhcpMetric: 77", "") % "", "--allow-disruption", "--wait=30s")
    assert address(host) and [metric for _, _, metric in default_routes(host)] == [1024]
    assert address(host, family=6) is None and default_routes(host, "-6") == []


def test_promise_07_a_new_weftd_finds_its_client(host):
    host.apply(LINK % "", "--wait=30s")
    got, pid, asked = address(host), client(host), host.server.said("DHCPDISCOVER")
    for how in (signal.SIGKILL, signal.SIGTERM):
        host.restart(how)
        wait_until(lambda: host.ready("ethernet", "eth0"))
        assert client(host) == pid and address(host) == got
    assert host.server.said("DHCPDISCOVER") == asked, "nobody has asked anew"


def test_a_killed_client_comes_back_with_the_address(host):
    host.apply(LINK % "", "--wait=30s")
    got, pid = address(host), client(host)
    os.kill(pid, signal.SIGKILL)
    assert address(host) == got, "the address stays"
    wait_until(lambda: host.ready("ethernet", "eth0") and client(host) != pid, 30, "another client")
    assert address(host) == got and default_routes(host) == [("eth0", "10.9.0.1", 77)]
    assert len({p for p in host.pids() if os.getpgid(p) == pid}) == 0, "and nothing is left of the first"
    host.stop(signal.SIGKILL)
    pid = int((host.root / "run/dhcp/eth0/run/eth0.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    host.start()
    wait_until(lambda: host.ready("ethernet", "eth0") and client(host) != pid, 30, "one that ended meanwhile")
    wait_until(lambda: not [p for p in host.pids() if os.getpgid(p) == pid], what="nothing is left of that either")


def test_promise_27_no_server_is_no_reason_to_wait(host):
    host.server.stop()
    other = "apiVersion: weft/v1\nkind: Bridge\nmetadata: {name: d0}\nspec: {addresses: [10.77.0.1/24]}\n---"
    host.apply(other + LINK % "")
    assert host.ready("bridge", "d0") and "10.77.0.1/24" in host.addresses("d0")
    wait_until(lambda: "no DHCP server gives eth0 an IPv4 address" in degraded(host), 30)
    host.server.serve()
    wait_until(lambda: address(host) and host.ready("ethernet", "eth0") and not degraded(host), 90, "it gets one as soon as there is a server")


def test_renewed_refused_and_lost(host):
    host.server.serve(lease="2m")
    host.apply(LINK % "", "--wait=30s")
    got = address(host)
    host.server.forget()
    host.server.serve(first=150, last=199)  # which refuses the address at the next renewal
    asked = host.server.said("DHCPREQUEST")
    host.run("ip", "link", "set", "eth0", "down")  # which weft puts up again; a client asks then whether its address still counts
    wait_until(lambda: host.server.said("DHCPREQUEST") > asked and host.server.said("DHCPNAK"), 60, "the server refuses")
    wait_until(lambda: (address(host) or got) != got, 60, "another address")
    wait_until(lambda: host.ready("ethernet", "eth0") and not degraded(host) and
               details(host)["addresses"] == [f"{address(host)}/24"], 30)
    assert default_routes(host) == [("eth0", "10.9.0.1", 77)]


@pytest.mark.full("dnsmasq's shortest lease is two minutes")
def test_the_end_of_a_lease(host):
    """Two minutes are the least that dnsmasq lends for; the kernel ends what nobody renews."""
    host.apply(LINK % "", "--wait=30s")
    host.server.forget()
    wait_until(lambda: address(host) is None, 150, "the lease has ended")
    wait_until(lambda: "no DHCP server gives eth0" in degraded(host), 30)
    host.server.serve()
    wait_until(lambda: address(host) and not degraded(host), 90, "and begins anew")


def test_a_link_that_is_made_anew(host):
    host.apply("apiVersion: weft/v1\nkind: Bridge\nmetadata: {name: br1}\nspec: {ports: [eth0], dhcp4: true}\n", "--wait=40s")
    got = wait_until(lambda: address(host, "br1"), 90)
    assert host.server.answers(got)
    host.run("ip", "link", "del", "br1")
    wait_until(lambda: host.links()["br1"]["ifindex"] and host.links()["eth0"].get("master") == "br1", what="a bridge again")
    wait_until(lambda: address(host, "br1") == got and host.ready("bridge", "br1"), 60, "with its address")
    assert host.server.answers(got)


def test_what_makes_no_sense_is_refused(host):
    for spec, why in (("dhcpMetric: 5", "nobody asks"), ("dhcp4: true, dhcpClientId: host", "a client id is"), ("dhcp4: true, bridge: br9", "a port of a bridge")):
        refused = host.apply(LINK.replace("dhcp4: true, dhcpMetric: 77%s", spec) +
                             "---\napiVersion: weft/v1\nkind: Bridge\nmetadata: {name: br9}\n", check=False)
        assert refused.status == 2 and why in refused.err, spec


# ---- a bridge over a NIC whose address somebody else has leased ----

def udhcpc(host, *options):
    """The host's own client on eth0, which weft knows nothing of."""
    script = host.scratch / "udhcpc"
    script.write_text("#!/bin/sh\ncase $1 in bound|renew) ip addr replace $ip/24 dev $interface valid_lft $lease preferred_lft $lease\n"
                      "ip route replace default via $router dev $interface;; esac\n")
    script.chmod(0o755)
    process = host.popen("udhcpc", "-f", "-i", "eth0", "-s", script, *options, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: address(host), 60, "the host has an address of its own client's")
    host.before = host.snapshot()
    return process


def timeless(host, link):
    return [{k: v for k, v in a.items() if not k.endswith("life_time")} for l in host.json("ip", "-4", "-j", "addr", "show", "dev", link) for a in l["addr_info"]]


@pytest.mark.needs("udhcpc")
def test_a_leased_address_goes_over_to_the_bridge(host):
    foreign = udhcpc(host)
    got, had = address(host), timeless(host, "eth0")
    refused = host.apply(BRIDGE % "", check=False)
    assert refused.status == 1 and "leased" in refused.out + refused.err and "own client" in refused.out + refused.err, refused
    foreign.kill()
    foreign.wait()
    pings = subprocess.Popen(["ip", "netns", "exec", host.server.ns, "ping", "-n", "-q", "-i", "0.05", got], stdout=subprocess.PIPE, text=True)
    host.apply(BRIDGE % "", "--confirm", "60s")
    host.weft("confirm")
    wait_until(lambda: host.ready("bridge", "br1"))
    assert address(host, "br1") == got and timeless(host, "eth0") == [] and host.links()["eth0"]["master"] == "br1"
    assert default_routes(host) == [("br1", "10.9.0.1", 1024)] and list(host.server.lent()) == [got]
    host.restart(signal.SIGKILL)
    wait_until(lambda: host.ready("bridge", "br1"))
    assert host.diff() == [] and address(host, "br1") == got
    host.weft("delete", "bridge", "br1", "--wait=30s")
    pings.send_signal(signal.SIGINT)
    print(pings.communicate(timeout=20)[0])
    assert timeless(host, "eth0") == had and default_routes(host) == [("eth0", "10.9.0.1", None)]
    assert got in host.server.lent(), "the lease is still that of the host's own client"


@pytest.mark.needs("udhcpc")
def test_a_lease_that_no_server_confirms_stays_where_it_is(host):
    foreign = udhcpc(host)
    got = address(host)
    foreign.kill()
    foreign.wait()
    host.server.stop()
    done = host.apply(BRIDGE % "", "--confirm", "60s", check=False)
    assert done.status == 1 and "no DHCP server has confirmed" in done.out + done.err, done
    wait_until(lambda: "br1" not in host.links(), what="the old state")
    assert address(host) == got and default_routes(host) == [("eth0", "10.9.0.1", None)]


def link_local(host, ns_run, link):
    return next(a["local"] for l in json.loads(ns_run("ip", "-6", "-j", "addr", "show", "dev", link, "scope", "link")) for a in l["addr_info"] if "local" in a)


@pytest.mark.needs("udhcpc")
def test_the_example(servers, make_host):
    """eth1 leads to a server of its own."""
    def before(host):
        for nic in "eth0", "eth1":
            servers.append(Server(host, nic))
        host.wait_quiet()
    host = make_host(before=before)
    foreign = udhcpc(host)
    foreign.kill()
    foreign.wait()
    got = address(host)
    host.apply(EXAMPLES / "dhcp.yaml", "--confirm", "60s", "--wait=40s")
    host.weft("confirm")
    assert address(host, "br1") == got and host.ready("network", "office")
    wait_until(lambda: address(host, "eth1") and address(host, "eth1", 6), 90)
    assert sorted(default_routes(host), key=lambda r: r[2]) == [("br1", "10.9.0.1", 100), ("eth1", "10.9.0.1", 2000)]
    # By itself: what gives the NIC of br1 back is not to lose a gateway, of either family, and that of IPv6 comes by eth1.
    host.weft("delete", "ethernet", "eth1", "--wait=60s")


@pytest.mark.needs("udhcpc")
def test_both_families_go_over_to_the_bridge(host):
    """The NIC's routes have the metric that the bridge's client would take, as those that the kernel and systemd-networkd make have."""
    foreign = udhcpc(host)
    foreign.kill()
    foreign.wait()
    got, router = address(host), link_local(host, host.server.run, "srv")
    for command in ("-4 route replace default via 10.9.0.1 dev eth0 proto dhcp metric 1024", "-4 route del default via 10.9.0.1 metric 0",
                    "addr add fd09::77/128 dev eth0 valid_lft 3600 preferred_lft 3600 nodad",
                    f"-6 route add default via {router} dev eth0 proto ra metric 1024", "-6 route add fd09::/64 dev eth0 proto ra metric 1024"):
        host.run("ip", *command.split())
    host.before, had = host.snapshot(), timeless(host, "eth0")
    refused = host.apply(BRIDGE % ", dhcp6: true, dhcpMetric: 1024", "--allow-disruption", check=False)
    assert refused.status == 2 and "such as 1023" in refused.err, refused
    host.apply(BRIDGE % ", dhcp6: true", "--confirm", "60s", "--wait=40s")
    assert default_routes(host) == [("br1", "10.9.0.1", 1023)] and default_routes(host, "-6") == [("br1", router, 1023)]
    host.weft("confirm")
    assert address(host, "br1") == got and address(host, "br1", 6) and timeless(host, "eth0") == [] and address(host, "eth0", 6) is None
    assert host.server.answers(got) and host.server.answers(address(host, "br1", 6))
    host.restart(signal.SIGKILL)
    wait_until(lambda: host.ready("bridge", "br1"))
    assert host.diff() == []
    host.weft("delete", "bridge", "br1", "--wait=30s")
    assert timeless(host, "eth0") == had and address(host, "eth0", 6) == "fd09::77"
    assert default_routes(host) == [("eth0", "10.9.0.1", 1024)] and default_routes(host, "-6") == [("eth0", router, 1024)]


@pytest.mark.needs("udhcpc")
def test_who_keeps_a_leased_address_does_not_change_on_the_way(host):
    without = BRIDGE.replace(", dhcp4: true", "") % ""
    foreign = udhcpc(host)
    foreign.kill()
    foreign.wait()
    got = address(host)
    host.apply(BRIDGE % "", "--allow-disruption", "--wait=30s")
    refused = host.apply(without, "--allow-disruption", check=False)
    assert refused.status == 2 and "br1 renews it by its DHCP client since" in refused.err and "without dhcp4" in refused.err, refused
    assert address(host, "br1") == got and host.server.answers(got)
    host.weft("delete", "bridge", "br1", "--wait=30s")
    host.apply(without, "--allow-disruption", "--wait=30s")
    assert f"{got}/24" in host.addresses("br1") and address(host, "br1") is None and host.server.answers(got)
    refused = host.apply(BRIDGE % "", "--allow-disruption", check=False)
    assert refused.status == 2 and "br1 has it as one of its own since" in refused.err and "with dhcp4" in refused.err, refused


@pytest.mark.needs("udhcpc")
def test_a_lease_of_somebody_else_is_imported_and_left_to_him(host):
    """Until it ends: then the link is without an address, and weft asks."""
    foreign = udhcpc(host)
    had, got = timeless(host, "eth0"), address(host)
    text = host.weft("import", "host").out
    assert "dhcp4: true" in text and "dhcp6" not in text and got not in text and "Applied, this would" not in text, text
    host.apply(text, "--wait=30s")
    host.restart()
    wait_until(lambda: host.ready("ethernet", "eth0"))
    assert timeless(host, "eth0") == had and host.diff() == [] and not [p for p in host.pids().values() if "dhcpcd" in p]
    assert host.weft("import", "host").out == text
    foreign.kill()
    foreign.wait()
    host.run("ip", "addr", "flush", "dev", "eth0", "scope", "global")
    wait_until(lambda: address(host) and details(host)["addresses"] == [f"{address(host)}/24"], 60, "weft's client has an address")
    os.kill(client(host), signal.SIGKILL)  # which leaves an address that nobody keeps for a moment, but it is weft's
    wait_until(lambda: host.ready("ethernet", "eth0") and client(host), 30, "a client again")
    assert host.server.answers(address(host)) and "dhcp-client" in host.objects("ethernet", "eth0")[0]["status"]["details"]
    host.weft("delete", "ethernet", "eth0", "--wait=30s")
    assert address(host) is None and default_routes(host) == []
    host.before = host.snapshot()  # without what the other client had
