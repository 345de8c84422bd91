# SPDX-License-Identifier: Apache-2.0
"""The reference as its readers use it: editors check manifests by the schema, man shows the pages, installing puts all in its place.
That the pages are not stale is the unit test `reference`."""
import json
import re
import subprocess

import pytest
import yaml

from harness import BUILD, EXAMPLES, SOURCE

REFERENCE = SOURCE / "docs/reference"


@pytest.fixture(scope="module")
def schema():
    jsonschema = pytest.importorskip("jsonschema")
    text = json.loads((REFERENCE / "weft.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(text)
    return jsonschema.Draft7Validator(text)


class Loader(yaml.SafeLoader):
    """As YAML 1.2 has it, editors, and weft: a plain no or on is a text."""
    yaml_implicit_resolvers = {first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
                               for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}


Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), "tf")


def documents(text):
    return [d for d in yaml.load_all(text, Loader) if d is not None]


def test_the_schema_accepts_what_weft_accepts(schema):
    texts = [path.read_text() for directory in (EXAMPLES, SOURCE / "tests/golden/lowering") for path in directory.glob("*.yaml")]
    texts += [block for page in REFERENCE.glob("*.md") for block in re.findall(r"```yaml\n(apiVersion.*?)```", page.read_text(), re.S)]
    found = [d for text in texts for d in documents(text)]
    assert len({d["kind"] for d in found}) == len(list(REFERENCE.glob("*.md"))) - 2, "each kind has its least manifest"
    for document in found:
        assert list(schema.iter_errors(document)) == [], document


@pytest.mark.parametrize("change", [
    lambda d: d["spec"].update(nonsense=1), lambda d: d.update(kind="Nonsense"), lambda d: d["metadata"].pop("name"),
    lambda d: d["spec"].update(mode="magic"), lambda d: d["spec"]["dhcp"].update(lease=60), lambda d: d.pop("apiVersion"),
])
def test_the_schema_refuses_what_weft_refuses(schema, change):
    document = documents((EXAMPLES / "quickstart.yaml").read_text())[0]
    assert schema.is_valid(document)
    change(document)
    assert not schema.is_valid(document)


@pytest.mark.needs("mandoc")
def test_manual_pages_are_well_formed():
    pages = sorted((SOURCE / "docs/man").iterdir())
    assert [p.name for p in pages] == ["weft.1", "weft.yaml.5", "weftd.8"]
    for page in pages:
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True)
        complaints = [line for line in done.stdout.splitlines() if "missing date" not in line]
        assert complaints == []
        shown = subprocess.run(["mandoc", "-T", "utf8", page], capture_output=True, text=True).stdout
        shown = re.sub(".\b", "", shown)
        assert "SEE ALSO" in shown
    first = re.sub(".\b", "", subprocess.run(["mandoc", "-T", "utf8", pages[0]], capture_output=True, text=True).stdout)
    for verb in ("apply", "guest console", "doctor", "topology"):
        assert re.search(rf"^ +{verb}\b", first, re.M), verb


@pytest.mark.needs("groff")
@pytest.mark.parametrize("columns", [80, 120])
def test_manual_pages_fit(columns):
    for page in sorted((SOURCE / "docs/man").iterdir()):
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-P-c", f"-rLL={columns - 2}n", page], capture_output=True, text=True)
        assert done.stderr == "" and done.returncode == 0, page
        assert not [line for line in re.sub(".\b", "", done.stdout).splitlines() if len(line) > columns], page


@pytest.mark.needs("cmake")
def test_installing_puts_all_in_its_place(tmp_path):
    done = subprocess.run(["cmake", "--install", BUILD], capture_output=True, text=True, env={"DESTDIR": str(tmp_path), "PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    found = {str(p.relative_to(tmp_path)).split("usr/local/")[-1] for p in tmp_path.rglob("*") if p.is_file()}
    for path in ("bin/weft", "sbin/weftd", "libexec/weft/weft-launch", "share/man/man1/weft.1", "share/man/man5/weft.yaml.5",
                 "share/man/man8/weftd.8", "share/weft/weft.schema.json", "share/bash-completion/completions/weft",
                 "share/zsh/site-functions/_weft", "share/fish/vendor_completions.d/weft.fish"):
        assert path in found
