"""Deterministic inputs that look like real ones: smooth regions, edges, texture, noise."""

import numpy as np
from numpy.typing import NDArray


def photograph(height: int, width: int) -> NDArray[np.float32]:
    """An image-like array [height, width, 3] in [0, 1]: a sky, a hill, a sun, a fence, and grain."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    sky = np.stack([0.35 + 0.4 * y, 0.55 + 0.3 * y, 0.9 - 0.1 * y], axis=-1)
    ridge = 0.55 + 0.12 * np.sin(5 * x + 1) + 0.05 * np.sin(17 * x)
    texture = 0.5 + 0.5 * np.sin(60 * x + 25 * y) * np.sin(45 * y - 13 * x)
    hill = np.stack([0.2 + 0.2 * texture, 0.35 + 0.3 * texture, 0.1 + 0.1 * texture], axis=-1)
    image = np.where((y > ridge)[..., None], hill, sky)
    sun = np.exp(-((x - 0.72) ** 2 + (y - 0.22) ** 2) / 0.006)[..., None]
    image = image + sun * np.array([0.9, 0.75, 0.2])
    fence = ((y > 0.8) & (y < 0.95) & ((x * 12) % 1 < 0.25))[..., None]
    image = np.where(fence, np.array([0.55, 0.4, 0.25]), image)
    grain = np.random.default_rng(1).normal(0, 0.02, image.shape)
    return np.clip(image + grain, 0, 1).astype(np.float32)


def text_line(height: int, width: int) -> NDArray[np.float32]:
    """A line of dark strokes on light paper, [height, width, 3] in [0, 1]: shaped like print, not readable."""
    rng = np.random.default_rng(2)
    image = np.full((height, width), 0.92)
    top, bottom = height // 5, height - height // 5
    stroke = max(1, height // 14)
    advance = max(4, (bottom - top) * 2 // 3)
    for left in range(advance // 2, width - advance, advance):
        if rng.random() < 0.15:  # a space between words
            continue
        right = left + advance - 2 * stroke
        middle = (top + bottom) // 2
        boxes = [
            (top, bottom, left, left + stroke),
            (top, bottom, right, right + stroke),
            (top, top + stroke, left, right),
            (middle, middle + stroke, left, right),
            (bottom - stroke, bottom, left, right),
        ]
        for keep, (y0, y1, x0, x1) in zip(rng.random(5) < 0.6, boxes, strict=True):
            if keep:
                image[y0:y1, x0:x1] = 0.12
    image = image + rng.normal(0, 0.01, image.shape)
    return np.repeat(np.clip(image, 0, 1)[..., None], 3, axis=-1).astype(np.float32)


def text_page(height: int, width: int) -> NDArray[np.float32]:
    """A page with lines of such text, [height, width, 3] in [0, 1]."""
    page = np.full((height, width, 3), 0.93, np.float32)
    line, margin = 32, 16
    for number, top in enumerate(range(margin, height - line, 2 * line)):
        right = width - margin - (number * 37) % (width // 3)
        page[top : top + line, margin:right] = text_line(line, right - margin)
    return page


def sine_sweep(samples: int, rate: int) -> NDArray[np.float32]:
    """A sweep from 110 to 1760 Hz with two overtones in a noisy room, about [-1, 1].

    The noise is loud for a reason: networks that take logarithms of spectra amplify the rounding of faint bins. With a
    tenth of it two settings of ONNX Runtime differ from each other by 3e-3 on basic-pitch; so they differ by 2e-5.
    """
    t = np.arange(samples) / rate
    duration = samples / rate
    octaves = 4.0
    phase = 2 * np.pi * 110 * duration / (octaves * np.log(2)) * (2 ** (octaves * t / duration) - 1)
    wave = 0.5 * np.sin(phase) + 0.2 * np.sin(2 * phase) + 0.1 * np.sin(3 * phase)
    noise = np.random.default_rng(3).normal(0, 0.05, samples)
    return (wave + noise).astype(np.float32)


def program_text() -> str:
    """About 3 KB of the source of a program."""
    function = '''def {name}(values, limit={limit}):
    """Return the values of the list that are not above the limit, in order."""
    result = []
    for index, value in enumerate(values):
        if value <= limit and index % {limit} != 1:
            result.append(value * {limit} + index)
    return sorted(result)


'''
    names = ["select", "reduce_all", "merge", "partition", "scan", "collect", "prune", "window"]
    body = "".join(function.format(name=name, limit=i + 2) for i, name in enumerate(names))
    return f"import math\nimport os\n\n\n{body}if __name__ == '__main__':\n    print(select([3, 1, 2]))\n"
