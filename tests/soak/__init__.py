"""Long tests of the promises; CONTRIBUTING.md has the commands."""
