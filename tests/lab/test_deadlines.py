# SPDX-License-Identifier: Apache-2.0
"""A lab that hangs, panics or loses its agent is given up in time, and it is said what it was doing; what can go on does."""
import pytest

import runner

SLEEPER = """
import subprocess
def test_that_sleeps():
    subprocess.run(["logger", "a word in the journal"])
    subprocess.run(["bash", "-c", "exec -a the-sleeper sleep 1000"])
"""
PANIC = """
def test_that_panics():
    open("/proc/sysrq-trigger", "w").write("c")
"""
AGENTLESS = """
import subprocess
def test_without_an_agent():
    subprocess.run(["systemctl", "mask", "--runtime", "lab-agent"], check=True)
    subprocess.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "lab-agent"], check=True)
"""


def run(host, text, seconds=60):
    (host.share / "test_it.py").write_text(text)
    return runner.run_tests(host, ["/share/test_it.py"], "base", seconds)


def test_a_test_that_hangs(restored, capsys):
    host = restored()
    assert run(host, SLEEPER, 40) is None
    said = capsys.readouterr().out
    assert "it has not ended by its deadline of 40 s" in said
    assert "test_it.py::test_that_sleeps" in said.split("it was at:")[1].splitlines()[0]
    assert "the-sleeper 1000" in said, "the processes are shown"
    assert "a word in the journal" in said


def test_a_kernel_that_panics(restored, capsys):
    host = restored()
    assert run(host, PANIC, 300) is None
    said = capsys.readouterr().out
    assert "its kernel has panicked" in said and "test_that_panics" in said
    assert "sysrq" in said.split("console's last lines")[1]


def test_a_host_that_ends(restored):
    host = restored()
    (host.share / "results").mkdir()
    host.process.kill()
    host.process.wait()
    status, why = runner.follow(host, 300)
    assert status is None and why.startswith("its QEMU has ended with status -9")


def test_an_agent_that_is_gone(restored):
    host = restored()
    assert run(host, AGENTLESS) == 0
