#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what the compiler does not: size, nesting, parameters, the direction of includes, heads of files, READMEs.

    tests/lint/lint.py            what must not be; exit status 1 if there is any
    tests/lint/lint.py -v         also what is near a limit

It reads the files that git knows, as text: the C here is formatted in one way, so that a function begins and ends with a brace in the
first column and its nesting is its indentation. Variable-length arrays are the compiler's (-Wvla).
"""

import ast
import os
import re
import subprocess
import sys

FILE_LINES, FILE_LINES_WARN = 800, 500
FUNCTION_LINES, FUNCTION_LINES_WARN = 100, 60
NESTING = 3
PARAMETERS = 5
COLUMNS = 120  # of C; a tab is eight

# What a directory may include from: arrows point down only. Single headers are named where a whole directory would be too much: programs
# that only talk to weftd take from core/ what knows nothing of a daemon.
HELPERS = {f"core/{name}.h" for name in ("diag", "err", "node", "utf8", "util", "value")}
BELOW = {
    "include": set(),
    "core": {"core", "weft"},
    "netd": {"netd", "core", "weft"},
    "stord": {"stord", "core", "weft"},
    "guestd": {"guestd", "netd", "stord", "core", "weft"},
    "policies": {"policies", "netd", "stord", "core", "weft"},
    "api": {"api", "guestd", "policies", "netd", "stord", "core", "weft"},
    "daemon": {"daemon", "api", "guestd", "policies", "netd", "stord", "core", "weft"},
    "cli": {"cli", "api/client.h"} | HELPERS,
    "plugins": {"weft"},
    "launcher": {"launcher", "core/launch-request.h", "core/util.h"},
}
# The client's half of api/ is linked into programs that know nothing of the daemon.
BELOW_FILE = {
    "api/client.c": {"api/client.h"} | HELPERS,
    "api/client.h": HELPERS,
}
# Directories whose subdirectories have a README.md of their own.
PARENTS = ("plugins", "tests")
# Directories that only somebody's own machine has.
PRIVATE_PATH = re.compile(r"(?<![\w.*/}])/(?:home|root|Users|work|workspace|farm)/\w")
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b(?!-)")

CONTROL = re.compile(r"(\t*)(?:\} )?(?:if|for|while|switch|do|else|\w*foreach\w*)\b(?!.*\)\s*=)")
# Functions whose parameters another program has chosen.
CHOSEN_ELSEWHERE = {"call_access": "libmicrohttpd"}

FUNCTION_POINTER = re.compile(r"\(\*\s*(\w+)\)\s*\(")
NOT_A_FUNCTION = re.compile(r"^(?:struct|union|enum|typedef)\b[^(]*$|=\s*$")


class Report:
    """Findings: faults fail the run, notes are shown on request."""

    def __init__(self):
        self.faults, self.notes = [], []

    def fault(self, path, line, text):
        self.faults.append((path, line, text))

    def note(self, path, line, text):
        self.notes.append((path, line, text))

    def limit(self, path, line, value, warn, most, what):
        if value > most:
            self.fault(path, line, f"{what}: {value}, at most {most}")
        elif value > warn:
            self.note(path, line, f"{what}: {value}, better at most {warn}")


def blanked(text):
    """The text without comments and without what strings hold; lines and columns stay where they are."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def blank(match):
        found = match.group()
        if found[0] in "\"'":
            return found[0] + " " * (len(found) - 2) + found[0]
        return re.sub(r"[^\n]", " ", found)

    return pattern.sub(blank, text)


def count_parameters(text, start):
    """How many parameters the list has that opens at text[start]; start is the place of its parenthesis."""
    depth, commas = 0, 0
    for i in range(start, len(text)):
        if text[i] in "([{":
            depth += 1
        elif text[i] in ")]}":
            depth -= 1
            if depth == 0:
                inside = text[start + 1:i].strip()
                if inside in ("", "void"):
                    return 0
                # "..." is no parameter that somebody has to remember the place of.
                return commas + 1 - inside.endswith("...")
        elif text[i] == "," and depth == 1:
            commas += 1
    return 0


