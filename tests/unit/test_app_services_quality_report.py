"""The report: from rows that people made in a workspace, as an answer of the API and on the command line."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from app.__main__ import application
from app.domain.intervals import counted_share
from app.domain.roles import Actor, Role
from app.domain.states import DecisionKind, ImageRole, RegionKind
from app.services.action_log import ActionFilter, read_actions
from app.services.audit import AuditFilter, list_entries
from app.services.quality_report import own_report, quality_report
from app.services.review_types import ActionStats
from app.storage.trust_settings import read_trust_settings
from app.web.api import create_api
from app.web.context import get_actor
from tests.browser.team_work import work_as_team
from tests.browser.workspace import NAMES
from tests.unit.trust_cases import SEED, Annotator, copy_scene, kind_of, make_scene, probes, roles

SECONDS = ActionStats(keys=1, active_ms=3000)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("report"), pool=8)


@pytest.fixture(scope="module")
def worked(scene, tmp_path_factory):
    """Ann accepts everything, Ben corrects every third region; both meet probes."""
    store = copy_scene(scene, tmp_path_factory.mktemp("worked"))
    ann, ben = Annotator(store), Annotator(store, user="ben", session="tab-b")
    for turn in range(70):
        person = (ann, ben)[turn % 2]
        view = person.head()
        relabel = person is ben and turn % 6 == 1
        fields = {"class_id": (view.row.class_id + 1) % len(NAMES)} if relabel else {}
        if kind_of(store, view.row.region_id) is RegionKind.CONTROL:
            person.decide(DecisionKind.DRAW, view, closes_region=True, stats=SECONDS)
        else:
            person.decide(DecisionKind.RELABEL if relabel else DecisionKind.ACCEPT, view, stats=SECONDS, **fields)
    yield store
    store.close()


@pytest.fixture
def fresh(scene, tmp_path):
    store = copy_scene(scene, tmp_path)
    yield store
    store.close()


def run(*arguments):
    return CliRunner().invoke(application, [str(argument) for argument in arguments])


def test_the_report_counts_what_the_rows_say(worked):
    report = quality_report(worked)
    rows = list(read_actions(worked))
    assert report.num_actions == len(rows) == 70
    assert report.hours == pytest.approx(70 * 3 / 3600)
    (current,) = report.audits
    audits = [row for row in rows if row.region_kind is RegionKind.AUDIT and row.draw_order is not None]
    wrong = counted_share(sum(row.wrong_pixels for row in audits), len(audits))
    assert (current.is_current, current.audited.wrong) == (True, wrong) and wrong.trials > 0
    planted = [row.caught for row in rows if row.region_kind is RegionKind.PLANTED]
    assert report.caught == counted_share(sum(planted), len(planted)) and report.is_low
    queued = [row for row in rows if row.region_kind is RegionKind.QUEUE]
    changed = sum(row.action is DecisionKind.RELABEL for row in queued)
    assert report.changed == counted_share(changed, len(queued))
    assert report.effort.median_s == report.effort.p90_s == 3.0
    assert report.touched == sum(row.pixels_changed for row in rows if row.region_kind is not RegionKind.PLANTED)
    assert report.pool_pixels == 8 * 120 * 160


def test_every_person_has_a_line(worked):
    ann, ben = quality_report(worked).people
    assert (ann.user, ben.user) == ("ann", "ben")
    assert ann.changed.hits == 0 < ben.changed.hits
    assert ann.effort.num_regions == ben.effort.num_regions == 35
    assert ann.caught.hits == 0 and ann.is_low is (ann.caught.trials > 0)


@pytest.fixture(scope="module")
def numbers_in_sqlite(scene, tmp_path_factory):
    store = copy_scene(scene, tmp_path_factory.mktemp("sqlite"))
    yield numbers_after_work(store, scene.truth)
    store.close()


def numbers_after_work(store, truth):
    """The report on three people's work, without its day."""
    work_as_team(store, truth, turns=60)
    report = json.loads(json.dumps(quality_report(store).to_json(), default=str))
    return {**report, "by_period": [{**each, "start": None} for each in report["by_period"]]}


@pytest.mark.usefixtures("numbers_in_sqlite", "each_database")
def test_the_same_work_gives_the_same_probes_and_numbers_in_every_database(scene, tmp_path, numbers_in_sqlite):
    store = copy_scene(scene, tmp_path)
    found = numbers_after_work(store, scene.truth)
    store.close()
    assert found == numbers_in_sqlite
    assert found["caught"]["trials"] > 0 and found["audits"][0]["audited"]["wrong"]["trials"] > 0


def test_a_filter_leaves_one_persons_actions_and_what_is_about_whole_images(worked):
    everybody, ann = quality_report(worked), quality_report(worked, ActionFilter("ann"))
    assert (ann.num_actions, [each.user for each in ann.people]) == (35, ["ann"])
    assert ann.people == everybody.people[:1] and ann.changed == everybody.people[0].changed
    assert (ann.names, ann.saved, ann.control) == (("ann", "ben"), everybody.saved, everybody.control)
    assert sum(each.changed.trials for each in ann.by_class) == ann.changed.trials


