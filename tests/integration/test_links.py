# SPDX-License-Identifier: Apache-2.0
"""Links that stand on others (Vlan, Macvlan, Ipvlan), that are two (Veth), or hold addresses (Dummy)."""
import re

import pytest

from harness import machine_lacks, wait_until


def document(kind, name, spec):
    return f"apiVersion: weft/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n---\n"


def lower_link(h):
    h.run("ip", "link", "add", "eth0", "type", "veth", "peer", "eth1")
    h.run("ip", "link", "set", "eth0", "up")
    h.run("ip", "link", "set", "eth1", "up")
    h.wait_quiet(1)


@pytest.fixture
def lower(make_host):
    return make_host(before=lower_link)


STACKED = {
    "Vlan": ("vlan", "link: eth0, id: 20, addresses: [10.20.0.1/24]", {"protocol": "802.1Q", "id": 20}),
    "Vlan of the outer sort": ("vlan", "link: eth0, id: 21, protocol: 802.1ad, addresses: [10.20.0.1/24]",
                               {"protocol": "802.1ad", "id": 21}),
    "Macvlan": ("macvlan", 'link: eth0, mac: "52:54:00:00:00:07", addresses: [10.20.0.1/24]', {"mode": "bridge"}),
    "Ipvlan": ("ipvlan", "link: eth0, mode: l3, addresses: [10.20.0.1/24]", {"mode": "l3"}),
}
stacked = pytest.mark.parametrize("kind, spec, info", [
    pytest.param(name.split()[0], spec, info, id=name, marks=pytest.mark.needs(f"link:{kernel}"))
    for name, (kernel, spec, info) in STACKED.items()])


@stacked
def test_a_link_on_another(lower, kind, spec, info):
    host = lower
    host.apply(document(kind, "up0", spec), "--wait=20s")
    link = host.links()["up0"]
    assert link["link"] == "eth0" and link["mtu"] == 1500 and "UP" in link["flags"]
    assert {k: link["linkinfo"]["info_data"][k] for k in info} == info
    assert host.addresses("up0") == {"10.20.0.1/24"}
    assert link["ifalias"].startswith("weft:") and link["group"] == "2003134068"  # that of udev/80-weft.rules


@stacked
def test_promise_05_with_its_link_gone_and_back(make_host, kind, spec, info):
    """The kernel deletes what stands on a link with it; a Veth of ours is made again, and then what stood on it."""
    host = make_host()
    host.apply(document("Veth", "eth0", "peer: {name: eth1}") + document(kind, "up0", spec), "--wait=20s")
    for link in ("eth0", "eth1", "up0"):
        host.run("ip", "link", "del", link)

        def whole():
            links = host.links()
            return (links["up0"]["link"] == "eth0" and "UP" in links["up0"]["flags"] and "eth1" in links
                    and host.addresses("up0") == {"10.20.0.1/24"})
        wait_until(whole, 20, f"all is back after {link} was deleted")
    wait_until(lambda: host.ready(kind, "up0") and host.ready("veth", "eth0"), 20, "Ready")


@pytest.mark.needs("link:vlan")
def test_promise_24_mtu_of_a_vlan_follows(lower):
    host = lower
    host.run("ip", "link", "set", "eth0", "mtu", "9000")
    spec = document("Vlan", "eth0.20", "link: eth0, id: 20, bridge: br0") + document("Bridge", "br0", "")
    host.apply(spec, "--wait=20s")
    assert host.links()["eth0.20"]["mtu"] == 9000 and host.links()["br0"]["mtu"] == 9000
    refused = host.apply(spec.replace("id: 20", "id: 20, mtu: 9001"), check=False)
    assert refused.status == 2 and "9001 does not fit: eth0 has 9000, which is the most" in refused.err
    host.run("ip", "link", "set", "eth0", "mtu", "1500")
    wait_until(lambda: host.links()["eth0.20"]["mtu"] == 1500 and host.links()["br0"]["mtu"] == 1500, 20, "both follow")


@pytest.mark.needs("link:macvlan")
def test_promise_04_a_mode_changes_in_place(lower):
    host = lower
    host.apply(document("Macvlan", "m0", "link: eth0"), "--wait=20s")
    before = host.links()["m0"]
    host.apply(document("Macvlan", "m0", "link: eth0, mode: private"), "--wait=20s")
    after = host.links()["m0"]
    assert after["linkinfo"]["info_data"]["mode"] == "private" and after["ifindex"] == before["ifindex"]
    refused = host.apply(document("Macvlan", "m0", "link: eth0, mode: passthru"), check=False)
    assert refused.status == 1 and "--allow-disruption" in refused.err
    refused = host.apply(document("Macvlan", "m0", "link: eth1"), check=False)
    assert refused.status == 1 and "--allow-disruption" in refused.err
    host.apply(document("Macvlan", "m0", "link: eth1"), "--allow-disruption", "--wait=20s")
    assert host.links()["m0"]["link"] == "eth1" and host.links()["m0"]["address"] == before["address"]


