# SPDX-License-Identifier: Apache-2.0
"""A host for a test: network namespace, directory, weftd, and witnesses that are not weft's own."""
import contextlib
import functools
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import netns

SOURCE = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("WEFT_BUILD", SOURCE / "build/dev"))
EXAMPLES = SOURCE / "examples"
counter = itertools.count()


RENAMES_WHAT_IS_UP = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 2)
# What a link of a kind needs to be made of, beside its name; "weftlower" is another link.
LINK_PROBES = {
    "vxlan": "type vxlan id 1 dstport 4789", "geneve": "type geneve id 1 remote 192.0.2.1", "vrf": "type vrf table 7",
    "gretap": "type gretap remote 192.0.2.1", "gre": "type gre remote 192.0.2.1", "ip6gretap": "type ip6gretap remote fd00::1",
    "ipip": "type ipip remote 192.0.2.1", "sit": "type sit remote 192.0.2.1", "vlan": "link weftlower type vlan id 7",
    "macvlan": "link weftlower type macvlan", "ipvlan": "link weftlower type ipvlan",
}


@functools.cache
def machine_lacks(what):
    """Why this machine cannot run a test that needs `what`: a program, a file, or a link kind as "link:vlan",
    perhaps with what it must be able to be, as "link:bridge vlan_filtering 1"; None if it can."""
    if what.startswith("/"):
        return None if os.path.exists(what) else f"no {what} on this machine"
    if what.startswith("link:"):
        kind = what[5:]
        make = f"ip link add weftprobe {LINK_PROBES.get(kind, 'type ' + kind)}"
        probe = subprocess.run(["unshare", "-n", "sh", "-c", f"ip link add weftlower type veth && {make}"], capture_output=True)
        return None if probe.returncode == 0 else f"the kernel has no {kind} links"
    return None if shutil.which(what) else f"no {what} on this machine"


