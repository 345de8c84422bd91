# SPDX-License-Identifier: Apache-2.0
"""weftd is killed before the n-th operation of a change, or that operation fails, or takes its time: the host ends in the old state or in the new one, whole,
and nothing that is not weft's has changed. A sample of all n is tried, from a seed that is printed (WEFT_SEED repeats it, WEFT_SAMPLE says how many);
WEFT_SWEEP=all tries every n."""
import os
import random
import re
import signal
import subprocess
import time

import pytest

from harness import BUILD, EXAMPLES, differences, wait_until

pytestmark = pytest.mark.needs("qemu-system-x86_64", "dnsmasq")
SEED = int(os.environ.get("WEFT_SEED", random.randrange(1 << 30)))
SAMPLE = int(os.environ.get("WEFT_SAMPLE", 6))
# The guest finds nothing to boot on its disk, and so does not hear when it is asked to shut down.
QUICKSTART = re.sub(r"(?m)^  boot:.*\n.*cmdline.*\n", "  shutdownTimeout: 1s\n", (EXAMPLES / "quickstart.yaml").read_text())
EDITED = (QUICKSTART.replace("192.168.150.1/24", "192.168.151.1/24").replace("192.168.150.", "192.168.151.")
          .replace("fd42:150::1/64", "fd42:151::1/64").replace("mode: nat\n", "mode: nat\n  mtu: 1400\n").replace("8080", "8081")
          + "---\napiVersion: weft/v1\nkind: Bridge\nmetadata: {name: br7}\nspec: {addresses: [10.7.0.1/24]}\n"
          + "".join(f"---\napiVersion: weft/v1\nkind: Volume\nmetadata: {{name: {name}}}\nspec: {{pool: local, {spec}, reclaim: delete}}\n"
                    for name, spec in (("base", "size: 1MiB"), ("linked", "base: base"), ("copy", "clone: linked"))))
assert "boot:" not in QUICKSTART


def add_foreign(host):
    """What is somebody else's, and has to stay as it is."""
    host.run("ip", "link", "add", "br9", "type", "bridge")
    host.run("ip", "addr", "add", "10.9.0.1/24", "dev", "br9")
    host.run("ip", "link", "set", "br9", "up")
    host.run("iptables", "-N", "MINE")
    host.run("iptables", "-A", "FORWARD", "-s", "10.9.0.0/24", "-j", "MINE")
    host.run("ip", "route", "add", "10.10.0.0/16", "dev", "br9")
    host.run("ip", "rule", "add", "from", "10.9.0.0/24", "table", "77")
    host.run("nft", "add table inet theirs; add chain inet theirs c; add rule inet theirs c counter drop")
    host.run("sysctl", "-qw", "net.ipv4.conf.br9.proxy_arp=1", "net.ipv4.conf.lo.forwarding=0")
    (host.root / "lib/files").mkdir(parents=True)
    (host.root / "lib/files/theirs").write_text("theirs")


@pytest.fixture
def host(make_host):
    return make_host(before=add_foreign)


def rest(host):
    """Waits until weftd has nothing left to do, and tells what the host is like then. Which instance a link or a QEMU of ours is, is left out."""
    wait_until(lambda: host.weft("status", "-o", "json").json()["converged"] and host.diff() == [], 30, "weftd has come to rest")
    return look(host)


def look(host):
    seen = host.snapshot()
    for link in seen["links"].values():
        if (link["ifalias"] or "").startswith("weft:"):
            del link["ifindex"], link["address"]
    seen["processes"] = [re.sub(r"^.*/(qemu-system-\S+ -name [^,]*),.*", r"\1", command) for command in seen["processes"]]
    texts = [path for top in ("lib/files", "lib/networks") for path in (host.root / top).rglob("*") if path.is_file() and path.name != "leases"]
    # A guest that is deleted and comes again has another MAC.
    seen["texts"] = {str(path.relative_to(host.root)): re.sub(r"52:54(:..){4}", "MAC", path.read_text()) for path in texts}
    seen["images"] = sorted(path.name for path in (host.root / "lib/images").glob("**/*") if path.is_file())
    return seen


