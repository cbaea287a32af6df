"""Data sets of images or pairs: folders, zips, manifests, and sources that `datasets` reads."""
