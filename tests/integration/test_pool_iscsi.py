# SPDX-License-Identifier: Apache-2.0
"""Pools on the lab's iSCSI target, which has two portals and asks for CHAP: what is true is asked of iscsiadm, sysfs and the target itself."""
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import iscsi_sessions, wait_until
from test_pools import sh

pytestmark = [pytest.mark.lab_state("servers"), pytest.mark.needs("iscsiadm")]
TARGET = "iqn.2003-01.org.linux-iscsi.san:sn.1"
TPG = Path(f"/sys/kernel/config/target/iscsi/{TARGET}/tpgt_1")
PORTALS = ["192.0.2.60", "198.51.100.60"]
PASSWORD = "lab-secret-of-host1"
MUTUAL = "lab-secret-of-the-target"
NODES = Path("/etc/iscsi/nodes")
BRIDGE = "---\napiVersion: weft/v1\nkind: Pool\nmetadata: {name: local}\nspec: {type: dir, path: images}\n"


def pool(fields="portals: [192.0.2.60, 198.51.100.60]", chap="chap: {user: host1, password: {file: %s}}"):
    return ("apiVersion: weft/v1\nkind: Pool\nmetadata: {name: san}\nspec:\n  type: iscsi\n  target: " + TARGET + "\n  " +
            "\n  ".join(filter(None, [fields, chap])) + "\n")


@pytest.fixture(autouse=True)
def leave_nothing(request):
    """A test that failed is not to be the failure of the next one."""
    failed_before = request.session.testsfailed
    yield
    if request.session.testsfailed == failed_before and not ours() and not list(Path("/etc/iscsi").rglob("weft-*")):
        return  # the laws have looked
    quiet = time.monotonic()
    while time.monotonic() < quiet + 4:  # iscsid may still be at a login that was asked for
        for name in ours():
            sh(f"iscsiadm -m session -r {name.removeprefix('session')} --logout", check=False)
            quiet = max(quiet, time.monotonic() - 2)
        time.sleep(0.5)
    for path in Path("/etc/iscsi").rglob("weft-*"):
        path.unlink(missing_ok=True)


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "chap"
    path.touch(0o600)
    path.write_text(PASSWORD + "\n")
    return path


@pytest.fixture
def host(make_host):
    return make_host(own_network=False)


@pytest.fixture
def dropped():
    """A function that drops the packets to a portal; with False they go through again."""
    def drop(portal, on=True):
        sh(f"iptables -{'I' if on else 'D'} INPUT -d {portal} -p tcp --dport 3260 -j DROP")
    yield drop
    sh("while iptables -D INPUT $(iptables -S INPUT | grep -m1 -- '--dport 3260 -j DROP' | cut -d' ' -f3-) 2>/dev/null; do :; done", check=False)


@pytest.fixture
def target():
    yield
    (TPG / "enable").write_text("1")
    for name in ("userid_mutual", "password_mutual"):
        (TPG / "auth" / name).write_text("NULL")


def ours():
    return {name: target for name, (target, iface) in iscsi_sessions().items() if iface.startswith("weft-")}


def states():
    return sorted((Path("/sys/class/iscsi_session") / name / "state").read_text().strip() for name in ours())


def disks(session):
    return sorted(path.name for path in Path(f"/sys/class/iscsi_session/{session}/device").glob("target*/*/block/*"))


def said(host, *words, type="Ready", timeout=60):
    """What a condition of the pool says, once it says these words."""
    def look():
        text = host.condition("pool", "san", type).get("message", "")
        assert all(word in text for word in words), text
        return text
    return wait_until(look, timeout, f"{type} says {words}")


def degraded(host):
    condition = host.condition("pool", "san", "Degraded")
    return condition.get("message", "") if condition.get("status") == "True" else ""


def records():
    return [path for path in NODES.rglob("weft-*") if path.is_file()]


def records_have_no_passwords():
    """Of both sessions; if not, the names of those that have."""
    seen = {str(path): "password" in path.read_text() for path in records()}
    assert len(seen) == 2 and not any(seen.values()), seen
    return True


def luns(host):
    details = host.objects("pool", "san")[0]["status"]["details"]
    return [lun for key, session in details.items() if key.startswith("session") for lun in session.get("luns", [])]


