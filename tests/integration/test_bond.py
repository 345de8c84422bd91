# SPDX-License-Identifier: Apache-2.0
"""Bonds over NICs that are veths, with a namespace for their switch: what the kernel shows of them, what packets notice, and how the NICs are given back."""
import subprocess

import pytest

from harness import wait_until

pytestmark = pytest.mark.needs("link:bond")
BOND = """
apiVersion: weft/v1
kind: Bond
metadata: {name: bond0}
spec: {ports: [nic0, nic1], %s}
"""
BACKUP = "mode: active-backup, primary: nic0, mtu: 9000, addresses: [10.80.0.1/24]"
LACP = "mode: 802.3ad, lacpRate: fast, miimon: 100ms, xmitHashPolicy: layer3+4, addresses: [10.80.0.1/24]"


class Switch:
    """The far ends of the host's NICs: far0, far1 in a namespace of their own."""

    def __init__(self, host):
        self.ns = f"{host.ns}-switch"
        subprocess.run(["ip", "netns", "add", self.ns], check=True)
        for number in range(2):
            host.run("ip", "link", "add", f"nic{number}", "type", "veth", "peer", "name", f"far{number}", "netns", self.ns)
            self.run(f"ip link set far{number} mtu 9000")
            host.run("sysctl", "-qw", f"net.ipv6.conf.nic{number}.disable_ipv6=1")  # whose link-local address comes when it likes
        host.run("ip", "link", "set", "nic0", "up")  # one was up before, the other was not

    def run(self, command, check=True):
        return subprocess.run(["ip", "netns", "exec", self.ns, *command.split()], capture_output=True, text=True, check=check)

    def join(self, *options):
        """Both ends as one link with 10.80.0.2."""
        self.run(f"ip link add wire type {' '.join(options)}")
        for number in range(2):
            self.run(f"ip link set far{number} down")
            self.run(f"ip link set far{number} master wire")
            self.run(f"ip link set far{number} up")
        self.run("ip addr add 10.80.0.2/24 dev wire")
        self.run("ip link set wire up mtu 9000")

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
        switches.append(Switch(host))
        host.wait_quiet()
    return make_host(before=connect)


@pytest.fixture
def switch(host, switches):
    return switches[0]


def info(host):
    return host.links()["bond0"]["linkinfo"]["info_data"]


def degraded(host):
    condition = host.condition("bond", "bond0", "Degraded")
    return condition["message"] if condition and condition["status"] == "True" else ""


def indexes(host):
    return {name: link["ifindex"] for name, link in host.links().items()}


def reaches(host):
    return subprocess.run(["ip", "netns", "exec", host.ns, "ping", "-n", "-c1", "-W1", "-M", "do", "-s", "8000", "10.80.0.2"], capture_output=True).returncode == 0


def test_active_backup_goes_on_when_a_port_fails(host, switch):
    switch.join("bridge")
    host.apply(BOND % BACKUP, "--wait=30s")
    links = host.links()
    assert links["bond0"]["linkinfo"]["info_data"]["mode"] == "active-backup" and links["bond0"]["ifalias"].startswith("weft:")
    assert all(links[nic]["master"] == "bond0" and links[nic]["mtu"] == 9000 and "UP" in links[nic]["flags"] for nic in ("nic0", "nic1"))
    assert links["bond0"]["mtu"] == 9000 and info(host)["primary"] == "nic0" and info(host)["miimon"] == 100
    wait_until(lambda: reaches(host) and info(host)["active_slave"] == "nic0" and not degraded(host))
    pings = host.popen("ping", "-n", "-i", "0.05", "-c", "80", "10.80.0.2", stdout=open(host.scratch / "pings", "w"))
    switch.run("ip link set far0 down")
    wait_until(lambda: info(host)["active_slave"] == "nic1" and "nic0" in degraded(host))
    pings.wait(timeout=60)
    received = (host.scratch / "pings").read_text().count("bytes from")
    print(f"failover: {80 - received} of 80 pings lost")
    assert received >= 70
    switch.run("ip link set far0 up")
    wait_until(lambda: info(host)["active_slave"] == "nic0" and not degraded(host))


