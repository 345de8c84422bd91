# SPDX-License-Identifier: Apache-2.0
"""Others who change what is weft's: each change is repaired, with an event that says what was lost and, for rules, whose doing it was. One who keeps at it makes
the object Contested, costs weftd next to nothing, and is outlived."""
import os
import re
import signal
import subprocess
import time

import pytest

from harness import RENAMES_WHAT_IS_UP, wait_until
from test_promises import BRIDGE, LAN, add_image, all_of

pytestmark = pytest.mark.needs("dnsmasq", "nft")
BOTH = all_of(LAN, BRIDGE)
# What Docker's daemon sets up for its bridge, in its order, with the policy that cuts everybody else off.
DOCKER = """*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8088 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-I FORWARD 1 -j DOCKER-FORWARD
-I FORWARD 1 -j DOCKER-USER
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
COMMIT
"""


def repaired(host, since, resource):
    return [e["text"] for e in host.events()[since:] if e["type"] == "Repaired" and e.get("resource") == resource]


def state(host):
    """The host, but for which instance of a link it is, and for addresses that come with a carrier."""
    seen = host.snapshot()
    seen["routes"] = [route for route in seen["routes"] if '"fe80::' not in route]
    for link in seen["links"].values():
        del link["ifindex"]
    seen["processes"] = [command.split()[0] for command in seen["processes"]]
    return seen


# Not more than four to one link: five repairs in ten seconds would be a contest.
BLOWS = {"names and ports": [
    ("ip link set br7 name gone7", "link/br7", "renamed to 'gone7'"),
    ("ip link set tap7 name gone7", "link/tap7", "renamed to 'gone7'"),
    ("ip link set lan name gone7", "link/lan", "renamed to 'gone7'"),
    ("ip link del br7", "link/br7", "was gone"),
    ("ip link del tap7", "link/tap7", "was gone"),
    ("ip link set tap7 nomaster", "link/tap7", "master was"),
], "rows of links": [
    ("ip link set tap7 master lan", "link/tap7", "master was (lan|none) instead of br7"),
    ("ip link set br7 mtu 1300", "link/br7", "mtu was 1300 instead of 1400"),
    ("ip link set tap7 mtu 1300", "link/tap7", "mtu was 1300 instead of 1400"),
    ("ip link set br7 address 02:00:00:00:00:99", "link/br7", "mac was 02:00:00:00:00:99 instead of"),
    ("ip link set tap7 down", "link/tap7", "up was false instead of true"),
    ("ip link set br7 down", "link/br7", "up was false instead of true"),
    ("ip link set br7 type bridge ageing_time 100", "link/br7", "ageingTime"),
], "addresses, settings and rules": [
    ("ip addr del 10.7.0.1/24 dev br7", "address/br7/10.7.0.1/24", "was gone"),
    ("ip -6 addr del fd42:150::1/64 dev lan", "address/lan/fd42:150::1/64", "was gone"),
    ("sysctl -qw net.ipv4.ip_forward=0", "forwarding/ipv4", "enabled was false instead of true"),
    ("sysctl -qw net.ipv6.conf.all.forwarding=0", "forwarding/ipv6", "enabled was false instead of true"),
    ("iptables -F", "rules/ipv4/filter/lan", r"removed by iptables\S* \(pid \d+\)"),
    ("iptables -t nat -F WEFT-POST-lan", "rules/ipv4/nat/lan", r"removed by iptables\S* \(pid \d+\)"),
    ("nft flush ruleset", "rules/ipv6/nat/lan", r"removed by nft \(pid \d+\)"),
]}


@pytest.mark.parametrize("what", BLOWS)
def test_promise_05_each_blow_is_repaired_and_told(host, what):
    """One host for all: after each blow the host is as it was before it."""
    host.apply(BOTH, "--wait=20s")
    before = state(host)
    for blow, resource, text in BLOWS[what]:
        if " name " in blow and not RENAMES_WHAT_IS_UP:
            continue  # nobody can do that here
        since, begun = len(host.events()), time.monotonic()
        host.run(*blow.split())
        told = wait_until(lambda: repaired(host, since, resource), 15, f"{blow}: an event of {resource}")
        print(f"{blow}: told after {time.monotonic() - begun:.2f} s: {told[0]}")
        assert re.search(text, told[0]), told
        host.check_as(before, 15, state)
    assert not [e for e in host.events() if e["type"] == "Contested"], "others' single blows are no contest"


