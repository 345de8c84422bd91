# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin (-p report) that says at once, as lines of JSON in the file $WEFT_REPORT, what begins and how it ended; and what is to be
read out of such files. What a run that hung had done stands in them. With $WEFT_SURVEY nothing runs: it is only said what would be skipped, and why."""
import json
import os
from pathlib import Path

import pytest

LONGEST_REASON = 300
WOULD_RUN = "would run here"  # why nothing runs when it is only asked what would be skipped


def write(**line):
    with open(os.environ["WEFT_REPORT"], "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def beside_another():
    """In a worker of pytest-xdist: who has begun it hears of all tests, and says it."""
    return "PYTEST_XDIST_WORKER" in os.environ


def reason(report):
    """Why a test was skipped, or where it failed and what was said there."""
    if report.skipped:
        return report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = " / ".join(line.strip() for line in (crash.message if crash else str(report.longrepr)).splitlines() if line.strip())
    return f"{Path(crash.path).name}:{crash.lineno}: {text}"[:LONGEST_REASON] if crash else text[-LONGEST_REASON:]


def pytest_runtest_setup(item):
    """After what the tests themselves ask for, before any fixture."""
    if os.environ.get("WEFT_SURVEY"):
        pytest.skip(WOULD_RUN)


def pytest_runtest_logstart(nodeid, location):
    if not beside_another():
        write(test=nodeid, outcome="begun")


def pytest_runtest_logreport(report):
    if not beside_another() and (report.when == "call" or report.outcome != "passed"):
        write(test=report.nodeid, outcome=report.outcome, seconds=round(report.duration, 1), why="" if report.passed else reason(report))


def runs(path):
    """{test: [(outcome, why)]}, one for each time it ran; "begun" is one that has not ended, and a failure at its end counts for a test."""
    found = {}
    if Path(path).exists():
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            line = json.loads(line)
            times = found.setdefault(line["test"], [])
            if line["outcome"] == "begun":
                times.append(("begun", ""))
            elif not times:
                times.append((line["outcome"], line.get("why", "")))
            elif times[-1][0] != "failed":
                times[-1] = (line["outcome"], line.get("why", ""))
    return found


def read(path):
    """{test: (outcome, why)} of the last time each ran."""
    return {test: times[-1] for test, times in runs(path).items()}
