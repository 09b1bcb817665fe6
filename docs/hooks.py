"""What MkDocs adds to the pages of this folder: a page for each attack and defense, and files from outside the folder.

Attack and defense pages are made from docstrings, annotations and defaults, so they say what the code says. Nothing
here imports torch.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from leakfront import attacks, defenses
from leakfront.attacks.suites import SUITES
from leakfront.parameters import requirement

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
REGISTRIES = {"attacks": attacks.registry, "defenses": defenses.registry}
MOVED = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}  # pages that lie above this folder
SHOWN = (".png", ".md", ".csv")  # files of published runs that pages link to
WIDTH = 110  # characters of a docstring's line, less some for words that just did not fit
_ITEM = re.compile(r'[a-z][\w "]{0,40}[:.] ')  # a line of a docstring that explains a name

HEADS = {
    "attacks": "# Attacks\n\nMade from the docstrings; `leakfront list attacks` prints the same. *Access* is what the "
    "attacker needs of the model. *Shadow models* are models of other splits, whose members the attacker knows: some "
    "attacks make choices on them, others fit something. Suites fix the attacks and their settings: `quick-v2` and "
    "`v2`, and the earlier `quick` and `v1`.\n\n"
    "| attack | access | shadow models | suites | |\n|---|---|---|---|---|\n",
    "defenses": "# Defenses\n\nMade from the docstrings; `leakfront list defenses` prints the same. *Covers* names the "
    "attackers whom the defense can reach.\n\n| defense | acts on | covers | |\n|---|---|---|---|\n",
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the attack and defense pages to the navigation."""
    assert config.nav is not None
    for room, registry in REGISTRIES.items():
        pages = [{name: f"{room}/{name}.md"} for name in registry.names()]
        config.nav.append({room.capitalize(): [f"{room}/index.md", *pages]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages that are generated, and files that lie outside docs/."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    for source, page in MOVED.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for path in sorted((ROOT / "published").rglob("*")):
        if path.suffix in SHOWN:
            files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links that are right in the repository into links of the site."""
    where = page.file.src_uri
    if where.startswith("published/"):
        return f"# {where}\n\n{markdown}"
    outside = "" if where in MOVED.values() else "../"
    for source, target in MOVED.items():
        markdown = re.sub(rf"\]\({re.escape(outside + source)}(?=[)#])", f"]({target}", markdown)
    if not outside:
        markdown = re.sub(r"\]\(docs/", "](", markdown)
    return markdown.replace(f"]({outside}published/", "](published/")


def pages() -> dict[str, str]:
    """The generated pages, by their paths below docs/."""
    made = {}
    for room, registry in REGISTRIES.items():
        plugins = {name: registry.get(name) for name in registry.names()}
        made |= {f"{room}/{name}.md": plugin_page(room, name, plugin) for name, plugin in plugins.items()}
        made[f"{room}/index.md"] = HEADS[room] + "".join(
            f"| [{name}]({name}.md) | {' | '.join(facts(plugin).values())} | {escaped(plugin.summary)} |\n"
            for name, plugin in plugins.items()
        )
    return made


def plugin_page(room: str, name: str, plugin: Any) -> str:
    """The page of one attack or defense."""
    title, _, text = (inspect.getdoc(plugin) or "").partition("\n")
    said = "\n".join(f"* **{fact}**: {value}" for fact, value in facts(plugin).items())
    module = plugin.__module__.replace(".", "/")
    setting = f"'attacks.{name}={{}}'" if room == "attacks" else f"'defenses=[{{name=\"{name}\"}}]'"
    return (
        f"# {name}\n\n**{linked(escaped(title))}**\n\n{said}\n* **Source**: `{module}.py`\n\n{paragraphs(text)}\n\n"
        f"## Parameters\n\n{parameter_table(plugin)}\n\n## Try it\n\n"
        f"```sh\nleakfront run digits --smoke --set {setting} --out runs/try\n```\n"
    )


def facts(plugin: Any) -> dict[str, str]:
    """Class attributes of an attack or a defense that users ask about."""
    if issubclass(plugin, defenses.Defense):
        return {"Acts on": plugin.acts_on, "Covers": plugin.covers}
    suites = [
        suite
        for suite, settings in SUITES.items()
        if any(params.get("attack", label) == plugin.name for label, params in settings.items())
    ]
    needed = plugin().shadows_needed()
    use = plugin.shadows + (f", at least {needed}" if needed else "")
    return {"Access": plugin.access, "Shadow models": use, "Suites": ", ".join(suites) or "none"}


def parameter_table(plugin: Any) -> str:
    """Name, default and range of each parameter."""
    hints = get_type_hints(plugin, include_extras=True)
    lines = [
        f"| `{field.name}` | {default_of(field.default)} | {escaped(requirement(hints[field.name], object()))} |"
        for field in dataclasses.fields(plugin)
    ]
    return "\n".join(["| parameter | default | it must |", "|---|---|---|", *lines]) if lines else "It has none."


def default_of(value: Any) -> str:
    """A default as TOML holds it."""
    if value is None:
        return "left out"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{list(value)}`" if len(value) <= 8 else f"`[{value[0]}, {value[1]}, …, {value[-1]}]`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def paragraphs(text: str) -> str:
    """A docstring's text as Markdown.

    A line that was broken on purpose begins a paragraph, or an item of a list if it explains a name.
    """
    out: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        parts: list[str] = []
        before = ""
        for line in paragraph.splitlines():
            if line.startswith("* ") or not parts or _broken_on_purpose(before, line):
                parts.append(line.strip())
            else:
                parts[-1] += f" {line.strip()}"
            before = line
        for part in parts:
            is_item = part.startswith("* ") or bool(out and _ITEM.match(part))
            shown = linked(escaped(part.removeprefix("* ")))
            if is_item and out and out[-1].startswith("* "):
                out[-1] += f"\n* {shown}"
            else:
                out.append(f"* {shown}" if is_item else shown)
    return "\n\n".join(out)


def _broken_on_purpose(before: str, line: str) -> bool:
    """Whether a line ends before its width: after a sentence or a clause, with room for the next line's first word."""
    return before.endswith((".", ":", ";")) and len(before) + 1 + len(line.split(" ")[0]) <= WIDTH


def escaped(text: str) -> str:
    """Text whose signs Markdown and HTML must not read as their own; `code` and *emphasis* stay."""
    parts = re.split(r"(`[^`]+`|(?<![\w*])\*\w+\*(?![\w*]))", text)
    return "".join(re.sub(r"[*|<\[\]]", _as_text, part) if n % 2 == 0 else part for n, part in enumerate(parts))


def _as_text(found: re.Match[str]) -> str:
    return "&lt;" if found[0] == "<" else f"\\{found[0]}"


def linked(text: str) -> str:
    """Links to papers by their arXiv numbers."""
    return re.sub(r"arXiv (\d{4}\.\d{5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)