def test_changed_sysctls_that_nobody_tells_of(host):
    """The kernel has no event for them; they are looked at each minute, and when weftd starts."""
    host.apply(LAN, "--wait=20s")
    wanted = {key: value for key in ("bridge.bridge-nf-call-iptables", "ipv6.conf.lan.accept_ra", "ipv4.conf.lan.route_localnet")
              if (value := host.run("sysctl", "-n", f"net.{key}", check=False).strip())}
    assert len(wanted) >= 2

    def change():
        for key, value in wanted.items():
            host.run("sysctl", "-qw", f"net.{key}={1 - int(bool(int(value)))}")

    def again():
        return all(host.run("sysctl", "-n", f"net.{key}").strip() == value for key, value in wanted.items())

    change()
    host.restart()
    wait_until(again, 10, "they are set again at the start")
    since = len(host.events())
    change()
    wait_until(again, 100, "they are set again within the minute")
    for key in wanted:
        wait_until(lambda: repaired(host, since, f"sysctl/net/{key.replace('.', '/')}"), 10, f"an event tells of {key}")


@pytest.mark.parametrize("away", [False, True], ids=["", "while weftd is away"])
def test_two_links_get_each_others_names(make_host, away):
    host = make_host()
    host.apply("".join(f"apiVersion: weft/v1\nkind: Bridge\nmetadata: {{name: {n}}}\nspec: {{addresses: [10.7{i}.0.1/24]}}\n---\n"
                       for i, n in enumerate(("aa", "bb"))), "--wait=20s")

    def look():
        return {n: (l["ifindex"], l["address"], l.get("ifalias"), l["mtu"], host.addresses(n)) for n, l in host.links().items()}
    before = look()
    if away:
        host.stop()
    else:
        os.kill(host.weftd_pid(), signal.SIGSTOP)
    for link, name in (("aa", "other"), ("bb", "aa"), ("other", "bb")):
        host.rename(link, name)
    if away:
        host.start()
    else:
        os.kill(host.weftd_pid(), signal.SIGCONT)
    wait_until(lambda: look() == before and host.ready("bridge", "aa") and host.ready("bridge", "bb"), 30, "the names are back")
    assert any("it was renamed to" in e["text"] for e in host.events() if e["type"] == "Repaired") or away


def test_renamed_while_weftd_was_away(host):
    host.apply(BOTH, "--wait=20s")
    before = host.snapshot()
    host.stop(signal.SIGKILL)
    host.rename("lan", "gone1")
    host.rename("tap7", "gone2")
    host.start()
    wait_until(lambda: host.snapshot() == before, 15, "they have their names again, and are the same links")


def test_a_rival_takes_the_name(host):
    """A link of weft's is renamed and somebody else's has its name: that one is not touched, and weft's is not lost."""
    host.apply(BRIDGE, "--wait=20s")
    index = host.links()["br7"]["ifindex"]
    host.stop(signal.SIGKILL)
    host.rename("br7", "gone7")
    host.run("ip", "link", "add", "br7", "type", "veth", "peer", "name", "peer7")
    foreign = host.links()["br7"]
    host.start()
    wait_until(lambda: "not weft's" in host.condition("bridge", "br7").get("message", ""), 10, "it is said")
    time.sleep(0.5)
    assert {k: host.links()["br7"].get(k) for k in ("ifindex", "address", "mtu", "ifalias")} == {
        k: foreign.get(k) for k in ("ifindex", "address", "mtu", "ifalias")}
    host.run("ip", "link", "del", "br7")
    wait_until(lambda: host.links()["br7"]["ifindex"] == index, 15, "it has its name again")
    host.wait_ready("bridge", "br7")


def rival(host, command):
    """Does it again and again, until the function given back is called."""
    process = host.popen("sh", "-c", f"while :; do {command}; sleep 0.1; done", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end():
        process.kill()
        process.wait()
    return end


@pytest.mark.parametrize("command,kind,name,resource,seen", [
    ("ip link set br7 mtu 1300", "bridge", "br7", "link/br7", "mtu was 1300 instead of 1400"),
    ("ip addr del 10.7.0.1/24 dev br7", "bridge", "br7", "address/br7/10.7.0.1/24", "was gone"),
    ("iptables -t nat -F WEFT-POST-lan", "network", "lan", "rules/ipv4/nat/lan", "iptables"),
    ("ip link set tap7 nomaster", "tap", "tap7", "link/tap7", "master was"),
], ids=["mtu", "address", "rules", "port"])
def test_one_who_keeps_undoing_it(host, command, kind, name, resource, seen):
    host.apply(BOTH, "--wait=20s")
    n = len(host.events())
    end = rival(host, command)
    try:
        said = wait_until(lambda: (c := host.condition(kind, name, "Contested")).get("status") == "True" and c["message"], 30, "it is Contested")
        print(said)
        assert resource in said and seen in said, said
        assert not host.ready(kind, name)
        before = host.cpu_seconds(host.weftd_pid())
        time.sleep(4)
        used = host.cpu_seconds(host.weftd_pid()) - before
        operations = [e for e in host.events()[n:] if e.get("resource") == resource]
        print(f"{len(operations)} events, {used:.2f} s of processor time in 4 s while it is Contested")
        assert len(operations) < 60 and used < 0.8, "weftd fights on"
        other = "bridge" if kind == "network" else "network"
        assert host.ready(other, "br7" if other == "bridge" else "lan"), "others are not concerned"
    finally:
        end()
    host.wait_ready(kind, name, 75)
    assert not host.condition(kind, name, "Contested") and host.diff() == []


def test_promise_18_a_dnsmasq_that_is_killed_again_and_again(host):
    host.apply(LAN, "--wait=20s")
    used, n = host.cpu_seconds(host.weftd_pid()), len(host.events())
    for _ in range(12):
        for pid in [pid for pid, command in host.pids().items() if command.startswith("dnsmasq")]:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.3)
    assert host.cpu_seconds(host.weftd_pid()) - used < 2 and len(host.events()) - n < 100
    host.wait_ready("network", "lan", 75)
    assert host.process("^dnsmasq")


