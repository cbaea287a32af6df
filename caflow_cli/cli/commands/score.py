"""`caflow score`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import EXIT_FAILED, CaflowError
from .. import options
from ..console import Console
from ..masking import Masking, hole_in_alpha
from ..option_groups import expanded
from ..records import error_fields
from ..reporter import Reporter
from ..shard import find_shard

if TYPE_CHECKING:
    from ...images import Decoded
    from ...inference.loaded_model import LoadedModel
    from ..inputs import InputPicture
    from ..partners import Pair
    from ..records import Scored
    from ..sheets import Sheet

__all__ = ["score_command"]


@expanded
def score_command(
    context: typer.Context,
    cond: Annotated[
        str,
        typer.Option(
            "--cond",
            metavar="A",
            help="The input picture, a folder of inputs, or `example:NAME`.",
            rich_help_panel=options.OUTPUT,
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            "--target",
            metavar="B",
            help="The picture to score, or a folder: `face.png` and `face_superres_01.png` there "
            "belong to `face.jpg` in A.",
            rich_help_panel=options.OUTPUT,
        ),
    ],
    *,
    sort: Annotated[
        bool,
        typer.Option(
            "--sort",
            help="Print the best pair first, by bits/dim, after all are scored.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    map_file: Annotated[
        str | None,
        typer.Option(
            "--map",
            metavar="FILE",
            help="Write a PNG that shows which places of each target its score comes from, "
            "compared with 32 samples of the model.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    masking: Masking,
    overwrite: options.Overwrite = False,
    recursive: options.Recursive = False,
    model: options.Model = None,
    device: options.Device = "auto",
    shard: options.Shard = None,
    noise_samples: options.NoiseSamples = 1,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Score a picture given its condition: log p(B | A), exact and repeatable.

    Prints nats, bits/dim and the target, with tabs between. The model is --model, else the one that
    made the target according to its metadata, else that of CAFLOW_SCORE_MODEL or of your own
    defaults, else the bundled one. Nothing else is taken from the metadata. For a written
    candidate, the score repeats the number that ranked it.

    Example: caflow score --cond face.png --target face_superres.png
    """
    console = Console(quiet, verbose)

    from ...sampling import check_noise_samples
    from ..outputs import Claims
    from ..partners import plan_pairs
    from ..sheets import Sheet

    check_noise_samples(noise_samples)
    pairs = plan_pairs(cond, target, masking.mask, recursive=recursive)
    read = [source.path for pair in pairs for source in pair.sources]
    if len(pairs) == 1:
        _check_there(pairs[0], Reporter("score", console, json))
    claims = Claims([path for path in read if path is not None])
    share = find_shard(shard, console)
    for what, wanted in (
        ("--sort", sort),
        ("--map", map_file is not None),
        ("stdin", any(path is None for path in read)),
    ):
        share.refuse(what, wanted)
    maps = Sheet("--map", map_file, len(pairs), claims, overwrite)
    own = share.of(pairs)
    if not own:
        return
    source = context.get_parameter_source("model")
    typed = source is not None and source.name == "COMMANDLINE"
    scorer = _Scorer(model, typed, device, noise_samples, console, maps, masking)
    reporter = Reporter("score", console, json)
    kept: list[tuple[Pair, Scored]] = []  # until all are scored, to be sorted
    failed = False
    try:
        for pair in own:
            try:
                scored = scorer.score(pair)
            except CaflowError as error:
                if len(pairs) == 1:
                    if error.exit_code == EXIT_FAILED:
                        reporter.record(error_fields(pair.names, error))
                    raise
                reporter.failure(pair.names, error)
                failed = True
            else:
                if sort:
                    kept.append((pair, scored))
                else:
                    _report(pair, scored, noise_samples, reporter)
    finally:
        for pair, scored in sorted(kept, key=lambda one: -one[1].per_pixel):
            _report(pair, scored, noise_samples, reporter)
    if path := maps.write():
        console.note(f"wrote {path}")
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _check_there(pair: Pair, reporter: Reporter) -> None:
    """Refuse a file that does not exist before anything heavy is imported. CaflowError (exit 1)."""
    from ...images import no_file
    from ...paths import is_missing

    for source in pair.sources:
        if source.path is not None and is_missing(source.path):
            error = no_file(source.name)
            reporter.record(error_fields(pair.names, error))
            raise error


