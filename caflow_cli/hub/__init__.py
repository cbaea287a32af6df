"""Weights: the manifest (`manifest`), where a model comes from (`resolve`), packing one (`pack`).

Nothing is imported here: the manifest is plain JSON and is listed without torch.
"""