def functions(lines):
    """(name, first line, line of the opening brace, last line, head) of each function; lines count from 0."""
    head = None
    for i, line in enumerate(lines):
        if line == "{" and head is not None:
            text = " ".join(lines[head:i])
            name = re.search(r"(\w+)\s*\(", text)
            end = next((j for j in range(i, len(lines)) if lines[j].startswith("}")), i)
            if name and not NOT_A_FUNCTION.search(text):
                yield name.group(1), head, i, end, text
            head = None
        elif re.match(r"[A-Za-z_]", line) and not line.endswith((";", "\\")):
            head = i if head is None or not lines[i - 1].strip() else head
        elif not line.strip() or line.startswith(("#", "}")) or line.endswith(";"):
            head = None


def check_functions(report, path, lines):
    for name, first, brace, end, head in functions(lines):
        report.limit(path, first + 1, end - first + 1, FUNCTION_LINES_WARN, FUNCTION_LINES, f"lines of {name}()")
        for i in range(brace + 1, end):
            match = CONTROL.match(lines[i])
            if match and len(match.group(1)) > NESTING:
                report.fault(path, i + 1, f"nesting in {name}(): {len(match.group(1))}, at most {NESTING}")
                break


def check_parameters(report, path, text):
    """Definitions, prototypes and pointers to functions."""
    starts = [(m.group(1), m.end() - 1) for m in FUNCTION_POINTER.finditer(text)]
    starts += [(m.group(1), m.end() - 1)
               for m in re.finditer(r"^(?!\s|#|typedef|return)[A-Za-z_][\w\s*]*?\b(\w+)\(", text, re.M)]
    starts += [(m.group(1), m.end() - 1) for m in re.finditer(r"^typedef [^;(]*?\b(\w+)\(", text, re.M)]
    for name, start in starts:
        number = count_parameters(text, start)
        if number > PARAMETERS and name not in CHOSEN_ELSEWHERE:
            line = text.count("\n", 0, start) + 1
            report.fault(path, line, f"parameters of {name}: {number}, at most {PARAMETERS} (else a struct)")


def enum_values(texts):
    values = set()
    for text in texts:
        for body in re.findall(r"\benum\s*\w*\s*\{([^}]*)\}", text):
            values.update(re.findall(r"(?:^|,)\s*([A-Za-z_]\w*)", body))
    return values


def check_switches(report, path, lines, values):
    """A switch over an enum of ours names every value: `default:` would hide the one that is added later."""
    for i, line in enumerate(lines):
        match = re.match(r"(\t+)switch \(", line)
        if not match:
            continue
        labels, default = [], None
        for j in range(i + 1, len(lines)):
            if lines[j].startswith(match.group(1) + "}"):
                break
            label = re.match(match.group(1) + r"case (\w+)(?: \.\.\. \w+)?:", lines[j])
            if label:
                labels.append(label.group(1))
            elif lines[j].startswith(match.group(1) + "default:"):
                default = j
        if default is not None and labels and all(label in values for label in labels):
            report.fault(path, default + 1, "default: in a switch over an enum of ours")


def check_typedefs(report, path, text):
    for match in re.finditer(r"^typedef\s+(struct|union|enum)\b(?![^;]*\()", text, re.M):
        report.fault(path, text.count("\n", 0, match.start()) + 1, f"a {match.group(1)} has no typedef")
    for match in re.finditer(r"^typedef [^;]*?\(?\*?\b(\w+)\)?\s*\(", text, re.M):
        if not match.group(1).endswith("_fn"):
            report.fault(path, text.count("\n", 0, match.start()) + 1, f"{match.group(1)}: a function's type ends in _fn")


def check_includes(report, path, text):
    top = path.split("/")[0]
    allowed = BELOW_FILE.get(path, BELOW.get(top))
    if allowed is None:
        return
    for match in re.finditer(r'^#include "([^"]+)"', text, re.M):
        name = match.group(1)
        line = text.count("\n", 0, match.start()) + 1
        if "/" not in name:
            report.fault(path, line, f'"{name}": name its directory too')
        elif name not in allowed and name.split("/")[0] not in allowed:
            report.fault(path, line, f'{top} does not include "{name}"')


def check_c_head(report, path, lines):
    if not lines[0].startswith("/* SPDX-License-Identifier: Apache-2.0"):
        report.fault(path, 1, "no SPDX line")
    comment = lines[0].endswith("Apache-2.0") or (len(lines) > 1 and lines[1].startswith("/*"))
    if not comment:
        report.fault(path, 2, "no paragraph that says what this file is")


