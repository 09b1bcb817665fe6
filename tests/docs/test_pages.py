"""The pages of the documentation: links that lead somewhere, files that exist, numbers that were measured."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import leakfront
from benchmarks import caption_attack_strength, planted_captions
from benchmarks.attack_strength import as_markdown
from leakfront import attacks, defenses
from leakfront.results.run.rows import COLUMNS
from tests.docs.markdown import PAGES, ROOT, anchors, blocks, links, named_paths, read


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        place = (ROOT / page).parent / path if path else ROOT / page
        assert place.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in anchors(place), f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page: str) -> None:
    told = {block.file for block in blocks(page)}
    for path in named_paths(page) - told:
        assert (ROOT / path).exists(), f"{page} names {path}"


def test_the_readme_is_short() -> None:
    text = re.sub(r"\s*<!--.*?-->", "", read("README.md"), flags=re.S)  # what a reader sees
    assert len(text.splitlines()) <= 150
    assert len(text.split()) <= 2000


def test_the_readme_links_to_every_page() -> None:
    linked = {Path(target).name for page in ("README.md", "docs/index.md") for target in links(page)}
    assert {Path(page).name for page in PAGES if page.startswith("docs/")} <= linked | {"index.md"}


def test_the_tables_of_attack_strength_are_those_of_the_published_results() -> None:
    text = read("docs/attack-strength.md").split("## Attacks on captions")[0]
    files = sorted((ROOT / "published/attack-strength").glob("*.json"))
    assert files
    for file in files:
        found = json.loads(file.read_text())
        assert as_markdown(found) in text
        weaker = {row["official"] for row in found["attacks"] if row["ours"]["verdict"] == "weaker"}
        assert set(re.findall(r"\*\*Weaker: `(\w+)`", text)) == weaker  # each is named and explained


def test_the_table_of_caption_attacks_is_that_of_the_published_results() -> None:
    text = read("docs/attack-strength.md")
    found = json.loads(read("published/caption-attack-strength/600-steps.json"))
    assert caption_attack_strength.as_markdown(found) in text
    weaker = {row["label"] for row in found["attacks"] if row["verdict"] == "weaker"}
    assert set(re.findall(r"\*\*Weaker: `(\w+)`", text.split("## Attacks on captions")[1])) == weaker


def test_the_table_of_planted_captions_is_that_of_the_published_counts() -> None:
    models = json.loads(read("published/planted-captions/5-seeds.json"))
    assert planted_captions.as_markdown(models) in read("docs/text-to-image.md")


def test_the_columns_of_rows_are_explained() -> None:
    text = read("docs/read-the-results.md")
    assert all(f"`{column}`" in text for column in COLUMNS)


@pytest.mark.parametrize(("page", "base"), [("add-a-defense", defenses.Defense), ("add-an-attack", attacks.Attack)])
def test_hooks_that_are_listed_exist(page: str, base: type) -> None:
    tables = read(f"docs/{page}.md").split("| call | returns |")[0]
    listed = re.findall(r"^\| `(\w+)`", tables, re.M)
    stated = {name for cls in base.__mro__ for name in (*vars(cls), *getattr(cls, "__annotations__", {}))}
    assert set(listed) <= stated
    own = {name for name in (*vars(base), *base.__annotations__) if not name.startswith("_")}
    derived = {"shadow_use", "uses_shadows"}  # nobody overrides them
    assert own - set(listed) <= {"name", "section", "score", "overrides", *derived}


def test_the_citation_is_of_this_version() -> None:
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == leakfront.__version__
    assert citation["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs/hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_site_has_a_page_for_each_attack_and_defense(hooks: ModuleType) -> None:
    pages = hooks.pages()
    for room, registry in (("attacks", attacks.registry), ("defenses", defenses.registry)):
        for name in registry.names():
            page = pages[f"{room}/{name}.md"]
            assert page.startswith(f"# {name}\n")
            assert f"[{name}]({name}.md)" in pages[f"{room}/index.md"]
            assert all(f"| `{field.name}` |" in page for field in dataclasses.fields(registry.get(name)))


def test_docstrings_become_markdown(hooks: ModuleType) -> None:
    text = (
        "Rules, each a bool:\none: x < 1;\ntwo: [0, 1] * alpha.\nAccess: loss. A *word* that matters.\n\n* item\n  more"
    )
    assert hooks.paragraphs(text) == (
        "Rules, each a bool:\n\n* one: x &lt; 1;\n* two: \\[0, 1\\] \\* alpha.\n\nAccess: loss. A *word* that matters."
        "\n\n* item more"
    )
    assert hooks.linked("arXiv 2301.13188") == "[arXiv 2301.13188](https://arxiv.org/abs/2301.13188)"


def test_the_site_needs_no_torch() -> None:
    code = "import sys; sys.path.insert(0, 'docs'); import hooks; hooks.pages(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="MkDocs is not installed: the extra `docs`")
def test_the_site_builds(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site/attacks/pia/index.html").is_file()
    assert (tmp_path / "site/published/digits/figures/tradeoff.png").is_file()
    shutil.rmtree(tmp_path / "site")
