"""Any command line: of the program's own commands and options, with values good and bad."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from caflow_cli.cli.app import program

# They write outside the folder that a test may write to: the installation, the user's shell. Or
# they start processes, which takes seconds each.
# Nor are `app`, which serves until it is stopped, and `config`, which has no options.
LEFT_OUT = {"--bundle", "--install-completion", "--show-completion"}
IMAGES = ("x.png", "gray.png", "odd.jpg", "alpha.webp", "deep.tif", "moving.gif", "bad.png")
FILES = (*IMAGES, "mask.png", "photos", "pairs", "data.zip", "evil.zip", "run.toml")
MODELS = ("small.safetensors", "inpaint.safetensors", "bad.safetensors", "x.png", "photos")
OUTPUTS = ("out", "out/", "new.png", "new.jpg", "x.png", "deep/er/new.png", "-", "", "photos", ".")
STRANGE = (
    *("", " ", "-", "--", "-1", "~", ".", "..", "/", "nothing", "*.png", "[", "**", "example:face"),
    *("example:nobody", "user/model@v1", "x" * 300, "фото.png", "two\nlines.png", "%s{0}$HOME"),
    "\udce9.png",  # a byte that is not UTF-8, as the system hands it over
    *("x.png/inside", "\N{RIGHT-TO-LEFT OVERRIDE}gnp.x"),
)
NUMBERS = (
    "0", "1", "2", "3", "-1", "1.5", "0.0", "1e3", "nan", "inf", "-inf", "1e999",
    "99999999999999999999", "0x10", "1_0", "٣", "½",
)  # fmt: skip
WORDS = {
    "--rank": ("likelihood", "none"),
    "--precision": ("float32", "bf16"),
    "--device": ("auto", "cpu", "cuda", "cuda:7", "tpu"),
    "--format": ("png", "webp", "jpg", "tiff", "gif"),
    "--task": ("superres", "colorize", "inpaint", "paired"),
    "--split": ("train", "val", "test", "all"),
    "--protocol": ("table1", "table3", "table9"),
    "--metric": ("rmse", "psnr,ssim", "all", "bpd", "calibration", "lpips", "fid", "nonsense"),
    "--preset": ("compact", "ffhq-superres-x4", "tiny"),
    "--set": (
        "optim.lr=0.001", "flow.scales=1", "task.size=16", "flow.hidden=[1,2]", "a.b.c=1",
        "optim=1", "flow.hidden=null", "seed=true", "novalue", "=", "optim.images=NaN",
    ),
    "--feature-extractor": ("alexnet", "inception", "no.module:thing"),
    "--id": ("mine", "Mine", "../mine", "a.b-c"),
    "--data-terms": ("none",),
    "--license": ("MIT",),
}  # fmt: skip
WRITTEN = {
    "--output", "--grid", "--uncertainty", "--out", "--save-images",
}  # fmt: skip
COUNTED = {
    "--candidates", "--keep", "--noise-samples", "--batch-size", "--seed", "--tau",
    "--quality", "--limit", "--minutes", "--images", "--lr",
}  # fmt: skip
# Without a bound these would train, or draw, for hours.
_SMALL = ("flow.scales=1", "flow.hidden=2", "flow.trunk=2")
BOUNDS = {
    "train": ["--images", "3", *(word for value in _SMALL for word in ("--set", value))],
    "evaluate": ["--limit", "2"],
}


def commands() -> dict[tuple[str, ...], list[Any]]:
    """Words of every command, and its parameters as click has them."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield words, command.params
            return
        for name, sub in inner.items():
            if name in ("app", "config"):
                continue
            yield from walk(sub, (*words, name))

    return dict(walk(program, ()))


COMMANDS = commands()


def _values(name: str) -> st.SearchStrategy[str]:
    """Mostly values that the option can make something of."""
    if name in WORDS:
        good: tuple[str, ...] = WORDS[name]
    elif name in ("--model", "--init-from"):
        good = MODELS
    elif name in WRITTEN:
        good = OUTPUTS
    elif name in COUNTED:
        good = NUMBERS[:4]
    else:
        good = FILES
    odd = st.sampled_from(STRANGE + NUMBERS + FILES)
    return st.sampled_from(good) | st.sampled_from(good) | st.sampled_from(good) | odd


def _weight(words: tuple[str, ...]) -> range:
    return range(1 if words[0] in ("models", "train") else 3)


@st.composite
def command_lines(draw) -> list[str]:
    """Arguments of `caflow`, without the name of the program."""
    words = draw(st.sampled_from([words for words in sorted(COMMANDS) for _ in _weight(words)]))
    params = COMMANDS[words]
    arguments = list(words)
    options = [
        param
        for param in params
        if param.param_type_name == "option" and not LEFT_OUT & {*param.opts}
    ]
    if not draw(st.integers(0, 15)):
        arguments.append(draw(st.sampled_from(["--help", "--version", "-x", "--nothing=1"])))
    required = [param for param in options if param.required and draw(st.integers(0, 9))]
    chosen = draw(st.lists(st.sampled_from(options), max_size=5, unique_by=id))
    for param in {id(p): p for p in required + chosen}.values():
        name = param.opts[0]
        arguments.append(draw(st.sampled_from(param.opts)))
        if not param.is_flag:
            arguments.append(draw(_values(name)))
    if words[0] not in ("train", "models") and draw(st.integers(0, 5)):
        arguments += ["--model", draw(st.sampled_from(MODELS[:2]))]
    arguments += BOUNDS.get(words[0], ())
    for param in params:
        if param.param_type_name == "argument":
            operands = st.sampled_from(FILES) | st.sampled_from(FILES) | st.sampled_from(STRANGE)
            arguments += draw(st.lists(operands, min_size=0 if draw(st.booleans()) else 1,
                                       max_size=3))  # fmt: skip
    return arguments
