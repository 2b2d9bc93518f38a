"""The comparisons can fail: each wrong kernel is told from the right one by the same bounds as in the tests beside."""

from __future__ import annotations

import numpy as np
import pytest

from detector.core.errors import InferenceError
from detector.inference.decode import make_decoder
from detector.inference.kernels.post import persons
from detector.inference.layout import Layout, anchors
from support.heads import DENSE, END_TO_END, GRID, crowd, post_of
from support.hostkernels import SOURCES, HostKernels
from support.letterboxes import ULTRALYTICS, YOLOX, LetterboxRun, RawSample, by_definition, noise
from support.mutants import mutants

LETTERBOX = {
    "corner_not_centre": ("(2 * position + 1) * size - fitted;", "(2 * position) * size;"),
    "half_a_pixel_off": ("(2 * position + 1) * size - fitted;", "(2 * position + 1) * size;"),
    "nearest_column": ("return blend(first, fetch(picture, column.second, y), column.weight);", "return first;"),
    "weights_swapped": ("float(rest) * inverse}", "1.0f - float(rest) * inverse}"),
    "nearest_row": ("if (row.second != row.first) mixed", "if (false) mixed"),
    "last_column_unclamped": ("if (first >= size - 1) return {size - 1, size - 1, 0.0f};", "if (first >= size) return {size - 1, size - 1, 0.0f};"),
    "red_is_blue": ("bgr ? left.blue : left.red", "bgr ? left.red : left.blue"),
    "right_red_is_blue": ("bgr ? right.red : right.blue", "bgr ? right.blue : right.red"),
    "planes_swapped": ("put(place + area, left.green", "put(place + 2 * area, left.green"),
    "not_scaled": ("mixed.green * scale", "mixed.green"),
    "pad_scaled_twice": ("Rgb left = {pad, pad, pad}", "Rgb left = {pad * scale, pad * scale, pad * scale}"),
    "pad_not_taken_off": ("x -= picture.pad_x;", "x -= 0;"),
    "pad_rows_one_off": ("y - picture.pad_y;", "y - picture.pad_y - 1;"),
    "stride_is_width": ("(long long)y * picture.stride;", "(long long)y * 3 * picture.width;"),
    "chroma_stride_is_the_lumas": ("* picture.chroma_stride;", "* picture.stride;"),
    "u_is_v": ("load(row + x), cell & 0xff, cell >> 8)", "load(row + x), cell >> 8, cell & 0xff)"),
    "first_luma_for_both": ("(x & 1 ? cell >> 16 : cell)", "cell"),
    "i420_u_is_v": ("load(picture.chroma + cell), load(picture.chroma_v + cell)", "load(picture.chroma_v + cell), load(picture.chroma + cell)"),
    "i420_cell_one_on": ("picture.chroma_stride + (x >> 1);", "picture.chroma_stride + (x + 1 >> 1);"),
    "no_black_level": ("float(luma) - picture.black", "float(luma)"),
    "colours_not_rounded": ("return rintf(", "return ("),
    "colours_not_clamped": ("rintf(fminf(fmaxf(value, 0.0f), 255.0f))", "rintf(value)"),
    "other_picture": ("pictures[blockIdx.z]", "pictures[0]"),
    "half_truncated": ("low = half_bits(left)", "low = half_bits(left * 0.9996f)"),
    "a_row_left_out": ("turn < ROWS &&", "turn < ROWS - 1 &&"),
    "odd_column_left_out": ("if (both) store(place + 1, right);", ""),
}  # fmt: skip
POST = {
    "strictly_above_the_floor": ("score >= head->floor", "score > head->floor"),
    "last_of_equals_first": ("u32(~index)", "u32(index)"),
    "any_label": ("rintf(label) == float(head->person)", "true"),
    "labels_not_rounded": ("rintf(label) ==", "label =="),
    "no_objectness": ("if (head->objectness) score", "if (false) score"),
    "corner_for_centre": ("make_float4(a - c, b - d, a + c, b + d)", "make_float4(a, b, a + 2 * c, b + 2 * d)"),
    "size_not_exponential": ("c = expf(c) * cell.z", "c = c * cell.z"),
    "cell_one_off": ("a = (a + cell.x)", "a = (a + cell.x + 1.0f)"),
    "column_is_row": ("float(index % columns), float(index / columns)", "float(index / columns), float(index % columns)"),
    "one_stride": ("make_float3(float(index % columns), float(index / columns), float(stride))", "make_float3(float(index % columns), float(index / columns), 8.0f)"),
    "union_with_overlap_twice": ("iou * (both - common)", "iou * both"),
    "no_nms": ("if (iou >= 1.0f) continue;", "continue;"),
    "nms_of_the_gone": ("if (gone[i]) continue;", ""),
    "sorted_upside_down": ("== !(low & run)", "== !!(low & run)"),
    "nan_is_nobody": ("status |= NOT_FINITE;", "status |= 0;"),
    "any_number_is_a_score": ("status |= NOT_SCORES;", "status |= 0;"),
    "wild_boxes_pass": ("if (wild(head, boxes[i]))", "if (false)"),
    "scratch_left_dirty": ("own->count = own->status = 0;", "own->status = 0;"),
    "status_left": ("own->count = own->status = 0;", "own->count = 0;"),
    "other_pictures_scores": ("(long long)head->score_image * blockIdx.y", "0ll"),
    "other_pictures_boxes": ("(long long)head->box_image * image", "0ll"),
    "no_barrier_in_nms": ("gone[j] = 1;\n    }\n    __syncthreads();", "gone[j] = 1;\n    }"),
    "no_barrier_in_sort": ("keys[low] = second, keys[high] = first;\n      }\n      __syncthreads();", "keys[low] = second, keys[high] = first;\n      }"),
    "half_as_many_candidates": ("CANDIDATES = 1024", "CANDIDATES = 512"),
}  # fmt: skip


