"""What `.ci/models` is made of: measuring a model, and the texts that follow from its figures."""
