"""What the command line says about reliable pixels after an export: a promise, none, or why there is no calibration."""

import pytest

from app.cli.models import print_calibration

NOTE = {"sentence": "Promised: at most 1 % are wrong.", "decides": True}


@pytest.mark.parametrize(
    ("gold", "expected", "missing"),
    [
        ({"calibration": NOTE}, ["Promised: at most 1 %", "audits measure it on others"], "Not calibrated"),
        ({"calibration": {**NOTE, "decides": False}}, ["Promised"], "audits"),
        (
            {"calibration": None, "not_calibrated": "3 images"},
            ["Not calibrated", "reliable pixels: 3 images."],
            "audits",
        ),
        ({}, ["Not calibrated", "the model file has no calibration."], "audits"),
    ],
    ids=["decides", "does not decide", "refused", "an earlier version"],
)
def test_it_is_said_what_is_promised(gold, expected, missing, capsys):
    print_calibration(gold)
    said = capsys.readouterr().out
    assert all(part in said for part in expected) and missing not in said
