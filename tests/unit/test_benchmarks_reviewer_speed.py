"""What the measurement of the reviewer is made of; the measurement itself needs a browser and minutes."""

import argparse
from contextlib import closing
from pathlib import Path

import pytest

from app.services.review_types import QueueFilter
from app.services.reviewing import ReviewService
from app.storage.database import open_store
from benchmarks.large_workspace import build, parse_size
from benchmarks.side_by_side import summary


def test_every_large_picture_has_regions_that_wait(tmp_path: Path) -> None:
    workspace = build(tmp_path, (320, 240), images=2, classes=3)
    with closing(open_store(workspace)) as store:
        rows = ReviewService(store).queue(QueueFilter(), 500)
    assert {row.sample_id for row in rows} == {"large_00", "large_01"}


def test_size_is_read_as_width_and_height() -> None:
    assert parse_size("4000x3000") == (4000, 3000)


@pytest.mark.parametrize("text", ["4000", "x3000", "4000x-1", "4000x3000x1"])
def test_text_that_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="looks like 4000x3000"):
        parse_size(text)


def test_summary_gives_median_and_95th_percentile() -> None:
    assert summary([float(number) for number in range(100, 0, -1)]) == {"count": 100, "median_ms": 50.5, "p95_ms": 96.0}
