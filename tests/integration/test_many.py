# SPDX-License-Identifier: Apache-2.0
"""As many links as a host may come to have, made, kept and removed in one change each."""
import pytest

from harness import wait_until

N = 1000
PORTS = {  # a bridge's only port: the first one's number, and its spec
    "Vxlan": (5001, "vni: {number}, local: 127.0.0.1"),
    "Vlan": (1, "link: trunk, id: {number}"),
}
# Reading every sysctl of two thousand links for the laws takes minutes; what they say of links is asserted here.
pytestmark = pytest.mark.no_laws


def fabric(kind):
    first, spec = PORTS[kind]
    return "---\n".join(
        f"apiVersion: weft/v1\nkind: Bridge\nmetadata: {{name: b{i}}}\nspec: {{}}\n---\n"
        f"apiVersion: weft/v1\nkind: {kind}\nmetadata: {{name: x{i}}}\n"
        f"spec: {{bridge: b{i}, {spec.format(number=first + i)}}}\n" for i in range(N))


def add_trunk(host):
    host.run("ip", "link", "add", "trunk", "type", "veth", "peer", "name", "far")
    host.run("ip", "link", "set", "far", "up")
    host.run("ip", "link", "set", "trunk", "up")


def indexes(host):
    return {name: link["ifindex"] for name, link in host.links().items()}


@pytest.mark.parametrize("kind", [
    pytest.param("Vxlan", marks=pytest.mark.needs("link:vxlan")),
    pytest.param("Vlan", marks=[pytest.mark.needs("link:vlan"), pytest.mark.lab_full]),
])
def test_promise_09_a_thousand_bridges(host, kind):
    """How long it takes beside `ip -batch` is what tests/bench/fabric says."""
    add_trunk(host)
    before = indexes(host)
    host.weft("apply", "-f", "-", "--wait=10m", input=fabric(kind), timeout=900)
    links = host.links()
    for i in range(N):
        port = links[f"x{i}"]
        assert port["master"] == f"b{i}" and "UP" in port["flags"] and "UP" in links[f"b{i}"]["flags"], i
        assert port["linkinfo"]["info_data"]["id"] == PORTS[kind][0] + i, i
    made = indexes(host)

    host.restart()
    wait_until(lambda: host.diff() == [], 120, "nothing differs after a restart")
    assert indexes(host) == made

    names = [f"{kind}/x{i}" for i in range(N)] + [f"Bridge/b{i}" for i in range(N)]
    host.weft("delete", "--now", "--wait=10m", *names, timeout=900)
    wait_until(lambda: indexes(host) == before, 60, "only what was there before is there")
