"""What every line of a protocol's ``results.jsonl`` says beside its numbers: what was learnt, and what tested."""

from __future__ import annotations

from typing import Any, TypedDict

from clipprompt.evaluation.provenance import Training


class ProtocolRecord(TypedDict):
    """One evaluation. Lists are in the order of ``classnames``.

    Attributes:
        protocol: its name, such as base-to-novel or partial-label.
        method: name of the learner; of an ensemble its members', with a plus between.
        options: every option of the learner and every setting of its training, as ``{"learner.n_ctx": 4, …}``.
        trained_on: the set whose pictures were learnt from; None where none was.
        shots: pictures of each class that were drawn; None for all of them.
        subset: of the classes, that were learnt: all, base or novel.
        class_split: 0 for the halves of papers, otherwise the seed of another halving.
        seed: of the draw, of the prompts' start and of the batches; None where nothing is random.
        draw_hash: of the drawn training samples, and of their labels where these are drawn too; None where no picture
            was learnt from.
        dataset: that was tested on.
        part: of it: test, or val where settings were being chosen.
        tested_subset: of its classes: all, base or novel.
        split_hash: of the tested samples.
        class_hash: of the class names.
        selection: the rule by which an epoch was kept: last, or best on a named held-out part.
        setting: ``inductive``: no test picture was seen before it was classified, none changes another's class.
        transform: what the backbone does to a picture.
        train_seconds: over all processes of a run that was gone on with; None where nothing was learnt.
        test_seconds: of this evaluation; features that lay in a cache cost no pass of the tower.
        peak_memory_bytes: of the process, or of the GPU where there is one.
        cached: whether features went through the float16 of the cache on disk.
    """

    protocol: str
    method: str
    options: dict[str, Any]
    trained_on: str | None
    shots: int | None
    subset: str
    class_split: int
    seed: int | None
    draw_hash: str | None
    dataset: str
    part: str
    tested_subset: str
    split_hash: str
    class_hash: str
    classnames: list[str]
    n_images: int
    n_skipped: int
    selection: str
    setting: str
    training: Training | None
    backbone: str
    pretrained: str | None
    fingerprint: str
    precision: str
    device: str
    transform: str
    cached: bool
    versions: dict[str, str]
    train_seconds: float | None
    test_seconds: float
    peak_memory_bytes: int
