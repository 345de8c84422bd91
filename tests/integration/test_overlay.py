# SPDX-License-Identifier: Apache-2.0
"""Tunnels between two hosts: what they carry and how much of it, what they leave when they go, what is repaired."""
import pytest

from harness import EXAMPLES, wait_until

V4, V6 = ("198.51.100.1", "198.51.100.2"), ("fd00:51::1", "fd00:51::2")

# kind of link, spec with the ends left open, what the headers take
TUNNELS = {
    "vxlan": ("vxlan", "Vxlan", "vni: 5001, local: {me}, remotes: [{other}]", V4, 50),
    "vxlan over IPv6": ("vxlan", "Vxlan", 'vni: 5001, local: "{me}", remotes: ["{other}"]', V6, 70),
    "vxlan by multicast": ("vxlan", "Vxlan", "vni: 5001, group: 239.1.1.1, link: eth0", V4, 50),
    "vxlan by multicast over IPv6": ("vxlan", "Vxlan", 'vni: 5001, group: "ff05::51", link: eth0', V6, 70),
    "geneve": ("geneve", "Geneve", "vni: 5002, remote: {other}, ttl: 64", V4, 50),
    "geneve over IPv6": ("geneve", "Geneve", 'vni: 5002, remote: "{other}"', V6, 70),
    "gretap": ("gretap", "Gretap", "local: {me}, remote: {other}", V4, 38),
    "gretap with a key": ("gretap", "Gretap", "local: {me}, remote: {other}, key: 7", V4, 42),
    "ip6gretap": ("ip6gretap", "Ip6gretap", 'local: "{me}", remote: "{other}"', V6, 58),
    "ip6gretap with a key": ("ip6gretap", "Ip6gretap", 'local: "{me}", remote: "{other}", key: 7', V6, 62),
}
frames = pytest.mark.parametrize("tunnel", [  # of each kind, its plain form is enough for the lab's part of scripts/test
    pytest.param(t, id=name, marks=[pytest.mark.needs(f"link:{t[0]}"), *([pytest.mark.lab_full] if name != t[0] or name == "gretap" else [])])
    for name, t in TUNNELS.items()])
VXLAN = TUNNELS["vxlan"]


def document(kind, name, spec):
    return f"apiVersion: weft/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n---\n"


def ends(tunnel, i):
    """The tunnel's spec as host i has it."""
    return tunnel[2].format(me=tunnel[3][i], other=tunnel[3][1 - i])


def overlay(tunnel, i, extra="", bridge=""):
    """A tunnel and its bridge, with an address on it."""
    return (document(tunnel[1], "tun1", f"{ends(tunnel, i)}, bridge: br1{extra}")
            + document("Bridge", "br1", f"addresses: [10.9.0.{i + 1}/24]{bridge}"))


def join(hosts, mtu=1500):
    """A wire from eth0 of the one to eth0 of the other."""
    a, b = hosts
    a.run("ip", "link", "add", "eth0", "mtu", mtu, "type", "veth", "peer", "name", "eth0", "mtu", mtu, "netns", b.ns)
    for i, host in enumerate(hosts):
        host.run("ip", "addr", "add", f"{V4[i]}/24", "dev", "eth0")
        host.run("ip", "addr", "add", f"{V6[i]}/64", "dev", "eth0", "nodad")
        host.run("ip", "link", "set", "eth0", "up")
    for host in hosts:
        host.wait_quiet(1)
        host.before = host.snapshot()


@pytest.fixture
def pair(make_host):
    hosts = make_host(), make_host()
    join(hosts)
    return hosts


def reaches(host, address, size=None):
    """Does a ping arrive, of so many bytes as a packet that must not be cut up?"""
    whole = ["-M", "do", "-s", str(size - (48 if ":" in address else 28))] if size else []
    return "1 received" in host.run("ping", "-n", "-c", "1", "-W", "1", *whole, address, check=False)


def remotes(host, dev="tun1"):
    return {e["dst"] for e in host.json("bridge", "-j", "fdb", "show", "dev", dev)
            if e["mac"] == "00:00:00:00:00:00" and "dst" in e}


