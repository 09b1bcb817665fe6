"""Plug-ins are found by name, loaded late, and can come from another package."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from leakfront import attacks
from leakfront import registry as registry_module
from leakfront.errors import InputError
from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.sections import parse_config
from leakfront.registry import Registry
from tests.small_config import small

ELSEWHERE = type("Elsewhere", (), {})


def test_names_are_known_without_importing_a_plug_in() -> None:
    code = (
        "import sys\n"
        "from leakfront import attacks, defenses\n"
        "names = attacks.registry.names() + defenses.registry.names()\n"
        "assert {'pia', 'extraction', 'dp_sgd'} <= set(names), names\n"
        "loaded = {'leakfront.attacks.pia', 'leakfront.defenses.dp_sgd', 'torch', 'opacus'} & set(sys.modules)\n"
        "sys.exit(f'imported {loaded}' if loaded else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_naming_a_plug_in_does_not_import_torch() -> None:
    code = (
        "import sys; from leakfront import attacks, defenses, models; from leakfront.results import features, metrics\n"
        "rooms = (attacks, defenses, models, metrics, features)\n"
        "[room.registry.get(name) for room in rooms for name in room.registry.names()]\n"
        "sys.exit('imported torch' if 'torch' in sys.modules else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown attack 'secmy'; did you mean 'secmi'"):
        attacks.registry.get("secmy")
    with pytest.raises(InputError, match=r"unknown attack 'zzz' \(known: "):
        attacks.registry.get("zzz")


def test_another_package_adds_its_own_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("elsewhere", f"{__name__}:ELSEWHERE", "leakfront.attacks")
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [entry] if group == "leakfront.attacks" else [])
    fresh = Registry("attack", "leakfront.attacks", "leakfront.attacks")
    assert "elsewhere" in fresh.names()
    assert fresh.get("elsewhere") is ELSEWHERE
    assert ELSEWHERE.name == "elsewhere"  # decorated or not


class Package:
    """The distribution of an entry point."""

    def __init__(self, name: str, version: str = "1.0") -> None:
        self.name, self.version = name, version


def offered(monkeypatch: pytest.MonkeyPatch, *offers: tuple[str, str]) -> Registry:
    """The registry of attacks where packages offer (name, package), each of them `ELSEWHERE`."""
    entries = []
    for name, package in offers:
        entry = EntryPoint(name, f"{__name__}:ELSEWHERE", "leakfront.attacks")
        vars(entry).update(dist=Package(package))
        entries.append(entry)
    monkeypatch.setattr(registry_module, "entry_points", lambda group: entries)
    return Registry("attack", "leakfront.attacks", "leakfront.attacks")


def test_a_built_in_plug_in_cannot_be_replaced_by_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = offered(monkeypatch, ("pia", "evil"), ("other", "evil"))
    for ask in (fresh.get, fresh.offered_by):
        with pytest.raises(
            InputError, match=r"'pia' is built in \(leakfront\.attacks\.pia\), and the package evil 1\.0"
        ):
            ask("pia")
    assert fresh.get("other") is ELSEWHERE
    with pytest.raises(InputError, match=rf"'pia' is built in .*, and {__name__} \(.*\) registers another"):
        fresh.register("pia")(type("Own", (), {}))


def test_a_name_that_two_packages_offer_is_refused_and_one_package_seen_twice_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fresh = offered(monkeypatch, ("other", "a"), ("other", "b"), ("mine", "a"), ("mine", "a"))
    with pytest.raises(InputError, match=r"'other' is offered by 2 packages, a 1\.0 and b 1\.0"):
        fresh.get("other")
    assert fresh.get("mine") is ELSEWHERE
    assert (fresh.offered_by("mine"), fresh.offered_by("pia")) == ("a 1.0", "")


def test_an_entry_point_that_names_no_class_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("elsewhere", __name__, "leakfront.attacks")
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [entry])
    with pytest.raises(InputError, match=r"'elsewhere' of leakfront\.attacks must name a class"):
        Registry("attack", "leakfront.attacks", "leakfront.attacks").get("elsewhere")


def test_a_module_that_registers_nothing_gets_an_error_that_says_how() -> None:
    with pytest.raises(
        InputError, match=r'attacks.contract registers no attack of that name; .* @register\("contract"\)'
    ):
        Registry("attack", "leakfront.attacks", "leakfront.attacks").get("contract")


def test_modules_that_plug_ins_share_are_not_plug_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"contract", "queries", "nearest"}.isdisjoint(attacks.registry.names())
    for name in ("__init__", "_shared", "mine"):
        (tmp_path / "toy_room").mkdir(exist_ok=True)
        (tmp_path / "toy_room" / f"{name}.py").write_text("")
    (tmp_path / "toy_room" / "folder").mkdir()
    (tmp_path / "toy_room" / "folder" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert Registry("toy", "toy_room", "leakfront.toys").names() == ["mine"]


TOY = Path(__file__).parent / "plugin_package"
REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process in which the toy package is installed: its folder, and its entry points."""
    project = tomllib.loads((TOY / "pyproject.toml").read_text())["project"]
    place = tmp_path_factory.mktemp("site")
    about = place / f"leakfront_toy-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (about / "entry_points.txt").write_text("\n".join(groups))
    path = os.pathsep.join([str(place), str(TOY), str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)}