_NO_LIKELIHOOD = {  # why a score is no likelihood
    "tiles": "tiles, which have a rank score but no likelihood",
    "parts": "parts, some of them shrunk, which have a rank score but no likelihood",
}


def _report(pair: Pair, scored: Scored, noise_samples: int, reporter: Reporter) -> None:
    score, name = scored.score, pair.target.name
    if score.bits_per_dim is None:
        reporter.note(f"{name}: scored in {_NO_LIKELIHOOD[score.score_domain]}")
    bits = "-" if score.bits_per_dim is None else f"{score.bits_per_dim:.6f}"
    reporter.result(scored.fields, [f"{score.rank_score:.4f}\t{bits}\t{name}"])
    if score.standard_error is not None:
        reporter.note(f"standard error {score.standard_error:.4f} nats over {noise_samples} draws")


class _Scorer:
    """Scores pairs. Targets may name different models, and each model is loaded once."""

    def __init__(
        self,
        model: str | None,
        typed: bool,  # so that it goes before the targets' own
        device: str,
        noise_samples: int,
        console: Console,
        maps: Sheet,
        masking: Masking,
    ) -> None:
        self.model, self.typed = model, typed
        self.device, self.noise_samples = device, noise_samples
        self.console, self.maps, self.masking = console, maps, masking
        self.loaded: dict[str | None, LoadedModel] = {}
        self.condition: tuple[InputPicture, Decoded] | None = None

        from ...devices import select_device

        select_device(device)
        if typed:  # found wanting before pictures are read
            self._load(model)

    def score(self, pair: Pair) -> Scored:
        """Read and score a pair, and draw its map if maps are wanted.

        Raises:
            CaflowError: A step of this fails.
        """
        from ..model_for_target import check_as_drawn, model_for_target
        from ..records import Scored

        start = time.perf_counter()
        check_as_drawn(pair.target)
        picture, target = self._read(pair.cond), pair.target.read()
        for source, read in ((pair.cond, picture), (pair.target, target)):
            if read.frames > 1:
                self.console.note(f"{source.name}: the first of {read.frames} frames is used")
        mask = None if pair.mask is None else self.masking.read(pair.mask)
        loaded = self._load(self.model if self.typed else model_for_target(pair.target, self.model))
        if mask is None and picture.alpha is not None and loaded.needs_mask:
            mask = hole_in_alpha(picture)

        from ...inference import attribution, estimator_of, score
        from ...inference.charts import attribution_chart
        from ...memory import memory_errors

        with memory_errors("crop both pictures"):
            condition = loaded.as_seen(picture)
            result = score(
                loaded.model, condition, target.rgb, mask, noise_samples=self.noise_samples
            )
            self.maps.add(
                lambda: attribution_chart(
                    pair.target.label,
                    attribution(loaded.model, condition, target.rgb, mask),
                    result,
                )
            )
        elapsed = time.perf_counter() - start
        estimator = estimator_of(loaded.model, self.noise_samples)
        return Scored(pair.names, loaded, estimator, result, target.alpha is None, elapsed)

    def _read(self, condition: InputPicture) -> Decoded:
        """Read a condition once for consecutive targets that share it; stdin gives it only once."""
        if self.condition is None or self.condition[0] is not condition:
            self.condition = condition, condition.read()
        return self.condition[1]

    def _load(self, name: str | None) -> LoadedModel:
        from ..loaded_model import load_model

        if name not in self.loaded:
            self.loaded[name] = load_model(name, self.device, self.console)
        return self.loaded[name]