def change(host, fault, *command, kill=False):
    """Has a weftd with a fault run a command. Returns its status and what it said (both of no use after a kill), and the operations that weftd began."""
    assert host.stop() == 0, "weftd, or a sanitizer in it, is not content"
    begin = len(host.log())
    host.start("--fault", fault)
    wait_until(lambda: host.weft("status", "-o", "json").json()["converged"], what="weftd has come to rest")
    assert "fault: operation" not in host.log()[begin:], "a start that changes something"
    client = subprocess.Popen([BUILD / "weft", "--socket", host.root / "run/weft.sock", *command],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if kill:
        wait_until(lambda: "weftd stops" in host.log()[begin:] or client.poll() is not None, 60, "weftd stops or the change is done")
        time.sleep(random.choice([0, 0.05]))
        host.stop(signal.SIGKILL)
    said = client.communicate(timeout=90)[0]
    return client.returncode, said, re.findall(r"fault: operation (.*)", host.log()[begin:])


def settle(host, old, new):
    """"old" or "new": what the host comes to be."""
    try:
        return wait_until(lambda: (now := look(host)) == old and "old" or now == new and "new", 20)
    except AssertionError:
        now = look(host)
        lines = [f"{name}: {line}" for name, state in (("old", old), ("new", new)) for line in differences(state, now)]
        raise AssertionError("neither the old state nor the new one:\n" + "\n".join(lines)) from None


class Case:
    """A change, and how to come back from it."""

    def __init__(self, host, old, new):
        self.host = host
        paths = {}
        for name, text in (("old", old), ("new", new)):
            paths[name] = host.scratch / f"{name}.yaml"
            paths[name].write_text(text)
        self.there = ("apply", "--prune", "--wait=30s", "-f", paths["new"]) if new else ("delete", "--now", "--wait=30s", "-f", paths["old"])
        self.back = ("apply", "--prune", "--wait=30s", "-f", paths["old"]) if old else ("delete", "--now", "--wait=30s", "-f", paths["new"])
        if old:
            host.weft(*self.back)
        self.old = rest(host)
        status, said, self.operations = change(host, "count", *self.there)
        assert status == 0, said
        self.new = rest(host)
        assert self.old != self.new
        self.return_to_old()

    def return_to_old(self):
        self.host.restart()
        self.host.weft(*self.back)
        if not self.old["images"]:  # a deleted volume's bytes are its owner's to remove; its lease has gone with the guest
            for name in self.new["images"]:
                (self.host.root / "lib/images" / name).unlink(missing_ok=True)
        assert settle(self.host, self.old, self.new) == "old"

    def numbers(self):
        """The operations to try, in a random order."""
        n = len(self.operations)
        print(f"WEFT_SEED={SEED}, {n} operations: {self.operations}")
        random.seed(SEED)
        every = random.sample(range(1, n + 1), n)
        return every if os.environ.get("WEFT_SWEEP") == "all" else every[:SAMPLE]


CASES = {"apply": ("", QUICKSTART), "edit": (QUICKSTART, EDITED), "delete": (QUICKSTART, "")}


@pytest.mark.parametrize("what", CASES)
def test_killed_before_an_operation(host, what):
    case = Case(host, *CASES[what])
    for n in case.numbers():
        print(f"stop:{n}")
        _, said, operations = change(host, f"stop:{n}", *case.there, kill=True)
        stopped = any("weftd stops" in line for line in operations)
        print(operations[-1:], said)
        host.start()
        rest(host)
        state = settle(host, case.old, case.new)
        assert state == "old" if stopped and what != "delete" else state
        if state == "new":
            case.return_to_old()


@pytest.mark.parametrize("what", CASES)
def test_a_failing_operation(host, what):
    case = Case(host, *CASES[what])
    for n in case.numbers():
        print(f"fail:{n}")
        status, said, operations = change(host, f"fail:{n}", *case.there)
        print(operations[-1:], status, said)
        rest(host)
        state = settle(host, case.old, case.new)
        assert (state == "new") == (status == 0), "the status says what came of it"
        if state == "new":
            case.return_to_old()


@pytest.mark.parametrize("what", CASES)
def test_a_slow_operation(host, what):
    """Whatever takes its time, the change is made whole, and nobody gives up."""
    case = Case(host, *CASES[what])
    for n in case.numbers():
        ms = random.choice([50, 500, 1500])
        print(f"delay:{n}:{ms}")
        status, said, operations = change(host, f"delay:{n}:{ms}", *case.there)
        print(status, said)
        assert status == 0 and (any("is delayed" in line for line in operations) or len(operations) < n)
        rest(host)
        assert settle(host, case.old, case.new) == "new"
        case.return_to_old()
