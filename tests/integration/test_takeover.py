# SPDX-License-Identifier: Apache-2.0
"""A bridge takes over the NIC over which the host is reached: nobody notices, there and back."""
import signal
import subprocess
import time

import pytest

from far import Far
from harness import BUILD, EXAMPLES, differences, wait_until
from test_bridge_vlans import ACCESS, tagged, vlans
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


def pinged(near, change):
    """How many pings were lost while something was done, at most of one sort."""
    with near.far.pings() as lost:
        time.sleep(1)
        change()
        time.sleep(2)
    return max(lost.values())


def test_there_and_back_without_a_loss(near):
    """A machine that is busy with other things may lose more in the middle of it, which says nothing: one time of three has to be as promised."""
    before = holdings(near, "eth3")
    mac = near.links()["eth3"]["address"]
    lost = []
    for _ in range(3):
        there = pinged(near, lambda: near.apply(BR1, "--wait=30s"))
        links = near.links()
        assert links["eth3"]["master"] == "br1" and links["br1"]["address"] == mac
        assert near.addresses("br1") == {"192.0.2.10/24", "192.0.2.11/24", "2001:db8:2::10/64", "2001:db8:2::11/64"}
        assert near.addresses("eth3") == set()
        routes = near.json("ip", "-j", "route", "show", "table", "all")
        assert {(r["dst"], r["dev"]) for r in routes if r["dst"] in ("default", "203.0.113.0/24", "100.64.0.0/24")} == {
            ("default", "br1"), ("203.0.113.0/24", "br1"), ("100.64.0.0/24", "br1")}
        assert near.json("ip", "-6", "-j", "route", "show", "default")[0]["dev"] == "br1"
        back = pinged(near, lambda: near.weft("delete", "bridge", "br1", "--wait=30s"))
        assert "br1" not in near.links() and "master" not in near.links()["eth3"]
        assert differences(before, holdings(near, "eth3")) == []
        lost.append((there, back))
        if max(there, back) <= 1:
            break
    assert min(map(max, lost)) <= 1, lost


BLOWS = {
    "link down": ["link set br1 down"],
    "link gone": ["link del br1"],
    "routes gone": ["-4 route flush dev br1 protocol 119", "route flush table 100", "-6 route del default"],
    "addresses gone": ["addr flush dev br1"],
    "port gone": ["link set eth3 nomaster"],
}


@pytest.mark.parametrize("blow", BLOWS)
def test_what_weft_had_to_make_anew_goes_back_all_the_same(near, blow):
    before = holdings(near, "eth3")
    near.apply(BR1, "--wait=30s")
    taken = holdings(near, "br1")
    assert any("203.0.113.0/24" in route for route in taken[1]), taken
    # Between two rounds of ip's flush weft would put back one of two addresses: which of them is the first is as it comes then.
    near.daemon.send_signal(signal.SIGSTOP)
    for command in BLOWS[blow]:
        near.run("ip", *command.split())
    near.daemon.send_signal(signal.SIGCONT)

    def repaired():
        assert near.links()["eth3"].get("master") == "br1"
        assert differences(taken, holdings(near, "br1")) == []
        return True
    wait_until(repaired, 30)
    near.far.wait_for_answers()
    near.weft("delete", "bridge", "br1", "--wait=30s")
    assert "br1" not in near.links() and differences(before, holdings(near, "eth3")) == []
    near.far.wait_for_answers()


def test_what_is_gone_from_the_bridge_goes_back_to_the_nic(near):
    """weft hears that it is gone, and that nobody wants it any more, at once."""
    before = holdings(near, "eth3")
    near.apply(BR1, "--wait=30s")
    near.daemon.send_signal(signal.SIGSTOP)
    near.run("ip", "link", "del", "br1")
    delete = subprocess.Popen([BUILD / "weft", "--socket", near.root / "run/weft.sock", "delete", "bridge", "br1", "--wait=30s"])
    time.sleep(0.5)
    near.daemon.send_signal(signal.SIGCONT)
    assert delete.wait(timeout=60) == 0
    assert "br1" not in near.links() and differences(before, holdings(near, "eth3")) == []


