# SPDX-License-Identifier: Apache-2.0
"""weft import host: what others have made on this host as manifests, which change nothing when they are applied. The kernel's own
events are the witness: whoever listens hears nothing."""
import os
import re
import subprocess
import time

import pytest

from harness import machine_lacks, wait_until

# Each with the link kinds that it takes; what this machine's kernel lacks is left out, and the lab has it all.
PARTS = {
    "nic": ([], """
link add nic0 type veth peer name far0
link set nic0 mtu 1400 up
link set far0 mtu 1400 up
addr add 10.90.0.9/24 dev nic0
addr add fd90::9/64 dev nic0 nodad
route add default via 10.90.0.1 metric 50
route add 10.91.0.0/16 via 10.90.0.2 src 10.90.0.9 mtu 1300 proto static
route add 10.92.0.0/16 dev nic0 table 77
route add fd91::/64 via fd90::1 proto static
route add 10.93.0.0/16 via 10.90.0.2 proto ospf
"""),
    "bridge": ([], """
link add br7 address 02:00:00:00:07:00 type bridge ageing_time 20000 stp_state 1 forward_delay 400 max_age 600 priority 4096 mcast_snooping 0
link add port0 type veth peer name port0x
link add port1 type veth peer name port1x
link set port0 master br7 up
link set port1 master br7
link set port0 type bridge_slave isolated on learning off
link set br7 up
addr add 10.70.0.1/24 dev br7
addr add 10.70.0.77/24 dev br7 valid_lft 3000 preferred_lft 3000
addr add 10.75.0.77/24 dev port1 valid_lft 3000 preferred_lft 3000
"""),
    "dummy": (["link:dummy"], """
link add dum7 type dummy
link set dum7 mtu 1234 up
addr add 192.0.2.7/32 dev dum7
"""),
    "vlan filter": (["link:bridge vlan_filtering 1"], """
link add br8 type bridge vlan_filtering 1 vlan_default_pvid 5
link add trunk0 type veth peer name trunk0x
link add trunk1 type veth peer name trunk1x
link set trunk0 master br8 up
link set trunk1 master br8 up
link set br8 up
"""),
    "vlan": (["link:vlan"], """
link add link nic0 name nic0.20 type vlan id 20
link add link nic0 name q7 type vlan id 7 protocol 802.1ad
link set nic0.20 mtu 1300 up
addr add 10.20.0.1/24 dev nic0.20
"""),
    "bond": (["link:bond"], """
link add bond7 type bond mode active-backup miimon 200 updelay 400
link add slave0 type veth peer name slave0x
link add slave1 type veth peer name slave1x
link set slave0 master bond7
link set slave1 master bond7
link set slave0 up
link set slave1 up
link set bond7 type bond primary slave1
link set bond7 up
"""),
    "vxlan": (["link:vxlan"], """
link add vx7 type vxlan id 7001 local 10.90.0.9 dstport 4789 ttl 9 ageing 100 nolearning
link set vx7 mtu 1350 up
link add vx8 type vxlan id 7002 group 239.1.1.1 dev nic0 dstport 8472
link set vx8 mtu 1300
link add vx9 type vxlan id 42 dstport 4790
link add vx10 type vxlan id 7003 remote 10.90.0.6 local 10.90.0.9 dstport 4789
link set vx10 mtu 1300 up
"""),
    "tunnels": (["link:geneve", "link:gretap", "link:gre", "link:ipip"], """
link add gnv7 type geneve id 7003 remote 10.90.0.2 dstport 6099
link set gnv7 mtu 1300
link add gt7 type gretap local 10.90.0.9 remote 10.90.0.3 key 9 ttl 7
link set gt7 mtu 1300 up
link add gre7 type gre local 10.90.0.9 remote 10.90.0.4 ttl 64
link set gre7 mtu 1300 up
addr add 10.94.0.1/30 dev gre7
link add ipip7 type ipip local 10.90.0.9 remote 10.90.0.5 ttl 64
link set ipip7 mtu 1300
"""),
    "vrf": (["link:vrf", "link:dummy"], """
link add vrf7 type vrf table 1007
link add inside type dummy
link set inside master vrf7 up
link set vrf7 up
"""),
    "macvlan": (["link:macvlan"], """
link add under type veth peer name underx
link set under up
link add link under name mv7 type macvlan mode vepa
link set mv7 up
"""),
    "ipvlan": (["link:ipvlan"], """
link add under2 type veth peer name under2x
link set under2 up
link add link under2 name iv7 type ipvlan mode l3
link set iv7 up
"""),
}


