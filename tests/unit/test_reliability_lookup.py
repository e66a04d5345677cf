import pytest

from reliability.lookup import build_method, method_names, method_options


def test_every_method_file_is_a_name():
    assert method_names() == (
        "class_balanced",
        "combined",
        "covar",
        "csl",
        "detector_agreement",
        "entropy_percentile",
        "fixed_threshold",
        "rank_statistics",
        "s4mc",
    )


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'fixmatch'; choose one of class_balanced, .*rank_statistics, s4mc"):
        build_method("fixmatch")


@pytest.mark.parametrize("name", ["../selection", "__init__", ""])
def test_a_name_that_is_no_method_file_is_never_imported(name):
    with pytest.raises(ValueError, match="unknown selection method"):
        build_method(name)


def test_an_unknown_option_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'csl' has no option 'beta'; its options are alpha, require_confidence"):
        build_method("csl", beta=1.0)


def test_options_come_with_their_defaults():
    assert method_options("csl") == {"alpha": 8.0, "require_confidence": False}


def test_methods_are_built_in_evaluation_mode():
    assert not build_method("csl").training


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("csl", {"alpha": 0}, "'alpha' must be a number of at least 0.001 but is 0"),
        ("csl", {"alpha": "8"}, "'alpha' must be a number of at least 0.001 but is '8'"),
        ("csl", {"alpha": float("nan")}, "'alpha' must be a number"),
        ("csl", {"require_confidence": 1}, "'require_confidence' must be one of False, True but is 1"),
        ("fixed_threshold", {"threshold": 95}, "'threshold' must be a number of at least 0 and at most 1 but is 95"),
        ("s4mc", {"score": "energy"}, "'score' must be one of 'margin', 'confidence', 'entropy' but is 'energy'"),
        ("s4mc", {"neighborhood": 6}, "'neighborhood' must be one of 4, 8 but is 6"),
        ("s4mc", {"strongest": 5}, "'strongest' must be one of 1, 2, 3, 4 but is 5"),
        ("s4mc", {"drop_share": 40}, "'drop_share' must be a number of at least 0 and at most 1 but is 40"),
        ("s4mc", {"joint": "prior"}, "joint='prior' needs class_prior"),
        ("s4mc", {"joint": "product", "class_prior": [0.9, 0.9]}, "joint='product' does not use class_prior"),
        ("s4mc", {"class_prior": [0.9, 1.9]}, "'class_prior' must be a number of at least 0 and at most 1 but is 1.9"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else None,
)
def test_a_wrong_option_is_refused_by_name(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_method(name, **options)
