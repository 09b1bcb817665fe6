"""Content keys: an artifact's key is a hash of its settings, its inputs' keys and the code that makes it."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

ROOMS = tuple(f"leakfront.{room}" for room in ("defenses", "models", "attacks", "results", "datasets"))
_INSIDE = tuple(f"{room}." for room in ROOMS)


def content_key(stage: str, settings: Any, inputs: Sequence[str], modules: Sequence[str]) -> str:
    """The key of a stage's artifact: a hash of its name, its settings, its inputs' keys and the code of `modules`."""
    parts = {"stage": stage, "settings": settings, "inputs": list(inputs), "code": [code_version(m) for m in modules]}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def code_version(module: str) -> str:
    """A hash of a module's code without comments, layout and docstrings; the module is not imported."""
    source = _source(module)
    if source is None:
        raise ModuleNotFoundError(module)
    tree = ast.parse(source.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef | ast.Module):
            match node.body[:1]:
                case [ast.Expr(value=ast.Constant(value=str()))]:
                    node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@cache
def with_imports(module: str) -> tuple[str, ...]:
    """`module` and all modules of the rooms, or of its own package, that it imports, sorted.

    Late and indirect imports count. The source is parsed; nothing is imported.
    """
    top = module.split(".")[0]
    inside = _INSIDE if top == "leakfront" else (*_INSIDE, f"{top}.")
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        source = _source(name)
        if name in found or source is None:
            continue
        found.add(name)
        imported = _imported(source, name)
        waiting += [other for other in imported if f"{other}.".startswith(inside)]
    return tuple(sorted(found))


def plugin_code(plugin: Any) -> tuple[str, ...]:
    """The modules that decide what a plug-in does."""
    return with_imports(type(plugin).__module__)


@cache  # plug-ins share most of what they import
def _imported(source: Path, name: str) -> tuple[str, ...]:
    """The names that module `name` imports: modules, and names in modules, which may be modules themselves."""
    package = name if source.stem == "__init__" else name.rpartition(".")[0]
    imported: list[str] = []
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package) if node.level else str(node.module)
            imported += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return tuple(imported)


@cache
def _source(module: str) -> Path | None:
    """The source file of a module, found without importing it or its package.

    None for names that are not modules, and for the rooms themselves: they hold a registry and a contract, and nothing
    that decides an outcome.
    """
    if module in ROOMS:
        return None
    top, *rest = module.split(".")
    spec = find_spec(top)
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin else None
    for location in spec.submodule_search_locations or []:
        for path in (Path(location, *rest).with_suffix(".py"), Path(location, *rest, "__init__.py")):
            if path.is_file():
                return path
    return None
