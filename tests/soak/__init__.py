"""What is promised, tried at length: README.md has the commands."""
