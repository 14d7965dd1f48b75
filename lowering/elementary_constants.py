"""Constants of elementary functions that both targets use.

Polynomials are minimax fits of ours in single precision, the constant term first; the error beside each is relative to
the function it is for.
"""

from __future__ import annotations

EXP = (  # (e^r - 1 - r) / r^2 for |r| <= log(2) / 2: 2^-26.1, relative to e^r - 1
    0.5,
    0.16666539013385773,
    0.04166661202907562,
    0.008367098867893219,
    0.001391765777952969,
)

SIN = (  # (sin(r) / r - 1) / z in z = r^2, |r| <= pi / 4: 2^-28.0
    -0.16666655242443085,
    0.008332191035151482,
    -0.00019518598855938762,
)

COS = (  # (cos(r) - 1 + z / 2) / z^2 in z = r^2, |r| <= pi / 4: 2^-33.1
    0.04166664555668831,
    -0.00138873013202101,
    2.4430670237052254e-05,
)

TWO_OVER_PI = (  # 32 bits a word after the point; the first word stands before it
    0x00000000, 0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB,
    0xDEBBC561, 0xB7246E3A, 0x424DD2E0, 0x06492EEA, 0x09D1921C, 0xFE1DEB1C, 0xB129A73E, 0xE88235F5,
    0x2EBB4484, 0xE99C7026, 0xB45F7E41, 0x3991D639, 0x835339F4, 0x9C845F8B, 0xBDF9283B, 0x1FF897FF,
    0xDE05980F, 0xEF2F118B, 0x5A0A6D1F, 0x6D367ECF, 0x27CB09B7, 0x4F463F66, 0x9E5FEA2D, 0x7527BAC7,
    0xEBE5F17B, 0x3D0739F7, 0x8A5292EA, 0x6BFB5FB1, 0x1F8D5D08, 0x56033046, 0xFC7B6BAB, 0xF0CFBC20,
)  # fmt: skip
"""What the reduction of large angles needs, for doubles; singles need the first eight words."""