def run_in(environment: dict[str, str], *arguments: str, folder: Path = REPOSITORY) -> str:
    """The output of a Python process; fails if the process does."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_package_adds_a_plug_in_of_each_kind_which_a_config_can_name(installed: dict[str, str]) -> None:
    code = """
from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.file import load_config
from leakfront.results.figures import figures

plan = make_plan(load_config("digits", (
    'suite=""', "attacks={round_trip={root=1}}", 'defenses=[{name="quantize",levels=[2,4]}]',
    'metrics.names=["fid","mean_distance"]', 'metrics.features="row_means"', 'model={name="nearest_image"}',
    'data.dataset="stripes"',
)))
plugins = [plan.attacks["round_trip"], plan.points[-1].stack[0], plan.metrics[1], plan.extractor, plan.model,
           plan.dataset, figures.get("auc_bars")()]
print(*sorted({type(plugin).__module__ for plugin in plugins}))
"""
    modules = run_in(installed, "-c", code).split()
    entries = tomllib.loads((TOY / "pyproject.toml").read_text())["project"]["entry-points"].values()
    assert modules == sorted(target.partition(":")[0] for group in entries for target in group.values())


def test_the_plug_ins_of_a_package_are_listed_and_none_is_loaded(installed: dict[str, str]) -> None:
    code = """
import sys
from leakfront.harness.listing import print_listing
from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.file import load_config

print_listing(None)
make_plan(load_config("digits"))
print("loaded", *(name for name in sys.modules if name.startswith("leakfront_toy")))
"""
    listed = run_in(installed, "-c", code)
    for name in ("round_trip", "quantize", "nearest_image", "stripes", "mean_distance", "row_means"):
        assert re.search(rf"\b{name} +of leakfront-toy 0\.1, loaded only where a config names it\n", listed)
    assert listed.endswith("loaded\n")


def test_the_schema_has_the_plug_ins_of_a_package_and_the_list_one_that_is_named(installed: dict[str, str]) -> None:
    code = """
import json, sys
from leakfront.harness.listing import listing
from leakfront.harness.schema.config import config_schema

sys.modules["leakfront_toy.stripes"] = None  # which makes its import fail
whole, named = listing("defenses")["defenses"], listing("defenses", "quantize")["defenses"]
print(json.dumps([[one for one in whole if one["name"] == "quantize"], named, *config_schema()]))
"""
    (listed,), (named,), schema, not_loaded = json.loads(run_in(installed, "-c", code))
    assert listed == {"name": "quantize", "package": "leakfront-toy 0.1", "summary": None, "parameters": None}
    assert (named["package"], named["parameters"][0]["name"]) == ("leakfront-toy 0.1", "levels")
    levels = schema["$defs"]["defense_quantize"]["properties"]["levels"]["anyOf"][0]
    assert (levels["minimum"], levels["maximum"]) == (2, 256)
    assert schema["properties"]["figures"]["items"] == {"enum": ["auc_bars"]}
    assert schema["$defs"]["dataset_stripes"] == {"type": "object"}
    (sentence,) = not_loaded
    assert sentence.startswith("dataset 'stripes' of leakfront-toy 0.1 cannot be loaded")


def test_a_run_records_the_package_of_a_plug_in_and_draws_only_the_figures_that_it_names(
    installed: dict[str, str],
) -> None:
    code = """
from types import SimpleNamespace
from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.packages import packages_of
from leakfront.harness.settings.file import load_config
from leakfront.results.figures import drawn_names, figures

named = (
    'suite=""', "attacks={r={attack='round_trip'},loss={}}", 'figures=["auc_bars"]', 'defenses=[{name="quantize"}]',
)
print(packages_of(make_plan(load_config("digits", named))))
for config in ({"figures": ["auc_bars", "gone"]}, {}, {"figures": 3}, None):
    print(set(figures.names()) - set(drawn_names([SimpleNamespace(info={"config": config})])))
"""
    lines = run_in(installed, "-c", code).splitlines()
    toy = "leakfront-toy 0.1"
    wanted = {"attack round_trip": toy, "defense quantize": toy, "figure auc_bars": toy}
    assert ast.literal_eval(lines[0]) == wanted
    assert lines[1:] == ["set()", *["{'auc_bars'}"] * 3]


def test_a_figure_that_a_config_names_must_be_offered_by_a_package() -> None:
    for name in ("auc_bar", "tradeoff"):
        with pytest.raises(InputError, match=f"figures has '{name}'; it must be a figure of another package"):
            make_plan(parse_config(small(figures=[name])))


def test_the_plug_ins_of_a_package_keep_to_the_contracts(installed: dict[str, str]) -> None:
    said = run_in(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", folder=TOY)
    assert "8 passed" in said
