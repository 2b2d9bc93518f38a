"""What one writes first: read, run, publish, in one loop. For comparison only; run by bench.glass.

    python -m bench.naive ort|dnn|ultralytics URL BROKER_PORT MODEL.onnx

Each frame becomes one message: the number that the picture carries, and how many persons were seen in it.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from detector.optimize.export.quiet_import import quiet_import

from .drawn import read_number

TOPIC = "naive/frame"
_SIZE, _SCORE = 640, 0.5


def main(kind: str, url: str, port: str, model: str) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", int(port))
    client.loop_start()
    for picture, persons in _streams()[kind](url, model):
        client.publish(TOPIC, json.dumps({"number": read_number(picture), "persons": persons}), qos=1)


def _streams() -> dict[str, Callable[[str, str], Iterator[tuple[Any, int]]]]:
    return {"ort": _ort, "dnn": _dnn, "ultralytics": _ultralytics}


def _frames(url: str) -> Iterator[Any]:
    capture = cv2.VideoCapture(url)
    while True:
        there, picture = capture.read()
        if not there:
            return
        yield picture


def _letterbox(picture: Any) -> Any:
    height, width = picture.shape[:2]
    scale = _SIZE / max(height, width)
    resized = cv2.resize(picture, (round(width * scale), round(height * scale)))
    canvas = np.full((_SIZE, _SIZE, 3), 114, np.uint8)
    top, left = (_SIZE - resized.shape[0]) // 2, (_SIZE - resized.shape[1]) // 2
    canvas[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
    return canvas


def _persons(rows: Any) -> int:
    return sum(1 for row in rows[0] if row[4] >= _SCORE and int(row[5]) == 0)


def _ort(url: str, model: str) -> Iterator[tuple[Any, int]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    for picture in _frames(url):
        tensor = cv2.cvtColor(_letterbox(picture), cv2.COLOR_BGR2RGB).transpose(2, 0, 1)[None].astype(np.float32) / 255
        yield picture, _persons(session.run(None, {name: tensor})[0])


def _dnn(url: str, model: str) -> Iterator[tuple[Any, int]]:
    net = cv2.dnn.readNetFromONNX(model)
    for picture in _frames(url):
        net.setInput(cv2.dnn.blobFromImage(_letterbox(picture), 1 / 255, swapRB=True))
        yield picture, _persons(np.asarray(net.forward()))


def _ultralytics(url: str, model: str) -> Iterator[tuple[Any, int]]:
    with quiet_import():
        from ultralytics import YOLO
    if importlib.util.find_spec("torchvision") is None:
        # Imported for its NMS, which a YOLOv10 has no use for; there is no CPU build of it.
        sys.modules["torchvision"] = ModuleType("torchvision")
    for result in YOLO(model, task="detect").predict(url, stream=True, verbose=False, classes=[0], conf=_SCORE):
        yield result.orig_img, len(result.boxes)


if __name__ == "__main__":
    main(*sys.argv[1:])
