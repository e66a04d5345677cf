"""Configurations: what is refused and how it is said, and that JSON gives the same configuration back."""

import dataclasses
import json

import pytest

from training.config import DataConfig, HostConfig, OptimizerConfig, RunConfig, TrainConfig, ViewConfig
from training.config_json import (
    apply_changes,
    config_from_json,
    config_to_json,
    differing_keys,
    read_config,
    write_config,
)
from training.presets import PRESETS, build_preset


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_json(name, tmp_path):
    config = build_preset(name)
    write_config(tmp_path / "config.json", config)
    assert read_config(tmp_path / "config.json") == config and config.preset == name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param("optimizr.lr=1", "unknown key 'optimizr'. Did you mean optimizer?", id="section-typo"),
        pytest.param("optimizer.lrr=1", "unknown key 'optimizer.lrr'. Did you mean optimizer.lr?", id="key-typo"),
        pytest.param(
            "optimizer=1", "optimizer is a section; set one of its keys, for example optimizer.name", id="section"
        ),
        pytest.param("optimizer.lr.x=1", "optimizer.lr has no keys below it; it is a number", id="too-deep"),
        pytest.param("optimizer.lr=fast", "optimizer.lr: expected a number, got 'fast'", id="text-for-number"),
        pytest.param("optimizer.lr=-1", "optimizer.lr: must be at least 1e-09 and at most 100, got -1", id="range"),
        pytest.param("optimizer.lr=NaN", "optimizer.lr: must be at least", id="nan"),
        pytest.param("optimizer.name=lamb", "optimizer.name: expected one of sgd, adamw, got 'lamb'", id="choice"),
        pytest.param("run.steps=1.5", "run.steps: expected a whole number, got 1.5", id="fraction"),
        pytest.param("run.steps=true", "run.steps: expected a whole number, got True", id="bool-for-int"),
        pytest.param("run.labeled_batch=1", "run.labeled_batch: must be at least 2, got 1", id="batch-of-1"),
        pytest.param("loss.ohem=1", "loss.ohem: expected true or false, got '1'", id="int-for-bool"),
        pytest.param("views.crop_hw=64", "views.crop_hw: expected 2 values of type a whole number", id="one-of-two"),
        pytest.param("views.crop_hw=64,8", r"views.crop_hw: must be at least 32, got (64, 8)", id="small-crop"),
        pytest.param(
            "views.scale_range=2,1", "views.scale_range: the first value must not exceed the second", id="order"
        ),
        pytest.param(
            "host.name=unimatch9", "host.name: unknown name 'unimatch9'; choose one of ael, augseg", id="host"
        ),
        pytest.param(
            "selection.name=luck", "selection.name: unknown name 'luck'; choose one of class_balanced,", id="method"
        ),
        pytest.param("model.backbone=vgg", "model.backbone: unknown name 'vgg'; choose one of deeplab", id="backbone"),
        pytest.param("data.format=tarot", "data.format: unknown name 'tarot'; choose one of camvid", id="format"),
        pytest.param("run.steps", "--set run.steps: expected key=value", id="no-value"),
    ],
)
def test_a_wrong_change_names_the_key_and_what_is_allowed(change, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is the subject
        apply_changes(TrainConfig(), [change])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "read"),
    [
        pytest.param(
            "optimizer.lr=1", lambda c: c.optimizer.lr == 1.0 and isinstance(c.optimizer.lr, float), id="float"
        ),
        pytest.param("views.crop_hw=192,256", lambda c: c.views.crop_hw == (192, 256), id="tuple"),
        pytest.param("views.scale_range=[0.5, 1]", lambda c: c.views.scale_range == (0.5, 1.0), id="json-tuple"),
        pytest.param("loss.ohem=true", lambda c: c.loss.ohem is True, id="bool"),
        pytest.param("model.pretrained=123", lambda c: c.model.pretrained == "123", id="text-that-looks-like-a-number"),
        pytest.param("selection.options.alpha=4", lambda c: c.selection.options == {"alpha": 4}, id="option"),
        pytest.param("host.options.teacher=ema", lambda c: c.host.options == {"teacher": "ema"}, id="text-option"),
        pytest.param('host.options={"a": 1}', lambda c: c.host.options == {"a": 1}, id="all-options"),
        pytest.param("data.labeled_split=", lambda c: c.data.labeled_split == "", id="empty-text"),
    ],
)
def test_a_change_is_read_by_the_type_of_its_field(change, read):
    assert read(apply_changes(TrainConfig(), [change]))


def test_the_last_change_of_a_key_wins():
    assert apply_changes(TrainConfig(), ["run.steps=5", "run.steps=7"]).run.steps == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param([], "expected an object of keys and values", id="list"),
        pytest.param({"run": 3}, "run: expected an object of keys and values, got 3", id="section-is-number"),
        pytest.param({"run": {"stepz": 3}}, "unknown key 'run.stepz'. Did you mean run.steps?", id="unknown-key"),
        pytest.param({"mean": [0, 0]}, "mean: expected 3 values of type a number", id="short-mean"),
        pytest.param({"std": [0, 1, 1]}, "std: must be at least 0.001", id="zero-std"),
    ],
)
def test_a_wrong_file_names_itself_and_the_key(content, message, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is the subject
        read_config(path)
    assert str(path) in str(caught.value) and message in str(caught.value)


def test_a_file_that_is_no_json_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{run")
    with pytest.raises(ValueError, match=r"config\.json is not a JSON file"):
        read_config(tmp_path / "config.json")


def test_absent_keys_keep_their_defaults():
    assert config_from_json({"run": {"steps": 3}}, "here") == TrainConfig(run=RunConfig(steps=3))


def test_differing_keys_are_dotted():
    one = TrainConfig(host=HostConfig(name="csl"), data=DataConfig(root="a"))
    other = TrainConfig(host=HostConfig(options={"x": 1}), data=DataConfig(root="b"))
    assert differing_keys(one, other) == ["data.root", "host.name", "host.options"]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: OptimizerConfig(lr=0.0), id="lr"),
        pytest.param(lambda: ViewConfig(crop_hw=(32, 32, 32)), id="crop"),
        pytest.param(lambda: RunConfig(precision="int8"), id="precision"),
    ],
)
def test_python_code_cannot_make_a_wrong_configuration_either(make):
    with pytest.raises(ValueError, match="must be|expected"):
        make()


def test_configurations_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().preset = "other"


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown preset 'fast'; choose one of debug, demo, camvid_cpu"):
        build_preset("fast")


def test_every_field_is_written():
    written = config_to_json(TrainConfig())
    assert set(written) == {field.name for field in dataclasses.fields(TrainConfig)}
