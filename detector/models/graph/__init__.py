"""Exact edits of ONNX graphs, used offline and at a model's first start.

Only this package, models.engines and optimize import onnx.
"""