@pytest.mark.needs("qemu-system-x86_64", "as", "ld")
@pytest.mark.parametrize("policy,back", [("on-failure", True), ("always", True), ("never", False)])
def test_a_killed_guest_is_told(make_host, policy, back):
    host = make_host(before=add_image)
    guest = """
apiVersion: weft/v1
kind: Guest
metadata: {name: web}
spec: {memory: {size: 32MiB}, disks: [{file: tiny.img}], restart: %s, shutdownTimeout: 1s}
""" % policy
    host.apply(guest, "--wait=30s")
    pid, since = host.process("guest=web,"), len(host.events())
    os.kill(pid, signal.SIGKILL)
    if back:
        wait_until(lambda: host.process("guest=web,") != pid, 20, "it runs again")
        wait_until(lambda: repaired(host, since, "qemu/web"), 10, "an event tells")
    else:
        wait_until(lambda: "killed" in host.condition("guest", "web").get("message", ""), 20)
        time.sleep(0.5)
        assert host.pids() == {}
    assert any("qemu/web" == e.get("resource") or e.get("object") == "Guest/web" for e in host.events()[since:])


@pytest.mark.needs("iptables")
def test_promise_01_docker_comes_and_is_restarted(host, plug, outside):
    """Docker's rules with its policy of dropping what is forwarded: guests' NAT works before, after, and when Docker puts its chains on top again."""
    host.apply(LAN, "--wait=20s")
    client = plug("lan", "52:54:00:00:00:0a")
    client.run("ip", "addr", "add", "192.168.150.10/24", "dev", "eth0")
    client.run("ip", "route", "add", "default", "via", "192.168.150.1")
    outside.serve("10.99.0.2", 7000)
    client.serve("192.168.150.10", 80)

    def works():
        return client.ask("10.99.0.2", 7000) == "10.99.0.1" and outside.ask("10.99.0.1", 8080) == "10.99.0.2"

    assert works()
    ours = [rule for rule in host.rules() if "WEFT" in rule]
    host.run("ip", "link", "add", "docker0", "type", "bridge")
    host.run("iptables-restore", "--noflush", input=DOCKER)
    assert works(), "Docker has come"
    theirs = [rule for rule in host.rules() if "DOCKER" in rule]
    for chain in "DOCKER-FORWARD", "DOCKER-USER":  # what a restart of it does
        host.run("iptables", "-D", "FORWARD", "-j", chain)
        host.run("iptables", "-I", "FORWARD", "-j", chain)
    assert works(), "Docker was restarted"
    host.run("iptables", "-F", "FORWARD")
    host.run("iptables", "-I", "FORWARD", "-j", "DOCKER-FORWARD")
    host.run("iptables", "-I", "FORWARD", "-j", "DOCKER-USER")
    wait_until(works, 10, "what was flushed with Docker's jumps is back")
    assert sorted(rule for rule in host.rules() if "WEFT" in rule) == sorted(ours)
    assert sorted(rule for rule in host.rules() if "DOCKER" in rule) == sorted(theirs), "Docker's are left alone"
    for command in "iptables -F", "iptables -t nat -F", "iptables -P FORWARD ACCEPT":
        host.run(*command.split())
    wait_until(lambda: sorted(rule for rule in host.rules() if "WEFT" in rule) == sorted(ours), 10, "the rules are back")
    for command in "iptables -X", "iptables -t nat -X":
        subprocess.run(["ip", "netns", "exec", host.ns, *command.split()], capture_output=True)
    for table, chains in (("nat", ["DOCKER"]), ("filter", re.findall(r"^:(DOCKER\S*)", DOCKER, re.M))):
        for chain in chains:
            host.run("iptables", "-t", table, "-X", chain, check=False)
    host.run("ip", "link", "del", "docker0")
