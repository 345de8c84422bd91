#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What ran where, what was skipped and why, and last what failed, out of the reports that runs of pytest left (report.py):

    tests/lab/summary.py HERE.jsonl build/lab [MORE.jsonl...]   after scripts/test: this machine's, the lab's, and other runs here
    tests/lab/summary.py --skipped HERE.jsonl                   the tests that this machine skipped, or would, a line each"""
import collections
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import report  # noqa: E402

MOST_NAMES = 2
MOST_REASONS = 15
AGAIN = "again-"  # begins the name of a host in which what had failed ran once more
WORDS = {"failed": "failed", "begun": "did not end", "passed": "passed"}


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
    for why, tests in sorted(reasons.items(), key=lambda item: -len(item[1]))[:MOST_REASONS]:
        more = f" and {len(tests) - MOST_NAMES} more" if len(tests) > MOST_NAMES else ""
        print(f"   {len(tests)}: {why}: {', '.join(tests[:MOST_NAMES])}{more}")
    if len(reasons) > MOST_REASONS:
        print(f"   and for {len(reasons) - MOST_REASONS} other reasons")


def show_lab(runs):
    for name, outcomes in runs:
        print(f"in the lab, {name}: {count(outcomes)}")


def show_failures(where, times):
    """Each test that has not passed at once: {test: [(outcome, why)]}, as often as it ran there."""
    for test, outcomes in times.items():
        bad = [outcome for outcome in outcomes if outcome[0] in ("failed", "begun")]
        if not bad:
            continue
        told = ", then ".join(WORDS.get(outcome, outcome) for outcome, _ in outcomes)
        print(f"{'FAILED' if outcomes[-1] in bad else 'not at once'}: {where}: {test}: {told}\n   {bad[-1][1]}")


def times_in_lab(runs):
    """{test: [(outcome, why)]} over the hosts it ran in."""
    found = collections.defaultdict(list)
    for _, outcomes in sorted(runs, key=lambda run: run[0].startswith(AGAIN)):
        for test, outcome in outcomes.items():
            found[test].append(outcome)
    return found


def main(argv):
    if argv[0] == "--skipped":
        print("\n".join(test for test, (outcome, why) in report.read(argv[1]).items() if outcome == "skipped" and why != report.WOULD_RUN))
        return
    here, lab = report.read(argv[0]), of_lab(argv[1])
    everywhere, inside = merged([("here", here), *lab]), merged(lab)
    print(f"on this machine: {count(here)}")
    print(f"in the lab, {len(lab)} hosts: {count(inside)}")
    show_skipped("skipped wherever they ran:", everywhere)
    left = [test for test in here if test not in inside]
    if left:
        print(f"{len(left)} ran on this machine only; 'scripts/test --full' runs them in the lab as well")
    for path in argv[:1] + argv[2:]:
        show_failures("on this machine", report.runs(path))
    show_failures("in the lab", times_in_lab(lab))


if __name__ == "__main__":
    main(sys.argv[1:])