def check_script_head(report, path, lines):
    rest = lines[1:] if lines[0].startswith("#!") else lines
    if not rest or rest[0] != "# SPDX-License-Identifier: Apache-2.0":
        report.fault(path, 1, "no SPDX line")
    elif not path.endswith("CMakeLists.txt") and not (len(rest) > 1 and re.match(r'#|"""', rest[1])):
        report.fault(path, 2, "no paragraph that says what this file is")


def check_text(report, path, lines):
    for i, line in enumerate(lines):
        if path != "tests/lint/lint.py" and UNFINISHED.search(line):
            report.fault(path, i + 1, "unfinished: " + line.strip())
        if PRIVATE_PATH.search(line):
            report.fault(path, i + 1, "a path of one machine: " + line.strip())
        if line != line.rstrip() and not path.startswith("tests/golden/"):
            report.fault(path, i + 1, "blanks at the end of the line")


def check_python(report, path, text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.lineno + 1
            report.limit(path, node.lineno, length, FUNCTION_LINES_WARN, FUNCTION_LINES, f"lines of {node.name}()")


def check_source(report, path, lines):
    report.limit(path, 1, len(lines), FILE_LINES_WARN, FILE_LINES, "lines")
    for i, line in enumerate(lines):
        width = len(line.expandtabs(8))
        if path.endswith((".c", ".h")) and width > COLUMNS:
            report.fault(path, i + 1, f"columns: {width}, at most {COLUMNS}; clang-format wraps them")


def check_directories(report, paths):
    directories = set()
    for path in paths:
        parts = path.split("/")[:-1]
        if parts and not parts[0].startswith("."):
            directories.add(parts[0])
            if len(parts) > 1 and parts[0] in PARENTS:
                directories.add("/".join(parts[:2]))
    for directory in sorted(directories):
        if directory + "/README.md" not in paths:
            report.fault(directory, 1, "no README.md")


def check_listed(report, texts):
    """Every source is in the list of its directory, once: what a merge has doubled still builds, what it has lost does not."""
    for path in texts:
        top, name = os.path.split(path)
        lists = top + "/CMakeLists.txt"
        if path.endswith(".c") and top in BELOW and lists in texts:
            number = len(re.findall(r"(?<![\w/-])" + re.escape(name) + r"(?![\w-])", re.sub(r"(?m)^set_.*", "", texts[lists])))
            if number != 1:
                report.fault(path, 1, f"stands {number} times in {lists}")


def is_script(path, lines):
    return path.endswith((".py", ".sh", ".cmake", "CMakeLists.txt")) or bool(lines and lines[0].startswith("#!"))


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"],
                            check=True, capture_output=True, text=True).stdout.split("\n")
    report, texts = Report(), {}
    paths = {path for path in listed if path and os.path.isfile(path)}
    for path in sorted(paths):
        with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
            texts[path] = file.read()
    plain = {path: blanked(text) for path, text in texts.items() if path.endswith((".c", ".h"))}
    values = enum_values(plain.values())
    for path, text in texts.items():
        lines = text.split("\n")
        if not path.startswith(("tests/golden/", "tests/fuzz/corpus/")) and path != "LICENSE":
            check_text(report, path, lines)
        if path in plain:
            code = plain[path].split("\n")
            check_source(report, path, lines[:-1])
            check_c_head(report, path, lines)
            check_includes(report, path, text)
            check_functions(report, path, code)
            check_parameters(report, path, plain[path])
            check_switches(report, path, code, values)
            check_typedefs(report, path, plain[path])
        elif is_script(path, lines):
            check_source(report, path, lines[:-1])
            check_script_head(report, path, lines)
        if path.endswith(".py"):
            check_python(report, path, text)
    check_directories(report, paths)
    check_listed(report, texts)

    for path, line, text in report.faults:
        print(f"{path}:{line}: {text}")
    if "-v" in sys.argv[1:]:
        for path, line, text in report.notes:
            print(f"{path}:{line}: note: {text}")
    print(f"lint: {len(texts)} files, {len(report.faults)} faults, {len(report.notes)} notes")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
