"""A failure of the disk or of another program becomes a sentence that says what to do."""

import pytest
from sqlalchemy import func, select

from app.domain.states import DecisionKind
from app.services.reviewing import ReviewService
from app.storage.errors import DiskFullError
from app.storage.models import Decision
from tests.unit.made_workspace import make_reviewable, request


def test_a_full_disk_refuses_the_decision_and_keeps_everything_before_it(tmp_path):
    store = make_reviewable(tmp_path)
    reviewer = ReviewService(store)
    with store.session() as session:
        pages = session.connection().exec_driver_sql("PRAGMA page_count").scalar()
        session.connection().exec_driver_sql(f"PRAGMA max_page_count = {pages + 3}")
    stored = 0
    with pytest.raises(DiskFullError, match="no room left.*Nothing was saved"):
        for number in range(500):
            view = reviewer.region(reviewer.next_region())
            reviewer.decide(
                request(
                    DecisionKind.SKIP,
                    f"op-{number}",
                    view.row.image_id,
                    view.image_version,
                    region_id=view.row.region_id,
                )
            )
            stored += 1
    assert stored > 0
    with store.reader() as session:
        assert session.scalar(select(func.count()).select_from(Decision)) == stored