@frames
def test_contract_overlay_two_hosts(pair, tunnel):
    for i, host in enumerate(pair):
        host.apply(overlay(tunnel, i), "--wait=20s")
    mtu = 1500 - tunnel[4]
    wait_until(lambda: reaches(pair[0], "10.9.0.2"), 20, "the other host answers")
    assert reaches(pair[1], "10.9.0.1")
    for host in pair:
        links = host.links()
        assert links["tun1"]["mtu"] == mtu and links["br1"]["mtu"] == mtu and links["tun1"]["master"] == "br1"
    assert reaches(pair[0], "10.9.0.2", mtu), "a packet of the bridge's MTU passes whole"
    pair[0].run("ip", "link", "set", "br1", "mtu", mtu + 1)  # so that it is not our own link that says no
    assert not reaches(pair[0], "10.9.0.2", mtu + 1)


@pytest.mark.parametrize("kind, spec, address, overhead", [
    pytest.param("Gre", "local: 198.51.100.{me}, remote: 198.51.100.{other}, addresses: [10.9.0.{me}/30]", "10.9.0.2", 24,
                 marks=[pytest.mark.needs("link:gre"), pytest.mark.lab_full]),
    pytest.param("Gre", "remote: 198.51.100.{other}, key: 9, addresses: [10.9.0.{me}/30]", "10.9.0.2", 28,
                 marks=pytest.mark.needs("link:gre")),
    pytest.param("Ipip", "local: 198.51.100.{me}, remote: 198.51.100.{other}, addresses: [10.9.0.{me}/30]", "10.9.0.2", 20,
                 marks=[pytest.mark.needs("link:ipip"), pytest.mark.lab_full]),
    pytest.param("Sit", 'local: 198.51.100.{me}, remote: 198.51.100.{other}, addresses: ["fd09::{me}/64"]', "fd09::2", 20,
                 marks=[pytest.mark.needs("link:sit"), pytest.mark.lab_full]),
])
def test_tunnels_of_layer_3(pair, kind, spec, address, overhead):
    for i, host in enumerate(pair):
        host.apply(document(kind, "tun1", spec.format(me=i + 1, other=2 - i)), "--wait=20s")
    wait_until(lambda: reaches(pair[0], address), 20, "the other host answers")
    assert pair[0].links()["tun1"]["mtu"] == 1500 - overhead
    assert reaches(pair[0], address, 1500 - overhead)


@pytest.mark.lab_full
@frames
def test_promise_05_a_deleted_tunnel_comes_back_whole(pair, tunnel):
    for i, host in enumerate(pair):
        host.apply(overlay(tunnel, i), "--wait=20s")
    wait_until(lambda: reaches(pair[0], "10.9.0.2"), 20, "the other host answers")
    mac = pair[0].links()["tun1"]["address"]
    pair[0].run("ip", "link", "del", "tun1")
    wait_until(lambda: pair[0].links()["tun1"]["master"] == "br1" and reaches(pair[0], "10.9.0.2"), 20, "it carries again")
    assert pair[0].links()["tun1"]["address"] == mac
    pair[0].run("ip", "link", "del", "br1")
    wait_until(lambda: reaches(pair[0], "10.9.0.2"), 20, "it carries over a new bridge")


@pytest.mark.needs("link:vxlan")
@pytest.mark.parametrize("blow", [
    ("bridge", "fdb", "del", "00:00:00:00:00:00", "dst", V4[1], "dev", "tun1"),
    ("ip", "link", "set", "tun1", "mtu", "1300"),
    ("ip", "link", "set", "tun1", "nomaster"),
    ("ip", "link", "set", "tun1", "type", "vxlan", "id", "5001", "ttl", "3"),
    ("ip", "link", "set", "tun1", "type", "vxlan", "id", "5001", "nolearning"),
    ("ip", "link", "set", "tun1", "type", "vxlan", "id", "5001", "local", "198.51.100.77"),
    ("ip", "link", "set", "tun1", "name", "other"),
], ids=lambda blow: " ".join(blow[1:]))
def test_promise_05_drift_of_a_vxlan(pair, blow):
    host = pair[0]
    host.apply(overlay(VXLAN, 0), "--wait=20s")
    before = host.links()["tun1"]

    def same():
        now = host.links()["tun1"]
        info = ("id", "ttl", "learning", "local", "port", "ageing")
        return (all(now[k] == before[k] for k in ("ifindex", "mtu", "master", "address"))
                and all(now["linkinfo"]["info_data"].get(k) == before["linkinfo"]["info_data"].get(k) for k in info)
                and remotes(host) == {V4[1]})
    assert same()
    if "name" in blow:
        host.rename("tun1", "other")
    else:
        host.run(*blow)
    wait_until(same, 10, "as before")


