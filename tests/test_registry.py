"""Plug-ins are found by name, loaded late, and can come from another package."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from leakfront import attacks
from leakfront import registry as registry_module
from leakfront.errors import InputError
from leakfront.registry import Registry

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


def test_an_entry_point_wins_over_a_plug_in_of_the_same_name_imported_before_or_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = EntryPoint("pia", f"{__name__}:ELSEWHERE", "leakfront.attacks")
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [entry])
    fresh = Registry("attack", "leakfront.attacks", "leakfront.attacks")
    own = fresh.register("pia")(type("Own", (), {}))
    assert fresh.get("pia") is ELSEWHERE
    fresh.register("pia")(own)
    assert fresh.get("pia") is ELSEWHERE


def test_an_entry_point_that_names_no_class_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("elsewhere", __name__, "leakfront.attacks")
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [entry])
    with pytest.raises(InputError, match=r"'elsewhere' of leakfront\.attacks must name a class"):
        Registry("attack", "leakfront.attacks", "leakfront.attacks").get("elsewhere")


def test_a_plug_in_that_does_not_register_is_told_how_to() -> None:
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
