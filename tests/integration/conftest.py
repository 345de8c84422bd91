# SPDX-License-Identifier: Apache-2.0
"""Every test gets a host of its own: a network namespace with its own weftd under a directory of its own. What is true of the host
is read with tools that are not weft's. When the test has passed, the laws that hold for every state are checked: diff is empty; a new
weftd changes nothing; deleting everything leaves the namespace as it was."""
import pytest

from harness import Host, machine_lacks


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*what): programs, files or kernel features; the test is skipped without them")
    config.addinivalue_line("markers", "no_laws: the test itself ends its host in a state where the laws at the end make no sense")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    setattr(item, "report_" + report.when, report)


@pytest.fixture
def make_host(request, tmp_path):
    for marker in request.node.iter_markers("needs"):
        for what in marker.args:
            why = machine_lacks(what)
            if why:
                pytest.skip(why)
    hosts = []

    def make(**options):
        host = Host(tmp_path / f"h{len(hosts)}", **options)
        hosts.append(host)
        return host

    yield make
    passed = getattr(request.node, "report_call", None) and request.node.report_call.passed
    lawful = passed and not request.node.get_closest_marker("no_laws")
    try:
        for host in hosts:
            if lawful:
                host.check_laws()
    except BaseException:
        passed = False
        raise
    finally:
        for host in hosts:
            if not passed:
                host.show_log()
            host.close()


@pytest.fixture
def host(make_host):
    return make_host()
