"""The roofline chart: kernels by how much they compute for each byte, and how fast, under what the engine can do.

Both axes are logarithmic. The area of a dot is the kernel's share of its model's time. An SVG without scripts, which
any browser and any Markdown page shows.
"""

from html import escape
from math import log10, sqrt

from webdnn.kernel_profile import KernelProfile
from webdnn.peaks import Peaks

WIDTH, HEIGHT = 860, 520
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 48, 56
X = (0.05, 500.0)
"""Operations a byte, from left to right."""
Y = (0.1, 100.0)
"""Billions of operations a second, from bottom to top."""
COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#b8860b", "#6a4c93", "#4d4d4d", "#00838f")
LEVELS = {1 << 18: "256 KiB", 1 << 28: "256 MiB"}
"""The blocks whose bandwidth is drawn."""


def _x(value: float) -> float:
    return LEFT + _share(value, X) * (WIDTH - LEFT - RIGHT)


def _y(value: float) -> float:
    return HEIGHT - BOTTOM - _share(value, Y) * (HEIGHT - TOP - BOTTOM)


def _share(value: float, axis: tuple[float, float]) -> float:
    low, high = map(log10, axis)
    return (log10(min(max(value, axis[0]), axis[1])) - low) / (high - low)


def chart(profiles: list[KernelProfile], peaks: Peaks) -> str:
    """The chart of some models."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *_axes(),
        *_roofs(peaks),
    ]
    for number, profile in enumerate(profiles):
        parts += _dots(profile, COLOURS[number % len(COLOURS)])
    parts += _legend([p.model for p in profiles])
    engine = profiles[0].engine if profiles else ""
    parts.append(_text(LEFT, 22, f"Kernels under the roofline: {engine}", size=15))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axes() -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts: list[str] = []
    for value in (0.1, 1, 10, 100):
        parts.append(_line(_x(value), TOP, _x(value), bottom, "#e4e4e4"))
        parts.append(_text(_x(value), bottom + 18, f"{value:g}", anchor="middle"))
        parts.append(_line(LEFT, _y(value), right, _y(value), "#e4e4e4"))
        parts.append(_text(LEFT - 8, _y(value) + 4, f"{value:g}", anchor="end"))
    parts.append(_line(LEFT, bottom, right, bottom, "#444"))
    parts.append(_line(LEFT, TOP, LEFT, bottom, "#444"))
    parts.append(_text((LEFT + right) / 2, HEIGHT - 14, "operations a byte", anchor="middle"))
    middle = (TOP + bottom) / 2
    turned = f'transform="rotate(-90 18 {middle:.0f})"'
    parts.append(_text(18, middle, "GFLOP/s", anchor="middle", more=turned))
    return parts


def _roofs(peaks: Peaks) -> list[str]:
    parts: list[str] = []
    for size, rate in peaks.bandwidth.items():
        if size not in LEVELS:
            continue
        start, ridge = max(X[0], Y[0] / rate), peaks.gflops / rate
        parts.append(
            _line(_x(start), _y(start * rate), _x(ridge), _y(peaks.gflops), "#999", dashed=True)
        )
        label = f"{rate:.0f} GB/s ({LEVELS[size]})"
        at = X[0] * 1.15
        parts.append(_text(_x(at), _y(at * rate) - 5, label, colour="#666", size=10))
    ridge = peaks.gflops / max(peaks.bandwidth.values())
    y = _y(peaks.gflops)
    parts.append(_line(_x(ridge), y, WIDTH - RIGHT, y, "#444"))
    label = f"{peaks.gflops:.0f} GFLOP/s: relaxed multiply-adds in registers"
    parts.append(_text(WIDTH - RIGHT, y - 6, label, anchor="end", colour="#444", size=10))
    return parts


def _dots(profile: KernelProfile, colour: str) -> list[str]:
    parts: list[str] = []
    total = profile.milliseconds or 1.0
    for kernel in profile.kernels:
        share = kernel.milliseconds / total
        if kernel.flops == 0 or share < 0.001:
            continue
        radius = max(1.5, 40 * sqrt(share))
        title = (
            f"{profile.model}: {kernel.kernel}, {100 * share:.1f}% of the time, "
            f"{kernel.gflops:.1f} GFLOP/s, {kernel.intensity:.1f} op/B"
        )
        parts.append(
            f'<circle cx="{_x(kernel.intensity):.1f}" cy="{_y(kernel.gflops):.1f}" '
            f'r="{radius:.1f}" fill="{colour}" fill-opacity="0.45" stroke="{colour}">'
            f"<title>{escape(title)}</title></circle>"
        )
    return parts


def _legend(names: list[str]) -> list[str]:
    parts: list[str] = []
    for number, name in enumerate(names):
        y = HEIGHT - BOTTOM - 18 - 18 * (len(names) - 1 - number)
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<circle cx="{WIDTH - 150}" cy="{y - 4}" r="5" fill="{colour}"/>')
        parts.append(_text(WIDTH - 138, y, name))
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    colour: str = "#222",
    size: int = 12,
    more: str = "",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" '
        f'font-size="{size}" {more}>{escape(text)}</text>'
    )
