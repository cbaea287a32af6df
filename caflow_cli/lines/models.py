"""The lines of models."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from ..checkpoint import Calibration
from ..records import Count, Size
from .common import Commit, Error, Line, Sha256, Temperature


class ListedModel(Line):
    """A manifest entry, from `models list` or `models pack`."""

    command: Literal["models list", "models pack"]
    id: str
    task: Literal["superres", "colorize", "inpaint", "paired"]
    sha256: Sha256
    bytes: Count
    default: Annotated[bool, "Whether it is its task's default model."]
    license: Annotated[str, "License of the weights."]
    data: Annotated[str, "The training data and its terms."]
    calibration: Annotated[Calibration | None, "Its calibration; null if there is none."]
    metrics: Annotated[dict[str, Any], "Metrics measured on exactly this file, and the protocol."]
    file: Annotated[str | None, "Name of the bundled file."]
    repo_id: str | None
    revision: str | None
    filename: str | None


class _ParameterFields(TypedDict):
    total: Size
    R: Size
    T: Size
    F: Size


class Parameters(_ParameterFields, total=False):
    A: Size
    Q: Size


From = Literal["config", "default"]
DefaultTau = TypedDict("DefaultTau", {"value": Temperature, "from": From})
DefaultCount = TypedDict("DefaultCount", {"value": Count, "from": From})


class Defaults(TypedDict):
    tau: Annotated[DefaultTau, "Default temperature."]
    candidates: Annotated[DefaultCount, "Default number of candidates."]


class DescribedModel(Line):
    """What `models info` knows about a model."""

    command: Literal["models info"]
    input: Annotated[str, "As typed."]
    id: str
    task: str
    path: str
    bytes: Count
    sha256: Sha256
    default: bool
    repo_id: str | None
    revision: str | None
    license: Annotated[
        str | None,
        "License of the weights, from the file, else from the manifest; null if neither states it.",
    ]
    data: Annotated[str | None, "Null if the manifest does not list this file."]
    parameters: Annotated[Parameters, "Number of trained parameters of each part."]
    config: dict[str, Any]
    calibration: Annotated[Calibration | None, "Its calibration; null if there is none."]
    metrics: dict[str, Any]
    defaults: Annotated[
        Defaults, "The values used if an option is not given, and where they come from."
    ]
    training: Annotated[dict[str, Any], "What the run recorded."]
    card: Annotated[str | None, "Path of the model card."]


class LocatedModel(Line):
    """A model file that `models path` found."""

    command: Literal["models path"]
    input: str
    id: str
    path: str
    sha256: Sha256


class VerifiedModel(Line):
    """A model file that `models verify` found intact."""

    command: Literal["models verify"]
    input: str
    status: Literal["ok"]
    path: str
    sha256: Sha256


class PulledModel(Line):
    """A model that `models pull` found in the cache or downloaded."""

    command: Literal["models pull"]
    input: str
    status: Literal["ok"]
    path: str
    sha256: Sha256
    commit: Annotated[Commit | None, "Commit of the Hub repository; null for a bundled model."]


class ExportedModel(Line):
    """What `models export` wrote."""

    command: Literal["models export"]
    input: str
    path: str
    model: Annotated[str, "Id of the model."]
    sha256: Annotated[Sha256, "Of the model's file."]
    license: str
    content: Annotated[str, "What the output of the network is."]


class PushedModel(Line):
    """What `models push` uploaded."""

    command: Literal["models push"]
    input: str
    status: Literal["ok"]
    repo_id: str
    revision: Annotated[str, "Branch."]
    commit: Commit
    url: Annotated[str, "URL of the commit."]
    sha256: Sha256
    bytes: Count
    files: Annotated[list[str], "Files written; an existing README.md is kept.", (("minItems", 2),)]


class PlannedPush(Line):
    """What `models push --dry-run` would upload."""

    command: Literal["models push"]
    input: str
    status: Literal["planned"]
    repo_id: str
    sha256: Sha256
    bytes: Count
    card: Annotated[str, "The model card, as Markdown with YAML metadata."]


class FailedModel(Line):
    """A model for which a `models` command failed."""

    command: Literal["models pull", "models verify"]
    input: str
    status: Literal["error"]
    error: Error
