# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin (-p report) that says at once, as lines of JSON in the file $WEFT_REPORT, what begins and how it ended; and what is to be
read out of such files. What a run that hung had done stands in them."""
import json
import os
from pathlib import Path


def write(**line):
    with open(os.environ["WEFT_REPORT"], "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def pytest_runtest_logstart(nodeid, location):
    write(test=nodeid, outcome="begun")


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        why = report.longrepr[2].removeprefix("Skipped: ") if report.skipped and isinstance(report.longrepr, tuple) else ""
        write(test=report.nodeid, outcome=report.outcome, seconds=round(report.duration, 1), why=why)


def read(path):
    """{test: (outcome, why)}; "begun" is one that has not ended, and a failure at its end counts for a test."""
    found = {}
    if Path(path).exists():
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            line = json.loads(line)
            if found.get(line["test"], ("",))[0] != "failed" or line["outcome"] == "begun":
                found[line["test"]] = (line["outcome"], line.get("why", ""))
    return found