def test_a_veth_is_one_object(host):
    spec = (document("Veth", "va", "peer: {name: vb, addresses: [10.8.0.1/24]}, mtu: 1400, bridge: br7")
            + document("Bridge", "br7", "addresses: [10.7.0.1/24]"))
    host.apply(spec, "--wait=20s")
    links = host.links()
    assert links["va"]["link"] == "vb" and links["vb"]["link"] == "va" and links["va"]["master"] == "br7"
    assert links["va"]["mtu"] == links["vb"]["mtu"] == 1400 and host.addresses("vb") == {"10.8.0.1/24"}
    assert all("UP" in links[n]["flags"] for n in ("va", "vb"))
    host.run("ip", "link", "del", "vb")
    wait_until(lambda: host.addresses("vb") == {"10.8.0.1/24"} and host.links()["va"]["master"] == "br7", 20, "both are back")
    assert host.links()["vb"]["address"] == links["vb"]["address"]
    host.run("ip", "link", "set", "vb", "down")
    wait_until(lambda: "UP" in host.links()["vb"]["flags"], 20, "up again")
    host.apply(spec.replace("mtu: 1400, bridge: br7", "mtu: 1300"), "--wait=20s")
    assert host.links()["vb"]["mtu"] == 1300 and "master" not in host.links()["va"]


def test_both_ends_of_a_veth_are_made_with_their_macs(host):
    """What is told of them later than their making: udev would have given one without a MAC another before weft has."""
    spec = document("Veth", "va", 'peer: {name: vb}') + document("Veth", "vc", 'mac: "52:54:00:00:00:0c", peer: {name: vd, mac: "52:54:00:00:00:0d"}')
    told = host.scratch / "monitor"
    monitor = host.popen("ip", "-o", "monitor", "link", stdout=open(told, "w"))

    def listens():
        host.run("ip", "link", "add", "tick", "type", "veth")
        host.run("ip", "link", "del", "tick")
        return "tick" in told.read_text()
    wait_until(listens, 20, "the monitor listens")
    host.apply(spec, "--wait=20s")
    host.run("ip", "link", "del", "vb")
    host.run("ip", "link", "del", "vd")
    wait_until(lambda: {"va", "vb", "vc", "vd"} <= host.links().keys(), 20, "all are back")
    host.wait_quiet(1)
    monitor.terminate()
    monitor.wait()
    links = host.links()
    assert links["vc"]["address"] == "52:54:00:00:00:0c" and links["vd"]["address"] == "52:54:00:00:00:0d"
    for name in ("va", "vb", "vc", "vd"):
        macs = re.findall(rf"^\d+: {name}@.*link/ether (\S+)", told.read_text(), re.MULTILINE)
        assert len(macs) > 2 and set(macs) == {links[name]["address"]}, (name, macs, links[name])
    assert not [e for e in host.events() if e["type"] == "Repaired" and " mac " in e["text"]]
    host.apply(spec.replace("00:00:0d", "00:00:0e"), "--wait=20s")
    assert host.links()["vd"] == links["vd"] | {"address": "52:54:00:00:00:0e"}, "changed in place"
    host.run("ip", "link", "del", "vc")
    wait_until(lambda: host.links().get("vd", {}).get("address") == "52:54:00:00:00:0e", 20)


def test_promise_04_the_other_end_of_a_veth_gets_another_name(host):
    spec = document("Veth", "va", "peer: {name: vb}, addresses: [10.7.0.1/24]")
    host.apply(spec, "--wait=20s")
    refused = host.apply(spec.replace("vb", "vc"), check=False)
    assert refused.status == 1 and "--allow-disruption" in refused.err and "vb" in host.links()
    for name in ("vc", "vd"):
        host.apply(spec.replace("vb", name), "--allow-disruption", "--wait=20s")
        links = host.links()
        assert links["va"]["link"] == name and links[name]["link"] == "va" and "vb" not in links
        assert host.addresses("va") == {"10.7.0.1/24"}
    assert "vc" not in host.links()


