"""Models: the manifest, finding models (`resolve`), packing and pushing them (`publish`).

This file imports nothing, so that listing the manifest needs no torch.
"""
