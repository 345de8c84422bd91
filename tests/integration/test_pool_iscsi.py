# SPDX-License-Identifier: Apache-2.0
"""Pools on the lab's iSCSI target, which has two portals and asks for CHAP: what is true is asked of iscsiadm, sysfs and the target itself."""
import os
import signal
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
def leave_nothing():
    """A test that failed is not to be the failure of the next one."""
    yield
    for name in ours():
        sh(f"iscsiadm -m session -r {name.removeprefix('session')} --logout", check=False)
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


def test_contract_iscsi(host, secret):
    host.apply(pool() % secret, "--wait=90s")
    wait_until(lambda: states() == ["LOGGED_IN"] * 2, 60, "Ready with one, it goes on to the other")
    shown = sh("iscsiadm -m session")
    assert all(f"{portal}:3260,1 {TARGET}" in shown for portal in PORTALS) and len(ours()) == 2
    wait_until(lambda: len(records()) == 2 and not any("password" in path.read_text() for path in records()), 30, "written anew without passwords")
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
    assert iscsi_sessions() == before
    assert degraded(host) == "" and host.diff() == []


def test_discovery(host, secret):
    host.apply(pool("discovery: 192.0.2.60") % secret + BRIDGE, "--wait=90s")
    wait_until(lambda: len(ours()) == 2, 60, "what was told is logged in at")
    host.wait_ready("pool", "san")
    assert not list(Path("/etc/iscsi/send_targets").glob("*")), "it is asked, and nothing of it kept by open-iscsi"
    before = iscsi_sessions()
    host.restart()
    host.wait_ready("pool", "san")
    assert iscsi_sessions() == before


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
