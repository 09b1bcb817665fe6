"""Hostile configs: valid ones with a few absurd settings, and files that are not TOML."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import json
import math
import re
import tomllib
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import tomli_w
from hypothesis import strategies as st

from leakfront import attacks, datasets, defenses, models
from leakfront.harness.settings.sections import Config
from leakfront.registry import Registry
from leakfront.results import features, metrics
from tests.containment import attempt

Path_ = tuple[str | int, ...]
BASES = ("digits", "defenses")
NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 2, 3, 7, 1000, 10**6, 10**9, 10**12, 10**15, 10**18, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**30,
    10**400, -(10**30), 0.0, -0.0, 0.5, 1.5, 1e-300, 5e-324, 1e308, -1e308, math.nan, math.inf, -math.inf,
)  # fmt: skip
TEXTS = (
    "", " ", "\n", "a\nb", "\t", "\x7f", "none", "NaN", "null", "..", "../..", "/", "~", "a" * 300, "b" * 100_000,
    "ä", "防御", "\u202e", "\u2028", "\U0001f4a9", "e\u0301", "<script>", "{{ 7 * 7 }}", "%s%n", "$(id)", "cuda",
    "cuda:0", "cuda:99999999999999999999", "folder:", "folder:/", "folder:/proc", "folder:/dev", "folder:\n",
    "folder:a\0b", "npz:\0", "\0",
    "folder:" + "a" * 5000, "npz:" + "a" * 5000, "npz:/dev/zero", "npz:/dev/null", "npz:", ":", "digits:",
    "folder:~nobody", "mnist", "__init__", "contract", "os.system", "v1", "[[[",
)  # fmt: skip


def nested(depth: int, table: bool) -> Any:
    """Nested lists, or nested tables."""
    value: Any = 1
    for _ in range(depth):
        value = {"a": value} if table else [value]
    return value


def hostile_values() -> st.SearchStrategy[Any]:
    """Values to replace a setting."""
    plain = st.one_of(
        st.sampled_from(NUMBERS),
        st.sampled_from(TEXTS),
        st.integers(),
        st.floats(),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        st.booleans(),
        st.sampled_from([datetime.date(2000, 1, 1), datetime.datetime(2000, 1, 1), datetime.time(1)]),
    )
    return st.one_of(
        plain,
        plain,
        st.lists(plain, max_size=3),
        st.dictionaries(st.sampled_from(["name", "stack", "label", "a", "\n", ""]), plain, max_size=2),
        st.builds(nested, st.sampled_from([1, 2, 50, 90]), st.booleans()),
        st.builds(lambda value, times: [value] * times, plain, st.sampled_from([100, 3000])),
    )


@cache
def base(name: str) -> dict[str, Any]:
    """The settings of a bundled benchmark's file."""
    return tomllib.loads(resources.files("leakfront.configs").joinpath(f"{name}.toml").read_text())


@cache
def known_places() -> list[tuple[Path_, dict[str, Any]]]:
    """The path of every setting that exists, with the settings that it needs to be read."""
    found: list[tuple[Path_, dict[str, Any]]] = []

    def sections(model: Any, path: Path_) -> None:
        for name, field in model.model_fields.items():
            found.append(((*path, name), {}))
            if hasattr(field.annotation, "model_fields"):
                sections(field.annotation, (*path, name))

    def plugins(registry: Registry, path: Path_, prepare: Any) -> None:
        for name in registry.names():
            for field in dataclasses.fields(registry.get(name)):
                found.append(((*path, field.name), prepare(name)))

    sections(Config, ())
    plugins(models.registry, ("model",), lambda name: {"model": {"name": name}})
    plugins(defenses.registry, ("defenses", 0), lambda name: {"defenses": [{"name": name}]})
    plugins(attacks.registry, ("attacks", "x"), lambda name: {"attacks": {"x": {"attack": name}}})
    plugins(features.registry, ("metrics", "features_params"), lambda name: {"metrics": {"features": name}})
    plugins(metrics.registry, ("metrics", "names", 0), lambda name: {"metrics": {"names": [{"name": name}]}})
    plugins(datasets.registry, ("data", "params"), lambda name: {"data": {"dataset": name, "params": {}}})
    return found


def places(value: Any, path: Path_ = ()) -> list[Path_]:
    """The paths of all values in a config."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, child in children for deeper in places(child, (*path, key)))][not path :]


def put(settings: dict[str, Any], path: Path_, value: Any) -> None:
    """Set the value at `path`, if its parents exist or can be made."""
    place: Any = settings
    for part, following in pairwise(path):
        if isinstance(place, dict):
            place = place.setdefault(part, [] if isinstance(following, int) else {})
        elif isinstance(place, list) and isinstance(part, int) and part < len(place):
            place = place[part]
        else:
            return
    last = path[-1]
    is_there = isinstance(place, list) and isinstance(last, int) and last < len(place)
    if is_there or isinstance(place, dict):
        place[last] = value


@dataclasses.dataclass(frozen=True)
class Case:
    """A call of `leakfront run --dry-run`: the config's bytes, other arguments, and words that an error may name."""

    config: bytes
    arguments: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def complaint(self, place: Path) -> str:
        """What is wrong with the answer; empty if the config is planned, or refused in one sentence."""
        config = place / "c.toml"
        config.write_bytes(self.config)
        return attempt(["run", str(config), "--dry-run", "--out", str(place / "run"), *self.arguments], self.names)[0]


SMOKE = st.sampled_from([(), ("--smoke",)])


