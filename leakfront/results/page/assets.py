"""The files that the page is made of: template, style and script."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Any

from leakfront.results.page.layout import breakable

TEMPLATE, STYLE, SCRIPT = "template.html", "page.css", "sort.js"
_ALL = (
    TEMPLATE,
    STYLE,
    SCRIPT,
    "base.html",
    "macros.html",
    "studies.html",
    "images.html",
    "release.html",
    "copies.html",
    "copies.js",
)


def read(name: str) -> str:
    """The text of one of the files."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def policy(script: str = SCRIPT) -> str:
    """The Content Security Policy of a page: images inside it, and no script but this one of its own."""
    digest = base64.b64encode(hashlib.sha256(read(script).encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def render(template: str, script: str = SCRIPT, **values: Any) -> str:
    """The HTML of one of the templates, with the style, a script and the policy in it."""
    from jinja2 import Environment, FunctionLoader
    from markupsafe import Markup

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(read))
    environment.filters["breakable"] = breakable
    inside = {"policy": Markup(policy(script)), "style": Markup(read(STYLE)), "script": Markup(read(script))}
    return environment.get_template(template).render(**values, **inside)


def version() -> str:
    """A hash of all the files: a report made with others is out of date."""
    return hashlib.sha256("\0".join(map(read, _ALL)).encode()).hexdigest()