def set_up(host):
    host.parts = [name for name, (needs, _) in PARTS.items() if not any(map(machine_lacks, needs))]
    host.run("sysctl", "-qw", "net.ipv6.conf.all.accept_ra=0")
    for name in host.parts:
        host.run("ip", "-batch", "-", input=PARTS[name][1])
    if "vxlan" in host.parts:
        for remote in "10.90.0.2", "10.90.0.3":
            host.run("bridge", "fdb", "append", "00:00:00:00:00:00", "dst", remote, "dev", "vx7")
    if "vlan filter" in host.parts:
        host.run("bridge", "vlan", "add", "dev", "trunk0", "vid", "10", "pvid", "untagged")
        host.run("bridge", "vlan", "add", "dev", "trunk0", "vid", "20-29")


@pytest.fixture
def host(make_host):
    """Whoever made the links takes them away again: they are not weft's to remove, and so the end is as it was."""
    return make_host(before=set_up)


def what_is_there(host):
    links = {l["ifname"]: l for l in host.json("ip", "-j", "-d", "link")}
    for link in links.values():  # timers that run
        for volatile in "hello_timer", "tcn_timer", "topology_change_timer", "gc_timer", "message_age_timer", "forward_delay_timer", "hold_timer":
            link.get("linkinfo", {}).get("info_data", {}).pop(volatile, None)
            link.get("linkinfo", {}).get("info_slave_data", {}).pop(volatile, None)
    routes = [host.json("ip", "-j", family, "route", "show", "table", "all") for family in ("-4", "-6")]
    return {"links": links, "routes": routes, "fdb": host.run("bridge", "fdb"), "vlans": host.run("bridge", "vlan")}


class Listener:
    """What the kernel tells of links, addresses, routes, rules and neighbours of tunnels."""

    def __init__(self, host):
        self.host, self.path = host, host.scratch / "events"
        self.file = open(self.path, "w")
        self.process = host.popen("ip", "monitor", "link", "address", "route", "rule", stdout=self.file, stderr=subprocess.STDOUT)
        wait_until(self.listens)
        self.hear()

    def tick(self):
        """Something that it must hear."""
        self.host.run("ip", "link", "add", "tick", "type", "veth", "peer", "name", "tock")
        self.host.run("ip", "link", "del", "tick")

    def listens(self):
        self.tick()
        return self.path.stat().st_size > 0

    def hear(self):
        """All that was told so far."""
        self.tick()
        wait_until(lambda: len(re.findall(r"Deleted .* t[io]ck", self.path.read_text())) >= 2)
        time.sleep(0.3)
        text = self.path.read_text()
        self.file.truncate(0)
        self.file.seek(0)
        return [l for l in text.splitlines() if l[:1] not in ("", " ", "\t") and not re.search(r"t[io]ck|table local|ff00::/8", l)]


def test_what_is_imported_and_applied_changes_nothing(host):
    host.wait_quiet()
    before = what_is_there(host)
    text = host.weft("import", "host").out
    assert "Applied, this would" not in text and "Together" not in text, text
    assert before == what_is_there(host)
    listener = Listener(host)
    host.apply(text, "--wait=30s")
    assert listener.hear() == [], text
    now = what_is_there(host)
    assert {n: l["ifindex"] for n, l in now["links"].items()} == {n: l["ifindex"] for n, l in before["links"].items()}
    assert now == before
    assert host.weft("diff").status == 0
    # A second time it is the same text: what was taken over has not become another thing.
    assert host.weft("import", "host").out == text
    host.restart()
    host.wait_quiet()
    assert listener.hear() == [] and what_is_there(host) == before


