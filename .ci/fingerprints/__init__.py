"""The parts of `.ci/fingerprint`."""