def wait_until(check, timeout=20.0, what=None):
    """Waits for a true value of check() and returns it. Exceptions of check count as not yet."""
    deadline = time.monotonic() + timeout
    last, pause = None, 0.01
    while True:
        try:
            value = check()
            if value:
                return value
            last = value
        except (AssertionError, KeyError, IndexError, subprocess.CalledProcessError, OSError, http.client.HTTPException) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or check}; last: {last!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def iscsi_sessions():
    """{"session3": (target, interface record)} of this machine."""
    return {path.name: ((path / "targetname").read_text().strip(), (path / "ifacename").read_text().strip())
            for path in Path("/sys/class/iscsi_session").glob("session*")}


def differences(then, now, where=""):
    """What differs between two snapshots, a line each."""
    if then == now:
        return []
    if isinstance(then, dict) and isinstance(now, dict):
        return [line for key in {**then, **now} for line in differences(then.get(key), now.get(key), f"{where}.{key}" if where else key)]
    if isinstance(then, str) and isinstance(now, str) and "\n" in then + now:
        then, now = then.splitlines(), now.splitlines()
    if isinstance(then, (list, set)) and isinstance(now, (list, set)):
        return [f"{where}: gone: {x}" for x in then if x not in now] + [f"{where}: new: {x}" for x in now if x not in then] or [f"{where}: in another order"]
    return [f"{where}: {then} -> {now}"]


class Result:
    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"status {self.status}\n{self.out}\n{self.err}"


class Host:
    weft_program = BUILD / "weft"

    def __init__(self, root, start=True, before=None, weftd_args=(), own_mounts=True, own_network=True, environment=None):
        """own_mounts=False: what weftd mounts is mounted here too, and outlives it, as on a host of its own. own_network=False: weftd runs in this
        machine's network, where the daemons are that it has to reach (iscsid)."""
        self.root = Path(root)
        self.own_mounts, self.own_network = own_mounts, own_network
        self.environment = environment
        self.root.mkdir(parents=True)
        self.ns = f"wt{os.getpid()}-{next(counter)}"
        subprocess.run(["ip", "netns", "add", self.ns], check=True)
        self.run("ip", "link", "set", "lo", "up")
        self.log_path = self.root / "weftd.log"
        self.daemon = None
        self.scratch = self.root / "scratch"
        self.scratch.mkdir()
        self.others = []  # processes of the test, in this namespace
        if before:
            before(self)
        self.weftd_args = list(weftd_args)
        self.before = self.snapshot()
        if start:
            try:
                self.start()
            except BaseException:
                self.show_log()
                self.close()
                raise

    # ---- running things ----

    def popen(self, *argv, **options):
        """Starts a program of the test's in the namespace; ended with the host."""
        process = subprocess.Popen(["ip", "netns", "exec", self.ns, *map(str, argv)], **options)
        self.others.append(process)
        return process

    def run(self, *argv, check=True, timeout=60, input=None):
        return netns.run(self.ns, *argv, check=check, timeout=timeout, input=input)

    def rename(self, link, name):
        if RENAMES_WHAT_IS_UP:
            self.run("ip", "link", "set", link, "name", name)
        else:  # weft may have raised it again before it has its new name
            batch = f"link set {link} down\nlink set {link} name {name}\nlink set {name} up\n"
            wait_until(lambda: self.run("ip", "-batch", "-", input=batch) is not None)

    def json(self, *argv):
        return json.loads(self.run(*argv) or "[]")

    def start(self, *args, wait=True):
        assert self.daemon is None
        log = open(self.log_path, "ab")
        enter = ["ip", "netns", "exec", self.ns] if self.own_mounts else ["nsenter", f"--net=/run/netns/{self.ns}"]
        enter = enter if self.own_network else []
        self.daemon = subprocess.Popen(
            [*enter, BUILD / "weftd", "--root", self.root, *self.weftd_args, *args],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)
        log.close()
        if wait:
            wait_until(lambda: self.ask("/v1/history") is not None, what="weftd answers")

    def stop(self, how=signal.SIGTERM):
        self.daemon.send_signal(how)
        status = self.daemon.wait(timeout=30)
        self.daemon = None
        return status

    def restart(self, how=signal.SIGTERM):
        status = self.stop(how)
        if how == signal.SIGTERM:
            assert status == 0, f"weftd ended with status {status}"
        self.start()

    def weft(self, *args, check=True, timeout=120, input=None):
        done = Result(subprocess.run([BUILD / "weft", "--socket", self.root / "run/weft.sock", *map(str, args)],
                                     capture_output=True, text=True, timeout=timeout, input=input, cwd=self.root))
        if check and done.status:
            raise AssertionError(f"weft {' '.join(map(str, args))}: {done}")
        return done

    # ---- asking weft ----

    def ask(self, path, method="GET", body=None):
        """What the API answers: what is asked often asks for no program each time."""
        client = http.client.HTTPConnection("weft")
        client.sock = socket.socket(socket.AF_UNIX)
        with contextlib.closing(client):
            client.sock.settimeout(60)
            client.sock.connect(str(self.root / "run/weft.sock"))
            client.request(method, path, json.dumps(body) if body is not None else None)
            answer = client.getresponse()
            text = answer.read().decode()
        assert answer.status == 200, f"{method} {path}: {answer.status} {text}"
        return json.loads(text)

    def apply(self, text, *args, check=True, name="manifest.yaml"):
        """Applies YAML text (or a file's path)."""
        if isinstance(text, Path):
            path = text
        else:
            path = self.scratch / name
            path.write_text(text)
        return self.weft("apply", "-f", path, *args, check=check)

    def objects(self, kind=None, name=None):
        out = self.ask("/".join(["/v1/objects", *filter(None, [kind, name])]))
        return sorted(out, key=lambda o: (o["kind"], o["metadata"]["name"])) if isinstance(out, list) else [out]

    def condition(self, kind, name, type="Ready"):
        """A condition of an object as a dict, {} if it has none of that type."""
        for o in self.objects(kind, name):
            for c in o["status"].get("conditions", []):
                if c["type"] == type:
                    return c
        return {}

    def ready(self, kind, name):
        return self.condition(kind, name).get("status") == "True"

    def wait_ready(self, kind, name, timeout=30):
        return wait_until(lambda: self.ready(kind, name), timeout, f"{kind} {name} is Ready")

    def events(self):
        return [json.loads(line) for line in self.weft("events", "-o", "json").out.splitlines() if line.strip()]

    def console_log(self, guest):
        """What a guest has said on its console so far."""
        path = self.root / f"run/guests/{guest}/console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def console(self, guest, command, timeout=20):
        """What a command says that is typed into the shell on a guest's console."""
        mark = f"done{next(counter)}"
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(timeout)
            s.connect(str(self.root / f"run/guests/{guest}/console.sock"))
            s.sendall(f"{command}; echo {mark[:2]}''{mark[2:]}\n".encode())
            said = b""
            while mark.encode() not in said:
                said += s.recv(4096)
        return said.decode(errors="replace").replace("\r", "")

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def show_log(self):
        print(f"---- weftd's log ({self.ns}) ----\n{self.log()[-6000:]}")

    # ---- witnesses ----

    def links(self):
        return {l["ifname"]: l for l in self.json("ip", "-d", "-j", "link")}

    def addresses(self, dev=None):
        """{"lan": {"192.168.150.1/24", ...}} without link-local ones."""
        found = self.addresses_of(self.json("ip", "-j", "addr"))
        return found[dev] if dev else found

    @staticmethod
    def addresses_of(links):
        return {link["ifname"]: {f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] != "link"} for link in links}

    def wait_quiet(self, seconds=2, timeout=60):
        """Until nothing was told of links and addresses for a while: carriers and link-local addresses come after what brings them, and the kernel
        may tell of carriers long after."""
        told = self.scratch / "told"
        with open(told, "w") as file:
            process = self.popen("ip", "monitor", "link", "address", "route", stdout=file)
        try:
            deadline, size, since = time.monotonic() + timeout, 0, time.monotonic()
            while time.monotonic() < since + seconds:
                if told.stat().st_size != size:
                    size, since = told.stat().st_size, time.monotonic()
                assert time.monotonic() < deadline, f"links and addresses still change after {timeout} s"
                time.sleep(0.2)
        finally:
            process.kill()
            process.wait()

    def pids(self):
        """{pid: command line} of all processes in the namespace but weftd and the test's own."""
        mine = {self.daemon.pid} if self.daemon else set()
        mine |= {p.pid for p in self.others}
        found = {}
        for pid in netns.pids(self.ns):
            try:
                argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if pid not in mine and argv[0] and not self.is_gone_or_of(pid, mine):
                found[pid] = b" ".join(argv).decode(errors="replace").strip()
        return found

    @staticmethod
    def is_gone_or_of(pid, ancestors):
        """Has a process ended, which can be while one looks at it, or does it descend from one of these?"""
        looked_at = pid
        while pid > 1:
            try:
                parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                return True
            if parent in ancestors or (parent == 0 and pid == looked_at):  # the kernel names no parent of what it is just taking away
                return True
            pid = parent
        return False

    def process(self, pattern):
        """The pid of the one process whose command line matches."""
        found = [pid for pid, line in self.pids().items() if re.search(pattern, line)]
        assert len(found) == 1, f"{len(found)} processes match {pattern!r}: {self.pids()}"
        return found[0]

    @staticmethod
    def cpu_seconds(pid):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def weftd_pid(self):
        """ip netns exec becomes what it runs."""
        return self.daemon.pid

    def files(self):
        """What weft keeps in its directories for what is there now: not what is its own, or a person's, or what a pool holds."""
        keep = re.compile(r"(lib/((mounts|devices)/.*|host-key|instance|weft\.db\b.*|(files|images)/.*|.*\.(raw|qcow2)\b.*)|run/(weft\.sock|iptables|nft-made|iscsi\.lock|lvm/.*))$")
        every = [path for top in ("run", "lib") for path in (self.root / top).rglob("*") if not path.is_dir()]
        return sorted(name for path in every if not keep.match(name := str(path.relative_to(self.root))))

    def snapshot(self):
        """What must be as before when everything of ours is gone. Carriers come and go by themselves."""
        links, routes, rules, nft, legacy, sysctls = netns.look(self.ns)
        routes = [{k: v for k, v in r.items() if k not in ("expires", "cacheinfo", "flags")} for r in routes
                  if not str(r.get("dst", "")).startswith(("ff00::", "multicast ff00")) and not self.is_link_local(r)]
        return {
            "links": {l["ifname"]: {k: l.get(k) for k in ("ifindex", "address", "mtu", "master", "ifalias")}
                      | {"flags": sorted(set(l["flags"]) - {"NO-CARRIER", "LOWER_UP", "M-DOWN"})} for l in links},
            "addresses": self.addresses_of(links),
            "routes": sorted(json.dumps(r, sort_keys=True) for r in routes),
            "routing rules": rules,
            "nft": self.tables_of(nft),
            # A legacy table stays registered once it was used, which nobody can undo; what counts is what is in it.
            "legacy rules": [line for line in self.rules_of(legacy)
                             if line.startswith("-") or (line.startswith(":") and not line.endswith(" ACCEPT"))],
            "sysctls": sysctls,
            "processes": sorted(self.pids().values()),
            "files": self.files(),
            "iscsi sessions": iscsi_sessions(),
            "iscsi records": sorted(str(path) for top in ("/etc/iscsi", "/var/lib/iscsi") for path in Path(top).glob("*/**/*") if path.is_file()),
            "mounts": sorted(line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if str(self.root) in line),
        }

    @staticmethod
    def is_link_local(route):
        """One for a link-local address, which comes when its link has been up for a while; of a VRF's links, in its table."""
        return str(route.get("dst", "")).startswith("fe80:") and (
            route.get("protocol") == "kernel" or route.get("table") == "local" or route.get("type") in ("local", "anycast"))

    def rules(self, save="iptables-save", *options):
        """What iptables-save and its kin say, without what changes by itself."""
        return self.rules_of(self.run(save, *options))

    @staticmethod
    def rules_of(text):
        return [re.sub(r"\[\d+:\d+\]", "", line).strip() for line in text.splitlines() if not line.startswith("#")]

    def rule_tables(self, save):
        """The same as {"*nat": {"PREROUTING ACCEPT": [rule...]}}; a legacy table without anything in it is none, since reading makes it."""
        tables = {}
        for line in self.rules(save):
            if line.startswith("*"):
                chains = tables[line] = {}
            elif line.startswith(":"):
                name, policy = line[1:].split()[:2]
                chains[name] = [policy]
            elif line.startswith("-A "):
                chains[line.split()[1]].append(line)
        legacy = "legacy" in save
        return {name: chains for name, chains in tables.items() if not legacy or any(chain != ["ACCEPT"] for chain in chains.values())}

    def volumes(self, objects):
        """The images that stay when their volumes are deleted, and which file each is."""
        stay = {f"{o['metadata']['name']}.{o['spec'].get('format', 'qcow2')}" for o in objects
                if o["kind"] == "Volume" and o["spec"].get("reclaim") != "delete"}
        return {path: path.stat().st_ino for path in (self.root / "lib").rglob("*") if path.name in stay and "mounts" not in path.parts}

    def ruleset(self):
        return self.tables_of(self.run("nft", "-s", "list", "ruleset", check=False))

    @staticmethod
    def tables_of(text):
        """nftables' rules as {"table ip nat": {"chain X": [rule...]}}: the order of tables and chains means nothing. Those of iptables
        are left out: nft shows their targets one time, and not the next."""
        found, table, chain = {}, None, None
        for line in text.splitlines():
            words = line.strip()
            if words.startswith("table "):
                of_iptables = re.fullmatch(r"table ip6? (filter|nat|mangle|raw|security) {", words)
                table = {} if of_iptables else found.setdefault(words.rstrip(" {"), {})
                chain = None
            elif words.startswith(("chain ", "set ", "map ")) and words.endswith("{"):
                chain = table.setdefault(words.rstrip(" {"), [])
            elif words and not words.startswith(("#", "}")) and chain is not None:
                chain.append(words)
        return found

    def diff(self):
        """What weft would change, as its plan; [] when the host is as wanted."""
        answer = self.ask("/v1/diff", "POST", {})
        assert answer["result"] == "dryRun", answer
        return [step for step in answer["plan"] if not step.get("restartNeeded")]

    def differs_nowhere(self):
        """For wait_until(), which then says what still differs."""
        plan = self.diff()
        assert plan == [], plan
        return True

    def places_of_secret(self, secret):
        """Where a secret is to be seen that should be nowhere: arguments and environments of all processes, weftd's log, answers and files."""
        found = []

        def search(place, data):
            if secret.encode() in data:
                found.append(str(place))
        for proc in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    search(proc / name, (proc / name).read_bytes())
        search("log", self.log().encode())
        for command in (["get", "all", "-o", "json"], ["get", "all", "-o", "yaml"], ["events", "-o", "json"], ["history", "-o", "json"], ["diff"]):
            done = self.weft(*command, check=False)
            search(f"weft {' '.join(command)}", (done.out + done.err).encode())
        for directory in ("lib", "run"):
            for path in (self.root / directory).rglob("*"):
                if path.is_file() and not path.is_symlink() and path.stat().st_size < 64 << 20:
                    search(path, path.read_bytes())
        return found

    # ---- laws ----

    def check_laws(self):
        if self.daemon is None:
            self.start()
        assert self.daemon.poll() is None, f"weftd has ended with status {self.daemon.returncode}"
        wait_until(self.differs_nowhere, 20, "law 1: diff is empty")
        wait_until(self.helpers_rest, 30, "helpers of DHCP clients have ended")
        pids, seen = self.pids(), self.snapshot()
        self.restart()
        wait_until(self.differs_nowhere, 20, "law 2: diff is empty after a restart")
        with contextlib.suppress(AssertionError):  # a child of the weftd that ended may outlive it for a moment
            wait_until(lambda: self.pids() == pids, 10)
        now = self.pids()
        assert now == pids, f"law 2: processes changed at a restart: {set(pids.items()) ^ set(now.items())}"
        self.check_as(seen, 2)
        objects = self.objects()
        volumes = self.volumes(objects)
        self.delete_all(objects)
        self.check_as_before()
        assert {path: path.stat().st_ino for path in volumes} == volumes, "law 4: the bytes of volumes stay"
        assert self.daemon.poll() is None, "weftd has ended"

    def helpers_rest(self):
        """dhcpcd begins processes for a moment's work (ARP, BOOTP), which end by themselves."""
        before = self.pids()
        if not any("dhcpcd" in line for line in before.values()):
            return True
        time.sleep(1)
        return self.pids() == before

    def delete_all(self, objects=None):
        names = [f"{o['kind']}/{o['metadata']['name']}" for o in (self.objects() if objects is None else objects)]
        if names:
            self.weft("delete", "--now", "--wait=60s", *names, timeout=120)

    def check_as_before(self, timeout=10):
        """The host is as it was before weft came."""
        self.check_as(self.before, timeout)

    def check_as(self, before, timeout=10, look=None):
        """The host is, or comes to be, as it looked at another time."""
        look, seen = look or Host.snapshot, []

        def is_as_before():
            seen[:] = [look(self)]
            return seen[0] == before

        with contextlib.suppress(AssertionError):
            wait_until(is_as_before, timeout)
        differs = differences(before, seen[0])
        assert not differs, "the host is not as before:\n" + "\n".join(differs)

    def close(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.kill()
        if self.daemon:
            self.daemon.wait()
        for process in self.others:
            if process.poll() is None:
                process.kill()
                process.wait()
        for pid in list(self.pids()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for mount in reversed([line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]):
            if mount.startswith(f"{self.root}/lib/"):
                subprocess.run(["umount", "-l", mount])
        subprocess.run(["ip", "netns", "del", self.ns])
