"""Models: the manifest (`manifest`), finding a model (`resolve`), packing one (`pack`).

This file imports nothing, so that the manifest can be listed without torch.
"""