def test_another_bridge_in_its_place(near):
    before = holdings(near, "eth3")
    near.apply(BR1, "--wait=30s")
    near.apply(BR1.replace("br1", "br9"), "--prune", "--wait=30s")
    assert "br1" not in near.links() and near.links()["eth3"]["master"] == "br9"
    assert "192.0.2.10/24" in near.addresses("br9") and near.json("ip", "-j", "route", "show", "default")[0]["dev"] == "br9"
    near.weft("delete", "bridge", "br9", "--wait=30s")
    assert "br9" not in near.links() and differences(before, holdings(near, "eth3")) == []


# All that the NIC had.
WRITTEN = BR1.replace("takeover: eth3", """addresses: [192.0.2.10/24, 192.0.2.11/24, '2001:db8:2::10/64', '2001:db8:2::11/64'], routes: [
  {to: default, via: 192.0.2.1}, {to: 203.0.113.0/24, via: 192.0.2.1, metric: 77, mtu: 1300}, {to: 100.64.0.0/24, table: 100},
  {to: default, via: '2001:db8:2::1', metric: 512}]""")


def test_from_takeover_to_what_is_written(near):
    """What the bridge has stays on it untouched, and nothing goes to the port, until the Bridge is deleted."""
    before = holdings(near, "eth3")
    near.apply(BR1, "--wait=30s")
    mac = near.links()["br1"]["address"]
    addresses = near.addresses("br1")
    told = near.scratch / "told"
    with open(told, "w") as file:
        monitor = near.popen("ip", "monitor", "link", "address", stdout=file)
        try:
            lost = pinged(near, lambda: near.apply(WRITTEN, "--wait=30s"))
        finally:
            monitor.terminate()
            monitor.wait()
    assert lost <= 1 and "Deleted" not in told.read_text() and "192.0.2.1" not in told.read_text(), told.read_text()
    assert near.addresses("br1") == addresses and near.addresses("eth3") == set() and near.links()["br1"]["address"] == mac
    assert holdings(near, "eth3") == ([], []) and near.diff() == []
    assert {r["dst"] for r in near.json("ip", "-j", "route", "show", "table", "all", "dev", "br1")} >= {"default", "203.0.113.0/24", "100.64.0.0/24"}
    near.restart()
    near.apply(WRITTEN.replace("192.0.2.11/24, ", ""), "--wait=30s")  # now the manifest says what it has, and may say less
    assert "192.0.2.11/24" not in near.addresses("br1") | near.addresses("eth3")
    near.far.wait_for_answers()
    near.weft("delete", "bridge", "br1", "--wait=30s")
    assert "br1" not in near.links() and differences(before, holdings(near, "eth3")) == []


@pytest.mark.parametrize("written, missing", [("", "192.0.2.10/24"), (", addresses: [10.222.0.1/24]", "192.0.2.10/24"), (None, "::/0")])
def test_what_would_be_nowhere_without_takeover_is_refused(near, written, missing):
    near.apply(BR1, "--wait=30s")
    taken = holdings(near, "br1")
    text = BR1.replace(", takeover: eth3", written) if written is not None else WRITTEN.replace(", metric: 512}", "}").replace("to: default, via: '2", "to: '2001:db8:7::/48', via: '2")
    done = near.apply(text, "--allow-disruption", check=False)
    said = done.out + done.err
    assert done.status == 2 and "eth3 stays a port of br1" in said and missing in said and "takeover: eth3" in said, done
    assert holdings(near, "br1") == taken and near.addresses("eth3") == set()
    near.far.wait_for_answers()
    near.apply(BR1.replace("ports: [{name: eth3}], takeover: eth3", ""), "--wait=30s")  # off the ports as well
    assert "192.0.2.10/24" in near.addresses("eth3") and "master" not in near.links()["eth3"]
    near.far.wait_for_answers()


FILTER = BR1.replace("{name: eth3}", "{name: eth3, vlans: {pvid: 7, tagged: [20-22]}}").replace("takeover", "vlanFiltering: true, vlans: {pvid: 7}, takeover")


@pytest.mark.needs("link:bridge vlan_filtering 1")
def test_a_bridge_that_filters_vlans(near):
    """The host's own end is in the VLAN of what comes in without a tag."""
    before, lost = holdings(near, "eth3"), []
    for _ in range(3):
        there = pinged(near, lambda: near.apply(FILTER, "--wait=30s"))
        assert vlans(near, "eth3") == {7: ACCESS} | tagged((20, 22)) and vlans(near, "br1") == {7: ACCESS}
        assert "192.0.2.10/24" in near.addresses("br1") and near.addresses("eth3") == set() and near.diff() == []
        back = pinged(near, lambda: near.weft("delete", "bridge", "br1", "--wait=30s"))
        assert "br1" not in near.links() and differences(before, holdings(near, "eth3")) == []
        lost.append((there, back))
        if max(there, back) <= 1:
            break
    assert min(map(max, lost)) <= 1, lost


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


