"""The repository keeps its own rules: layers, file sizes, names, and a README that mentions what can be typed."""

import re
from importlib import metadata
from pathlib import Path

import pytest

from datasets.lookup import dataset_names
from reliability.lookup import method_names
from training.lookup import backbone_names, host_names
from training.presets import PRESETS
from training.protocols import PROTOCOLS

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("app", "training", "export", "datasets", "reliability", "benchmarks")
SOURCES = sorted(path for package in PACKAGES for suffix in ("*.py", "*.js") for path in (ROOT / package).rglob(suffix))
README = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
"""The first page and those that it leads to."""


def test_no_source_file_is_longer_than_400_lines():
    long = {str(path.relative_to(ROOT)): n for path in SOURCES if (n := len(path.read_text().splitlines())) > 400}
    assert long == {}


def test_no_file_has_a_name_that_says_nothing():
    names = {path.stem for path in SOURCES}
    assert names.isdisjoint({"utils", "helpers", "common", "misc", "types", "logging"})


def test_every_module_says_what_it_is_for():
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.suffix == ".py" and "versions" not in path.parts and not path.read_text().lstrip().startswith('"""')
    ]
    assert silent == []


def test_gradio_is_imported_by_the_pages_only():
    importers = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if path.suffix == ".py" and re.search(r"^\s*(import|from) gradio\b", path.read_text(), re.MULTILINE)
    }
    assert all(name.startswith("app/web/") for name in importers), importers


def test_fiftyone_is_imported_in_one_place():
    importers = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if path.suffix == ".py" and re.search(r"^\s*(import|from) fiftyone\b", path.read_text(), re.MULTILINE)
    }
    assert importers == {"app/web/fiftyone_view.py"}


def test_no_installed_distribution_is_called_datasets():
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.distribution("datasets")


TYPED = (*method_names(), *dataset_names(), *host_names(), *backbone_names(), *PRESETS, *PROTOCOLS)


@pytest.mark.parametrize("name", TYPED)
def test_the_readme_names_everything_a_user_can_type(name: str):
    assert f"`{name}`" in README


@pytest.mark.parametrize("target", re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
def test_the_readme_names_every_make_target(target: str):
    assert f"make {target}" in README