def test_contract_iscsi(host, secret):
    host.apply(pool() % secret, "--wait=90s")
    wait_until(lambda: states() == ["LOGGED_IN"] * 2, 60, "Ready with one, it goes on to the other")
    shown = sh("iscsiadm -m session")
    assert all(f"{portal}:3260,1 {TARGET}" in shown for portal in PORTALS) and len(ours()) == 2
    wait_until(records_have_no_passwords, 90, "written anew")
    for path in records():
        assert path.stat().st_mode & 0o777 == 0o600 and path.parent.name in [f"{portal},3260,1" for portal in PORTALS]
        assert "password" not in path.read_text() and "noop_out_interval = 2" in path.read_text()
    before = iscsi_sessions()
    for name in before:
        wait_until(lambda: len(disks(name)) == 4, 60, "the LUNs are disks")
    host.restart(signal.SIGKILL)
    host.wait_ready("pool", "san")
    assert iscsi_sessions() == before
    sh("systemctl restart iscsid")
    wait_until(lambda: degraded(host) == "" and host.diff() == [], 60, "sessions are iscsid's again, of which it had none for a moment")
    assert iscsi_sessions() == before


def test_discovery(host, secret):
    host.apply(pool("discovery: 192.0.2.60") % secret + BRIDGE, "--wait=90s")
    wait_until(lambda: len(ours()) == 2, 60, "what was told is logged in at")
    host.wait_ready("pool", "san")
    assert not list(Path("/etc/iscsi/send_targets").glob("*")), "it is asked, and nothing of it kept by open-iscsi"
    before = iscsi_sessions()
    host.restart()
    host.wait_ready("pool", "san")
    assert iscsi_sessions() == before


@pytest.fixture
def portal6():
    """A third portal of the target, on IPv6."""
    np = TPG / "np" / "[2001:db8::60]:3260"
    sh("ip addr add 2001:db8::60/64 dev servers0 nodad")
    np.mkdir()
    yield "[2001:db8::60]:3260"
    sh("ip6tables -F INPUT")
    np.rmdir()
    sh("ip addr del 2001:db8::60/64 dev servers0")


@pytest.mark.lab_full
def test_portals_of_ipv6(host, secret, portal6):
    """Beside one of IPv4; and the LUNs of every session are shown, not those of the first."""
    host.apply(pool(f'portals: [192.0.2.60, "{portal6}"]') % secret, "--wait=90s")
    wait_until(lambda: states() == ["LOGGED_IN"] * 2, 60)
    assert f"{portal6},1 {TARGET}" in sh("iscsiadm -m session")
    wait_until(lambda: {path.parent.name for path in records()} == {"192.0.2.60,3260,1", "2001:db8::60,3260,1"}, 30)
    wait_until(lambda: sorted(int(lun.split()[0]) for lun in luns(host)) == [0, 0, 1, 1, 2, 2, 3, 3], 60, "each LUN by each portal")
    before = iscsi_sessions()
    host.restart()
    host.wait_ready("pool", "san")
    wait_until(lambda: host.diff() == [], 60, "the other session, which is a spare one, has been seen as well")
    assert iscsi_sessions() == before
    sh("ip6tables -I INPUT -d 2001:db8::60 -p tcp --dport 3260 -j DROP")
    assert "192.0.2.60" not in said(host, portal6, type="Degraded") and host.ready("pool", "san")
    sh("ip6tables -F INPUT")
    wait_until(lambda: degraded(host) == "", 120, "it comes back")
    host.delete_all()
    wait_until(lambda: not ours() and not records(), 60)
    host.apply(pool('discovery: "2001:db8::60"') % secret, "--wait=90s")
    wait_until(lambda: len(ours()) == 3, 60, "all that it tells, of both kinds")
    host.delete_all()
    wait_until(lambda: not ours() and not records(), 90)


@pytest.fixture
def maps():
    """multipathd makes a map of everything, and lets I/O wait for ever. A function that says which maps there are."""
    conf = Path("/etc/multipath.conf")
    conf.write_text('defaults {\n find_multipaths no\n no_path_retry queue\n polling_interval 2\n max_polling_interval 2\n}\n'
                    'blacklist {\n devnode "^(vd|loop)"\n}\n')
    sh("modprobe -a dm_multipath dm_round_robin; systemctl restart multipathd")
    yield lambda: sorted(path.with_name("name").read_text().strip() for path in Path("/sys/block").glob("dm-*/dm/uuid") if path.read_text().startswith("mpath-"))
    sh("multipath -F; systemctl stop multipathd.socket multipathd", check=False)
    conf.unlink()