def test_promise_07_a_foreign_link_is_no_other_end(make_host):
    host = make_host(before=lambda h: h.run("ip", "link", "add", "vb", "type", "bridge"))
    before = host.links()["vb"]
    done = host.apply(document("Veth", "va", "peer: {name: vb}, mtu: 1400"), check=False)
    assert done.status == 1 and "there is a link 'vb' already" in done.err, done
    assert host.links()["vb"] == before and "va" not in host.links()


@pytest.mark.parametrize("theirs", [
    pytest.param("link va name theirs type macvlan", marks=pytest.mark.needs("link:macvlan")),
    pytest.param("link vb name theirs type macvlan", marks=pytest.mark.needs("link:macvlan")),
    pytest.param("name theirs type vxlan id 7 dev va dstport 4790 remote 192.0.2.9", marks=pytest.mark.needs("link:vxlan")),
])
def test_promise_07_what_others_put_on_a_link_keeps_it(host, theirs):
    spec = document("Veth", "va", "peer: {name: vb}") + document("Bridge", "br7", "")
    host.apply(spec, "--wait=20s")
    host.run("ip", "link", "add", *theirs.split())
    before = host.links()
    said = "link 'theirs' stands on it, which weft did not make"
    for change in (lambda *more: host.apply(spec.replace("vb", "vc"), "--allow-disruption", *more, check=False),
                   lambda *more: host.weft("delete", "veth", "va", *more, check=False),
                   lambda *more: host.weft("delete", "veth/va", "bridge/br7", *more, check=False)):
        assert said in change("--dry-run").out
        refused = change()
        assert refused.status == 1 and said in refused.err, refused
        wait_until(lambda: host.ready("veth", "va") and host.ready("bridge", "br7"), 20, "all is as it was")
        links = host.links()
        assert [links[n]["ifindex"] for n in ("va", "vb", "theirs")] == [before[n]["ifindex"] for n in ("va", "vb", "theirs")]
    host.run("ip", "link", "del", "theirs")
    host.apply(spec.replace("vb", "vc"), "--allow-disruption", "--wait=20s")
    assert "vc" in host.links()


@pytest.mark.needs("link:vxlan")
def test_promise_07_addresses_that_go_with_a_link_are_named(host):
    spec = document("Vxlan", "vx0", "vni: 5001, local: 127.0.0.1, remote: 127.0.0.2, address: 10.5.0.1/24")
    host.apply(spec, "--wait=20s")
    host.run("ip", "addr", "add", "10.5.0.77/24", "dev", "vx0")
    plan = host.weft("delete", "vxlan", "vx0", "--dry-run")
    assert "takes along 10.5.0.77/24, which weft did not put there" in plan.out, plan
    host.run("ip", "addr", "del", "10.5.0.77/24", "dev", "vx0")


@pytest.mark.needs("link:vxlan")
def test_promise_07_what_others_put_on_a_link_that_is_made_anew_comes_back(host):
    """Addresses, neighbours, routes (one by way of an address of weft's, which comes later) and the bridge's forwarding; what cannot is named."""
    spec = document("Vxlan", "vx0", "vni: 5001, local: 127.0.0.1, remote: 127.0.0.2, address: 10.5.0.1/24, bridge: br7")
    spec = document("Bridge", "br7", "") + spec.replace(", address: 10.5.0.1/24", "") + spec.replace("vx0", "vx1").replace("5001", "5003").replace(", bridge: br7", "")
    host.apply(spec, "--wait=20s")
    for line in ("addr add 10.6.0.77/24 dev vx1", "addr add fd06::77/64 dev vx1 nodad", "neigh add 10.5.0.9 lladdr 02:00:00:00:00:09 dev vx1 nud permanent",
                 "neigh add fd06::9 lladdr 02:00:00:00:00:0a dev vx1 nud permanent", "route add 10.7.0.0/16 via 10.5.0.9 dev vx1 metric 7 mtu 1300",
                 "route add 10.8.0.0/16 via 10.6.0.9 table 77", "route add fd08::/64 via fd06::9 proto static"):
        host.run("ip", *line.split())
    host.run("bridge", "fdb", "add", "02:00:00:00:00:0b", "dev", "vx0", "master", "static")
    host.run("bridge", "fdb", "append", "02:00:00:00:00:0c", "dev", "vx1", "dst", "127.0.0.3")

    def theirs():
        vx1 = {a for a in host.addresses("vx1")}
        neighbours = sorted((n["dst"], n["lladdr"]) for n in host.json("ip", "-j", "neigh", "show", "dev", "vx1", "nud", "permanent"))
        routes = [host.run("ip", *line.split()) for line in ("route show 10.7.0.0/16", "route show table 77", "-6 route show fd08::/64")]
        fdb = [e for e in host.json("bridge", "-j", "fdb", "show", "dev", "vx0") if e["mac"] == "02:00:00:00:00:0b"]
        return vx1, neighbours, routes, sorted(fdb, key=str)
    before, indexes = theirs(), {name: host.links()[name]["ifindex"] for name in ("vx0", "vx1")}
    assert len(before[0]) == 3 and len(before[1]) == 2 and all(before[2]) and before[3], before
    other = spec.replace("5001", "5002").replace("5003", "5004")
    notes = {s["resource"]: s["note"] for s in host.apply(other, "--dry-run", "-o", "json").json()["plan"] if s["disruptive"]}
    assert "the forwarding of 02:00:00:00:00:0b" in notes["link/vx0"] and "takes along" not in notes["link/vx0"], notes
    lost, _, back = notes["link/vx1"].partition("interrupts for a moment")
    assert "takes along the forwarding of 02:00:00:00:00:0c to 127.0.0.3, which weft did not put there" in lost, notes
    for what in ("10.6.0.77/24", "fd06::77/64", "neighbour 10.5.0.9", "neighbour fd06::9", "the route to 10.7.0.0/16", "the route to 10.8.0.0/16",
                 "the route to fd08::/64"):
        assert what in back, notes
    assert "10.5.0.1" not in back and "127.0.0.2" not in lost, "that is weft's"
    host.apply(other, "--allow-disruption", "--wait=20s")
    assert all(host.links()[name]["ifindex"] != index for name, index in indexes.items())
    wait_until(lambda: theirs() == before, 20, "all is back")
    assert host.links()["vx0"]["master"] == "br7" and host.diff() == []


