# SPDX-License-Identifier: Apache-2.0
"""Runs pytest in a lab host and brings back what came of it. A host that hangs, panics or ends is noticed, looked at, and given up by the
deadline."""
import contextlib
import shlex
import shutil
import sys
import time

import report
import vm
from build import INSIDE, INSIDE_BUILD
from workshop import LabError

RESULTS = f"{vm.SHARE}/results"
# One test says nothing while it runs. The longest boots Linux in an emulated machine that is itself emulated.
TEST_SECONDS = 600
POLL_SECONDS = 0.2
KEPT = ("console.log", "qemu.log")
LAST_LINES = 40


def show_new(log, position):
    """Prints what a growing file got, and gives how far that is."""
    with contextlib.suppress(FileNotFoundError), open(log, "rb") as file:
        file.seek(position)
        data = file.read()
        sys.stdout.write(data.decode(errors="replace"))
        sys.stdout.flush()
        position += len(data)
    return position


def start(host, tests, state):
    """Journal and pytest, which write into the share by themselves: that the agent lives is not needed."""
    results = host.share / "results"
    results.mkdir()
    host.agent.check(f"setsid journalctl -b -f -n all -o short-precise >{RESULTS}/journal.log 2>&1 </dev/null &")
    command = ["python3", "-m", "pytest", "-v", "-rs", "-p", "no:cacheprovider", "-p", "report", "--durations=5",
               f"--junitxml={RESULTS}/junit.xml", *tests]
    (results / "run.sh").write_text(f"cd {INSIDE}\n"
                                    f"export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={INSIDE}/tests/lab\n"
                                    f"export WEFT_FULL=1 WEFT_BUILD={INSIDE_BUILD} WEFT_LAB_STATE={state} WEFT_REPORT={RESULTS}/report.jsonl\n"
                                    f"{shlex.join(command)} >{RESULTS}/pytest.log 2>&1\n"
                                    f"echo $? >{RESULTS}/status.part; mv {RESULTS}/status.part {RESULTS}/status\n")
    host.agent.check(f"setsid bash {RESULTS}/run.sh </dev/null >/dev/null 2>&1 &")


def trouble(host, since, deadline, seconds):
    """Why to wait no longer, if so."""
    if time.monotonic() > deadline:
        return f"it has not ended by its deadline of {seconds:.0f} s"
    if time.monotonic() > since + TEST_SECONDS:
        return f"no test has ended for {TEST_SECONDS} s"
    return host.trouble()


def follow(host, seconds):
    """Shows pytest's words until it has ended: (its status, None), or (None, why it is given up)."""
    results = host.share / "results"
    began = since = time.monotonic()
    position = 0
    while True:
        ended = (results / "status").exists()
        shown, position = position, show_new(results / "pytest.log", position)
        if ended:
            return int((results / "status").read_text()), None
        if position != shown:
            since = time.monotonic()
        why = trouble(host, since, began + seconds, seconds)
        if why:
            return None, why
        time.sleep(POLL_SECONDS)


def explain(host, why):
    """What can be known about a host that is given up."""
    results = host.share / "results"
    begun = [test for test, (outcome, _) in report.read(results / "report.jsonl").items() if outcome == "begun"]
    print(f"\n==== the lab is given up: {why} ====\nit was at: {', '.join(begun) or 'no test'}")
    if host.process.poll() is None:
        try:
            print("---- its processes ----")
            print(host.agent.run("ps axf -o pid,stat,wchan:24,etimes,args --cols 160 | grep -v '\\]$' | tail -60", 10, 15)[1])
        except LabError as error:
            print(error)
    journal = results / "journal.log"
    if journal.exists():
        print("---- its journal's last lines ----\n" + "\n".join(journal.read_text(errors="replace").splitlines()[-LAST_LINES:]))
    print(f"---- its console's last lines ----\n{host.last_words()}", flush=True)


def run_tests(host, tests, state, seconds):
    """pytest's status; None when the host is given up."""
    start(host, tests, state)
    status, why = follow(host, seconds)
    if why:
        explain(host, why)
    return status


def keep(host, directory):
    """Logs and results go where builds go."""
    shutil.copytree(host.share / "results", directory, ignore=shutil.ignore_patterns("run.sh", "status*"))
    for name in KEPT:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(host.directory / name, directory)
