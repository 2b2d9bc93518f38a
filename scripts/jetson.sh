#!/usr/bin/env bash
# On a Jetson with JetPack 6.1 or newer: an environment on JetPack's own TensorRT and OpenCV, an engine built on
# this very device, checked against ONNX Runtime, and what it costs. Harmless to run again: what is done stays.
#   scripts/jetson.sh [MODEL]       MODEL: a registry name or an .onnx file
set -euo pipefail
cd "$(dirname "$0")/.."

model=${1:-yolox-tiny-person}
venv=.venv
cuda=${CUDA_HOME:-/usr/local/cuda}

say() { printf '\n== %s\n' "$*"; }
give_up() {
  printf 'jetson: %s\n' "$*" >&2
  exit 1
}

[ -e /etc/nv_tegra_release ] || [ -n "${DETECTOR_ANY_GPU:-}" ] ||
  give_up "this is no Jetson (no /etc/nv_tegra_release); DETECTOR_ANY_GPU=1 tries on another machine with TensorRT"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || give_up "Python 3.10 or newer is needed: JetPack 6 brings it"
python3 -c 'import tensorrt' 2>/dev/null ||
  give_up "TensorRT is not there: sudo apt install python3-libnvinfer python3-libnvinfer-dev"
python3 -c 'import cv2' 2>/dev/null || give_up "OpenCV is not there: sudo apt install libopencv-python"
[ -x "$cuda/bin/nvcc" ] || give_up "no $cuda/bin/nvcc to compile pycuda with: sudo apt install cuda-toolkit, or set CUDA_HOME"

export PATH="$cuda/bin:$PATH"

if [ ! -e "$venv/.jetson" ] || [ pyproject.toml -nt "$venv/.jetson" ]; then
  say "setting up $venv on JetPack's own packages; pycuda is compiled, which takes some minutes"
  [ -x "$venv/bin/python" ] || python3 -m venv --system-site-packages "$venv" ||
    give_up "cannot make a virtual environment: sudo apt install python3-venv"
  grep -qi 'include-system-site-packages = true' "$venv/pyvenv.cfg" ||
    give_up "$venv does not see JetPack's packages: make clean, then run this again"
  export CPATH="$cuda/include${CPATH:+:$CPATH}" LIBRARY_PATH="$cuda/lib64${LIBRARY_PATH:+:$LIBRARY_PATH}"
  # cuda-bindings must be of CUDA's major version (12.6 itself is on no index; 12.9 speaks to a 12.6 driver), and
  # JetPack's OpenCV and TensorRT are built against NumPy 1.
  major=$("$cuda/bin/nvcc" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
  [ -n "$major" ] || give_up "$cuda/bin/nvcc does not say its version"
  printf 'numpy<2\ncuda-bindings~=%s.0\n' "$major" >"$venv/constraints.txt"
  "$venv/bin/python" -m pip install --quiet --constraint "$venv/constraints.txt" -e '.[jetson]'
  touch "$venv/.jetson"
fi

say "what is here"
"$venv/bin/python" - <<'PYTHON'
from detector.inference.tensorrt.gpu import find_gpu
from detector.inference.tensorrt.library import library

print(library())
print(find_gpu())
PYTHON

say "building the engine of $model and checking it against ONNX Runtime; the first time takes minutes"
"$venv/bin/detector" build "$model"

say "what it costs"
"$venv/bin/detector" bench --model "$model" --backend tensorrt
"$venv/bin/detector" bench --model "$model" --backend onnxruntime --frames 60

printf '\nReady: %s/bin/detector run -c my.yaml\n' "$venv"