@pytest.mark.needs("link:vxlan")
def test_a_remote_more_and_a_remote_less(pair):
    host = pair[0]
    host.apply(overlay(VXLAN, 0), "--wait=20s")
    index = host.links()["tun1"]["ifindex"]
    host.run("bridge", "fdb", "append", "00:00:00:00:00:00", "dst", "198.51.100.99", "dev", "tun1")
    host.apply(overlay(VXLAN, 0).replace(V4[1], f"{V4[1]}, 198.51.100.3"), "--wait=20s")
    assert remotes(host) == {V4[1], "198.51.100.3", "198.51.100.99"}, "what somebody else added stays"
    host.apply(overlay(VXLAN, 0).replace(V4[1], "198.51.100.3"), "--wait=20s")
    assert remotes(host) == {"198.51.100.3", "198.51.100.99"}
    assert host.links()["tun1"]["ifindex"] == index


LIVE = {
    "vxlan": [("ttl: 9", "ttl", 9), ("ageingTime: 1m", "ageing", 60), ("learning: false", "learning", False)],
    "geneve": [("ttl: 9", "ttl", 9)],
    "gretap": [("ttl: 9", "ttl", 9), ("key: 8", "ikey", "0.0.0.8")],
    "ip6gretap": [("ttl: 9", "ttl", 9), ("key: 8", "ikey", "0.0.0.8")],
}


@pytest.mark.parametrize("name, change, key, value", [
    pytest.param(name, *change, id=f"{name} {change[0]}", marks=[pytest.mark.needs(f"link:{name}"), *([pytest.mark.lab_full] if "gretap" in name else [])])
    for name, changes in LIVE.items() for change in changes])
def test_promise_04_what_can_change_does_so_in_place(pair, name, change, key, value):
    tunnel = TUNNELS[name]
    host = pair[0]
    spec = overlay(tunnel, 0).replace(", ttl: 64", "")
    host.apply(spec, "--wait=20s")
    before = host.links()["tun1"]
    changed = spec.replace(", bridge: br1", f", bridge: br1, {change}")
    (host.scratch / "changed.yaml").write_text(changed)
    plan = host.weft("diff", "-f", host.scratch / "changed.yaml", "-o", "json", check=False).json()["plan"]
    assert plan and not any(step.get("disruptive") for step in plan), plan
    host.apply(changed, "--wait=20s")
    after = host.links()["tun1"]
    assert after["linkinfo"]["info_data"][key] == value
    assert after["ifindex"] == before["ifindex"] and after["master"] == "br1"
    host.apply(spec, "--wait=20s")
    assert host.links()["tun1"]["linkinfo"]["info_data"] == before["linkinfo"]["info_data"]
    assert host.links()["tun1"]["ifindex"] == before["ifindex"]


@pytest.mark.parametrize("name, old, new", [
    pytest.param("vxlan", "5001", "5009", marks=pytest.mark.needs("link:vxlan")),
    pytest.param("vxlan", "vni: 5001", "port: 4790, vni: 5001", marks=pytest.mark.needs("link:vxlan")),
    pytest.param("geneve", "5002", "5009", marks=pytest.mark.needs("link:geneve")),
], ids=str)
def test_promise_04_what_cannot_is_announced_and_comes_back_whole(pair, name, old, new):
    tunnel = TUNNELS[name]
    for i, host in enumerate(pair):
        host.apply(overlay(tunnel, i), "--wait=20s")
    host = pair[0]
    before = host.links()
    changed = host.scratch / "changed.yaml"
    changed.write_text(overlay(tunnel, 0).replace(old, new))
    plan = host.weft("diff", "-f", changed, "-o", "json", check=False).json()["plan"]
    assert any(step.get("disruptive") for step in plan), plan
    refused = host.apply(changed, check=False)
    assert refused.status == 1 and "--allow-disruption" in refused.err
    assert host.links()["tun1"]["ifindex"] == before["tun1"]["ifindex"]
    for i, each in enumerate(pair):
        each.apply(overlay(tunnel, i).replace(old, new), "--allow-disruption", "--wait=20s")
    after = host.links()
    assert after["tun1"]["ifindex"] != before["tun1"]["ifindex"] and after["br1"]["ifindex"] == before["br1"]["ifindex"]
    assert after["tun1"]["master"] == "br1" and after["tun1"]["address"] == before["tun1"]["address"]
    wait_until(lambda: reaches(host, "10.9.0.2"), 20, "the other host answers")


