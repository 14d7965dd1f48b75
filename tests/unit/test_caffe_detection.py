"""SSD's PriorBox and DetectionOutput against their definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.caffe_blobs import Array
from tests.unit.caffe_models import check, input_layer, layer, write
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.caffe.convert import convert

PRIORS = {
    "two sizes": "min_size: 3 max_size: 8 min_size: 5 max_size: 9 aspect_ratio: 2 aspect_ratio: 3 variance: 0.2",
    "clipped": "min_size: 12 aspect_ratio: 2 aspect_ratio: 1 flip: false clip: true variance: 0.1",
    "steps": """min_size: 7 step: 4.5 offset: 0.25 aspect_ratio: 0.5 aspect_ratio: 2
        variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2""",
}


@pytest.mark.parametrize("name", PRIORS)
def test_prior_boxes(tmp_path: Path, name: str) -> None:
    text = input_layer(x=(1, 2, 3, 4), data=(1, 3, 18, 21))
    text += layer("PriorBox", "x data", "y", f"prior_box_param {{ {PRIORS[name]} }}")
    check(tmp_path, text)


PICTURES, BOXES, CLASSES = 2, 40, 4
DETECTIONS = {
    "center": "code_type: CENTER_SIZE keep_top_k: 9 confidence_threshold: 0.3",
    "corner": "code_type: CORNER keep_top_k: 100 confidence_threshold: 0.2",
    "corner of size": "code_type: CORNER_SIZE confidence_threshold: 0.5",
    "own boxes": "code_type: CENTER_SIZE share_location: false keep_top_k: 7 confidence_threshold: 0.1",
    "without variance": "code_type: CENTER_SIZE variance_encoded_in_target: true confidence_threshold: 0.4",
    "other background": "code_type: CENTER_SIZE background_label_id: 2 keep_top_k: 12 confidence_threshold: 0.1",
    "no background": "code_type: CENTER_SIZE background_label_id: -1 confidence_threshold: 0.6",
    "nothing": "code_type: CENTER_SIZE keep_top_k: 9 confidence_threshold: 1.5",
}


def detection(parameters: str) -> tuple[str, dict[str, Array]]:
    """A network of one layer, and inputs with boxes that overlap."""
    own = CLASSES if "share_location: false" in parameters else 1
    text = input_layer(
        loc=(PICTURES, BOXES * own * 4), conf=(PICTURES, BOXES * CLASSES), prior=(1, 2, BOXES * 4)
    )
    text += layer(
        "DetectionOutput",
        "loc conf prior",
        "y",
        f"""detection_output_param {{ num_classes: {CLASSES} {parameters}
            nms_param {{ nms_threshold: 0.4 top_k: 15 }} }}""",
    )
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.6, (BOXES, 2))
    priors = np.concatenate([low, low + rng.uniform(0.1, 0.4, (BOXES, 2))], 1)
    variances = np.tile([0.1, 0.1, 0.2, 0.2], (BOXES, 1))
    inputs = {
        "loc": rng.uniform(-0.3, 0.3, (PICTURES, BOXES * own * 4)),
        "conf": rng.permutation(PICTURES * BOXES * CLASSES).reshape(PICTURES, -1) / 320,
        "prior": np.stack([priors.ravel(), variances.ravel()])[None],
    }
    return text, {name: array.astype(np.float32) for name, array in inputs.items()}


@pytest.mark.parametrize("name", DETECTIONS)
def test_detections(tmp_path: Path, name: str) -> None:
    text, inputs = detection(DETECTIONS[name])
    check(tmp_path, text, inputs)


def test_an_adaptive_threshold_is_an_error(tmp_path: Path) -> None:
    text, _ = detection("code_type: CORNER")
    network, _ = write(tmp_path, text.replace("top_k: 15", "eta: 0.9"), {})
    with pytest.raises(WebDNNError, match=r"layer 'y' \(DetectionOutput\): an adaptive threshold"):
        convert(network)