CUT = """
apiVersion: weft/v1
kind: Bridge
metadata: {name: br2}
spec: {ports: [eth3]}
"""
# The far side takes frames of the NIC's MAC only.
STRANGER = BR1.replace("takeover: eth3", "takeover: eth3, mac: '02:00:00:00:00:99'")


def silent(near):
    return not near.far.answers()


def test_a_port_that_cuts_the_host_off_is_announced(near):
    """And a change that does is undone by itself, and the host answers again."""
    done = near.weft("diff", "-f", write(near, CUT), "-o", "json", check=False)
    steps = [s for s in done.json()["plan"] if s["disruptive"]]
    assert [s["resource"] for s in steps] == ["link/eth3"]
    assert "192.0.2.10/24" in steps[0]["note"] and "default route" in steps[0]["note"] and "takeover: eth3" in steps[0]["note"]
    done = near.apply(CUT, check=False)
    assert done.status == 1 and "--confirm" in done.out + done.err
    assert near.far.answers() and "br2" not in near.links()


FOREIGN = {
    "bridge": CUT.replace("eth3", "eth2"),
    "takeover": BR1.replace("eth3", "eth2"),
    "bond": "apiVersion: weft/v1\nkind: Bond\nmetadata: {name: bond2}\nspec: {mode: active-backup, ports: [eth2]}\n",
}


@pytest.mark.parametrize("what", ["bridge", "takeover", pytest.param("bond", marks=pytest.mark.needs("link:bond"))])
def test_promise_07_a_port_is_not_taken_from_somebody_else_s_bridge_unannounced(make_host, what):
    def before(host):
        for command in ("link add eth2 type veth peer name far2", "link add fbr type bridge", "link set eth2 master fbr up", "link set far2 up",
                        "link set fbr up", "addr add 10.60.0.1/24 dev fbr"):
            host.run("ip", *command.split())
    host = make_host(before=before)
    done = host.weft("diff", "-f", write(host, FOREIGN[what]), "-o", "json", check=False)
    steps = [s for s in done.json()["plan"] if s["disruptive"]]
    assert [s["resource"] for s in steps] == ["link/eth2"] and "a port of fbr, which is not weft's" in steps[0]["note"], steps
    assert "10.60.0.1/24" in steps[0]["note"]
    done = host.apply(FOREIGN[what], check=False)
    assert done.status == 1 and "--confirm" in done.out + done.err and host.links()["eth2"]["master"] == "fbr", done
    host.apply(FOREIGN[what], "--allow-disruption")
    assert host.links()["eth2"]["master"] in ("br1", "br2", "bond2")
    assert not [s for s in host.diff() if s["disruptive"]]
    host.weft("delete", "-f", write(host, FOREIGN[what]), "--wait=30s")
    assert host.links()["eth2"]["master"] == "fbr" and "10.60.0.1/24" in host.addresses("fbr")


def test_what_cannot_be_verified_is_refused_before_anything_is_done(near):
    done = near.apply(CUT, "--allow-disruption", "--verify", "nonsense", check=False)
    assert done.status == 2 and "'nonsense' cannot be verified" in done.err and "br2" not in near.links(), done
    assert "master" not in near.links()["eth3"]


def test_a_route_that_cannot_be_moved_is_named_once(near):
    near.run("ip", "route", "add", "198.18.0.0/15", "nexthop", "via", "192.0.2.1", "dev", "eth3", "nexthop", "via", "192.0.2.7", "dev", "eth3")
    done = near.apply(BR1, check=False)
    assert done.status == 2 and (done.out + done.err).count("198.18.0.0/15") == 1, done
    near.run("ip", "route", "del", "198.18.0.0/15")


def test_promise_08_a_change_that_cuts_the_host_off_is_undone(near):
    before = holdings(near, "eth3")
    done = near.apply(CUT, "--confirm", "5s", "--verify", "192.0.2.10", check=False)  # its own address answers in any case
    assert done.status == 0, done
    begin = time.monotonic()
    near.run("ip", "neigh", "flush", "dev", "eth3")  # what it knew lasts for some seconds otherwise
    wait_until(lambda: silent(near), 4, "the host is cut off")
    wait_until(near.far.answers, 30, "the host answers again")
    print(f"answers again {time.monotonic() - begin:.1f} s after the apply")
    wait_until(lambda: holdings(near, "eth3") == before, 10, "the NIC has all that it had")
    assert "br2" not in near.links()


