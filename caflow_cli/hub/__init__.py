"""Models: the manifest, finding one (`resolve`), packing and pushing one (`publish`).

This file imports nothing, so that the manifest can be listed without torch.
"""
