"""What a module imports, and where its source lies, found without importing anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path


@cache
def imports_of(module: str) -> tuple[str, ...]:
    """The names that a module imports: modules, and names in modules, which may be modules themselves.

    Late imports count; those for type checkers alone do not. Empty for a module without Python source.
    """
    source = source_of(module)
    if source is None:
        return ()
    package = module if source.stem == "__init__" else module.rpartition(".")[0]
    imported: list[str] = []
    for node in _executed(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package) if node.level else str(node.module)
            imported += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return tuple(dict.fromkeys(imported))


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING`."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


@cache
def source_of(module: str) -> Path | None:
    """The Python source of a module; None for names that are not modules, and for those without source."""
    top, *rest = module.split(".")
    spec = find_spec(top)
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for location in spec.submodule_search_locations or []:
        for path in (Path(location, *rest).with_suffix(".py"), Path(location, *rest, "__init__.py")):
            if path.is_file():
                return path
    return None
