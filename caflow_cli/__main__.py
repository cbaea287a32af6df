"""`python -m caflow_cli`, which `accelerate launch -m` and `torchrun -m` start on every rank."""

from .cli import main

main()
