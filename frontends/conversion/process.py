"""Runs a converter in a process of its own: its framework may be large or fall over, and the caller stays as it is."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from webdnn.dialects.errors import WebDNNError


@dataclass(frozen=True)
class Converter:
    """What makes ONNX models of one framework's files.

    Attributes:
        framework: its name, for messages.
        module: the module of this package that does it; it is run with `python -m` and calls `main`.
        extra: the optional dependencies of the distribution that it needs.
        needs: the top-level modules that these bring.
    """

    framework: str
    module: str
    extra: str
    needs: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """What a converter is to do.

    Attributes:
        model: the file or folder.
        output: where the ONNX model goes.
        shapes: the shapes of the inputs by their names; those that are not named keep what the model says.
        shapes_in_order: the same for the inputs in their order.
        custom_objects: a Python file of the user's that defines what the model's file only names.
    """

    model: str
    output: str
    shapes: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    shapes_in_order: list[list[int]] = field(default_factory=list[list[int]])
    custom_objects: str | None = None


def check_installed(converter: Converter) -> None:
    """Check that what a converter needs is there.

    Raises:
        WebDNNError: something is missing; the message is the command that installs it.
    """
    missing = [name for name in converter.needs if importlib.util.find_spec(name) is None]
    if missing:
        raise WebDNNError(
            f"models of {converter.framework} need {', '.join(missing)}, which {_are(missing)} not installed",
            hint=f"pip install 'webdnn[{converter.extra}]'",
        )


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def run(converter: Converter, job: Job) -> None:
    """Do a job; afterwards the ONNX model stands at `job.output`.

    Raises:
        WebDNNError: a dependency is missing, the model cannot be converted, or the process died.
    """
    check_installed(converter)
    with tempfile.TemporaryDirectory(prefix="webdnn-convert-") as folder:
        said = Path(folder) / "error.json"
        description = Path(folder) / "job.json"
        description.write_text(json.dumps(asdict(job)))
        command = _command(converter, description, said)
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
        if said.exists():
            raise WebDNNError(**json.loads(said.read_text()))
        if done.returncode or not Path(job.output).exists():
            raise _died(converter, job, done)


def _command(converter: Converter, job: Path, said: Path) -> list[str]:
    return [sys.executable, "-m", converter.module, str(job), str(said)]


def _died(converter: Converter, job: Job, done: subprocess.CompletedProcess[str]) -> WebDNNError:
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        why = f"its process was ended by {name}"
        if done.returncode == -signal.SIGKILL:
            why += ", as the system does where memory runs out"
    else:
        why = _exception(done.stderr) or f"its process ended with exit code {done.returncode}"
    return WebDNNError(
        f"{converter.framework} could not convert the model",
        where=job.model,
        why=why,
        hint="export it to ONNX in the program that made it, and give that file",
    )


def _exception(stderr: str) -> str:
    """The exception that a process ended with, `""` where it shows none: frameworks write much else."""
    _, shown, after = stderr.rpartition("Traceback (most recent call last):")
    lines = after.splitlines() if shown else []
    return next((line for line in lines if re.match(r"[A-Za-z_][\w.]*(: |$)", line)), "")


def main(convert: Callable[[Job], None]) -> None:
    """The entry point of a converter's module: reads the job, and leaves what a user is to read in a file."""
    description, said = Path(sys.argv[1]), Path(sys.argv[2])
    job = Job(**json.loads(description.read_text()))
    aside = f"{job.output}.part"
    try:
        convert(replace(job, output=aside))
        os.replace(aside, job.output)
    except WebDNNError as error:
        said.write_text(
            json.dumps(
                {"what": error.what, "where": error.where, "why": error.why, "hint": error.hint}
            )
        )
        sys.exit(1)
    finally:
        Path(aside).unlink(missing_ok=True)
