"""The report as one HTML file that needs nothing else: figures inside, no network, and a script only to sort tables."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leakfront.results.page import sorting
from leakfront.results.page.explanations import limits, reading
from leakfront.results.run.conditions import conditions
from leakfront.results.tables.attacks import attack_table, suite_table
from leakfront.results.tables.cost import cost_table
from leakfront.results.tables.main import main_table
from leakfront.results.tables.matched import matched_table
from leakfront.results.tables.quality import quality_table
from leakfront.results.tables.table import Table, number

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData


@dataclass(frozen=True)
class Drawn:
    """A figure of the report, `wide` if it spans both columns of a paper; `svg` is None when there was nothing to draw,
    and `reason` says why."""

    name: str
    title: str
    caption: str
    svg: bytes | None
    reason: str
    wide: bool = False

    @property
    def source(self) -> str:
        """The picture as a data URI: inside an img element it can neither run a script nor reach the network."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg or b"").decode()


_TEMPLATE = """{%- macro picture(figure) -%}
<figure id="{{ figure.name }}"{% if figure.wide %} class="wide"{% endif %}>
<img src="{{ figure.source }}" alt="{{ figure.title }}">
<figcaption><strong>{{ figure.title }}.</strong> {{ figure.caption }}
<span class="conditions">{{ conditions }}</span></figcaption>
</figure>
{%- endmacro -%}
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 70rem; margin: 2rem auto;
  padding: 0 1.25rem; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
h3 { font-size: 1rem; } p, li { max-width: 48rem; overflow-wrap: anywhere; } li { margin: .35rem 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .8rem; line-height: 1.35; }
th, td { padding: .3rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid #e5e5e5; }
thead th { border-bottom: 2px solid #444; vertical-align: bottom; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
thead .number { white-space: normal; } .note { margin: .4rem 0; }
.words { min-width: 6rem; } .sentence { min-width: 16rem; }
.interval { display: block; color: #666; font-size: .72rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); gap: 1.5rem 2rem; }
figure { margin: 0; break-inside: avoid; } figure img { width: 100%; max-width: 34rem; height: auto; }
.wide { grid-column: 1 / -1; } .wide img { max-width: 60rem; }
figcaption { max-width: 60rem; font-size: .82rem; color: #444; } .conditions, .note { font-size: .82rem; color: #666; }
pre { background: #f6f6f6; padding: .8rem; font-size: .75rem; line-height: 1.35; white-space: pre-wrap;
  overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .85rem; } dt { color: #666; }
dd { margin: 0; overflow-wrap: anywhere; }
@page { size: A4 landscape; margin: 12mm; }
@media print {
  body { font-size: 9.5pt; margin: 0; max-width: none; } .scroll { overflow: visible; }
  table, pre { font-size: 6.5pt; } th, td { padding: 2pt 3pt; } .interval { font-size: 6pt; }
  h2, h3 { break-after: avoid; } tr { break-inside: avoid; } .figures { grid-template-columns: 1fr 1fr; }
}
{{- sorting.style }}</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>{{ summary }}</p>
{% for figure in figures[:1] if figure.svg %}{{ picture(figure) }}{% endfor %}
<h2>Findings</h2>
<ul>
{% for subject, sentence in findings %}<li>{% if subject %}<strong>{{ subject }}</strong>{% endif %}{{ sentence }}</li>
{% endfor %}</ul>
<h2>Defenses</h2>
{{ table(main) }}
{% if matched %}<h2>Leakage at equal quality</h2>
{{ table(matched) }}
{% endif %}{% if quality %}<h2>Image quality</h2>
{{ table(quality) }}
{% endif %}{% if cost %}<h2>Cost</h2>
{{ table(cost) }}
{% endif %}<h2>Figures</h2>
<div class="figures">
{% for figure in figures[1:] if figure.svg %}{{ picture(figure) }}
{% endfor %}</div>
{% for figure in figures if not figure.svg %}<p class="note">{{ figure.title }}: not drawn, {{ figure.reason }}.</p>
{% endfor %}<h2>Attacks on {{ subject }}</h2>
{{ table(suite) }}
<h2>Attacks</h2>
{{ table(attacks) }}
{% if notes %}<ul class="note">
{% for note in notes %}<li>{{ note }}</li>
{% endfor %}</ul>
{% endif %}<h2>How to read this</h2>
<ul>
{% for sentence in reading %}<li>{{ sentence }}</li>
{% endfor %}</ul>
<h2>Limits</h2>
<ul>
{% for sentence in limits %}<li>{{ sentence }}</li>
{% endfor %}</ul>
<h2>Conditions and provenance</h2>
{% for run in runs %}<h3>{{ run.name }}</h3>
<dl>
{% for key, value in run.facts %}<dt>{{ key }}</dt><dd>{{ value }}</dd>
{% endfor %}</dl>
<h4>Settings</h4>
<pre>{{ run.config }}</pre>
{% endfor %}<script>{{ sorting.script }}</script>
</body>
</html>
"""
_TABLE = """<div class="scroll"><table>
<thead><tr>
{%- for column in table.printed %}
<th{% if column.numeric %} class="number"{% endif %}>{{ column.title }}</th>
{%- endfor %}
</tr></thead>
<tbody>
{% for row in table.rows() %}<tr>
{%- for cell in row %}
<td{% if table.printed[loop.index0].numeric %} class="number"{% elif cell.text|length > 40 %} class="sentence"
{%- elif cell.text|length > 12 %} class="words"{% endif %}
{%- if cell.value is not none %} data-value="{{ cell.value }}"{% endif %}>
{{- cell.text }}{% if cell.interval %}<span class="interval">{{ cell.interval }}</span>{% endif %}
{%- if cell.word %}<span class="interval">{{ cell.word }}</span>{% endif %}</td>
{%- endfor %}</tr>
{% endfor %}</tbody>
</table></div>
{% for note in table.notes %}<p class="note">{{ note }}</p>
{% endfor %}"""


