"""Exact surgery on ONNX graphs, used offline and at a model's first start: the only package but models.engines and optimize that imports onnx."""
