"""A transformer detector through export, INT8 and INT4, in ONNX Runtime and OpenVINO: python -m bench.transformer [--images DIR] [--json FILE].

D-FINE-N's architecture (arXiv 2410.13842; numbers of its published configuration, 3.8 M parameters). The weights are
random, since none can be had here, so average precision would mean nothing: what is compared is how far each form's
boxes and scores are from the fp32 export's, on pictures. Sizes and times are those of the real network.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from detector.capture.pictures import folder_pictures
from detector.core.types import Image
from detector.inference.detector import PersonDetector
from detector.inference.factory import BackendName, load_detector
from detector.models.graph import int4
from detector.models.graph.quantize import quantize_cpu
from detector.models.registry import sample_pictures

BACKBONE = {
    "model_type": "hgnet_v2", "stem_channels": [3, 16, 16], "stage_in_channels": [16, 64, 256, 512],
    "stage_mid_channels": [16, 32, 64, 128], "stage_out_channels": [64, 256, 512, 1024],
    "stage_num_blocks": [1, 1, 2, 1], "stage_downsample": [False, True, True, True],
    "stage_light_block": [False, False, True, True], "stage_kernel_size": [3, 3, 5, 5],
    "stage_numb_of_layers": [3, 3, 3, 3], "use_learnable_affine_block": True, "out_features": ["stage3", "stage4"],
    "hidden_sizes": [64, 256, 512, 1024], "depths": [1, 1, 2, 1],
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "model_type": "d_fine", "architectures": ["DFineForObjectDetection"], "backbone_config": BACKBONE,
    "encoder_in_channels": [512, 1024], "feat_strides": [16, 32], "encoder_hidden_dim": 128, "encode_proj_layers": [1],
    "encoder_ffn_dim": 512, "hidden_expansion": 0.34, "depth_mult": 0.5, "d_model": 128,
    "decoder_in_channels": [128, 128], "num_feature_levels": 2, "decoder_layers": 3, "decoder_n_points": [6, 6],
    "decoder_ffn_dim": 512, "num_labels": 80,
}  # fmt: skip
_MATCHED = 100  # of 300 queries, the ones of the highest score


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerRow:
    """A form in a runtime beside fp32 in ONNX Runtime: file size, time as a ratio, and over the best 100 queries
    of each picture the median and largest gap in px of the source and in score.
    """

    form: str
    runtime: str
    size: int
    time_ratio: float
    px_median: float
    px_max: float
    score_max: float


def architecture(folder: Path) -> Path:
    """`folder` with the configuration in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"do_normalize": False, "size": {"height": 640, "width": 640}}), encoding="utf-8"
    )
    return folder


def forms(exported: Path, pictures: Sequence[Image]) -> dict[str, Path]:
    """The fp32 export and what is made of it."""
    eight, four = (exported.with_name(f"{name}.onnx") for name in ("int8", "int4"))
    quantize_cpu(exported, pictures, output=eight)
    source = onnx.load(str(exported))
    ready = int4.ready(source)
    packed = int4.pack(ready, int4.eligible(ready, convolutions=False), source=source)
    if not packed.products:
        raise SystemExit("no layer of it can be INT4: is it a transformer?")
    onnx.save(packed.model, str(four))
    return {"fp32": exported, "int8": eight, "int4": four}


def gaps(reference: PersonDetector, other: PersonDetector, picture: Image) -> tuple[list[float], list[float]]:
    """Of each of the reference's best queries to the one of the other's that is most like it: px and score."""
    (boxes, scores, _), (found, found_scores, _) = reference.detect_image(picture), other.detect_image(picture)
    boxes, scores = boxes[:_MATCHED], scores[:_MATCHED]
    px = np.abs(boxes[:, None] - found[None]).max(axis=2)
    nearest = px.argmin(axis=1)
    each = np.arange(len(boxes))
    return px[each, nearest].tolist(), np.abs(scores - found_scores[nearest]).tolist()


def measure(files: dict[str, Path], pictures: Sequence[Image], runs: int) -> list[TransformerRow]:
    runtimes: dict[str, BackendName] = {"onnxruntime": "onnxruntime", "openvino": "openvino"}
    loaded = {
        (form, name): load_detector(path=path, name=form, backend=backend, threads=1, score_floor=0.0)
        for form, path in files.items()
        for name, backend in runtimes.items()
    }
    base = loaded["fp32", "onnxruntime"]
    off: dict[tuple[str, str], tuple[list[float], list[float]]] = {key: ([], []) for key in loaded}
    for picture in pictures:
        for key, detector in loaded.items():
            px, score = gaps(base, detector, picture)
            off[key][0].extend(px)
            off[key][1].extend(score)
    times: dict[tuple[str, str], list[float]] = {key: [] for key in loaded}
    for _ in range(runs):  # in turns: what else the machine does falls on all alike
        for key, detector in loaded.items():
            times[key].append(detector.run_bare())
    slowest = statistics.median(times["fp32", "onnxruntime"])
    return [
        TransformerRow(
            form=form,
            runtime=runtime,
            size=files[form].stat().st_size,
            time_ratio=round(statistics.median(times[form, runtime]) / slowest, 3),
            px_median=round(statistics.median(off[form, runtime][0]), 4),
            px_max=round(max(off[form, runtime][0]), 3),
            score_max=round(max(off[form, runtime][1]), 6),
        )
        for form, runtime in loaded
    ]


def run(folder: Path, size: tuple[int, int], pictures: Sequence[Image], runs: int) -> dict[str, Any]:
    """The whole: export, forms, measurement; `pictures`, at least 16, calibrate, and the first four are compared on."""
    from detector.optimize.export import transformers_models
    from detector.optimize.export.export import ExportOptions, export

    network = transformers_models.load(architecture(folder / "dfine-nano"), random_weights=True).network
    exported = folder / "dfine-nano.onnx"
    done = export(network, ExportOptions(size=size), exported, pictures[:2])
    rows = measure(forms(exported, pictures), pictures[:4], runs)
    assert done.checked is not None
    return {
        "model": "D-FINE-N",
        "weights": "random",
        "input": list(size),
        "nodes": done.nodes,
        "export_over_pytorch": {"px": done.checked.px, "score": done.checked.score},
        "rows": [asdict(row) for row in rows],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.transformer", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, help="pictures; else the sample clip's frames")
    parser.add_argument("--size", type=int, default=640, help="input px, a multiple of 32")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    pictures = list(sample_pictures() if options.images is None else folder_pictures(options.images, count=16))
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), (options.size, options.size), pictures, options.runs)
    _print(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def _print(found: dict[str, Any]) -> None:
    print(f"{found['model']}, weights {found['weights']}, {found['input']}, {found['nodes']} nodes; over PyTorch: "
          f"{found['export_over_pytorch']}")  # fmt: skip
    print(f"{'form':6}{'runtime':13}{'bytes':>10}{'x time':>8}{'px median':>11}{'px max':>9}{'score max':>11}")
    for row in found["rows"]:
        print(f"{row['form']:6}{row['runtime']:13}{row['size']:>10}{row['time_ratio']:>8}{row['px_median']:>11}"
              f"{row['px_max']:>9}{row['score_max']:>11}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