@pytest.mark.needs("link:vxlan")
def test_a_vxlan_goes_with_its_link_and_comes_back(make_host):
    """The kernel deletes it with the link that its packets leave by."""
    host = make_host(before=lambda h: h.run("ip", "link", "add", "eth0", "type", "veth", "peer", "eth1"))
    host.apply(overlay(TUNNELS["vxlan by multicast"], 0), "--wait=20s")
    host.run("ip", "link", "del", "eth0")
    wait_until(lambda: "tun1" not in host.links(), 10, "gone with it")
    host.run("ip", "link", "add", "eth0", "type", "veth", "peer", "eth1")
    host.run("ip", "link", "set", "eth0", "up")
    wait_until(lambda: host.links()["tun1"]["master"] == "br1", 20, "it comes back")
    wait_until(lambda: host.ready("vxlan", "tun1"), 20, "Ready")
    host.before = host.snapshot() | {"links": {k: v for k, v in host.snapshot()["links"].items() if k not in ("tun1", "br1")}}
    host.before["routes"] = [r for r in host.before["routes"] if "10.9.0" not in r and "tun1" not in r and "br1" not in r]
    host.before["addresses"] = {k: v for k, v in host.before["addresses"].items() if k not in ("tun1", "br1")}
    host.before["sysctls"] = {k: v for k, v in host.before["sysctls"].items() if "tun1" not in k and "br1" not in k}


@pytest.mark.needs("link:vxlan")
def test_promise_24_mtu_follows_the_underlay(pair):
    host = pair[0]
    tap = document("Tap", "tap1", "bridge: br1")
    host.apply(overlay(VXLAN, 0) + tap, "--wait=20s")
    before = host.links()
    assert before["tap1"]["mtu"] == 1450
    host.run("ip", "link", "set", "eth0", "mtu", "9000")
    wait_until(lambda: [host.links()[n]["mtu"] for n in ("tun1", "br1", "tap1")] == [8950] * 3, 20, "all follow")
    host.run("ip", "link", "set", "eth0", "mtu", "1500")
    wait_until(lambda: [host.links()[n]["mtu"] for n in ("tun1", "br1", "tap1")] == [1450] * 3, 20, "all follow back")
    assert [host.links()[n]["ifindex"] for n in before] == [before[n]["ifindex"] for n in before]


@pytest.mark.needs("link:vxlan")
def test_promise_24_what_does_not_fit_is_refused(pair):
    host = pair[0]
    links = host.links()
    refused = host.apply(overlay(VXLAN, 0, extra=", mtu: 1500"), check=False)
    assert refused.status == 2
    assert "1500 does not fit: eth0 has 1500, VXLAN over IPv4 takes 50, 1450 is the most" in refused.err
    refused = host.apply(overlay(VXLAN, 0, bridge=", mtu: 1451"), check=False)
    assert refused.status == 2 and "1451 does not fit" in refused.err
    assert host.links() == links


@pytest.fixture
def two_ways(make_host):
    """A host with two ways out, of which the second takes less."""
    def set_up(h):
        for i, mtu in enumerate((1500, 1400)):
            h.run("ip", "link", "add", f"eth{i}", "mtu", mtu, "type", "veth", "peer", "name", f"far{i}", "mtu", mtu)
            h.run("ip", "link", "set", f"far{i}", "up")
            h.run("ip", "link", "set", f"eth{i}", "up")
            h.run("ip", "addr", "add", f"10.{i}.0.1/24", "dev", f"eth{i}")
            h.run("ip", "addr", "add", f"fd00:{i}::1/64", "dev", f"eth{i}", "nodad")
        h.run("ip", "route", "add", "10.99.0.0/16", "via", "10.1.0.9")
        h.run("ip", "route", "add", "fd00:99::/32", "via", "fd00:1::9")
    return make_host(before=set_up)


