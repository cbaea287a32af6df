"""The images of a data set, from any kind of storage, and which of them belong to a split."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal

from ..errors import CaflowError, check_usage, ensure, reason_of, usage_error
from ..paths import exists

Split = Literal["train", "val", "test", "choose", "calibrate", "all"]
# How many examples are held out for a missing val/ or test/: one in 50; or 20, or one in 50 of
# many, but at most a fifth, with half of val/ to choose a model, and half to calibrate it.
HoldOut = Literal["2%", "20+"]
Role = Literal["images", "pairs", "masks", "fields"]  # what to read from a set

Members = dict[str, tuple[str, ...]]  # of an example, by its name: an image, or a pair
_Group = dict[str, str]  # the members of a split, by name within the split

_SPLITS = ("train", "val", "test")
_HALVES = ("choose", "calibrate")  # of val/
_LEAST = 20  # examples of val/, to divide it


@dataclass(frozen=True)
class ImageFiles:
    """The images of a set, by relative path with forward slashes, as in a folder."""

    where: str  # the set, as typed
    members: list[str]
    load: Callable[[str], bytes]

    def read(self, member: str) -> bytes:
        """Read the bytes of an image file; CaflowError if that fails."""
        try:
            return self.load(member)
        except CaflowError:
            raise
        except Exception as error:  # a broken zip may cause errors of any kind
            raise CaflowError(
                f"{member!r} cannot be read: {reason_of(error)}", "repair it or remove it"
            ) from error


def check_there(data: str | Path) -> None:
    """Reject data that does not exist, before heavy imports.

    Raises:
        CaflowError: (exit 2) there is no such file or folder, and it is not `hf://owner/name`.
    """
    check_usage(
        str(data).startswith("hf://") or exists(data),
        f"no data at {str(data)!r}",
        "--data FOLDER, FILE.zip, FILE.csv or hf://owner/name",
    )


@contextmanager
def mask_errors(option: str = "--set masks=") -> Iterator[None]:
    """Context in which errors about data say that they concern the masks, given by `option`."""
    try:
        yield
    except CaflowError as error:
        hint = error.hint.replace("--data ", option)
        raise CaflowError(f"masks: {error.message}", hint, error.exit_code) from error


def choose(
    files: ImageFiles,
    split: str | None,
    seed: int,
    *,
    paired: bool = False,
    grouped: bool = False,
    hold_out: HoldOut | None = "2%",
) -> tuple[str, Members, bool]:
    """Choose the examples of a split; return its name, members by name, and if `seed` decided.

    The splits "choose" and "calibrate" are the halves of val/, by name and `seed`; both are all of
    it if it has fewer than 20 examples, or by the rule "2%". The split None is `test/` if there is
    one, else "all": the examples of all splits. The members of an example are an image, or
    condition and target; a pair's name has no A/ or B/, nor suffix.

    Folders `train/`, `val/` and `test/` are used as they are. A missing split is held out from
    `train/`, or from all images, by name and `seed`. Pairs are in `A/` and `B/` within a split, or
    at the top of the set, and match by path without suffix. If the set is `grouped`, each subfolder
    stays whole: whole ones are held out, and counted.

    Raises:
        CaflowError: The split has no images, there are too few to split, `hold_out` is None and
            decides, or an image has no partner.
    """
    if split not in _HALVES:
        return _chosen(files, split, seed, paired, grouped, hold_out)
    name, every, by_seed = _chosen(files, "val", seed, paired, grouped, hold_out)
    whole = _wholes(every, grouped)
    if len(whole) < _LEAST or _stated(hold_out) == "2%":
        return name, every, by_seed
    return split, _taken(every, _half(whole, split, seed)), True


def _chosen(
    files: ImageFiles,
    split: str | None,
    seed: int,
    paired: bool,
    grouped: bool,
    hold_out: HoldOut | None,
) -> tuple[str, Members, bool]:
    """What `choose` returns for whole splits."""
    where = repr(files.where)
    groups = _groups(files.members, paired)
    ensure(bool(groups), f"no images in {where}", "give a folder or zip with PNG or JPEG files")
    splits = [name for name in _SPLITS if name in groups]
    part = split or ("test" if "test" in splits else "all")
    check_usage(part in (*_SPLITS, "all"), f"unknown split {part!r}", "use train, val or test")
    if part == "all":
        return part, _all_examples(groups, splits, paired, where), False
    ensure(
        not splits or "train" in splits or part in splits,
        f"{where} has no {part}/, only {' and '.join(splits)}",
        f"add a folder {part}/ to it",
    )
    if part in splits and part != "train":
        return part, _examples(groups, part, paired, where), False
    pool = _examples(groups, "train" if splits else "", paired, where)
    missing = [name for name in ("val", "test") if name not in splits]
    whole = _wholes(pool, grouped)
    _check_count(where, len(whole), missing, "pair" if paired else "image", len(pool))
    return part, _taken(pool, _share(whole, part, missing, seed, hold_out)), bool(missing)


def _check_count(where: str, count: int, missing: Sequence[str], kind: str, examples: int) -> None:
    """Raise CaflowError if there are too few examples, or subfolders that stay whole, to split."""
    kind = "subfolder, which stays whole," if count < examples else kind
    if count > 1:
        kind = "subfolders, which stay whole," if count < examples else f"{kind}s"
    ensure(
        count > len(missing),
        f"{where} has {count} {kind} to split into train and {' and '.join(missing)}",
        f"give at least {len(missing) + 1}",
    )


def _examples(groups: dict[str, _Group], group: str, paired: bool, where: str) -> Members:
    """The examples of a group; `where` names the set in errors."""
    members = groups.get(group, {})
    if paired:
        return _pair(members, f"{group}/" if group else "", where)
    return {name: (member,) for name, member in members.items()}


def _all_examples(
    groups: dict[str, _Group], splits: list[str], paired: bool, where: str
) -> Members:
    """The examples of all splits, whose folders are part of the names."""
    every = {}
    for group in splits or [""]:
        for name, members in _examples(groups, group, paired, where).items():
            every[f"{group}/{name}" if group else name] = members
    return every


def _wholes(pool: Members, grouped: bool) -> dict[str, list[str]]:
    """The names that stay in one split: those of each subfolder, or each alone."""
    wholes: dict[str, list[str]] = {}
    for name in pool:
        folder = name.rpartition("/")[0]
        wholes.setdefault(folder if grouped and folder else name, []).append(name)
    return wholes


def _taken(pool: Members, wholes: list[list[str]]) -> Members:
    return {name: pool[name] for names in wholes for name in names}


def _half(wholes: dict[str, list[str]], part: str, seed: int) -> list[list[str]]:
    """The half of val/ that chooses a model, or the one that calibrates it."""
    names = _ordered(wholes, seed)
    middle = (len(names) + 1) // 2
    return [wholes[name] for name in (names[:middle] if part == "choose" else names[middle:])]


def _share(
    wholes: dict[str, list[str]],
    part: str,
    missing: list[str],
    seed: int,
    hold_out: HoldOut | None,
) -> list[list[str]]:
    """What a pool has for a part: for train, all but what is held out for the missing splits."""
    names = _ordered(wholes, seed)
    count = len(names) // 50
    if missing and _stated(hold_out) == "20+":
        count = min(max(_LEAST, count), len(names) // 5)
    count = max(1, count)
    first = [*missing, "train"].index(part) * count
    return [wholes[name] for name in (names[first:] if part == "train" else names[first:][:count])]


def _stated(hold_out: HoldOut | None) -> HoldOut:
    if hold_out is None:
        raise usage_error(
            "the model does not state how images were held out in its training (hold_out)",
            "give images in folders val/ and test/, or pack the model again",
        )
    return hold_out


def _ordered(names: Iterable[str], seed: int) -> list[str]:
    """A permutation of names that no library's generator decides, and that hardly changes when
    images are added.
    """
    import hashlib  # here, because it loads OpenSSL, which `--help` does not need

    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def _groups(members: list[str], paired: bool) -> dict[str, _Group]:
    """The members of each split, by name within the split; "" is the top of the set."""
    groups: dict[str, _Group] = {}
    names = _without_top(members, {"A", "B", *_SPLITS} if paired else {*_SPLITS})
    for name, member in zip(names, members, strict=True):
        top, _, rest = name.partition("/")
        if rest and top in _SPLITS:
            groups.setdefault(top, {})[rest] = member
        else:
            groups.setdefault("", {})[name] = member
    return groups


def has_splits(files: ImageFiles) -> bool:
    """Whether images are in folders `train/`, `val/` or `test/`."""
    return bool(_groups(files.members, False).keys() - {""})


def leads_out(member: str) -> bool:
    """Whether a path leads out of the folder that it is relative to."""
    parts = PureWindowsPath(member)  # knows both separators, and drives
    return bool(parts.anchor) or ".." in parts.parts


def _pair(members: _Group, folder: str, where: str) -> Members:
    conditions: _Group = {}
    targets: _Group = {}
    sides = {"A": conditions, "B": targets}
    for name, member in members.items():
        side, _, rest = name.partition("/")
        if side not in sides or not rest:
            continue
        stem = str(PurePosixPath(rest).with_suffix(""))
        ensure(
            stem not in sides[side],
            f"{where} has two images {folder}{side}/{stem} with different suffixes",
            "remove one of them",
        )
        sides[side][stem] = member
    ensure(
        bool(conditions or targets),
        f"{where} has no images in {folder}A/ and {folder}B/",
        f"put conditions into {folder}A/ and targets of the same names into {folder}B/",
    )
    alone = sorted(conditions.keys() ^ targets.keys())
    if alone:
        side = "A" if alone[0] in conditions else "B"
        raise CaflowError(
            f"{where} has {len(alone)} images without a match, such as {folder}{side}/{alone[0]}",
            "use the same names in A and B (suffixes may differ), or remove these",
        )
    return {stem: (conditions[stem], targets[stem]) for stem in conditions}


def _without_top(members: list[str], folders: set[str]) -> list[str]:
    """The names of members within a single folder that encloses `folders`, if there is one."""
    tops = {member.partition("/")[0] for member in members}
    inner = [member.partition("/")[2] for member in members]
    below = {name.partition("/")[0] for name in inner if "/" in name}
    encloses = len(tops) == 1 and not tops & folders and below & folders
    return inner if encloses else members
