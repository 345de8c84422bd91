# SPDX-License-Identifier: Apache-2.0
"""A bridge takes over the NIC over which the host is reached: nobody notices, there and back."""
import time

import pytest

from far import Far
from harness import differences, wait_until
from test_crash import Case, change, rest, settle

BR1 = """
apiVersion: weft/v1
kind: Bridge
metadata: {name: br1}
spec: {ports: [{name: eth3}], takeover: eth3}
"""


@pytest.fixture
def fars():
    """Far sides; they stay until their hosts are gone."""
    made = []
    yield made
    for far in made:
        far.close()


@pytest.fixture
def near(fars, make_host):
    """A host with a NIC, and its far side as host.far."""
    def before(host):
        host.far = Far(host)
        fars.append(host.far)
    return make_host(before=before)


def holdings(host, link):
    """What a link has, with everything that ip(8) tells of it."""
    timeless = {"preferred_life_time", "valid_life_time"}
    addresses = [{k: v for k, v in a.items() if k not in timeless} for l in host.json("ip", "-d", "-j", "addr", "show", "dev", link)
                 for a in l["addr_info"] if not a["local"].startswith("fe80")]
    routes = [r for family in ("-4", "-6") for r in host.json("ip", "-d", family, "-j", "route", "show", "table", "all", "dev", link)
              if not str(r["dst"]).startswith(("fe80", "ff00", "multicast"))]
    return sorted(map(str, addresses)), sorted(map(str, routes))


def test_there_and_back_without_a_loss(near):
    before = holdings(near, "eth3")
    mac = near.links()["eth3"]["address"]
    with near.far.pings() as lost:
        time.sleep(1)
        near.apply(BR1, "--wait=30s")
        time.sleep(2)
    assert max(lost.values()) <= 1, lost
    links = near.links()
    assert links["eth3"]["master"] == "br1" and links["br1"]["address"] == mac
    assert near.addresses("br1") == {"192.0.2.10/24", "192.0.2.11/24", "2001:db8:2::10/64", "2001:db8:2::11/64"}
    assert near.addresses("eth3") == set()
    routes = near.json("ip", "-j", "route", "show", "table", "all")
    assert {(r["dst"], r["dev"]) for r in routes if r["dst"] in ("default", "203.0.113.0/24", "100.64.0.0/24")} == {
        ("default", "br1"), ("203.0.113.0/24", "br1"), ("100.64.0.0/24", "br1")}
    assert near.json("ip", "-6", "-j", "route", "show", "default")[0]["dev"] == "br1"
    with near.far.pings() as lost:
        time.sleep(1)
        near.weft("delete", "bridge", "br1", "--wait=30s")
        time.sleep(2)
    assert max(lost.values()) <= 1, lost
    assert "br1" not in near.links() and "master" not in near.links()["eth3"]
    assert differences(before, holdings(near, "eth3")) == []


CASES = {"apply": ("", BR1), "delete": (BR1, "")}


@pytest.mark.parametrize("what", CASES)
def test_killed_before_an_operation(near, what):
    """The host ends in the old state or in the new one, and is reached in either."""
    case = Case(near, *CASES[what])
    for n in case.numbers():
        print(f"stop:{n}")
        _, said, operations = change(near, f"stop:{n}", *case.there, kill=True)
        stopped = any("weftd stops" in line for line in operations)
        print(operations[-1:], said)
        near.start()
        rest(near)
        state = settle(near, case.old, case.new)
        assert state == "old" if stopped and what == "apply" else state
        near.far.wait_for_answers()
        if state == "new":
            case.return_to_old()


@pytest.mark.parametrize("what", CASES)
def test_a_failing_operation(near, what):
    case = Case(near, *CASES[what])
    for n in case.numbers():
        print(f"fail:{n}")
        status, said, operations = change(near, f"fail:{n}", *case.there)
        print(operations[-1:], status, said)
        rest(near)
        state = settle(near, case.old, case.new)
        assert (state == "new") == (status == 0), "the status says what came of it"
        near.far.wait_for_answers()
        if state == "new":
            case.return_to_old()
