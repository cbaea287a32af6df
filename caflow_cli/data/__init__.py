"""Sets of images, or of pairs: folders, zips, manifests, and what `datasets` reads."""
