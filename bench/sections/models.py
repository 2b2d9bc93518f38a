"""The registry's models, unchanged: accuracy, speed, and the pipeline over the bare model."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, detector

FILES = {
    "yolox-tiny-person": "yolox_tiny_humanart.onnx",
    "yolov10n": "yolov10n.onnx",
    "yolox-nano": "yolox_nano.onnx",
    "yolov8n": "yolov8n.onnx",
    "yolo11n": "yolo11n.onnx",
}
DATA_SET = "COCO-64"


def measure(shared: Path) -> Figures:
    return {name: _model(shared, file) for name, file in FILES.items()}


def _model(shared: Path, file: str) -> Figures:
    path, media = shared / "models" / file, shared / "media"
    accuracy = detector(
        "evaluate", "--model", path, "--images", media / "coco" / "images",
        "--annotations", media / "coco" / "person_instances.json",
    )  # fmt: skip
    speed = detector("bench", "--model", path, "--source", media / "video" / "vtest.avi", "--frames", "200")
    return {"accuracy": accuracy, "speed": speed}


def render(models: Figures) -> list[str]:
    rows = [
        f"Person AP by pycocotools on {DATA_SET} (64 pictures of COCO val2017, 187 persons); speed on vtest.avi (768x576).",
        "The ratio is the median time from frame in hand to detections over the median bare model run, interleaved in",
        "one process.",
        "",
        "| model | AP50 | AP | model p50 ms | p99 ms | pipeline over model | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, figures in models.items():
        accuracy, speed = figures["accuracy"], figures["speed"]
        infer = speed["stages"]["infer"]
        rows.append(
            f"| {name} | {accuracy['ap50']:.3f} | {accuracy['ap']:.3f} | {infer['p50']:.1f} | {infer['p99']:.1f} "
            f"| {speed['pipeline_over_model_ratio']:.3f} | {speed['peak_rss_mb']:.0f} |"
        )
    return rows


SECTION = ResultSection(name="models", order=10, title="Models", measure=measure, render=render)