def page(run: RunData, sources: Sequence[RunData], drawn: Sequence[Drawn], sentences: Sequence[str]) -> str:
    """The HTML. run: what is shown; sources: the runs it was put together from, for their provenance."""
    from jinja2 import Environment
    from markupsafe import Markup

    environment = Environment(autoescape=True, trim_blocks=False)
    rows = environment.from_string(_TABLE)

    def table(shown: Table) -> Markup:
        return Markup(rows.render(table=shown))

    return environment.from_string(_TEMPLATE).render(
        title=run.info.get("title") or run.info.get("name", "Report"),
        summary=_summary(run),
        findings=_with_subjects(run, sentences),
        main=main_table(run),
        matched=matched_table(run),
        quality=quality_table(run),
        cost=cost_table(run),
        suite=suite_table(run),
        attacks=attack_table(run),
        notes=[f"{note[:1].upper()}{note[1:]}." for note in map(str, run.info.get("attack_notes", []))],
        table=table,
        policy=Markup(sorting.POLICY),
        sorting={"style": Markup(sorting.STYLE), "script": Markup(sorting.SCRIPT)},
        figures=drawn,
        conditions=conditions(run),
        subject=run.summary.subject,
        reading=reading(run),
        limits=limits(run),
        runs=[
            {"name": r.info.get("name", ""), "facts": _facts(r.info), "config": _toml(r.info.get("config", {}))}
            for r in sources
        ],
    )


def _with_subjects(run: RunData, sentences: Sequence[str]) -> list[tuple[str, str]]:
    """Each finding as the defense that it is about, to be set in bold, and the rest."""
    labels = sorted((point.label for point in run.summary.points), key=len, reverse=True)
    subjects = [next((label for label in labels if s.startswith(f"{label}: ")), "") for s in sentences]
    return [(subject, sentence[len(subject) :]) for subject, sentence in zip(subjects, sentences, strict=True)]


def _summary(run: RunData) -> str:
    """What was run, in one paragraph."""
    summary = run.summary
    models = sum(len(summary.splits(point)) for point in summary.points)
    if run.external_model is not None:
        what = "A model that was trained elsewhere was" if models == 1 else f"{models} models trained elsewhere were"
        return f"{what} attacked with {', '.join(summary.attacks) or 'no attack'}. {conditions(run)}"
    return (
        f"{models} models were trained under {len(summary.defenses)} defenses, counting the undefended model as one, "
        f"at {len(summary.points)} strengths in all, and attacked with {', '.join(summary.attacks) or 'no attack'}. "
        f"{conditions(run)}"
    )


def _facts(info: dict[str, Any]) -> list[tuple[str, str]]:
    """Where a run comes from, as names and values."""
    git = info.get("git", {})
    commit = git.get("commit") or "not in a checkout"
    data = {{"reference": "reference images", "extractor": "images to train the feature extractor"}.get(key, key): value
            for key, value in info.get("dataset", {}).items()}  # fmt: skip
    facts = {
        "data": _flat(data),
        "model": _flat(info.get("external_model", {})),
        "seed": str(info.get("seed", "")),
        "code": commit + (" with uncommitted changes" if git.get("dirty") else ""),
        "versions": _flat(info.get("versions", {})),
        "machine": _flat(info.get("machine", {})),
        "execution": f"{info.get('workers', '?')} workers of {info.get('threads', '?')} threads",
        "wall time": f"{number(float(info['wall_seconds']))} s" if info.get("wall_seconds") is not None else "",
        "diverged": ", ".join(info.get("diverged", [])),
        "failed": "; ".join(f"{cell}: {reason}" for cell, reason in dict(info.get("failed", {})).items()),
    }
    return [(key, value) for key, value in facts.items() if value]


def _toml(config: dict[str, Any]) -> str:
    """The settings as they can be run again; TOML has no null, so that what is not set is left out."""
    import tomli_w

    def without_null(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_null(v) for key, v in value.items() if v is not None}
        return [without_null(v) for v in value] if isinstance(value, list) else value

    return tomli_w.dumps(without_null(config))


def _flat(values: dict[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in values.items() if value is not None)
