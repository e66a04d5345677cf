"""Do what a target of the Dockerfile does, without a Docker engine: the same steps in an empty folder and environment.

    python scripts/check_image_install.py review /tmp/check-review
    python scripts/check_image_install.py full /tmp/check-full --build-arg COMPUTE=cpu      # downloads about 7 GB

The steps are read from the Dockerfile, so that they cannot drift apart. COPY takes only what .dockerignore lets
through. Steps that need root (the user and the volume's folder) are skipped and named. Afterwards the result is used
as the image would be: everything imports, the app starts, and the image's own health check answers. In `review` torch
must be absent.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
NEEDS_ROOT = "useradd"

CHECKS = {
    "review": (
        "from importlib.util import find_spec; assert find_spec('torch') is None, 'torch is installed'",
        "import app.__main__, app.web.server, app.services.worker, export.session",
    ),
    "full": (
        "import app.__main__, app.web.server, app.services.worker, export.session",
        "import training.__main__, export.__main__",
    ),
}


@dataclass(frozen=True)
class Step:
    """One instruction of a Dockerfile, continuation lines joined."""

    instruction: str
    arguments: str


def read_stages(text: str) -> dict[str, list[Step]]:
    """Stage name -> its steps, those of the stages it builds on included.

    Raises:
        ValueError: a stage without a name.
    """
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    stages: dict[str, list[Step]] = {}
    name = ""
    for line in re.sub(r"\\\n", " ", lines).splitlines():
        if not line.strip():
            continue
        instruction, _, arguments = line.strip().partition(" ")
        if instruction == "FROM":
            match = re.fullmatch(r"(\S+) AS (\S+)", arguments.strip())
            if match is None:
                raise ValueError(f"every stage needs a name, got: FROM {arguments}")
            name = match.group(2)
            stages[name] = list(stages.get(match.group(1), []))
        else:
            stages[name].append(Step(instruction, arguments.strip()))
    return stages


def allowed_by_dockerignore(text: str) -> set[str]:
    """The names at the root of the repository that .dockerignore lets into a build (it starts with `*`)."""
    lines = [line.strip() for line in text.splitlines()]
    if "*" not in lines:
        raise ValueError(".dockerignore is expected to keep everything out first ('*') and to let names in ('!name')")
    return {line[1:] for line in lines if line.startswith("!")}


class Installation:
    """The folder and the environment that stand for an image."""

    def __init__(self, folder: Path, build_arguments: dict[str, str]) -> None:
        self.folder = folder
        self._given = build_arguments
        self._allowed = allowed_by_dockerignore((REPOSITORY / ".dockerignore").read_text())
        environment = folder.parent / f"{folder.name}.venv"
        venv.create(environment, with_pip=True, clear=True)
        path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self.variables = {**os.environ, "PATH": path, "VIRTUAL_ENV": str(environment)}
        self.variables.pop("PYTHONPATH", None)

    def apply(self, step: Step) -> None:
        """Do one step; what only describes the image (USER, CMD, ...) is skipped."""
        if step.instruction == "COPY":
            *sources, target = step.arguments.split()
            for source in sources:
                self._copy(source, target)
        elif step.instruction == "RUN" and NEEDS_ROOT in step.arguments:
            print(f"skipped, needs root: {step.arguments[:70]}...")
        elif step.instruction == "RUN":
            self.run(["sh", "-c", step.arguments])
        elif step.instruction == "ENV":
            for name, value in re.findall(r"(\w+)=(\S+)", step.arguments):
                if not name.startswith("PIP_NO_CACHE"):  # Only matters for the size of an image's layers.
                    self.variables[name] = value
        elif step.instruction == "ARG":
            name, _, default = step.arguments.partition("=")
            self.variables[name] = self._given.get(name, default)

    def run(self, command: list[str]) -> None:
        """Run a command in the folder, with the environment first on the path."""
        print("+", " ".join(command)[:160], flush=True)
        subprocess.run(command, cwd=self.folder, env=self.variables, check=True)

    def _copy(self, source: str, target: str) -> None:
        if source not in self._allowed:
            raise ValueError(f"the Dockerfile copies {source}, but .dockerignore keeps it out; add the line !{source}")
        origin = REPOSITORY / source
        destination = self.folder / target / (source if target.endswith("/") else "")
        if origin.is_dir():
            shutil.copytree(origin, destination, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy2(origin, destination)


def check_health(installation: Installation, steps: list[Step]) -> None:
    """Start the image's command on a workspace with a few pictures and run the image's health check until it succeeds.

    Raises:
        RuntimeError: it did not within a minute, or the app ended.
    """
    workspace = installation.folder.parent / f"{installation.folder.name}.workspace"
    scenes = workspace.with_suffix(".scenes")
    paint = "from datasets.formats.scenes import write_scenes; from pathlib import Path; import sys"
    installation.run(["python", "-c", f"{paint}; write_scenes(Path(sys.argv[1]))", str(scenes)])
    installation.run(["pixelsieve", "import", str(scenes), "--workspace", str(workspace), "--format", "scenes"])
    last = {step.instruction: step.arguments for step in steps}
    command = [str(workspace) if word == "/workspace" else word for word in json.loads(last["CMD"])]
    probe = json.loads(last["HEALTHCHECK"].partition("CMD")[2])
    app = subprocess.Popen(command, cwd=installation.folder, env=installation.variables)
    try:
        deadline = time.monotonic() + 60
        while subprocess.run(probe, env=installation.variables, stderr=subprocess.DEVNULL).returncode != 0:
            if app.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the health check did not succeed within 60 seconds; see the output above")
            time.sleep(1)
    finally:
        app.terminate()
        app.wait(90)
    print("the health check succeeds")


def main() -> int:
    """Install one target and use it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=tuple(CHECKS))
    parser.add_argument("folder", type=Path, help="empty or new; DIR.venv beside it becomes the environment")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="as for docker build")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if any(options.folder.iterdir()):
        parser.error(f"{options.folder} is not empty; give an empty folder or a new one")
    given = dict(pair.split("=", 1) for pair in options.build_arg)
    installation = Installation(options.folder.resolve(), given)
    steps = read_stages((REPOSITORY / "Dockerfile").read_text())[options.target]
    for step in steps:
        installation.apply(step)
    for code in CHECKS[options.target]:
        installation.run(["python", "-c", code])
    installation.run(["pixelsieve", "--help"])
    check_health(installation, steps)
    print(f"the steps of target '{options.target}' work: {options.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
