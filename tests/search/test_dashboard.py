"""optuna-dashboard reads a study while it runs, from its journal and from a database."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from rayml.search.journal.database_mirror import mirroring
from rayml.search.study.study import Study
from tests.search.plans import report, tell


def get(storage: BaseStorage, path: str) -> Any:
    """What the dashboard's own API answers, without a server."""
    from optuna_dashboard import wsgi

    environ: dict[str, Any] = {"PATH_INFO": path, "wsgi.input": io.BytesIO()}
    setup_testing_defaults(environ)
    statuses: list[str] = []
    body = wsgi(storage)(environ, lambda status, *_: statuses.append(status))
    text = b"".join(body)
    assert statuses == ["200 OK"], text
    return json.loads(text)


@pytest.mark.filterwarnings("ignore")  # the dashboard's own
@pytest.mark.parametrize("where", ["journal", "database"])
def test_a_dashboard_reads_a_study_that_runs(
    where: str, make_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = make_study()
    done, running = study.ask(2)
    report(study, done.number, 1, 0.5, {"auroc": 0.75})
    tell(study, done.number, "COMPLETE", 0.5)
    report(study, running.number, 1, 0.25, {})
    journal = tmp_path / "journal.log"
    if where == "database":
        url = f"sqlite:///{tmp_path / 'studies.db'}"
        with mirroring(journal, url):
            pass
        storage: BaseStorage = RDBStorage(url)
    else:
        storage = JournalStorage(JournalFileBackend(str(journal)))
    [summary] = get(storage, "/api/studies")["study_summaries"]
    assert summary["study_name"] == "s"
    trials = get(storage, f"/api/studies/{summary['study_id']}")["trials"]
    assert [trial["state"] for trial in trials] == ["Complete", "Running"]
    assert trials[1]["intermediate_values"] == [{"step": 1, "value": 0.25}]
    assert {each["name"] for each in trials[0]["params"]} == set(done.params)
    if isinstance(storage, RDBStorage):
        storage.engine.dispose()