def test_a_filter_by_time_splits_the_work_without_loss(worked):
    rows = list(read_actions(worked))
    moment = rows[40].time
    before, after = (quality_report(worked, ActionFilter(**{name: moment})) for name in ("until", "since"))
    whole = quality_report(worked)
    assert (before.num_actions, after.num_actions) == (40, 30)
    assert before.changed.trials + after.changed.trials == whole.changed.trials
    assert before.audits[0].audited.wrong.trials + after.audits[0].audited.wrong.trials == (
        whole.audits[0].audited.wrong.trials
    )
    nothing = quality_report(worked, ActionFilter(until=rows[0].time))
    assert (nothing.num_actions, nothing.people, nothing.names) == (0, (), ("ann", "ben"))


def test_the_endpoint_and_the_command_take_the_same_filters(worked):
    moment = list(read_actions(worked))[10].time
    with TestClient(create_api(worked.workspace), base_url="http://127.0.0.1") as client:
        answer = client.get("/api/quality", params={"user": "ben", "since": moment.isoformat()})
    as_json = run("quality", "-w", worked.workspace.root, "--user", "ben", "--json").stdout
    expected = quality_report(worked, ActionFilter("ben", since=moment))
    assert answer.json() == json.loads(json.dumps(expected.to_json(), default=str))
    assert json.loads(as_json)["num_actions"] == 35 > expected.num_actions
    tomorrow = (datetime.now() + timedelta(days=1)).strftime("%Y-%m-%d")
    late = run("quality", "-w", worked.workspace.root, "--since", tomorrow, "--json").stdout
    assert json.loads(late)["num_actions"] == 0


def test_what_was_taken_back_is_not_in_it(worked, fresh):
    ann = Annotator(fresh)
    before = quality_report(fresh).to_json()
    ann.take(DecisionKind.VOID)
    assert quality_report(fresh).num_actions == 1
    ann.undo()
    after = quality_report(fresh).to_json()
    assert {**after, "audits_waiting": 0} == {**before, "audits_waiting": 0}


def test_before_any_audit_the_report_says_what_is_missing(fresh):
    report = quality_report(fresh)
    kinds = roles(fresh)
    drawn = sum(kinds[region.image_id] is ImageRole.POOL for region, _ in probes(fresh, RegionKind.AUDIT))
    assert report.to_json()["sentences"]["audited"] == (
        "How wrong the pixels are that nobody looks at is not known yet: no audit was decided. "
        f"{drawn} are drawn and come one by one among the regions of the queue."
    )
    assert report.audits[0].audited.wrong == counted_share(0, 0)


def test_control_images_are_counted_and_effort_is_an_estimate_without_twenty(fresh):
    report = quality_report(fresh)
    assert (report.num_controls, report.control.num_images) == (1, 0)
    assert report.saved.is_estimate and report.saved.share is None


def test_a_person_sees_their_own_numbers_up_to_midnight_only(worked):
    """Not up to now: a count of planted errors that grows tells what the last region was."""
    now = datetime.now(UTC)
    today, midnight = own_report(worked, "ann", now)
    assert today.effort.num_regions == 0 and midnight <= now and (midnight.hour, midnight.minute) == (0, 0)
    tomorrow, _ = own_report(worked, "ann", now + timedelta(days=1))
    assert tomorrow == quality_report(worked).people[0]


@pytest.mark.parametrize("role", Role)
def test_only_leads_see_everybodys_numbers(worked, role):
    app = create_api(worked.workspace)
    app.dependency_overrides[get_actor] = lambda: Actor("ann", role)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        everybody, own = client.get("/api/quality"), client.get("/api/quality/mine")
        rows = client.get("/api/actions")
    assert everybody.status_code == rows.status_code == (200 if role is Role.LEAD else 403)
    assert own.status_code == 200 and own.json()["user"] == "ann"
    assert "ben" not in own.text


def test_the_answer_is_the_report_without_the_seed(worked):
    with TestClient(create_api(worked.workspace), base_url="http://127.0.0.1") as client:
        answer = client.get("/api/quality")
    assert answer.json() == json.loads(json.dumps(quality_report(worked).to_json(), default=str))
    assert str(SEED) not in answer.text and answer.json()["trust"]["audit_share"] == 0.05


def test_the_command_prints_the_same_as_tables_and_as_json(worked):
    printed = run("quality", "-w", worked.workspace.root)
    assert printed.exit_code == 0
    said = quality_report(worked).to_json()["sentences"]["audited"]
    assert said in " ".join(printed.stdout.split())
    for word in ("round 1, current", "ann", "ben", "low", "reliability 0.95 to 0.99", "Pixels shown"):
        assert word in printed.stdout, word
    as_json = json.loads(run("quality", "-w", worked.workspace.root, "--json").stdout)
    assert as_json == json.loads(json.dumps(quality_report(worked).to_json(), default=str))


def test_the_command_for_shares_shows_sets_and_records_them(fresh):
    shown = run("trust", "-w", fresh.workspace.root).stdout
    assert "Audits: 5.0 %" in shown and f"seed {SEED}" in shown
    changed = run("trust", "-w", fresh.workspace.root, "--audit-share", 0.1, "--control-share", 0)
    assert "Audits: 10.0 %" in changed.stdout and "Control images: 0.0 %" in changed.stdout
    with fresh.reader() as session:
        assert read_trust_settings(session).audit_share == 0.1
    (entry,) = list_entries(fresh, AuditFilter(), 10)
    assert (entry.action, entry.target, entry.details) == (
        "settings_changed", "trust", {"audit_share": 0.1, "control_share": 0.0},
    )  # fmt: skip
    refused = run("trust", "-w", fresh.workspace.root, "--planted-share", 0.5)
    assert refused.exit_code == 2
    with fresh.reader() as session:
        assert read_trust_settings(session).planted_share == 0.04
