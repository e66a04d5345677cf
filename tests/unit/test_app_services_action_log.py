"""The action log: every field that reports are made of, in files that scripts can read."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from app.__main__ import application
from app.domain.actions import ACTION_COLUMNS
from app.domain.decisions import delta_from_mask
from app.domain.states import DecisionKind, RegionKind
from app.services.action_log import ActionFilter, LogFormat, read_actions, write_actions
from app.services.review_types import ActionStats
from app.storage.models import Image
from app.web.api import create_api
from tests.unit.made_workspace import Reviewer, copy_store, make_template, mask_of

pytestmark = pytest.mark.usefixtures("each_database")

COUNTED = ActionStats(clicks=2, keys=3, strokes=1, undos=1, active_ms=4200)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("actions"), ("pool_0", "pool_1"))


@pytest.fixture
def store(template, tmp_path):
    store = copy_store(template, tmp_path)
    yield store
    store.close()


@pytest.fixture
def ann(store):
    return Reviewer(store)


def only(store, **filters):
    (action,) = read_actions(store, ActionFilter(**filters))
    return action


def test_a_relabel_is_logged_with_what_was_shown_done_and_spent(store, ann):
    view = ann.region()
    ann.decide(DecisionKind.RELABEL, view, class_id=2, stats=COUNTED)
    row, action = view.row, only(store)
    changed = int((ann.service.image_planes(row.image_id).proposal != 2)[mask_of(planes(ann, view), view)].sum())
    logged = {
        "id": 1, "op_id": "ann-tab-1-0", "user": "ann", "session": "tab-1",
        "image_sha256": ann.service.image(row.image_id).sha256, "sample_id": row.sample_id,
        "region_id": row.region_id, "region_kind": RegionKind.QUEUE, "model_id": 1, "model_round": 1, "method": "csl",
        "threshold": None, "area": row.area, "mean_reliability": row.mean_confidence,
        "predicted_class": row.class_id, "action": DecisionKind.RELABEL, "undoes": None, "closes_region": True,
        "class_id": 2, "pixels_set": row.area, "pixels_changed": changed, "propagated_pixels": 0,
        "propagated_regions": 0,
        "clicks": 2, "keys": 3, "strokes": 1, "undos": 1, "active_ms": 4200, "lock_override": False,
        "audited_pixels": 0, "wrong_pixels": 0, "draw_order": None, "draw_batch": None, "was_given": False,
        "caught": None, "is_undone": False,
    }  # fmt: skip
    top_classes = tuple((top.class_id, top.probability) for top in view.top_classes)
    assert {name: getattr(action, name) for name in logged} == logged
    assert action.top_classes == top_classes
    assert set(ACTION_COLUMNS) - set(logged) == {"time", "top_classes"}


def planes(ann, view):
    return ann.service.image_planes(view.row.image_id)


def test_the_time_is_when_it_was_stored(store, ann):
    before = datetime.now(UTC)
    ann.decide(DecisionKind.ACCEPT, ann.region())
    assert before <= only(store).time <= datetime.now(UTC)


def test_a_stroke_over_locked_pixels_is_logged_as_an_override(store, ann):
    view = ann.region()
    found = planes(ann, view)
    mask = found.reliable.copy()
    mask[:, 5:] = False
    drawn = delta_from_mask(mask, np.full(mask.shape, (found.label[mask][0] + 1) % 3, np.uint8))
    ann.draw(view.row.image_id, drawn, lock_override=True, stats=ActionStats(strokes=1))
    action = only(store)
    assert (action.action, action.lock_override, action.region_id) == (DecisionKind.DRAW, True, None)
    assert action.pixels_set == action.pixels_changed == mask.sum()


def test_what_was_taken_back_is_marked_and_the_undo_is_about_the_same_region(store, ann):
    view = ann.region()
    ann.decide(DecisionKind.VOID, view, stats=COUNTED)
    ann.undo()
    decided, undo = read_actions(store)
    assert (decided.is_undone, undo.is_undone) == (True, False)
    assert (undo.action, undo.undoes, undo.region_id) == (DecisionKind.UNDO, decided.op_id, view.row.region_id)
    shown = ("image_sha256", "region_kind", "method", "area", "mean_reliability", "predicted_class", "top_classes")
    assert [getattr(undo, name) for name in shown] == [getattr(decided, name) for name in shown]
    assert (undo.pixels_changed, undo.active_ms) == (0, 0)
    ann.redo()
    assert [action.is_undone for action in read_actions(store)] == [False, True, False]


def test_filters_choose_a_person_and_a_time(store, ann):
    ben = Reviewer(store, user="ben", session="tab-9")
    ann.decide(DecisionKind.ACCEPT, ann.region())
    ben.decide(DecisionKind.ACCEPT, ben.region())
    assert only(store, user="ben").user == "ben"
    moment = list(read_actions(store))[1].time
    assert only(store, since=moment).user == "ben"
    assert only(store, until=moment).user == "ann"
    assert list(read_actions(store, ActionFilter(since=moment + timedelta(days=1)))) == []


def test_csv_and_json_lines_hold_the_same_rows_and_columns(store, ann):
    ann.decide(DecisionKind.RELABEL, ann.region(), class_id=1, stats=COUNTED)
    ann.decide(DecisionKind.SKIP, ann.region())
    table = list(csv.reader(io.StringIO("".join(write_actions(read_actions(store), LogFormat.CSV)))))
    lines = [json.loads(line) for line in write_actions(read_actions(store), LogFormat.JSONL)]
    assert json.loads("".join(write_actions(read_actions(store), LogFormat.JSON))) == lines
    assert json.loads("".join(write_actions([], LogFormat.JSON))) == []
    assert tuple(table[0]) == ACTION_COLUMNS == tuple(lines[0])
    for cells, values in zip(table[1:], lines, strict=True):
        values["top_classes"] = json.dumps(values["top_classes"])
        assert cells == ["" if value is None else str(value) for value in values.values()]


def test_the_log_never_holds_pixels(store, ann):
    ann.decide(DecisionKind.RELABEL, ann.region(), class_id=1)
    with store.reader() as session:
        assert session.query(Image).count() > 0
    names = " ".join(ACTION_COLUMNS)
    assert "delta" not in names and "mask" not in names
    assert all(not isinstance(value, bytes) for action in read_actions(store) for value in action.to_json().values())


def test_a_name_in_the_table_is_no_formula(store):
    mallory = Reviewer(store, user="=HYPERLINK(1)", session="tab-1")
    mallory.decide(DecisionKind.ACCEPT, mallory.region())
    table = csv.DictReader(io.StringIO("".join(write_actions(read_actions(store), LogFormat.CSV))))
    assert [row["user"] for row in table] == ["'=HYPERLINK(1)"]


@pytest.mark.parametrize(("log_format", "kind"), [("csv", "text/csv"), ("jsonl", "application/x-ndjson")])
def test_the_endpoint_sends_the_log_as_a_file(store, ann, log_format, kind):
    ann.decide(DecisionKind.ACCEPT, ann.region(), stats=COUNTED)
    with TestClient(create_api(store.workspace), base_url="http://127.0.0.1") as client:
        answer = client.get(f"/api/actions?format={log_format}")
        unknown_time = client.get("/api/actions?since=2026-01-01T00:00:00")
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["content-disposition"] == f'attachment; filename="actions.{log_format}"'
    assert answer.text == "".join(write_actions(read_actions(store), LogFormat(log_format)))
    assert unknown_time.status_code == 422


def test_the_command_writes_the_log_and_says_how_long_it_is(store, ann, tmp_path: Path):
    ann.decide(DecisionKind.ACCEPT, ann.region())
    ann.undo()
    for name in ("log.csv", "log.json", "log.jsonl"):
        out = tmp_path / name
        result = CliRunner().invoke(application, ["actions", "-w", str(store.workspace.root), "--out", str(out)])
        assert f"{out}: 2 actions" in result.stdout
        assert out.read_bytes().decode() == "".join(write_actions(read_actions(store), LogFormat(out.suffix[1:])))


def test_the_command_refuses_a_file_whose_ending_says_nothing(store, tmp_path: Path):
    out = tmp_path / "log.txt"
    result = CliRunner().invoke(application, ["actions", "-w", str(store.workspace.root), "--out", str(out)])
    assert result.exit_code == 2 and "must end in one of .csv, .json, .jsonl" in result.stderr and not out.exists()
