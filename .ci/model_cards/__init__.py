"""Cards of models, and the figures in them."""
