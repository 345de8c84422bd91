# SPDX-License-Identifier: Apache-2.0
"""Tests that are about the lab's host itself, such as how it boots, run beside it: they import what the lab is made of."""
import contextlib
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import build  # noqa: E402
import pair as pairs  # noqa: E402
import states  # noqa: E402


@pytest.fixture(scope="session")
def kit():
    return states.Kit(print)


@pytest.fixture(scope="session")
def disks(tmp_path_factory):
    """The disk with this build."""
    return {"build": build.make_disk(tmp_path_factory.mktemp("build"))}


@pytest.fixture
def directory():
    """With a short name: QEMU's sockets are in it."""
    with tempfile.TemporaryDirectory(prefix="weft-lab-") as name:
        yield Path(name)


@contextlib.contextmanager
def telling(hosts):
    """What the consoles said last, if the test fails."""
    try:
        yield
    except BaseException:
        for host in hosts:
            print(f"---- {host.directory.name}: the console's last lines ----\n{host.last_words()}")
        raise


@pytest.fixture
def restored(kit, disks, directory):
    """A function that restores a host of a state, with this build in /srv/weft."""
    with contextlib.ExitStack() as stack:
        hosts = []
        stack.enter_context(telling(hosts))

        def restore(state="base"):
            hosts.append(kit.restore(directory / f"host{len(hosts)}", state, disks=disks))
            stack.callback(hosts[-1].close)
            build.mount(hosts[-1])
            return hosts[-1]

        yield restore


@pytest.fixture
def pair(request, kit, disks, directory):
    """Two hosts on one wire (pair.py), with this build in /srv/weft; the first of the state that the mark `pair_state` names."""
    state = request.node.get_closest_marker("pair_state")
    with pairs.pair(kit, directory, disks, state.args[0] if state else "base") as hosts, telling(hosts):
        for host in hosts:
            build.mount(host)
        yield hosts


def pytest_configure(config):
    config.addinivalue_line("markers", "lab: belongs to the lab's part of scripts/test")
    config.addinivalue_line("markers", "lab_full: takes long: only scripts/test --full and tests/lab/lab run it")
    config.addinivalue_line("markers", "pair_state(name): the state that the first host of a pair goes on from")