@pytest.fixture(scope="module")
def wrong_letterbox(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    text = (SOURCES / "letterbox.cu").read_text()
    return HostKernels("letterbox.cu", tmp_path_factory.mktemp("mutants"), mutants(text, LETTERBOX), optimize="-O0")


@pytest.fixture(scope="module")
def wrong_post(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    text = (SOURCES / "post.cu").read_text()
    return HostKernels("post.cu", tmp_path_factory.mktemp("mutants"), mutants(text, POST), optimize="-O0")


def letterbox_passes(host: HostKernels, variant: str) -> bool:
    """Whether the letterbox is right for a handful of pictures: each format, with strides, pads and odd sizes."""
    for run, samples in (
        (LetterboxRun(width=96, height=80), [noise("bgr", 101, 67, spare=5), noise("bgr", 40, 90)]),
        (LetterboxRun(width=33, height=48, spec=YOLOX), [noise("bgr", 20, 21, spare=1)]),
        (
            LetterboxRun(width=64, height=64, spec=YOLOX),
            [noise("nv12", 50, 38, spare=2), noise("yuyv", 60, 90, spare=3)],
        ),
        (LetterboxRun(width=64, height=48, spec=YOLOX), [noise("yuyv", 64, 48), noise("nv12", 64, 48)]),
        (LetterboxRun(width=64, height=48, spec=YOLOX), [noise("i420", 64, 48), noise("i420", 58, 50, spare=3)]),
    ):
        tensor = run(host, *samples, variant=variant)
        if not all(close(made, sample, run) for made, sample in zip(tensor, samples, strict=True)):
            return False
    sample = noise("bgr", 30, 40)
    single = LetterboxRun(width=32, height=32, spec=ULTRALYTICS)(host, sample, variant=variant)
    half = LetterboxRun(width=32, height=32, spec=ULTRALYTICS, dtype="float16")(host, sample, variant=variant)
    return np.array_equal(half, single.astype(np.float16))


def close(made: np.ndarray, sample: RawSample, run: LetterboxRun) -> bool:
    difference = np.abs(made - by_definition(sample.bgr(), run)) / run.spec.scale
    bound = 1e-4 if sample.format == "bgr" else 1 + 1e-4
    if (sample.width, sample.height) != (run.width, run.height):
        return bool(difference.max() <= bound)
    # Not interpolated, colours are whole: most of them the very same as OpenCV's.
    return bool(difference.max() <= bound) and bool((difference > 0).mean() < 0.06)


def post_passes(host: HostKernels, variant: str) -> bool:
    """Whether the persons are right for a handful of outputs, the scratch is left clean, and nonsense is told."""
    many = Layout(kind="dense", width=320, height=320, classes=1)
    for layout, people in ((DENSE, 9), (GRID, 9), (END_TO_END, 9), (many, 30)):
        cells = anchors(layout.width, layout.height)
        output = np.concatenate([crowd(layout, cells, seed=seed, people=people, busy=0.45) for seed in (1, 2)])
        work = post_of(layout, output, floor=0.25)
        for order in (0, 1, 2):
            results = work(host, variant=variant, order=order)
            if not work.clean():
                return False
            for result, single in zip(results, output, strict=True):
                if not equal(result, layout, single[None]):
                    return False
    return tells_nonsense(host, variant)


def equal(result: np.void, layout: Layout, output: np.ndarray) -> bool:
    try:
        boxes, scores = persons(result)
    except InferenceError:
        return False
    expected_boxes, expected_scores = make_decoder(layout)([output], 0.25)
    return np.array_equal(scores, expected_scores) and np.allclose(boxes, expected_boxes, rtol=1e-6, atol=1e-4)


def tells_nonsense(host: HostKernels, variant: str) -> bool:
    cells = anchors(DENSE.width, DENSE.height)
    for at, value in (((0, 5, 3), np.nan), ((0, 5, 3), 2.0), ((0, 1, slice(None)), 1e9)):
        output = crowd(DENSE, cells, seed=4)
        output[at] = value
        work = post_of(DENSE, output, floor=0.25)
        try:
            persons(work(host, variant=variant)[0])
        except InferenceError:
            if work.clean():
                continue
        return False
    return True


def test_the_sources_themselves_pass(wrong_letterbox: HostKernels, wrong_post: HostKernels) -> None:
    assert letterbox_passes(wrong_letterbox, "base")
    assert post_passes(wrong_post, "base")


@pytest.mark.parametrize("mutant", LETTERBOX)
def test_wrong_letterbox_is_told(wrong_letterbox: HostKernels, mutant: str) -> None:
    assert not letterbox_passes(wrong_letterbox, mutant)


@pytest.mark.parametrize("mutant", POST)
def test_wrong_post_processing_is_told(wrong_post: HostKernels, mutant: str) -> None:
    assert not post_passes(wrong_post, mutant)