def mtu_becomes(host, name, mtu):
    wait_until(lambda: host.links()[name]["mtu"] == mtu, 20, f"the MTU of {name} is {mtu}")


@pytest.mark.needs("link:vxlan")
def test_promise_24_mtu_follows_the_routes(two_ways):
    host = two_ways
    host.apply(document("Vxlan", "vx0", "vni: 5001, remotes: [10.99.0.2]"), "--wait=20s")
    assert host.links()["vx0"]["mtu"] == 1350
    route = ("ip", "route", "replace", "10.99.0.0/16")
    for way, mtu in (("10.0.0.9", 1450), ("10.1.0.9", 1350)):
        host.run(*route, "via", way)
        mtu_becomes(host, "vx0", mtu)
    host.run("ip", "route", "add", "10.99.0.2", "via", "10.0.0.9")  # of two ways the more specific one
    mtu_becomes(host, "vx0", 1450)
    host.run("ip", "route", "del", "10.99.0.2")
    mtu_becomes(host, "vx0", 1350)
    host.run("ip", "route", "add", "10.99.0.0/24", "via", "10.0.0.9", "table", "77")
    host.run("ip", "rule", "add", "to", "10.99.0.2", "lookup", "77")
    mtu_becomes(host, "vx0", 1450)
    host.run("ip", "rule", "del", "to", "10.99.0.2", "lookup", "77")
    mtu_becomes(host, "vx0", 1350)
    host.run("ip", "route", "del", "10.99.0.0/24", "table", "77")


@pytest.mark.needs("link:geneve")
def test_promise_24_mtu_follows_the_routes_of_ipv6(two_ways):
    host = two_ways
    host.apply(document("Geneve", "gen0", 'vni: 5001, remote: "fd00:99::2"'), "--wait=20s")
    assert host.links()["gen0"]["mtu"] == 1330
    host.run("ip", "route", "add", "fd00:99::2/128", "via", "fd00:0::9")
    mtu_becomes(host, "gen0", 1430)
    host.run("ip", "route", "del", "fd00:99::2/128")
    mtu_becomes(host, "gen0", 1330)
    host.run("ip", "route", "replace", "default", "via", "fd00:0::9")
    host.run("ip", "route", "del", "fd00:99::/32")
    mtu_becomes(host, "gen0", 1430)
    host.run("ip", "route", "del", "default", "via", "fd00:0::9")
    host.run("ip", "route", "add", "fd00:99::/32", "via", "fd00:1::9")


@pytest.mark.needs("link:vxlan")
def test_promise_24_the_narrowest_of_several_ways_counts(two_ways):
    host, both = two_ways, "vni: 5001, remotes: [10.0.0.2, 10.1.0.2, 10.1.0.3]"
    host.apply(document("Vxlan", "vx0", both), "--wait=20s")
    assert host.links()["vx0"]["mtu"] == 1350
    refused = host.apply(document("Vxlan", "vx0", both + ", mtu: 1450"), check=False)
    assert refused.status == 2
    assert "eth1, the way to 10.1.0.2, has 1400, VXLAN over IPv4 takes 50, 1350 is the most" in refused.err
    host.apply(document("Vxlan", "vx0", "vni: 5001, remotes: [10.0.0.2]"), "--wait=20s")
    assert host.links()["vx0"]["mtu"] == 1450


