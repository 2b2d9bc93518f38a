"""Exact surgery on ONNX graphs, used offline and at a model's first start: the only room that imports onnx."""
