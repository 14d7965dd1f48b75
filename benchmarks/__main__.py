"""`python -m benchmarks`: parses the arguments; the work is in the modules beside this one."""

import argparse
import datetime
import sys
from dataclasses import asdict
from pathlib import Path

import onnx
from rich.console import Console

from webdnn.peaks import measure_peaks

from . import chain_cost, compile_cost, kernels, roofline, schedules, side_by_side, start, sweep
from .chains import CHAINS
from .macs import count_macs
from .models import MODELS
from .peers import FLOATS, PEERS, Setting
from .results import ResultTable, write

BROWSER_MODELS = ["resnet50", "vgg16", "inception_v3", "mobilenetv2", "squeezenet", "minilm"]


def main(arguments: list[str] | None = None) -> int:
    """The entry point; returns the exit status."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120)  # for a log, wide enough
    tables, data = options.run(options, console)
    for table in tables:
        table.show(console)
    if options.output is not None:
        settings = {k: v for k, v in vars(options).items() if k not in ("run", "output", "gemm")}
        stamp = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        write(options.output, tables, {"date": stamp, "settings": settings, "results": data})
        console.print(f"written: {options.output.with_suffix('.json')} and .md")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, run: object, text: str, models: list[str]) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument(
            "--models", nargs="+", choices=list(MODELS), default=models, metavar="MODEL"
        )
        output_option(sub)
        return sub

    def output_option(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--output", type=Path, metavar="FILE", help="also write FILE.json and FILE.md"
        )

    def peer_option(sub: argparse.ArgumentParser, peers: list[str]) -> None:
        sub.add_argument("--peers", nargs="+", choices=peers, default=peers, metavar="PEER")

    def browser_options(sub: argparse.ArgumentParser, rounds: int) -> None:
        sub.add_argument("--backend", choices=["wasm", "webgpu"], default="wasm")
        sub.add_argument("--gpu", choices=["software", "hardware"], default="software")
        sub.add_argument("--threads", type=int, default=1)
        sub.add_argument("--rounds", type=int, default=rounds)
        sub.add_argument("--timeout", type=float, default=600, help="seconds for one step")

    text = "the time of a run: all peers in one page of one browser, in turns"
    sub = command("run", _run, text, BROWSER_MODELS)
    peer_option(sub, list(PEERS))
    browser_options(sub, 20)
    sub.add_argument("--native", action="store_true", help="native ONNX Runtime too")
    text = "the time from navigation to the first result, and the bytes downloaded"
    sub = command("start", _start, text, BROWSER_MODELS)
    peer_option(sub, list(PEERS))
    browser_options(sub, 5)
    text = "the time of each kernel of WebDNN's package, with GFLOP/s and GB/s"
    sub = command("kernels", _kernels, text, ["resnet50"])
    browser_options(sub, 10)
    sub.add_argument("--top", type=int, default=25, help="how many kernels to show")
    sub.add_argument("--chart", type=Path, metavar="SVG", help="also draw them under the roofline")
    text = "single operators of many shapes, against the peak of the engine"
    sub = commands.add_parser("sweep", help=text, description=text)
    sub.set_defaults(run=_sweep)
    output_option(sub)
    peer_option(sub, [peer for peer in PEERS if peer != FLOATS])
    browser_options(sub, 10)
    sub.add_argument("--match", default="", help="only operators whose name contains this")
    text = "products [M, K] x [K, N] to measure in place of the usual operators"
    sub.add_argument("--gemm", nargs="+", type=sweep.gemm, default=[], metavar="MxKxN", help=text)
    text = "the time and memory of the compiler: cold, warm, and when only the weights changed"
    sub = command("compile", _compile, text, BROWSER_MODELS)
    sub.add_argument("--target", choices=["wasm", "webgpu", "both"], default="both")
    text = "the time of the compiler for models that are long, wide or deep"
    sub = commands.add_parser("chains", help=text, description=text)
    sub.set_defaults(run=_chains)
    output_option(sub)
    sub.add_argument("--chains", nargs="+", choices=list(CHAINS), default=list(CHAINS))
    sub.add_argument("--nodes", type=int, default=1000, help="and twice as many")
    sub.add_argument("--target", choices=["wasm", "webgpu", "both"], default="both")
    text = "tune the schedules that ship with the compiler, in Chromium"
    sub = command("schedules", _schedules, text, schedules.MODELS_TO_TUNE)
    sub.add_argument("--seconds", type=float, default=360, help="for each model")
    sub.add_argument("--kernels", type=int, help="of each model, the slowest so many")
    command("models", _models, "build the models and count their multiply-adds", list(MODELS))
    return parser


Outcome = tuple[list[ResultTable], list[dict[str, object]]]


def _setting(options: argparse.Namespace) -> Setting:
    o = options
    return Setting(o.backend, o.threads, o.gpu, o.rounds, o.timeout)


def _run(options: argparse.Namespace, console: Console) -> Outcome:
    setting = _setting(options)
    results = side_by_side.compare(
        options.models, options.peers, setting, native=options.native, console=console
    )
    table = side_by_side.table(results, options.peers, setting)
    return [table], [asdict(result) for result in results]


def _start(options: argparse.Namespace, console: Console) -> Outcome:
    setting = _setting(options)
    results = start.measure(options.models, options.peers, setting, console)
    return [start.table(results, setting)], [asdict(result) for result in results]


def _kernels(options: argparse.Namespace, console: Console) -> Outcome:
    setting = _setting(options)
    profiles = [kernels.profile(name, setting, console) for name in options.models]
    peaks = measure_peaks(timeout=options.timeout) if options.backend == "wasm" else None
    tables = [kernels.table(profile, peaks, options.top) for profile in profiles]
    if options.chart is not None and peaks is not None:
        options.chart.write_text(roofline.chart(profiles, peaks))
    data: list[dict[str, object]] = [asdict(profile) for profile in profiles]
    return tables, data if peaks is None else [*data, {"peaks": asdict(peaks)}]


def _sweep(options: argparse.Namespace, console: Console) -> Outcome:
    setting = _setting(options)
    peaks = measure_peaks(timeout=options.timeout)
    shapes = [s for s in options.gemm or sweep.SHAPES if options.match in s.name]
    results = sweep.sweep(options.peers, setting, console, shapes)
    table = sweep.table(results, options.peers, setting, peaks)
    return [table], [asdict(result) for result in results]


def _compile(options: argparse.Namespace, console: Console) -> Outcome:
    results = compile_cost.measure(options.models, options.target, console)
    return [compile_cost.table(results, options.target)], [asdict(result) for result in results]


def _chains(options: argparse.Namespace, console: Console) -> Outcome:
    results = chain_cost.measure(options.chains, options.nodes, options.target, console)
    return [chain_cost.table(results, options.target)], [asdict(result) for result in results]


def _schedules(options: argparse.Namespace, console: Console) -> Outcome:
    return [schedules.measure(options.models, options.seconds, options.kernels, console)], []


def _models(options: argparse.Namespace, console: Console) -> Outcome:
    table = ResultTable("Models", ["model", "GMAC", "published", "weights: MB", "file"])
    data: list[dict[str, object]] = []
    for name in options.models:
        with console.status(f"building {name}"):
            path = MODELS[name].path()
            macs = count_macs(onnx.load(path, load_external_data=False))
        size = sum(file.stat().st_size for file in path.parent.iterdir())
        row = [
            name,
            f"{macs / 1e9:.2f}",
            f"{MODELS[name].gmacs:.2f}",
            f"{size / 1e6:.1f}",
            str(path),
        ]
        table.rows.append(row)
        data.append({"model": name, "macs": macs, "bytes": size, "file": str(path)})
    return [table], data


if __name__ == "__main__":
    sys.exit(main())