def test_lacp_finds_its_partner_and_says_when_it_has_none(host, switch):
    host.apply(BOND % LACP, "--allow-disruption")
    for number in range(2):
        switch.run(f"ip link set far{number} up")
    wait_until(lambda: "no LACP partner" in degraded(host) and "nic0" in degraded(host), 60)
    switch.join("bond", "mode", "802.3ad", "lacp_rate", "fast", "miimon", "100")
    wait_until(lambda: host.ready("bond", "bond0") and not degraded(host), 60)
    partner = switch.run("cat /sys/class/net/wire/address").stdout.strip()
    seen = info(host)["ad_info"]
    assert seen["partner_mac"] == partner and seen["num_ports"] == 2
    assert (info(host)["ad_lacp_rate"], info(host)["xmit_hash_policy"]) == ("fast", "layer3+4")
    wait_until(lambda: subprocess.run(["ip", "netns", "exec", host.ns, "ping", "-n", "-c1", "-W1", "10.80.0.2"], capture_output=True).returncode == 0)
    switch.run("ip link set far1 nomaster")
    switch.run("ip link set far1 up")
    wait_until(lambda: "nic1" in degraded(host) and "nic0" not in degraded(host), 60)


LIVE = ("miimon: 200ms", "miimon: 100ms, updelay: 200ms, downdelay: 300ms", "xmitHashPolicy: layer2+3", "minLinks: 1", "allPortsActive: true",
        "peerNotify: 3", "peerNotifyDelay: 1s", "resendIgmp: 2", "adActorSystemPriority: 1000", "adActorSystem: \"02:00:00:00:00:99\"", "mtu: 1400")
PAUSED = ("lacpRate: fast", "lacpActive: false", "adSelect: bandwidth", "adUserPortKey: 5")


@pytest.mark.parametrize("options, row, value", [
    ("mode: active-backup, arpInterval: 1s, arpTargets: [10.80.0.2], arpMissedMax: 5", "arp_missed_max", 5),
    ('mode: active-backup, arpInterval: 1s, nsTargets: ["fd80::2", "fd80::3"]', "ns_ip6_target", ["fd80::2", "fd80::3"]),
    ("mode: balance-alb, lpInterval: 3", "lp_interval", 3),
    ("mode: active-backup, peerNotifyDelay: 500ms", "peer_notify_delay", 500),
])
@pytest.mark.lab_full
def test_options_of_a_mode(host, options, row, value):
    host.apply(BOND % options, "--wait=20s", check=False)
    assert info(host)[row] == value and host.diff() == []


@pytest.mark.lab_full
def test_neighbours_that_are_asked_can_be_others(host):
    host.apply(BOND % 'mode: active-backup, arpInterval: 1s, nsTargets: ["fd80::2"]', "--wait=20s", check=False)
    before = indexes(host)
    host.apply(BOND % 'mode: active-backup, arpInterval: 1s, arpTargets: [10.80.0.2], nsTargets: ["fd80::3"]', "--wait=20s", check=False)
    assert (info(host)["ns_ip6_target"], info(host)["arp_ip_target"]) == (["fd80::3"], ["10.80.0.2"])
    host.apply(BOND % "mode: active-backup", "--wait=20s", check=False)
    assert not info(host).get("ns_ip6_target") and not info(host).get("arp_ip_target") and info(host)["miimon"] == 100
    assert host.diff() == [] and indexes(host) == before


