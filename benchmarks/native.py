"""Native ONNX Runtime on the same machine, for reference: what the processor can do outside a browser."""

import time

import onnxruntime

from .models import BenchmarkModel


def native_times(model: BenchmarkModel, threads: int, rounds: int) -> list[float]:
    """Milliseconds of each of `rounds` runs, after two that do not count."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.path(), options, providers=["CPUExecutionProvider"]
    )
    feeds = model.inputs()
    times: list[float] = []
    for _ in range(rounds + 2):
        started = time.perf_counter()
        session.run(None, feeds)
        times.append((time.perf_counter() - started) * 1000)
    return times[2:]
