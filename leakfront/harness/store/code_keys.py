"""Content keys: an artifact's key is a hash of its settings, its inputs' keys, and the code and libraries behind it."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from leakfront.harness.store.imports import imports_of, source_of
from leakfront.harness.store.libraries import is_code, libraries_of

# their packages hold a registry and a contract, and nothing that decides an outcome
ROOMS = tuple(f"leakfront.{room}" for room in ("defenses", "models", "attacks", "results", "datasets"))
SEEDS = "leakfront.seeds"
_INSIDE = (*(f"{room}." for room in ROOMS), f"{SEEDS}.")


def content_key(stage: str, settings: Any, inputs: Sequence[str], modules: Sequence[str]) -> str:
    """The key of a stage's artifact: a hash of its name, its settings, its inputs' keys, the code of `modules`, and the
    versions of the libraries that these import."""
    code, libraries = [code_version(module) for module in modules], libraries_of(modules)
    parts = {"stage": stage, "settings": settings, "inputs": list(inputs), "code": code, "libraries": libraries}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def code_version(module: str) -> str:
    """A hash of a module's code without comments, layout and docstrings; the module is not imported."""
    source = source_of(module)
    if source is None:
        raise ModuleNotFoundError(module)
    tree = ast.parse(source.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef | ast.Module):
            match node.body[:1]:
                case [ast.Expr(value=ast.Constant(value=str()))]:
                    node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@cache
def with_imports(module: str) -> tuple[str, ...]:
    """`module` and all modules that it imports of the rooms, of `leakfront.seeds`, and of its author, sorted.

    Late and indirect imports count. The source is parsed; nothing is imported. For the author's, see `is_code`.
    """
    top = module.partition(".")[0]
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or name in ROOMS or source_of(name) is None:
            continue
        found.add(name)
        waiting += [other for other in imports_of(name) if _is_followed(other, top)]
    return tuple(sorted(found))


def plugin_code(plugin: Any) -> tuple[str, ...]:
    """The modules that decide what a plug-in does."""
    return with_imports(type(plugin).__module__)


def _is_followed(module: str, top: str) -> bool:
    """Whether an import of code whose own top-level module is `top` counts as code, too."""
    if module.partition(".")[0] == "leakfront":
        return f"{module}.".startswith(_INSIDE)
    return top != "leakfront" and is_code(module.partition(".")[0], top)
