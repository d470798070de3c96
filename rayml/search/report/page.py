"""The page of a sweep: one HTML file that holds all it needs and asks no one for anything."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rayml import __version__
from rayml.search.charts.style import kind, number, value_text
from rayml.search.report.headline import cards, state_of
from rayml.search.report.section import Section
from rayml.search.report.sections import sections
from rayml.search.report.tables import FOLDER, save_tables
from rayml.search.results.leaderboard import TrialRow
from rayml.search.results.record import SweepRecord, read_record
from rayml.storage.disk import write
from rayml.web.style import base_style, source_hash

PAGE = "index.html"
_HERE = Path(__file__).parent
_LONGEST = 300


def write_page(folder: Path) -> SweepRecord:
    """Write `report/index.html` and the tables beside it into a sweep's folder.

    Raises:
        SearchError: the folder is not that of a sweep, or a file in it is torn.
        StorageError: the disk does not take it.
    """
    record = read_record(folder)
    save_tables(record.board, folder)
    # Whole at any time: a browser may reload the page while its sweep runs.
    write(folder / FOLDER / PAGE, render(record, datetime.now()))
    return record


def render(record: SweepRecord, now: datetime) -> str:
    """The page as text.

    Nothing in it can run but its own two scripts: their hashes are all that its content security
    policy allows, and it may load nothing from anywhere.
    """
    import jinja2
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    shown = list(sections(record))
    plotly = get_plotlyjs()
    script = (_HERE / "page.js").read_text(encoding="utf-8").strip()
    return environment.get_template("page.html.j2").render(
        record=record,
        cards=cards(record),
        state=state_of(record),
        sections=shown,
        figures=_figures(shown),
        trials=_trials(record, shown),
        style=base_style() + (_HERE / "page.css").read_text(encoding="utf-8"),
        script=script,
        # Two fifths of its size: browsers of 2023 and later unpack it.
        plotly=base64.b64encode(gzip.compress(plotly.encode(), mtime=0)).decode(),
        hashes=[source_hash(script), source_hash(plotly)],
        version=__version__,
        now=now,
    )


def _figures(shown: Sequence[Section]) -> dict[str, dict[str, Any]]:
    return {
        figure.name: {"data": list(figure.data), "layout": dict(figure.layout)}
        for section in shown
        for figure in section.figures
    }


def _trials(record: SweepRecord, shown: Sequence[Section]) -> dict[int, list[list[str]]]:
    """What a click on a trial shows, for the trials that can be clicked."""
    numbers: set[int | None] = set()
    for section in shown:
        for figure in section.figures:
            for trace in figure.data:
                numbers.update(trace.get("customdata", ()))
        for table in section.tables:
            numbers.update(int(cells[0]) for cells in table.rows if table.trials)
    return {row.number: _facts(row, record) for row in record.rows if row.number in numbers}


def _facts(row: TrialRow, record: SweepRecord) -> list[list[str]]:
    values = [(name, row.values.get(name)) for name in record.board.metrics]
    facts = [["state", kind(row)]]
    facts += [[name, number(value)] for name, value in values if value is not None]
    facts += [[f"{record.board.unit}s", str(row.epochs)]]
    facts += [["violation", number(row.violation)]] if row.violation > 0 else []
    facts += [["reason", _cut(row.reason)]] if row.reason else []
    return facts + [[key, _cut(value_text(value))] for key, value in row.params.items()]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
