"""No two files of the package import each other in a circle, imports for type checking and late imports counted."""

from __future__ import annotations

import grimp
import networkx


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph("leakfront", cache_dir=None)
    imports = networkx.DiGraph(
        (m, other) for m in graph.modules for other in graph.find_modules_directly_imported_by(m)
    )
    assert len(imports) > 200
    circles = [sorted(circle) for circle in networkx.strongly_connected_components(imports) if len(circle) > 1]
    assert circles == []