def test_promise_08_a_checkpoint_survives_a_kill(near):
    before = holdings(near, "eth3")
    near.apply(BR1, "--confirm", "60s")
    assert near.links()["eth3"]["master"] == "br1"
    near.restart(signal.SIGKILL)
    wait_until(lambda: "br1" not in near.links() and holdings(near, "eth3") == before, 20, "the NIC has all that it had")
    near.far.wait_for_answers()


def test_a_gateway_that_answered_has_to_answer_again(near):
    """Without being asked, since the link of the default route is taken over."""
    before = holdings(near, "eth3")
    mac = near.links()["eth3"]["address"]
    near.far.run("nft", f"table inet far {{ chain in {{ type filter hook input priority 0; iifname far3 ether saddr != {mac} drop; }}; }}")
    done = near.apply(STRANGER, check=False)
    assert done.status == 1 and "the default gateway did not answer" in done.out + done.err, done
    near.far.wait_for_answers()
    assert holdings(near, "eth3") == before and "br1" not in near.links()
    assert any(e["type"] == "Undone" for e in near.events())


def test_a_gateway_that_is_silent_anyway_is_no_obstacle(near):
    near.far.run("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1", "net.ipv6.icmp.echo_ignore_all=1")
    near.apply(BR1, "--wait=30s")
    assert near.far.answers() and near.links()["eth3"]["master"] == "br1"


def test_a_gateway_that_stops_answering_before_the_change_is_confirmed(near):
    before = holdings(near, "eth3")
    done = near.apply(BR1, "--confirm", "60s", "--verify", "gateway")
    assert done.status == 0 and near.links()["eth3"]["master"] == "br1"
    near.far.run("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1", "net.ipv6.icmp.echo_ignore_all=1")
    wait_until(lambda: "br1" not in near.links(), 40, "the change is undone")
    wait_until(lambda: holdings(near, "eth3") == before, 10, "the NIC has all that it had")
    assert any("stopped answering" in e.get("text", e.get("message", "")) for e in near.events())


def test_a_leased_address_is_announced(near):
    near.run("ip", "addr", "add", "192.0.2.77/24", "dev", "eth3", "valid_lft", "3600", "preferred_lft", "1800")
    done = near.apply(BR1, check=False)
    assert done.status == 1 and "leased" in done.out + done.err, done
    near.apply(BR1, "--allow-disruption", "--wait=30s")
    assert "192.0.2.77/24" in near.addresses("br1") and near.addresses("eth3") == set()
    near.weft("delete", "bridge", "br1", "--wait=30s")
    back = [a for l in near.json("ip", "-j", "addr", "show", "dev", "eth3") for a in l["addr_info"] if a.get("local") == "192.0.2.77"]
    assert 3000 < back[0]["valid_life_time"] <= 3600 and 1000 < back[0]["preferred_life_time"] <= 1800
    near.run("ip", "addr", "del", "192.0.2.77/24", "dev", "eth3")


def test_permanent_neighbours_are_announced(near):
    near.run("ip", "neigh", "add", "192.0.2.50", "lladdr", "02:00:00:00:00:50", "dev", "eth3", "nud", "permanent")
    near.run("ip", "neigh", "add", "2001:db8:2::50", "lladdr", "02:00:00:00:00:50", "dev", "eth3", "nud", "permanent")
    done = near.apply(BR1, check=False)
    assert done.status == 1 and "192.0.2.50 and 1 more" in done.out + done.err and "br1" not in near.links(), done
    for address in "192.0.2.50", "2001:db8:2::50":
        near.run("ip", "neigh", "del", address, "dev", "eth3")
    near.apply(BR1, "--wait=30s")


def write(host, text):
    path = host.scratch / "other.yaml"
    path.write_text(text)
    return path


def test_the_example(near):
    near.apply(EXAMPLES / "takeover.yaml", "--confirm", "60s")
    near.far.wait_for_answers()
    near.weft("confirm")
    assert "192.0.2.10/24" in near.addresses("br1") and near.ready("network", "office")