MODULES = {"bond": ("Bond", "", "bonding"), "vlan": ("Vlan", "link: eth0, id: 7", "8021q"), "geneve": ("Geneve", "vni: 5001, remote: 192.0.2.1", "geneve"),
           "gretap": ("Gretap", "remote: 192.0.2.1", "ip_gre"), "vrf": ("Vrf", "table: 7", "vrf"), "dummy": ("Dummy", "", "dummy")}


@pytest.mark.parametrize("kernel", MODULES)
def test_a_missing_module_is_named(request, kernel):
    if not machine_lacks(f"link:{kernel}"):  # asked before there is a host: a module that comes puts links of its own into it
        pytest.skip(f"the kernel has {kernel} links")
    lower = request.getfixturevalue("lower")
    kind, spec, module = MODULES[kernel]
    refused = lower.apply(document(kind, "new0", spec), check=False)
    assert refused.status == 1 and f"makes no links of kind {kernel}" in refused.err and f"modprobe {module};" in refused.err, refused
    assert "new0" not in lower.links()


@pytest.mark.needs("link:macvlan")
def test_who_has_taken_a_link_is_named(lower):
    host = lower
    host.run("ip", "link", "add", "link", "eth0", "name", "theirs", "type", "macvlan")
    refused = host.apply(document("Bridge", "br7", "ports: [eth0]"), check=False)
    assert refused.status == 1 and "'theirs' (macvlan) stands on link 'eth0' and takes its frames, so that 'br7' cannot have them" in refused.err, refused
    host.run("ip", "link", "del", "theirs")
    host.run("ip", "link", "add", "theirs", "type", "bridge")
    host.run("ip", "link", "set", "eth0", "master", "theirs")
    refused = host.apply(document("Macvlan", "m0", "link: eth0"), check=False)
    assert refused.status == 1 and "link 'eth0' is a port of 'theirs' already, which takes its frames" in refused.err, refused
    host.run("ip", "link", "set", "eth0", "nomaster")
    host.run("ip", "link", "del", "theirs")


def test_what_takes_no_ports_is_named(lower):
    nic = document("Ethernet", "eth0", "")
    for port in (document("Tap", "t0", "bridge: eth0"), document("Veth", "t0", "bridge: eth0, peer: {name: t1}")):
        refused = lower.apply(port + nic, check=False)
        assert refused.status == 1 and "'eth0' (veth) takes no ports; only links of these kinds do: Bridge, Vrf, Bond" in refused.err and "t0" not in lower.links(), refused
    lower.apply(nic, "--wait=20s")