@pytest.mark.lab_full
def test_logout_with_maps(host, secret, maps, dropped):
    """What is used keeps the last session that leads to it; what is not goes first, so that nothing waits for a path that will not come back."""
    host.apply(pool() % secret, "--wait=90s")
    wait_until(lambda: len(maps()) == 4 and len(ours()) == 2, 60, "a map a LUN")
    with wait_until(lambda: open(f"/dev/mapper/{maps()[0]}", "rb"), 30, "udev has linked it"):
        host.weft("delete", "pool", "san", check=False)
        wait_until(lambda: "is open in python3" in host.weft("get", "resources", "-o", "json", check=False).out + str(host.events()), 90)
        assert len(ours()) == 1 and len(maps()) >= 1
    wait_until(lambda: not ours() and not records(), 120, "it goes when nobody uses it")
    assert maps() == []
    host.apply(pool() % secret, "--wait=90s")
    wait_until(lambda: len(maps()) == 4 and len(ours()) == 2, 60)
    for portal in PORTALS:
        dropped(portal)
    said(host, "none of its portals answers", type="Degraded")
    host.weft("delete", "pool", "san", check=False)
    wait_until(lambda: not ours() and not records() and maps() == [], 180, "also while no path is there")


def test_chap_both_ways_and_the_host_has_another_name(host, secret, target, tmp_path):
    (TPG / "auth/userid_mutual").write_text("san")
    (TPG / "auth/password_mutual").write_text(MUTUAL)
    mutual = tmp_path / "mutual"
    mutual.touch(0o600)
    mutual.write_text("not-the-password")
    more = f"mutualChap: {{user: san, password: {{file: {mutual}}}}}\n  initiator: iqn.2003-01.org.example:another"
    text = pool(f"portal: 192.0.2.60\n  {more}") % secret
    host.apply(text)
    said(host, "mutualChap")
    assert not ours() and not records()
    mutual.write_text(MUTUAL)
    host.wait_ready("pool", "san", 120)
    (name,) = ours()
    sysfs = Path("/sys/class/iscsi_session") / name
    assert (sysfs / "username_in").read_text().strip() == "san" and (sysfs / "initiatorname").read_text().strip() == "iqn.2003-01.org.example:another"


@pytest.mark.lab_full
def test_a_wrong_password(host, secret):
    secret.write_text("not-the-password")
    host.apply(pool("portal: 192.0.2.60") % secret + BRIDGE)
    said(host, "refuses user 'host1'", f"file '{secret}'", "192.0.2.60", TARGET)
    host.wait_ready("pool", "local")
    assert not records() and not ours()
    tried = len([e for e in host.events() if "refuses user" in str(e)])
    time.sleep(10)
    assert len([e for e in host.events() if "refuses user" in str(e)]) - tried < 6, "not in a busy loop"
    secret.write_text(PASSWORD)
    host.wait_ready("pool", "san", 120)


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_secret_that_others_can_read(host, secret, mode):
    secret.chmod(mode)
    host.apply(pool("portal: 192.0.2.60") % secret)
    said(host, f"chmod 600 {secret}")
    assert not ours()
    secret.chmod(0o600)
    host.wait_ready("pool", "san", 120)