@pytest.mark.needs("link:vxlan")
def test_promise_24_what_is_too_little_is_said(two_ways):
    host = two_ways
    links = host.links()
    vxlan = "vni: 5001, local: 10.0.0.1, remotes: [10.0.0.2]"
    for text, said in (
            (document("Bridge", "br1", "mtu: 1000, addresses: ['fd50::1/64']"), "IPv6 needs an MTU of at least 1280, and br1 has 1000"),
            (document("Veth", "va", "mtu: 1000, peer: {name: vb, address: 'fd50::1/64'}"), "IPv6 needs an MTU of at least 1280, and va has"),
            (document("Ethernet", "eth0", "mtu: 1300") + document("Vxlan", "vx0", vxlan + ", addresses: ['fd50::1/64']"),
             "IPv6 needs an MTU of at least 1280, and vx0 has 1250"),
            (document("Network", "lan", "mode: routed, mtu: 1000, addresses: ['fd50::1/64']"), "IPv6 needs an MTU of at least 1280"),
            (document("Ethernet", "eth0", "mtu: 68") + document("Vxlan", "vx0", vxlan),
             "it has no room: eth0 has 68, VXLAN over IPv4 takes 50, 18 is the most, and a link needs at least 68"),
            (document("Vxlan", "vx0", "vni: 5001, remote: 10.50.0.2, address: 10.50.0.1/24"),
             "10.50.0.2 is in a subnet of the tunnel's own addresses")):
        refused = host.apply(text, check=False)
        assert refused.status == 2 and said in refused.err, refused
    assert host.links() == links


@pytest.mark.needs("link:vxlan")
def test_promise_11_others_routes_cost_nothing(two_ways):
    """The filter of the socket by which tunnels' ways are followed."""
    host = two_ways
    host.apply(document("Vxlan", "vx0", "vni: 5001, remotes: [10.99.0.2]"), "--wait=20s")
    before = host.cpu_seconds(host.weftd_pid())
    nets = [f"100.{a}.{b}.0/24" for a in range(64, 164) for b in range(250)]
    for _ in range(2):
        for verb in ("add", "del"):
            host.run("ip", "-batch", "-", input="".join(f"route {verb} {net} dev eth1\n" for net in nets), timeout=120)
    assert host.cpu_seconds(host.weftd_pid()) - before < 1
    host.run("ip", "route", "replace", "10.99.0.0/16", "via", "10.0.0.9")
    mtu_becomes(host, "vx0", 1450)
    host.run("ip", "route", "replace", "10.99.0.0/16", "via", "10.1.0.9")


@pytest.mark.needs("link:vxlan")
def test_contract_overlay_refusals(host):
    links = host.links()
    refused = host.apply(document("Vxlan", "vx1", "vni: 4999, remotes: [198.51.100.2]"), check=False)
    assert refused.status == 2 and "VNI 4999 is below 5000" in refused.err
    refused = host.apply(document("HostPolicy", "default", "vni: {min: 6000}") + document("Vxlan", "vx1", "vni: 5999, remotes: [198.51.100.2]"),
                         check=False)
    assert refused.status == 2 and "VNI 5999 is below 6000" in refused.err
    two = (document("Bridge", "br1", "ports: [vx1, vx2]") + document("Vxlan", "vx1", "vni: 5001, remote: 198.51.100.2")
           + document("Vxlan", "vx2", "vni: 5002, remotes: [198.51.100.3, 198.51.100.2]"))
    refused = host.apply(two, check=False)
    assert refused.status == 2 and "both lead to 198.51.100.2" in refused.err
    assert host.links() == links
    host.apply(two.replace("vx1, vx2]", "vx1, vx2], stp: {enabled: true}"), "--wait=20s")
    assert host.links()["vx2"]["master"] == "br1"
    refused = host.apply(document("HostPolicy", "default", "vni: {min: 5002}"), check=False)
    assert refused.status == 2 and "VNI 5001 is below 5002" in refused.err, "what is there is bound by it too"
    host.apply(document("HostPolicy", "default", "vni: {min: 100}") + document("Vxlan", "vx3", "vni: 100, remotes: [198.51.100.4]"), "--wait=20s")
    assert host.links()["vx3"]["linkinfo"]["info_data"]["id"] == 100
    refused = host.weft("delete", "HostPolicy", "default", check=False)
    assert refused.status == 2 and "VNI 100 is below 5000" in refused.err


@pytest.mark.needs("link:vxlan")
def test_both_ways_of_joining(host):
    spec = "vni: 5001, remotes: [198.51.100.2]"
    done = host.apply(document("Vxlan", "vx1", spec + ", bridge: br1") + document("Bridge", "br1", "ports: [vx1]"), "--wait=20s")
    assert host.links()["vx1"]["master"] == "br1"
    done = host.apply(document("Vxlan", "vx1", spec + ", bridge: br2") + document("Bridge", "br1", "ports: [vx1]")
                      + document("Bridge", "br2", ""), check=False)
    assert done.status == 2 and "manifest.yaml:4:" in done.err and "manifest.yaml:9:" in done.err, done
    assert host.links()["vx1"]["master"] == "br1"


