# SPDX-License-Identifier: Apache-2.0
"""Which tests run, and in which host. A test file says by a mark of its module what host it wants:

    pytestmark = pytest.mark.lab_state("storage")               a restored host of that state for the module
    pytestmark = pytest.mark.lab_state("storage", each=True)    one for each test
    pytestmark = pytest.mark.lab_state("storage", shared=True)  one for all modules that say so

Without a mark it shares a host that has booted and nothing else: most tests make network namespaces of their own and leave nothing behind."""
import ast
import os
import re
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

from workshop import SOURCE, LabError

Group = namedtuple("Group", "name state tests")
INTEGRATION = "tests/integration"
NO_TESTS = 5  # pytest's status
COLLECT_SECONDS = 120


def wanted(path):
    """(state, each, shared) of a test file."""
    for node in ast.parse(path.read_text()).body:
        if not isinstance(node, ast.Assign) or getattr(node.targets[0], "id", "") != "pytestmark":
            continue
        for call in ast.walk(node.value):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "lab_state":
                options = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
                return ast.literal_eval(call.args[0]), options.get("each", False), options.get("shared", False)
    return "base", False, True


def collect(directory, pattern=None, marks=None):
    """Ids of the tests that pytest finds there, such as tests/integration/test_api.py::test_x[1]."""
    argv = [sys.executable, "-B", "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", directory,
            *(["-k", pattern] if pattern else []), *(["-m", marks] if marks else [])]
    done = subprocess.run(argv, cwd=SOURCE, capture_output=True, text=True, timeout=COLLECT_SECONDS, env={**os.environ, "LC_ALL": "C.UTF-8"})
    if done.returncode not in (0, NO_TESTS):
        raise LabError(f"pytest cannot collect {directory}:\n{(done.stdout + done.stderr)[-4000:]}")
    return [line for line in done.stdout.splitlines() if line.startswith(f"{directory}/") and "::" in line]


def parted(group, most):
    """The same as several, whole files each, if there are more than so many tests in it."""
    parts = [[]]
    for path in dict.fromkeys(test.split("::")[0] for test in group.tests):
        of_file = [test for test in group.tests if test.startswith(f"{path}::")]
        if parts[-1] and len(parts[-1]) + len(of_file) > most:
            parts.append([])
        parts[-1] += of_file
    return [group._replace(name=group.name if i == 0 else f"{group.name}-{i + 1}", tests=tests) for i, tests in enumerate(parts)]


def groups(tests, most=None):
    """The same tests, by the host that they are to run in, the largest first; no more than so many together, if files allow that."""
    found = {}
    for test in tests:
        path = test.split("::")[0]
        state, each, shared = wanted(SOURCE / path)
        name = state
        if each:
            name = f"{state}-{re.sub('[^A-Za-z0-9_]+', '-', test.removeprefix(INTEGRATION + '/')).strip('-')}"[:100]
        elif not shared:
            name = f"{state}-{Path(path).stem}"
        found.setdefault(name, Group(name, state, [])).tests.append(test)
    return sorted((part for group in found.values() for part in parted(group, most or len(tests))), key=lambda group: -len(group.tests))