def test_a_credential_of_systemd(make_host, tmp_path):
    (tmp_path / "credentials").mkdir(0o700)
    (tmp_path / "credentials/chap").write_text(PASSWORD)
    (tmp_path / "credentials/chap").chmod(0o400)
    host = make_host(own_network=False, environment=os.environ | {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")})
    host.apply(pool("portal: 192.0.2.60", "chap: {user: host1, password: {credential: chap}}"), "--wait=90s")
    assert len(ours()) == 1


def test_a_portal_that_dies(host, secret, dropped):
    host.apply(pool() % secret, "--wait=90s")
    wait_until(lambda: degraded(host) == "" and states() == ["LOGGED_IN"] * 2, 60)
    for name in ours():
        wait_until(lambda: len(disks(name)) == 4, 60, "the LUNs are disks")
    dropped(PORTALS[1])
    assert PORTALS[0] not in said(host, PORTALS[1], type="Degraded", timeout=30) and host.ready("pool", "san")
    alive = next(name for name in ours() if (Path("/sys/class/iscsi_session") / name / "state").read_text().strip() == "LOGGED_IN")
    sh(f"dd if=/dev/{disks(alive)[0]} of=/dev/null bs=64k count=4 iflag=direct")
    dropped(PORTALS[0])
    said(host, "none of its portals answers", *PORTALS, type="Degraded")
    began = time.monotonic()
    for command in (["get", "pools"], ["describe", "pool", "san"], ["status"]):
        host.weft(*command)
    assert time.monotonic() - began < 10, "nothing waits for it"
    before = iscsi_sessions()
    for portal in PORTALS:
        dropped(portal, False)
    wait_until(lambda: degraded(host) == "" and host.ready("pool", "san") and states() == ["LOGGED_IN"] * 2, 120, "it recovers without a hand")
    assert iscsi_sessions() == before


@pytest.mark.lab_full
def test_promise_27_a_target_that_is_gone_at_apply(host, secret, target, dropped):
    (TPG / "enable").write_text("0")
    host.apply(pool() % secret + BRIDGE)
    host.wait_ready("pool", "local", 60)
    said(host, "portal")
    assert not host.ready("pool", "san")
    wait_until(lambda: not records(), 60, "what was written for a login goes with it")
    host.restart()
    host.wait_ready("pool", "local", 60)
    dropped(PORTALS[1])
    (TPG / "enable").write_text("1")
    host.wait_ready("pool", "san", 120)
    said(host, PORTALS[1], type="Degraded")  # and Ready, since the other one is there
    dropped(PORTALS[1], False)
    wait_until(lambda: degraded(host) == "" and len(ours()) == 2, 120)


@pytest.mark.lab_full
def test_a_lun_that_grows(host, secret):
    host.apply(pool("portal: 192.0.2.60") % secret, "--wait=90s")
    wait_until(lambda: len(luns(host)) == 4, 90, "its LUNs are shown")
    size = os.stat("/var/lab/luns/3").st_size
    sh(f"truncate -s {size + (64 << 20)} /var/lab/luns/3; losetup -c /dev/loop77")
    (name,) = ours()
    host.weft("apply", "-f", host.scratch / "manifest.yaml")
    disk = next(d for d in disks(name) if (Path("/sys/block") / d / "device").resolve().name.endswith(":3"))
    wait_until(lambda: int((Path("/sys/block") / disk / "size").read_text()) * 512 == size + (64 << 20), 120)
    wait_until(lambda: any(f"3 {disk} 1088MiB" in lun for lun in luns(host)), 120)


def test_what_is_used_stays(host, secret):
    host.apply(pool("portal: 192.0.2.60") % secret, "--wait=90s")
    (name,) = ours()
    wait_until(lambda: len(disks(name)) == 4, 60)
    with open(f"/dev/{disks(name)[0]}", "rb"):
        host.weft("delete", "pool", "san", check=False)
        wait_until(lambda: "is open in python3" in host.weft("get", "resources", "-o", "json", check=False).out + str(host.events()), 60)
        assert list(ours()) == [name]
    wait_until(lambda: not ours() and not records(), 120, "it goes when nobody uses it")


def test_what_others_have_made(host, secret, tmp_path):
    iscsiadm = f"iscsiadm -m node -T {TARGET} -p 192.0.2.60:3260"
    sh("iscsiadm -m discoverydb -t st -p 192.0.2.60 --discover")
    for name, value in (("authmethod", "CHAP"), ("username", "host1"), ("password", PASSWORD)):
        sh(f"{iscsiadm} -o update -n node.session.auth.{name} -v {value}")
    sh(f"{iscsiadm} --login")
    try:
        theirs = iscsi_sessions()
        kept = {path: path.read_text() for path in Path("/etc/iscsi").glob("*/**/*") if path.is_file()}
        host.apply(pool("portal: 192.0.2.60") % secret)
        said(host, "is not weft's")
        host.apply(pool("portal: 192.0.2.60\n  adopt: true") % secret, "--wait=90s")
        assert iscsi_sessions() == theirs
        host.apply(pool("portals: [192.0.2.60, 198.51.100.60]\n  adopt: true") % secret, "--wait=90s")
        wait_until(lambda: len(ours()) == 1 and len(iscsi_sessions()) == 2, 60)
        host.delete_all()
        wait_until(lambda: iscsi_sessions() == theirs, 60)
        assert {path: path.read_text() for path in Path("/etc/iscsi").glob("*/**/*") if path.is_file()} == kept
    finally:
        sh(f"{iscsiadm} --logout; iscsiadm -m node -T {TARGET} -o delete; iscsiadm -m discoverydb -t st -p 192.0.2.60 -o delete", check=False)


@contextlib.contextmanager
def traced(pid, path, *options):
    """What a process and its children do, by strace, into a file."""
    strace = subprocess.Popen(["strace", "-f", *options, "-o", path, "-p", str(pid)])
    try:
        wait_until(lambda: "TracerPid:\t0" not in Path(f"/proc/{pid}/status").read_text(), 20, "it is traced")
        yield
    finally:
        strace.terminate()
        strace.wait()


# What the child that logs in does: it puts interface and record in place, has iscsiadm log in, and puts them there anew without the password.
STEPS = [("rename", 1), ("rename", 2), ("vfork", 1), ("wait4", 1), ("rename", 3), ("rename", 4)]


@pytest.mark.lab_full
@pytest.mark.parametrize("call, n", STEPS)
@pytest.mark.parametrize("who", ["helper", "weftd"])
def test_killed_at_each_step_of_a_login(host, secret, tmp_path, who, call, n):
    """Every child that comes so far, again and again for a while; or weftd as well. Then all is as if nothing had been."""
    trace = tmp_path / "trace"
    with traced(host.weftd_pid(), trace, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={n}"):
        host.apply(pool("portal: 192.0.2.60") % secret)
        wait_until(lambda: trace.exists() and "killed by SIGKILL" in trace.read_text(), 90)
        if who == "weftd":
            host.stop(signal.SIGKILL)
        else:
            time.sleep(3)
    if host.daemon is None or host.daemon.poll() is not None:
        host.daemon = None
        host.start()
    host.wait_ready("pool", "san", 120)
    wait_until(lambda: states() == ["LOGGED_IN"] and host.diff() == [], 90)
    wait_until(lambda: len(records()) == 1 and "noop_out_interval = 2" in records()[0].read_text(), 90, "its record is there again")
    kept = [str(path) for path in Path("/etc/iscsi").rglob("*") if path.is_file() and PASSWORD in path.read_text()]
    assert not kept, "no file of open-iscsi keeps the password"
    assert not list(Path("/etc/iscsi").glob(".weft-*"))
    host.delete_all()
    wait_until(lambda: not ours() and not list(Path("/etc/iscsi").rglob("*weft-*")), 90)


@pytest.mark.no_laws
def test_secrets_are_nowhere(host, secret, target, tmp_path):
    (TPG / "auth/userid_mutual").write_text("san")
    (TPG / "auth/password_mutual").write_text(MUTUAL)
    mutual = tmp_path / "mutual"
    mutual.touch(0o600)
    mutual.write_text(MUTUAL + "\n")
    text = pool("portals: [192.0.2.60, 198.51.100.60]\n  mutualChap: {user: san, password: {file: %s}}" % mutual) % secret
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    with traced(host.weftd_pid(), tmp_path / "executions", "-qq", "-v", "-s", "100000", "-e", "trace=execve"):
        host.apply(text, "--wait=90s")
        wait_until(lambda: states() == ["LOGGED_IN"] * 2, 60)
    begun = (tmp_path / "executions").read_text()
    assert begun.count("iscsiadm") >= 2 and "PATH=" in begun
    assert PASSWORD not in begun and MUTUAL not in begun
    for path in Path("/etc/iscsi").rglob("*"):
        assert not path.is_file() or MUTUAL not in path.read_text(), f"{path} keeps a password"
    for word in (PASSWORD, MUTUAL):
        assert host.places_of_secret(word) == []
        for command in (["diff", "-f", host.scratch / "manifest.yaml"], ["explain", "pool.chap"], ["describe", "pool", "san"], ["get", "resources", "-o", "json"]):
            done = host.weft(*command, check=False)
            assert word not in done.out + done.err
        journal = subprocess.run(["journalctl", "--no-pager", "-o", "export", "--since", since], capture_output=True, text=True, errors="replace")
        assert word not in journal.stdout
    pattern, core = Path("/proc/sys/kernel/core_pattern"), tmp_path / "core"
    before = pattern.read_text()
    pid = host.weftd_pid()
    subprocess.run(["prlimit", f"--pid={pid}", "--core=unlimited"], check=True)
    try:
        pattern.write_text(str(core))
        host.stop(signal.SIGABRT)
    finally:
        pattern.write_text(before)
    (dump,) = tmp_path.glob("core*")
    data = dump.read_bytes()
    assert len(data) > 100000 and TARGET.encode() in data
    assert PASSWORD.encode() not in data and MUTUAL.encode() not in data
    host.start()
    host.delete_all()
    wait_until(lambda: not ours(), 60)
