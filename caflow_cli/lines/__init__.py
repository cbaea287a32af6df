"""The JSON lines of `caflow … --json`, as types.

`python .ci/schema` writes `assets/schema/lines.schema.json` from them. A text in `Annotated` is the
field's description, and pairs are more keywords of JSON Schema. A class that ends in `Fields` is
part of others; one with `total=False` has fields that may be omitted.
"""

from .calibration import Calibrated, Checked
from .images import FailedInput, FailedPair, Masked, Planned, Restored, Scored
from .models import (
    DescribedModel,
    ExportedModel,
    FailedModel,
    ListedModel,
    LocatedModel,
    PlannedPush,
    PulledModel,
    PushedModel,
    VerifiedModel,
)

# Every kind of line, and its title.
LINES = {
    Restored: "A restored image",
    Planned: "An input that was planned (--dry-run), skipped, or copied unchanged",
    Masked: "A mask",
    Scored: "A scored pair",
    FailedInput: "An input that failed",
    FailedPair: "A pair that failed",
    Calibrated: "A calibration",
    Checked: "The coverage of a calibration",
    ListedModel: "A model listed by `models list`, or packed by `models pack`",
    DescribedModel: "A model described by `models info`",
    LocatedModel: "A file located by `models path`",
    VerifiedModel: "A model verified by `models verify`",
    PulledModel: "A model downloaded by `models pull`",
    ExportedModel: "A file written by `models export`",
    PushedModel: "What `models push` did",
    PlannedPush: "What `models push --dry-run` would push",
    FailedModel: "A model that failed",
}
