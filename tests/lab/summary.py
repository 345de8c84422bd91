#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What ran where, what was skipped and why, out of the reports that runs of pytest left (report.py):

    tests/lab/summary.py HERE.jsonl build/lab       after scripts/test: this machine's and the lab's
    tests/lab/summary.py --skipped HERE.jsonl       the tests that this machine skipped, a line each"""
import collections
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import report  # noqa: E402

MOST_NAMES = 4


def count(outcomes):
    counts = collections.Counter(outcome for outcome, _ in outcomes.values())
    return ", ".join(f"{counts[what]} {word}" for what, word in
                     (("passed", "passed"), ("failed", "failed"), ("begun", "not ended"), ("skipped", "skipped")) if counts[what]) or "nothing"


def of_lab(directory):
    """[(name of the host, {test: outcome})], in the order they ran; a later one of the same name with "again-" before it goes over it."""
    paths = sorted(Path(directory).glob("*/report.jsonl"), key=lambda path: path.stat().st_mtime)
    return [(path.parent.name, report.read(path)) for path in paths]


def merged(runs):
    """One outcome a test: that it ran says more than that it was skipped, and its last run more than the one before."""
    found = {}
    for _, outcomes in runs:
        for test, outcome in outcomes.items():
            if outcome[0] != "skipped" or found.get(test, ("skipped",))[0] == "skipped":
                found[test] = outcome
    return found


def show_skipped(title, outcomes):
    reasons = collections.defaultdict(list)
    for test, (outcome, why) in outcomes.items():
        if outcome == "skipped":
            reasons[why].append(test.split("/")[-1])
    if reasons:
        print(title)
    for why, tests in sorted(reasons.items()):
        more = f" and {len(tests) - MOST_NAMES} more" if len(tests) > MOST_NAMES else ""
        print(f"   {len(tests)}: {why}: {', '.join(tests[:MOST_NAMES])}{more}")


def show_bad(outcomes):
    for test, (outcome, _) in outcomes.items():
        if outcome in ("failed", "begun"):
            print(f"   {'FAILED' if outcome == 'failed' else 'NOT ENDED'}: {test}")


def show_lab(runs):
    for name, outcomes in runs:
        print(f"in the lab, {name}: {count(outcomes)}")
    show_bad(merged(runs))


def main(argv):
    if argv[0] == "--skipped":
        print("\n".join(test for test, (outcome, _) in report.read(argv[1]).items() if outcome == "skipped"))
        return
    here, lab = report.read(argv[0]), of_lab(argv[1])
    print(f"on this machine: {count(here)}")
    show_bad(here)
    show_lab(lab)
    everywhere = merged([("here", here), *lab])
    inside = merged(lab)
    shown = {test: outcome for test, outcome in here.items() if everywhere[test][0] != "skipped"}
    show_skipped("skipped on this machine, run in the lab:", shown)
    show_skipped("skipped wherever they ran:", everywhere)
    left = [test for test in here if test not in inside]
    if left:
        print(f"{len(left)} ran on this machine only; 'scripts/test --full' runs them in the lab as well")


if __name__ == "__main__":
    main(sys.argv[1:])