def test_bridges_in_a_circle_are_refused(host):
    """Also when the last pair of it comes later; a spanning tree anywhere opens it."""
    bridges = "".join(document("Bridge", name, "stp: {enabled: %s}" % ("true" if name == "bry" else "false")) for name in ("bra", "brb", "brc", "bry"))
    pairs = [document("Veth", a + b, f"bridge: br{a}, peer: {{name: {b}{a}, bridge: br{b}}}") for a, b in ("ab", "bc", "cy", "ya")]
    host.apply(bridges + "".join(pairs), "--wait=20s")
    before = host.links()
    refused = host.apply(document("Veth", "ca", "bridge: brc, peer: {name: ac, bridge: bra}"), check=False)
    assert refused.status == 2 and "both lead to bridge 'br" in refused.err and "which is a loop" in refused.err, refused
    assert set(host.links()) == set(before)
    refused = host.apply(document("Bridge", "bry", "stp: {enabled: false}"), check=False)
    assert refused.status == 2 and "which is a loop" in refused.err, refused
    host.weft("delete", "veth", "ab")
    host.apply(document("Veth", "ca", "bridge: brc, peer: {name: ac, bridge: bra}"), "--wait=20s")


@pytest.mark.needs("link:macvlan")
def test_a_link_that_is_not_there_is_named(host):
    done = host.apply(document("Macvlan", "m0", "link: eth0"), check=False)
    assert done.status == 1 and "eth0 does not exist" in done.err
    assert "m0" not in host.links()


@pytest.mark.needs("link:dummy")
def test_a_dummy_holds_addresses(host):
    host.apply(document("Dummy", "lo1", 'addresses: [203.0.113.1/32, "fd00:1::1/128"]'), "--wait=20s")
    assert host.addresses("lo1") == {"203.0.113.1/32", "fd00:1::1/128"}
    mac = host.links()["lo1"]["address"]
    host.run("ip", "link", "del", "lo1")
    wait_until(lambda: host.addresses("lo1") == {"203.0.113.1/32", "fd00:1::1/128"}, 20, "back")
    assert host.links()["lo1"]["address"] == mac


def test_a_team_is_refused(host):
    done = host.apply(document("Team", "team0", "ports: [eth0]"), check=False)
    assert done.status == 2 and "Bond" in done.err


def main_addresses(host, link):
    return {a["local"] for a in host.json("ip", "-4", "-j", "addr", "show", "dev", link)[0]["addr_info"] if not a.get("secondary")}


@pytest.mark.parametrize("promotes", [0, 1])
def test_the_first_address_of_a_subnet_stays_the_main_one(host, promotes):
    """It is the one from which the host speaks. Where the kernel has promoted another one meanwhile (as it does on hosts with systemd), that
    steps back, and loses nothing by it."""
    addresses = ["10.7.0.20/24", "10.7.0.3/24", "10.7.0.9/24", "10.8.0.1/24", "10.8.0.2/24"]
    host.apply(document("Bridge", "br7", f"addresses: [{', '.join(addresses)}]"), "--wait=20s")
    assert main_addresses(host, "br7") == {"10.7.0.20", "10.8.0.1"}
    host.run("sysctl", "-w", f"net.ipv4.conf.br7.promote_secondaries={promotes}")
    others = ["ip", "route", "add", "198.51.100.0/24", "dev", "br7", "src", "10.7.0.3"]
    host.run(*others)
    host.run("ip", "addr", "del", addresses[0], "dev", "br7")
    wait_until(lambda: main_addresses(host, "br7") == {"10.7.0.20", "10.8.0.1"} and host.addresses("br7") == set(addresses))
    assert not promotes or host.run("ip", "route", "show", "198.51.100.0/24", "src", "10.7.0.3")
    assert host.run("sysctl", "-n", "net.ipv4.conf.br7.promote_secondaries").strip() == str(promotes)
    host.apply(document("Bridge", "br7", f"addresses: [{', '.join(reversed(addresses))}]"), "--wait=20s", name="turned.yaml")
    assert main_addresses(host, "br7") == {"10.7.0.9", "10.8.0.2"} and host.addresses("br7") == set(addresses)


def test_the_order_of_addresses_among_others_is_left_alone(host):
    host.apply(document("Bridge", "br7", "addresses: [10.7.0.20/24, 10.7.0.3/24]"), "--wait=20s")
    host.run("sysctl", "-w", "net.ipv4.conf.br7.promote_secondaries=1")
    host.run("ip", "addr", "add", "10.7.0.77/24", "dev", "br7")
    host.run("ip", "addr", "del", "10.7.0.20/24", "dev", "br7")
    wait_until(lambda: host.addresses("br7") == {"10.7.0.20/24", "10.7.0.3/24", "10.7.0.77/24"})
    host.wait_quiet(1)
    assert main_addresses(host, "br7") == {"10.7.0.3"} and host.ready("bridge", "br7")
