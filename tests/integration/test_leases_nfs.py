# SPDX-License-Identifier: Apache-2.0
"""Leases and guests on an NFS server that goes away: nothing hangs, and all goes on when it is back. Needs the kernel's NFS server and client, as
tests/lab has."""
import time

import pytest

from harness import wait_until
from test_io_errors import events, works
from test_leases import guest, listed, locked, message, pid_of, record, tiny  # noqa: F401
from test_pool_nfs import EXPORT, POOL, degraded, host, server  # noqa: F401

pytestmark = pytest.mark.needs("exportfs", "mount.nfs", "systemctl", "qemu-img", "qemu-system-x86_64", "as", "ld")


def volume(tiny):  # noqa: F811
    return ("---\napiVersion: weft/v1\nkind: Volume\nmetadata: {name: data}\n"
            f"spec: {{pool: images, size: 1MiB, format: raw, source: {{file: {tiny}, format: raw}}}}\n")


@pytest.mark.lab_full
def test_promise_17_a_lease_on_a_dead_server(host, server, tiny):  # noqa: F811
    host.apply(POOL + volume(tiny), "--wait=60s")
    server.drop()
    wait_until(lambda: degraded(host), 60, "the pool is seen to be silent")
    began = host.apply(guest(disk="volume: data, cache: none"), "--wait=3s", check=False)
    assert began.status == 3 and "does not answer" in message(host, "guest", "web"), began
    before = time.monotonic()
    held = host.weft("lease", "list", check=False)
    refused = host.weft("lease", "break", "data", "--yes", check=False)
    assert time.monotonic() - before < 5 and held.status == 1 and "does not answer" in held.err and refused.status == 1 and "does not answer" in refused.err
    server.let_through()
    host.wait_ready("guest", "web", 120)
    assert [one["guest"] for one in record(EXPORT)] == ["web"] and locked(EXPORT), "the server holds the lock"
    pid = pid_of(host)
    server.drop()
    wait_until(lambda: degraded(host), 60, "the pool is seen to be silent")
    host.restart()
    server.let_through()
    wait_until(lambda: not degraded(host), 90, "the pool is well")
    host.wait_ready("guest", "web", 90)
    works(host)
    assert pid_of(host) == pid and listed(host) and locked(EXPORT)


@pytest.mark.lab_full
def test_promise_15_a_soft_mount(host, server, tiny):  # noqa: F811
    host.apply(POOL.replace('[hard, "timeo=600"]', '[soft, "timeo=20", "retrans=1"]') + volume(tiny) + guest(disk="volume: data, cache: none"), "--wait=90s")
    works(host)
    pid = pid_of(host)
    server.drop()
    wait_until(lambda: events(host, "GuestStands"), 90, "it stands")
    server.let_through()
    works(host)
    wait_until(lambda: events(host, "GuestResumed"), 60, "it is told")
    host.wait_ready("guest", "web", 60)
    assert pid_of(host) == pid