@pytest.mark.needs("link:vxlan")
def test_promise_11_others_neighbours_cost_nothing(pair):
    """The filter of the socket that tunnels' entries are followed by."""
    host = pair[0]
    host.apply(overlay(VXLAN, 0), "--wait=20s")
    before = host.cpu_seconds(host.weftd_pid())
    lines = "".join(f"neigh {verb} 198.51.{100 + i // 250}.{i % 250 + 1} lladdr 02:00:00:00:00:01 dev eth0 nud reachable\n"
                    for i in range(1000) for verb in ("replace", "delete"))
    for _ in range(50):
        host.run("ip", "-force", "-batch", "-", input=lines, check=False)
    assert host.cpu_seconds(host.weftd_pid()) - before < 1
    host.run("bridge", "fdb", "del", "00:00:00:00:00:00", "dst", V4[1], "dev", "tun1")
    wait_until(lambda: remotes(host) == {V4[1]}, 10, "its own entry is still looked after")


@pytest.mark.needs("link:vrf", "link:vxlan")
def test_contract_overlay_vrf(make_host):
    def once(h):  # the first VRF of a namespace leaves a routing rule behind
        h.run("ip", "link", "add", "first", "type", "vrf", "table", "7")
        h.run("ip", "link", "del", "first")
    host = make_host(before=once)
    spec = overlay(TUNNELS["vxlan"], 0).replace("local: 198.51.100.1, ", "")
    host.apply(spec + document("Vrf", "tenant-a", "table: 1001, links: [br1]"), "--wait=20s")
    assert host.links()["br1"]["master"] == "tenant-a" and "UP" in host.links()["tenant-a"]["flags"]
    assert any(r["dst"] == "10.9.0.0/24" for r in host.json("ip", "-j", "route", "show", "table", "1001"))
    host.run("ip", "link", "del", "tenant-a")
    wait_until(lambda: host.links()["br1"]["master"] == "tenant-a", 10, "it has its link again")
    wait_until(lambda: any(r["dst"] == "10.9.0.0/24" for r in host.json("ip", "-j", "route", "show", "table", "1001")), 10)
    host.apply(spec, "--prune", "--wait=20s")
    assert "master" not in host.links()["br1"] and "tenant-a" not in host.links()


@pytest.mark.needs("link:vrf", "link:vxlan", "link:geneve", "link:gretap")
def test_contract_overlay_example(make_host):
    """The file as it stands, and the other host's with the ends changed over."""
    def once(h):  # the first VRF of a namespace leaves a routing rule behind
        h.run("ip", "link", "add", "first", "type", "vrf", "table", "7")
        h.run("ip", "link", "del", "first")
    hosts = make_host(before=once), make_host(before=once)
    join(hosts)
    example = (EXAMPLES / "overlay.yaml").read_text()
    swapped = example.replace(V4[0], "HERE").replace(V4[1], V4[0]).replace("HERE", V4[1])
    for n in (51, 52, 53):
        swapped = swapped.replace(f"10.{n}.0.1/24", f"10.{n}.0.2/24")
    hosts[0].apply(EXAMPLES / "overlay.yaml", "--wait=20s")
    hosts[1].apply(swapped, "--wait=20s")
    for host in hosts:
        links = host.links()
        assert [links[n]["mtu"] for n in ("br5001", "br5002", "br5003")] == [1450, 1450, 1458]
        assert links["br5001"]["master"] == "tenant-a"
        assert remotes(host, "vx5001") >= {"198.51.100.3"}
    for n in (52, 53):
        wait_until(lambda: reaches(hosts[0], f"10.{n}.0.2"), 20, f"10.{n}.0.2 answers")
    wait_until(lambda: "1 received" in hosts[0].run("ping", "-n", "-c", "1", "-W", "1", "-I", "tenant-a", "10.51.0.2", check=False),
               20, "and in the VRF")