@pytest.mark.no_laws  # what weft has put back is weft's, and goes with its object
def test_what_is_taken_over_is_kept_so(host):
    host.apply(host.weft("import", "host").out, "--wait=30s")
    host.run("ip", "link", "set", "nic0", "mtu", "1500")
    host.run("ip", "addr", "del", "10.70.0.1/24", "dev", "br7")
    host.run("ip", "route", "del", "10.91.0.0/16")
    wait_until(lambda: host.links()["nic0"]["mtu"] == 1400 and "10.70.0.1/24" in host.addresses("br7")
               and host.json("ip", "-j", "route", "show", "10.91.0.0/16"))


def test_what_a_link_loses_as_it_goes_down_is_not_weft_s_to_take_away(make_host):
    def before(host):
        for command in ("link add br7 type bridge", "link add port0 type veth peer name port0x", "link set port0 master br7 up", "link set port0x up",
                        "link set br7 up", "addr add 10.70.0.1/24 dev br7", "addr add fd70::1/64 dev br7 nodad", "route add default via 10.70.0.9 proto static",
                        "route add 10.91.0.0/16 via 10.70.0.2 metric 77 mtu 1300", "route add fd91::/64 via fd70::2 proto static"):
            host.run("ip", *command.split())
    host = make_host(before=before)
    host.wait_quiet()
    routes = lambda: {f"{r['dst']} {r['protocol']} {r.get('metric')}" for family in ("-4", "-6") for r in host.json("ip", "-d", family, "-j", "route", "show", "dev", "br7")}
    text, addresses, had = host.weft("import", "host").out, host.addresses("br7"), routes()
    assert "default static None" in had and len(had) > 4, had
    host.apply(text, "--wait=30s")
    host.run("ip", "link", "set", "br7", "down")
    wait_until(lambda: routes() >= had, what="weft has repaired it")
    host.weft("delete", "bridge", "br7", "--wait=30s")
    assert routes() >= had and host.addresses("br7") == addresses


def test_what_is_printed_is_what_there_is(host):
    text = host.weft("import", "host").out
    answer = host.weft("import", "host", "-o", "json").json()
    objects = {o["metadata"]["name"]: o for o in answer["objects"]}
    assert all(o["spec"]["adopt"] is True for o in objects.values())
    assert objects["br7"]["kind"] == "Bridge"
    bridge = objects["br7"]["spec"]
    assert bridge["stp"] == {"enabled": True, "forwardDelay": "4s", "maxAge": "6s", "priority": 4096}
    assert bridge["ageingTime"] == "3m20s"
    ports = {p["name"] if isinstance(p, dict) else p: p for p in bridge["ports"]}
    assert ports["port0"] == {"name": "port0", "isolated": True, "learning": False} and set(ports) == {"port0", "port1"}
    assert bridge["addresses"] == ["10.70.0.1/24"] and bridge["multicastSnooping"] is False
    assert bridge["dhcp4"] is True and "dhcp6" not in bridge and "10.70.0.77" not in text
    assert re.search(r"^# port1: its address 10.75.0.77/24 is leased", text, re.M)
    routes = {r["to"]: r for r in objects["nic0"]["spec"]["routes"]}
    assert routes["10.91.0.0/16"] == {"to": "10.91.0.0/16", "via": "10.90.0.2", "source": "10.90.0.9", "mtu": 1300}
    assert routes["10.92.0.0/16"]["table"] == 77 and "10.93.0.0/16" not in routes
    if "vxlan" in host.parts:
        assert objects["vx7"]["spec"]["remotes"] == ["10.90.0.2", "10.90.0.3"] and objects["vx7"]["spec"]["ageingTime"] == "1m40s"
        assert objects["vx10"]["spec"]["remotes"] == ["10.90.0.6"] and "group" not in objects["vx10"]["spec"]
        assert "vx9" not in objects and re.search("^# vx9 is left out: VNI 42 is below", text, re.M)
    if "bond" in host.parts:
        assert objects["bond7"]["spec"]["mode"] == "active-backup" and objects["bond7"]["spec"]["primary"] == "slave1"
    if "vlan filter" in host.parts:
        ports = {p["name"] if isinstance(p, dict) else p: p for p in objects["br8"]["spec"]["ports"]}
        assert ports["trunk0"]["vlans"] == {"pvid": 10, "untagged": ["5"], "tagged": ["20-29"]}


