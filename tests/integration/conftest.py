# SPDX-License-Identifier: Apache-2.0
"""Every test gets a host of its own: a network namespace with its own weftd under a directory of its own. What is true of the host
is read with tools that are not weft's. When the test has passed, the laws that hold for every state are checked: diff is empty; a new
weftd changes nothing; deleting everything leaves the namespace as it was, and the bytes of volumes in place."""
import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import machine
from harness import SOURCE, Host, machine_lacks


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*what): programs, files or kernel features; the test is skipped without them")
    config.addinivalue_line("markers", "lab: belongs to the lab's part of scripts/test: what it tests is different on a whole host")
    config.addinivalue_line("markers", "lab_full: needs the lab and takes long there: only scripts/test --full and tests/lab/lab run it")
    config.addinivalue_line("markers", "full(why): takes minutes wherever it runs: only with WEFT_FULL, which scripts/test --full and tests/lab/lab set")
    config.addinivalue_line("markers", "lab_state(name, each=False, shared=False): runs in a lab host restored from that state (tests/lab)")
    config.addinivalue_line("markers", "no_laws: the test itself ends its host in a state where the laws at the end make no sense")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Before any fixture: those of a test that has nothing to run on may fail for the same want."""
    state = item.get_closest_marker("lab_state")
    if state and os.environ.get("WEFT_LAB_STATE") != state.args[0]:
        pytest.skip(f"runs in the lab, in its state '{state.args[0]}'")
    full = item.get_closest_marker("full")
    if full and not os.environ.get("WEFT_FULL"):
        pytest.skip(f"{full.args[0]}: scripts/test --full runs it")
    for marker in item.iter_markers("needs"):
        for what in marker.args:
            why = machine_lacks(what)
            if why:
                pytest.skip(why)


@contextlib.contextmanager
def hosts(request, directory):
    """A function that makes hosts; at the end each is held to the laws, unless something failed before, and is gone."""
    failed_before = request.session.testsfailed
    made = []

    def make(**options):
        made.append(Host(directory / f"h{len(made)}", **options))
        return made[-1]

    lawful = False
    try:
        yield make
        lawful = request.session.testsfailed == failed_before
        if lawful and not request.node.get_closest_marker("no_laws"):
            for host in made:
                host.check_laws()
    except BaseException:
        lawful = False
        raise
    finally:
        for host in made:
            if not lawful:
                host.show_log()
            host.close()


@pytest.fixture
def make_host(request, tmp_path):
    with hosts(request, tmp_path) as make:
        yield make


@pytest.fixture
def host(make_host):
    return make_host()


@pytest.fixture
def open_host(request):
    """A host that other users can reach: pytest's own directories are closed to them."""
    directory = Path(tempfile.mkdtemp(prefix="weft-open-"))
    try:
        directory.chmod(0o755)
        with hosts(request, directory) as make:
            yield make()
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="module")
def make_shared_host(request, tmp_path_factory):
    """For hosts that are dear: the tests of a module share them, and they are held to the laws after the last."""
    with hosts(request, tmp_path_factory.mktemp("shared")) as make:
        yield make


@pytest.fixture
def plug(host):
    with machine.machines(host) as plug:
        yield plug


@pytest.fixture
def outside(host):
    with machine.outside(host) as outside:
        yield outside


@pytest.fixture(scope="session")
def linux_image(tmp_path_factory):
    """A directory with vmlinuz and initrd.gz of a small Linux guest."""
    directory = tmp_path_factory.mktemp("linux")
    made = subprocess.run([SOURCE / "scripts/guest-image", directory], capture_output=True, text=True, timeout=600)
    assert made.returncode == 0, f"scripts/guest-image: {made.stdout}{made.stderr}"
    return directory