def test_promise_03_options_of_a_bond_change_in_place(host):
    host.apply(BOND % "mode: 802.3ad", "--wait=20s", check=False)
    before = indexes(host)
    for option in LIVE:
        assert host.apply(BOND % f"mode: 802.3ad, {option}").status == 0, option
        assert host.diff() == [] and indexes(host) == before, option
        host.apply(BOND % "mode: 802.3ad")
        assert host.diff() == [], f"back from {option}"
    for option in PAUSED:
        path = host.scratch / "paused.yaml"
        path.write_text(BOND % f"mode: 802.3ad, {option}")
        refused = host.apply(path, check=False)
        assert refused.status == 1 and "goes down for a moment" in refused.out + refused.err, option
        host.apply(path, "--allow-disruption")
        assert host.diff() == [] and indexes(host) == before and "UP" in host.links()["bond0"]["flags"], option
        host.apply(BOND % "mode: 802.3ad", "--allow-disruption")
        assert host.diff() == [], f"back from {option}"
    assert all(host.links()[nic]["master"] == "bond0" for nic in ("nic0", "nic1"))
    refused = host.apply(BOND % "mode: balance-xor", check=False)
    assert refused.status == 1 and "--allow-disruption" in refused.err and indexes(host) == before
    host.apply(BOND % "mode: balance-xor", "--allow-disruption", "--wait=20s", check=False)
    wait_until(lambda: info(host)["mode"] == "balance-xor" and all(host.links()[nic].get("master") == "bond0" for nic in ("nic0", "nic1")))


MODES = {
    "balance-rr": ("packetsPerPort: 4", {"packets_per_slave": 4}),
    "active-backup": ("failOverMac: active, primary: nic1, primaryReselect: failure",
                      {"fail_over_mac": "active", "primary": "nic1", "primary_reselect": "failure"}),
    "balance-xor": ("xmitHashPolicy: layer2+3, arpInterval: 1s, arpTargets: [10.80.0.2, 10.80.0.3], arpValidate: filter, arpAllTargets: all",
                    {"xmit_hash_policy": "layer2+3", "arp_interval": 1000, "arp_ip_target": ["10.80.0.2", "10.80.0.3"], "miimon": 0,
                     "arp_validate": "filter", "arp_all_targets": "all"}),
    "broadcast": ("updelay: 200ms, downdelay: 400ms", {"updelay": 200, "downdelay": 400, "miimon": 100}),
    "802.3ad": ("lacpRate: fast, adSelect: count, minLinks: 1", {"ad_lacp_rate": "fast", "ad_select": "count", "min_links": 1}),
    "balance-tlb": ("tlbDynamic: false, xmitHashPolicy: layer3+4", {"tlb_dynamic_lb": 0, "xmit_hash_policy": "layer3+4"}),
    "balance-alb": ("primary: nic0", {"primary": "nic0"}),
}


@pytest.mark.parametrize("mode", [pytest.param(mode, marks=[pytest.mark.lab_full] if mode.startswith(("balance", "broad")) else [])
                                  for mode in MODES])
def test_modes_with_their_options(host, mode):
    text, wanted = MODES[mode]
    host.apply(BOND % f"mode: {mode}, {text}")
    wait_until(lambda: all(host.links()[nic].get("master") == "bond0" for nic in ("nic0", "nic1")))
    seen = info(host)
    seen["arp_ip_target"] = [x for x in seen.get("arp_ip_target", []) if x]
    assert seen["mode"] == mode and {key: seen.get(key) for key in wanted} == wanted


def test_what_a_rival_does_to_it_is_undone(host):
    host.apply(BOND % BACKUP, "--allow-disruption")
    wait_until(lambda: all(host.links()[nic].get("master") == "bond0" for nic in ("nic0", "nic1")))
    for rival in ("ip link set bond0 type bond miimon 500", "ip link set nic0 nomaster", "ip link set bond0 type bond primary nic1", "ip link set bond0 mtu 1400",
                  "ip link set bond0 down", "ip link del bond0"):
        host.run(*rival.split())
        wait_until(lambda: info(host)["miimon"] == 100 and info(host).get("primary") == "nic0" and "UP" in host.links()["bond0"]["flags"]
                   and all(host.links()[nic].get("master") == "bond0" and host.links()[nic]["mtu"] == 9000 for nic in ("nic0", "nic1"))
                   and host.addresses("bond0") == {"10.80.0.1/24"}, what=rival)