def test_all_static_addresses_of_a_subnet_are_taken(make_host):
    host = make_host(before=lambda h: h.run("ip", "-batch", "-", input="""link add br44 type bridge
link set br44 up
addr add 10.44.0.1/24 dev br44
addr add 10.44.0.2/24 dev br44
addr add 10.44.0.3/24 dev br44
"""))
    text = host.weft("import", "host").out
    nic = next(o for o in host.weft("import", "host", "-o", "json").json()["objects"] if o["metadata"]["name"] == "br44")
    assert nic["spec"]["addresses"] == ["10.44.0.1/24", "10.44.0.2/24", "10.44.0.3/24"] and "is leased" not in text
    host.apply(text, "--wait=20s")
    assert {a for a in host.addresses("br44") if "." in a} == set(nic["spec"]["addresses"])


@pytest.mark.needs("link:vxlan")
def test_a_tunnel_whose_mtu_does_not_fit_is_taken_without_it(make_host):
    host = make_host(before=lambda h: h.run("ip", "-batch", "-", input="""link add nic0 type veth peer name far0
link set far0 up
link set nic0 up
addr add 10.44.0.1/24 dev nic0
link add vx8 type vxlan id 7002 local 10.44.0.1 dstport 4789 remote 10.44.0.77
link set vx8 mtu 1500 up
"""))
    text = host.weft("import", "host").out
    assert "# vx8: its MTU is not said, for 1500 does not fit: nic0 has 1500, VXLAN over IPv4 takes 50, 1450 is the most." in text
    assert "# Applied, this would change: mtu of link vx8, from 1500 to 1450." in text and text.count("Applied,") == 1
    before = host.links()
    host.apply(text, "--wait=20s")
    assert host.links()["vx8"]["mtu"] == 1450 and host.links()["vx8"]["ifindex"] == before["vx8"]["ifindex"]


def test_what_weft_made_is_left_out(host):
    host.apply("apiVersion: weft/v1\nkind: Bridge\nmetadata: {name: own7}\nspec: {addresses: [10.71.0.1/24]}\n", "--wait=20s")
    text = host.weft("import", "host").out
    assert "own7" not in text and "10.71.0.1" not in text and "name: br7" in text


def test_what_manifests_cannot_say_is_told(make_host):
    def add(host):
        set_up(host)
        host.run("ip", "tuntap", "add", "mode", "tap", "name", "tap7")
        host.run("ip", "link", "add", "away0", "type", "veth", "peer", "name", "away1")
        host.run("ip", "addr", "add", "10.72.0.1", "peer", "10.72.0.2/32", "dev", "port0x")
        host.run("ip", "route", "add", "blackhole", "10.74.0.0/16")
        host.run("ip", "addr", "add", "10.73.0.1/24", "dev", "away0")
        far = host.popen("unshare", "-n", "sleep", "600")
        own = host.run("readlink", "/proc/self/ns/net")
        wait_until(lambda: os.readlink(f"/proc/{far.pid}/ns/net") + "\n" != own and "sleep" in host.run("cat", f"/proc/{far.pid}/cmdline"))
        host.run("ip", "link", "set", "away1", "netns", far.pid)
    host = make_host(before=add)
    text = host.weft("import", "host").out
    assert re.search("^# tap7 .*left out: it is a tap", text, re.M)
    assert re.search("^# port0x: its address 10.72.0.1/32 has another end", text, re.M)
    assert re.search("^# The route to 10.74.0.0/16 leads to no link", text, re.M)
    assert re.search("^# away0 .* is taken as a link that is there already.*another network namespace", text, re.M)
    away = next(o for o in host.weft("import", "host", "-o", "json").json()["objects"] if o["metadata"]["name"] == "away0")
    assert away["kind"] == "Ethernet" and away["spec"]["addresses"] == ["10.73.0.1/24"]
    assert re.search("Applied, this would", text) is None
    host.apply(text, "--wait=30s")