@st.composite
def hostile_settings(draw: st.DrawFn) -> Case:
    """A bundled benchmark with absurd settings; an error must name one of them."""
    settings = copy.deepcopy(base(draw(st.sampled_from(BASES))))
    names: list[str] = []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        kind = draw(st.sampled_from(["known", "known", "known", "known", "known", "present", "unknown"]))
        if kind == "known":
            path, needed = draw(st.sampled_from(known_places()))
            names += require(settings, path, needed)
        else:
            path = draw(st.sampled_from(places(settings)))
            if kind == "unknown":
                extra = draw(st.sampled_from([*TEXTS[:12], "stepz", "__class__", "a.b", "name", "features"]))
                path = (*path[: draw(st.integers(0, len(path)))], extra)
        value = draw(hostile_values())
        put(settings, path, value)
        names += [repr(part)[1:-1] for part in path if isinstance(part, str)]
        names += [repr(value)[:50], "c.toml"]
        if path[0] == "data":
            names.append("batch_size")  # which must not exceed the training set
        if value in ({}, []):
            names.append("")  # defaults may then contradict other settings, which the error names
    return Case(as_toml(settings), draw(SMOKE), tuple(names))


def require(settings: dict[str, Any], path: Path_, needed: dict[str, Any]) -> list[str]:
    """Add the settings that `path` needs; return the words of them that an error may name."""
    if path[0] == "data" and needed:
        settings["data"] = copy.deepcopy({**base("digits")["data"], **needed["data"]})
    else:
        settings |= copy.deepcopy(needed)
    return re.findall(r"'(\w+)'", str(needed))


def as_toml(settings: dict[str, Any]) -> bytes:
    return tomli_w.dumps(settings).encode()


GOOD = as_toml(base("digits"))
FILES: tuple[bytes, ...] = (
    b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf" + GOOD, GOOD + b"\0", GOOD.decode().encode("utf-16"), GOOD + b"# \xe4",
    GOOD + b'name = "again"\n', GOOD + b"[data]\npool = 1\n", GOOD.replace(b"\n", b"\r"),
    GOOD.replace(b"\n", b"\r\n"), b"x = " + b"[" * 5_000, b"x = " + b"[" * 5_000 + b"]" * 5_000,
    b"x = " + b"{a=" * 5_000 + b"1" + b"}" * 5_000, b"[" + b"a." * 5_000 + b"a]\n", b"a." * 5_000 + b"a = 1\n",
    b"[" + b"a." * 1_000 + b"a]\n" + b"".join(b"k%d." % i + b"a." * 999 + b"a = 1\n" for i in range(30)),
    b"seed = " + b"9" * 5_000, b"seed = 0x" + b"f" * 10_000, b"seed = 1e" + b"9" * 5_000, b'name = "\\ud800"',
    b'name = "\\U00110000"', b"name = 'a\0b'", b"\x1b[2J = 1", b'"\\u0000" = 1', b"seed = 0000-00-00", b"= 1", b"[[",
    b"[[defenses]", b"#" * 3_000_000, b"title = '" + b"a" * 3_000_000 + b"'", b"a = 1\n" * 200_000,
    b"".join(b"k%d = 1\n" % i for i in range(50_000)), json.dumps(base("digits")).encode(), b"MZ\x90\0",
    b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"name: digits\n", b"<html></html>",
)  # fmt: skip


def hostile_files() -> st.SearchStrategy[Case]:
    """Files in the place of a config."""
    return st.builds(Case, _bytes(), SMOKE)


@st.composite
def _bytes(draw: st.DrawFn) -> bytes:
    match draw(st.sampled_from(["listed", "cut", "flipped", "random", "text"])):
        case "listed":
            return draw(st.sampled_from(FILES))
        case "cut":
            return GOOD[: draw(st.integers(0, len(GOOD)))]
        case "flipped":
            content = bytearray(GOOD)
            for _ in range(draw(st.integers(1, 5))):
                content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
            return bytes(content)
        case "random":
            return draw(st.binary(max_size=200))
        case _:
            return draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=200)).encode()


@st.composite
def hostile_overrides(draw: st.DrawFn) -> Case:
    """A valid config with hostile values of --set."""
    keys = st.one_of(
        st.builds(lambda place: ".".join(map(str, place[0])), st.sampled_from(known_places())),
        st.sampled_from(
            [
                "",
                ".",
                "..",
                "a..b",
                ".name",
                "name.",
                "data",
                "defenses",
                "defenses.0",
                "defenses.0.name",
                "model.name.x",
                "\n",
                "a" * 10_000,
                "x." * 3_000,
            ]
        ),
        st.text(max_size=10),
    )
    values = st.one_of(
        st.builds(_toml_text, hostile_values()),
        st.sampled_from(
            [
                "",
                "=",
                "==",
                "[",
                "[" * 5_000,
                "{",
                "{a = 1}",
                "1\nname = 2",
                "9" * 5_000,
                "\x00",
                "\udc80",
                "1e999",
                "'",
                '"""',
                "[1, [2, [3]]]",
                "{a.b.c = 1}",
            ]
        ),
        st.text(max_size=10),
    )
    overrides = []
    for _ in range(draw(st.integers(1, 3))):
        form = draw(st.sampled_from(["{}={}", "{}={}", "{}={}", "{} {}", "{}", "={1}"]))
        overrides += ["--set", form.format(draw(keys), draw(values))]
    return Case(GOOD, ("--smoke", *overrides))


def _toml_text(value: Any) -> str:
    return tomli_w.dumps({"v": value}).removeprefix("v = ").strip() if not isinstance(value, dict) else str(value)
