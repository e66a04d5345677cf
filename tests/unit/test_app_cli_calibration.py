"""What the command line says about reliable pixels after an export: a promise, none, or why there is no calibration."""

import pytest

from app.cli.models import print_calibration, print_cuts
from app.domain.promises import Promise
from app.domain.shift import Shift
from app.services.thresholds import CutInForce

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


@pytest.mark.parametrize(
    ("sentence", "left"),
    [
        (NOTE["sentence"], "The promise above is about them."),
        (f"Nothing is promised here. {NOTE['sentence']}", "Nothing is promised here."),
        ("No promise holds at this threshold.", "No promise holds at this threshold."),
    ],
    ids=["as above", "more than above", "something else"],
)
def test_a_promise_that_was_printed_is_not_repeated(sentence, left, capsys):
    like_gold = Shift(12, 40, None, 0.0, False, None, None)
    print_cuts([CutInForce(1, 1, None, 40, Promise(None, sentence), like_gold)], str(NOTE["sentence"]))
    said = " ".join(capsys.readouterr().out.split())
    assert f"verdict. {left} " in said and str(NOTE["sentence"]) not in said
