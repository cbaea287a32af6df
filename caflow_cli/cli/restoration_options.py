"""The options that `superres`, `colorize`, `inpaint` and `sample` have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import EXIT_USAGE, CaflowError
from . import options

if TYPE_CHECKING:
    from ..sampling import Sampling
    from .console import Console
    from .masking import Masking
    from .plan import Plan

__all__ = ["Restoration"]


@dataclass(frozen=True, kw_only=True)
class Restoration:
    """The options; each field is one, of the same name."""

    tau: Annotated[
        str | None,
        typer.Option(
            "--tau",
            metavar="T",
            help="Temperature: lower is smoother, 1 is the model's distribution. Or a shape: "
            "0.9/0.7/0.5 is one a scale, finest first; or one a latent. Default: the model's, else "
            "0.5 (colorize 0.85, paired 0.8).",
            rich_help_panel=options.SAMPLING,
        ),
    ] = None
    candidates: Annotated[
        int | None,
        typer.Option(
            "--candidates",
            "-m",
            metavar="M",
            help="Candidates to draw. Default: the model's, else 10 (inpaint 30).",
            rich_help_panel=options.SAMPLING,
        ),
    ] = None
    keep: Annotated[
        int,
        typer.Option(
            "--keep",
            "-n",
            metavar="N",
            help="Number of the best candidates to write.",
            rich_help_panel=options.SAMPLING,
        ),
    ] = 1
    rank: Annotated[
        str,
        typer.Option(
            "--rank",
            metavar="BY",
            help="likelihood; consensus: the nearest to all others; or none: the order of drawing.",
            rich_help_panel=options.SAMPLING,
        ),
    ] = "likelihood"
    seed: int = options.SEED
    model: str | None = options.MODEL_OPTION
    device: str = options.DEVICE
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="P",
            help="float32, or bf16: draw with nets in bfloat16, which is faster on CPUs with "
            "AVX-512 bf16 or AMX and on CUDA. Draws differ a little; scores stay float32.",
            rich_help_panel=options.MODEL,
        ),
    ] = "float32"
    compile: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile the sampler (`torch.compile`; CUDA graphs on a GPU). This takes minutes, "
            "so it is for many pictures of one size. Scores are not compiled.",
            rich_help_panel=options.MODEL,
        ),
    ] = False
    shard: str | None = options.SHARD
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH|DIR/|-",
            help="File, folder (in which folders are mirrored), or `-` for stdout. Default: beside "
            "the input.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None
    recursive: bool = options.RECURSIVE
    overwrite: bool = options.OVERWRITE
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Keep outputs that exist, and skip pictures whose outputs all exist.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="F",
            help="png, webp, jpg or tiff; jpg is lossy. Default: the suffix of -o, else png.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None
    quality: Annotated[
        int | None,
        typer.Option(
            "--quality",
            metavar="Q",
            help="Quality of jpg, 1 to 100 (default 95). With it, webp is lossy.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None
    no_provenance: Annotated[
        bool,
        typer.Option(
            "--no-provenance",
            help="Write no provenance (model, seed, score) into pictures, nor the XMP that says "
            "that a model drew in them.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False
    grid: Annotated[
        str | None,
        typer.Option(
            "--grid",
            metavar="FILE",
            help="Write a PNG of each input with all its candidates by rank, and their scores.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None
    uncertainty: Annotated[
        str | None,
        typer.Option(
            "--uncertainty",
            metavar="FILE",
            help="Write a PNG that shows where the candidates of each input differ, by their "
            "standard deviation.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="List what would be written, and stop.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False
    json: bool = options.JSON
    quiet: bool = options.QUIET
    verbose: bool = options.VERBOSE

    def sampling(self, consistent: bool = False) -> Sampling:
        """How candidates are drawn and chosen. tau and M are None if they were not typed."""
        from ..sampling import Sampling

        return Sampling(
            tau=self.tau,
            candidates=self.candidates,
            keep=self.keep,
            seed=self.seed,
            rank=self.rank,
            consistent=consistent,
            precision=self.precision,
        )

    def check_streams(self) -> None:
        """CaflowError (exit 2) if two things want stdout."""
        if self.output == "-" and self.json:
            raise CaflowError("-o - and --json both want stdout", "use one of them", EXIT_USAGE)

    def plan(
        self, label: str, inputs: Sequence[str], masking: Masking | None, console: Console
    ) -> Plan:
        """The jobs of this process, and their output files.

        Raises:
            CaflowError: (exit 2) as for `plan.plan`, and for what cannot be shared.
        """
        from .plan import plan
        from .shard import find_shard

        shard = find_shard(self.shard, console)
        shard.refuse("--grid", self.grid is not None)
        shard.refuse("--uncertainty", self.uncertainty is not None)
        shard.refuse("-o -", self.output == "-")
        return plan(
            inputs,
            label=label,
            output=self.output,
            masking=masking,
            keep=self.keep,
            recursive=self.recursive,
            format=self.format,
            quality=self.quality,
            provenance=not self.no_provenance,
            overwrite=self.overwrite,
            skip_existing=self.skip_existing,
            shard=shard,
        )