def test_a_nic_in_use_is_taken_only_when_that_is_allowed(host, switch):
    host.run("ip", "addr", "add", "10.80.0.9/24", "dev", "nic0")
    host.before = host.snapshot()
    refused = host.apply(BOND % LACP, check=False)
    assert refused.status == 1 and "about 3 s" in refused.out + refused.err and "master" not in host.links()["nic0"]
    host.apply(BOND % LACP, "--allow-disruption")
    wait_until(lambda: all(host.links()[nic].get("master") == "bond0" for nic in ("nic0", "nic1")))


def of_nic(host):
    """What nic0 has of its own, as ip(8) tells it."""
    addresses = host.json("ip", "-j", "addr", "show", "dev", "nic0", "scope", "global")
    return addresses and addresses[0].get("addr_info"), host.json("ip", "-j", "route", "show", "dev", "nic0", "table", "all", "proto", "static")


@pytest.mark.lab_full
def test_addresses_and_routes_of_a_nic_are_set_aside_and_come_back(host, switch):
    switch.join("bridge")
    host.run("sysctl", "-qw", "net.ipv6.conf.nic0.disable_ipv6=0", "net.ipv6.conf.nic0.accept_ra=0")
    for command in ("addr add 10.80.0.9/24 brd + dev nic0 label nic0:0", "addr add 10.80.0.10/24 dev nic0", "addr add fd80::9/64 dev nic0 nodad",
                    "route add default via 10.80.0.2 dev nic0 proto static metric 50", "route add 10.90.0.0/16 via 10.80.0.2 dev nic0 proto static src 10.80.0.10",
                    "route add 10.91.0.0/16 dev nic0 table 77 proto static", "-6 route add fd90::/64 via fd80::2 dev nic0 proto static metric 99"):
        host.run("ip", *command.split())
    host.wait_quiet()
    host.before, had = host.snapshot(), of_nic(host)
    text = BOND % "mode: active-backup, addresses: [10.80.0.1/24], routes: [{to: default, via: 10.80.0.2}]"
    refused = host.apply(text, check=False)
    assert refused.status == 1 and "does not answer" in refused.out + refused.err and of_nic(host) == had
    host.apply(text, "--confirm", "60s", "--verify", "10.80.0.2")
    host.weft("confirm")
    assert host.links()["nic0"]["master"] == "bond0" and of_nic(host) == ([], [])
    assert host.diff() == [] and host.run("ping", "-n", "-c1", "-W2", "10.80.0.2")
    host.restart()
    assert host.diff() == [] and of_nic(host) == ([], [])
    host.weft("delete", "bond", "bond0", "--wait=30s")
    wait_until(lambda: of_nic(host) == had, what="the NIC has all that it had")
    assert host.run("ping", "-n", "-c1", "-W2", "10.80.0.2")


@pytest.mark.lab_full
def test_a_bond_that_does_not_reach_the_gateway_is_undone(host, switch):
    switch.join("bridge")
    for command in ("addr add 10.80.0.9/24 dev nic0", "route add default via 10.80.0.2 dev nic0"):
        host.run("ip", *command.split())
    host.wait_quiet()
    host.before = host.snapshot()
    done = host.apply(BOND % "mode: active-backup", "--confirm", "60s", check=False)
    assert done.status == 1 and "gateway" in done.out + done.err, "the way to the gateway is guarded without being asked"
    wait_until(lambda: "bond0" not in host.links() and host.run("ping", "-n", "-c1", "-W2", "10.80.0.2"), 30, "as before")
