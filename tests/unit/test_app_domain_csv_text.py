"""Cells that a spreadsheet does not run."""

import pytest

from app.domain.csv_text import safe_cell


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1dcmd"],
    ids=["equals", "plus", "minus", "at", "tab", "return", "line feed", "full width"],
)
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(text):
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "cell"),
    [("ann", "ann"), ("a=1", "a=1"), ("", ""), (None, ""), (0.25, "0.25"), (-3, "-3"), (True, "True")],
)
def test_everything_else_stays_as_it_is(value, cell):
    assert safe_cell(value) == cell
