"""The audit log: written with the action or not at all, and never changed afterwards."""

import csv
import io
from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from app.config import Workspace
from app.domain.audit import AuditAction
from app.domain.roles import Actor, Role
from app.services.audit import AuditFilter, list_entries, record, to_csv
from app.storage.database import open_store
from app.storage.models import utc_now
from tests.unit.made_workspace import changing_statement, raw_connection

pytestmark = pytest.mark.usefixtures("each_database")

ANN = Actor("ann", Role.LEAD)
NOBODY = Actor("=cmd|' /C calc'!A0", None)


@pytest.fixture
def store(tmp_path):
    with closing(open_store(Workspace(tmp_path / "workspace"), create=True)) as opened:
        yield opened


@pytest.fixture
def filled(store):
    """Four entries: a promotion, a failed sign-in, two exports."""
    with store.session() as session:
        record(session, ANN, AuditAction.PROMOTED, "model 3", {"reason": "better on gold"})
        record(session, NOBODY, AuditAction.SIGN_IN_FAILED, "=cmd|' /C calc'!A0", {"address": "10.0.0.3"})
        record(session, ANN, AuditAction.EXPORT, "coco-100%_a")
        record(session, Actor("ben", Role.ENGINEER), AuditAction.EXPORT, "coco-1000a")
    return store


def listed(store, **filters):
    return [(row.actor, row.target) for row in list_entries(store, AuditFilter(**filters), 100)]


def test_an_entry_says_who_did_what_to_what_and_as_what(filled):
    entry = list_entries(filled, AuditFilter(action=AuditAction.PROMOTED), 100)[0]
    assert (entry.actor, entry.role, entry.action, entry.target, entry.details) == (
        "ann", "lead", "promoted", "model 3", {"reason": "better on gold"},
    )  # fmt: skip
    assert utc_now() - entry.created_at < timedelta(minutes=5)


def test_an_entry_of_a_failed_action_is_not_kept(store):
    with pytest.raises(RuntimeError, match="promotion failed"), store.session() as session:
        record(session, ANN, AuditAction.PROMOTED, "model 3")
        session.flush()
        raise RuntimeError("promotion failed")
    assert listed(store) == []


@pytest.mark.parametrize("kind", ["update", "delete", "replace", "truncate"])
def test_no_program_can_change_or_remove_an_entry(filled, kind):
    with raw_connection(filled.workspace) as connection:
        before = connection.exec_driver_sql("SELECT * FROM audit_entry").all()
        with pytest.raises(IntegrityError, match="audit log is append-only"):
            connection.exec_driver_sql(changing_statement(kind, "audit_entry", "actor", connection.dialect.name))
        connection.rollback()
        assert connection.exec_driver_sql("SELECT * FROM audit_entry").all() == before


@pytest.mark.parametrize(
    ("filters", "targets"),
    [
        pytest.param({}, ["coco-1000a", "coco-100%_a", "=cmd|' /C calc'!A0", "model 3"], id="newest first"),
        pytest.param({"actor": "ben"}, ["coco-1000a"], id="by person"),
        pytest.param({"action": AuditAction.EXPORT}, ["coco-1000a", "coco-100%_a"], id="by action"),
        pytest.param({"target": "MODEL"}, ["model 3"], id="by part of the target"),
        pytest.param({"target": "100%_"}, ["coco-100%_a"], id="wildcards are plain text"),
        pytest.param({"before_id": 2}, ["model 3"], id="the page after an entry"),
        pytest.param({"since": utc_now() + timedelta(hours=1)}, [], id="not before"),
        pytest.param({"until": utc_now() - timedelta(hours=1)}, [], id="before"),
    ],
)
def test_the_log_is_filtered(filled, filters, targets):
    assert [target for _, target in listed(filled, **filters)] == targets


def test_a_name_in_the_csv_file_is_no_formula(filled):
    rows = list(csv.DictReader(io.StringIO(to_csv(list_entries(filled, AuditFilter(), 100)))))
    assert [row["actor"] for row in rows] == ["ben", "ann", "'=cmd|' /C calc'!A0", "ann"]
    assert rows[0]["role"] == "engineer" and rows[2]["role"] == ""


def test_a_long_target_is_cut(store):
    with store.session() as session:
        record(session, ANN, AuditAction.DELETED, "x" * 1000)
    assert listed(store) == [("ann", "x" * 255)]
