"""Code of a user's that does not end, and ends that come from outside: what is said, and that nothing stays behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import onnx
import pytest

import webdnn
from tests.unit.custom_operator_files import HEAD
from webdnn.dialects import time_limit as limits
from webdnn.dialects.termination import closing_when_terminated, restore_signals
from webdnn.dialects.time_limit import StillRunning, limited
from webdnn.frontends.conversion import process
from webdnn.frontends.conversion.pytorch import PYTORCH

WEBDNN = str(Path(sys.executable).with_name("webdnn"))

ENDLESS_FACTORY = """
import subprocess, tempfile, time
from pathlib import Path

def make():
    tempfile.mkdtemp(prefix="mine-")
    child = subprocess.Popen(["sleep", "1000"])
    Path("child").write_text(str(child.pid))
    Path("started").touch()
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            pass
"""
"""A function that makes a module, a folder and a process, in which it waits for nothing."""

FOREVER = "__import__('time').sleep(1000)"

SWISH = """<ir_version: 10, opset_import: ["" : 21, "com.example" : 1]>
    swish (float[4] x) => (float[4] y) { [the_swish] y = com.example.Swish(x) }"""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or ") Z " not in stat.read_text()


def _await(condition: str, folder: Path) -> None:
    end = time.monotonic() + 60
    while not (folder / condition).exists():
        assert time.monotonic() < end, f"{condition} did not come"
        time.sleep(0.02)


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    (tmp_path / "endless.py").write_text(ENDLESS_FACTORY)
    (tmp_path / "tmp").mkdir()
    return tmp_path


def _heed_signals() -> None:
    """Who runs the tests may ignore some, as `nohup` does, and what is started would inherit that."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [WEBDNN, *arguments],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_signals,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [
        ("convert", signal.SIGTERM, 143),
        ("convert", signal.SIGINT, 130),
        ("compile", signal.SIGHUP, 129),
    ],
)
def test_a_signal_ends_all_of_a_conversion(
    endless: Path, command: str, number: signal.Signals, code: int
) -> None:
    tool = _start(endless, command, "endless:make", "-o", "out")
    _await("started", endless)
    tool.send_signal(number)
    assert tool.wait(30) == code
    assert not _is_alive(int((endless / "child").read_text()))
    assert not [*(endless / "tmp").iterdir()]
    assert not (endless / "out").exists()
    assert tool.stderr is not None and "error" not in tool.stderr.read()


def test_a_tool_that_is_killed_takes_the_conversion_along(endless: Path) -> None:
    tool = _start(endless, "convert", "endless:make", "-o", "out")
    _await("started", endless)
    tool.kill()
    tool.wait()
    child, end = int((endless / "child").read_text()), time.monotonic() + 20
    while _is_alive(child):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_function_that_makes_no_module_in_time(endless: Path) -> None:
    tool = _start(endless, "convert", "endless:make", "-o", "out", "--time-limit", "5")
    assert tool.wait(60) == 1
    assert tool.stderr is not None
    said = tool.stderr.read()
    assert re.search(
        "error: .*module.* has not ended within 5 s|error: PyTorch, .* within 5 s", said
    )
    assert "endless:make" in said and "--time-limit" in said and "Traceback" not in said
    assert not [*(endless / "tmp").iterdir()]


def test_what_a_conversion_waits_for_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process, "_FIRST_WORD", 0.2)
    monkeypatch.setattr(process, "_command", lambda *_: [sys.executable, "-c", FOREVER])
    job = process.Job("model.pt2", str(tmp_path / "model.onnx"))
    with (
        pytest.warns(StillRunning, match=r"PyTorch.* has run for 0 s \(model\.pt2\).* after 1 s"),
        pytest.raises(
            webdnn.WebDNNError, match=r"(?s)PyTorch.*has not ended within 1 s.*model\.pt2"
        ),
        webdnn.time_limit(1),
    ):
        process.run(PYTORCH, job)


def test_signals_that_are_handled_or_ignored_stay_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with closing_when_terminated(), closing_when_terminated():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert callable(signal.getsignal(signal.SIGTERM))
            restore_signals()  # as a fork does
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


ENDLESS_OPERATORS = {
    "the file of custom operators": f"{HEAD}{FOREVER}\n",
    "the shape function of com.example.Swish": (
        f"{HEAD}def endless(types): {FOREVER}\n"
        "operator = webdnn.CustomOperator(schema(), lower, swish, endless)\n"
    ),
    "the lowering of com.example.Swish": (
        f"{HEAD}def endless(node, b): {FOREVER}\n"
        "operator = webdnn.CustomOperator(schema(), endless, swish, same)\n"
    ),
}


@pytest.mark.parametrize("what", ENDLESS_OPERATORS)
def test_custom_operators_that_do_not_end(tmp_path: Path, what: str) -> None:
    (tmp_path / "operators.py").write_text(ENDLESS_OPERATORS[what])
    model, file = onnx.parser.parse_model(SWISH), tmp_path / "operators.py"
    with pytest.raises(webdnn.WebDNNError) as raised, webdnn.time_limit(1):
        webdnn.compile(model, target="wasm", custom_ops=[file])
    said = str(raised.value)
    assert f"{what} has not ended within 1 s" in said
    assert re.search(r"operators\.py:\d+", said)
    assert "file" in what or "the_swish" in said


def test_words_become_rarer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FIRST_WORD", 0.1)
    with warnings.catch_warnings(record=True) as said, limited("it"):
        warnings.simplefilter("always")
        time.sleep(0.75)
    assert [str(each.message)[:10] for each in said] == ["it has run"] * 3  # at 0.1, 0.2 and 0.4


def test_alarms_of_the_caller_come(monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[int] = []
    handler = signal.signal(signal.SIGALRM, lambda number, frame: came.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with limited("it"):
            time.sleep(0.3)
        assert not came
        time.sleep(0.1)
        assert came == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def test_other_threads_are_not_limited() -> None:
    ended: list[bool] = []

    def run() -> None:
        with webdnn.time_limit(0.1), limited("it"):
            time.sleep(0.3)
        ended.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ended


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_no_time_limits(seconds: float) -> None:
    with pytest.raises(webdnn.WebDNNError, match="is no time limit"), webdnn.time_limit(seconds):
        pass
