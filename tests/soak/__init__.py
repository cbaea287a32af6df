"""Long tests of the promises; README.md has the commands."""
