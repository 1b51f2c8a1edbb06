"""One line of a protocol's ``results.jsonl``: one learner on one test set, with everything that made the number."""

from __future__ import annotations

from typing import Any, TypedDict

from clipprompt.evaluation.provenance import Training


class ClassificationRecord(TypedDict):
    """One evaluation. Accuracies are in 0..1; lists are in the order of ``classnames``.

    Attributes:
        protocol: base-to-novel, few-shot, cross-dataset, domain or zero-shot.
        method: name of the learner.
        options: every option of the learner and every setting of its training, as ``{"learner.n_ctx": 4, …}``.
        trained_on: the set whose pictures were learnt from; None where nothing was learnt.
        shots: pictures of each class that were drawn; None for all of them.
        subset: of the classes, that were learnt: all, base or novel.
        class_split: 0 for the halves of papers, otherwise the seed of another halving.
        seed: of the draw, of the prompts' start and of the batches; None where nothing is random.
        draw_hash: SHA-256 of the drawn training samples; None where nothing was learnt.
        dataset: that was tested on.
        part: of it: test, or val where settings were being chosen.
        tested_subset: of its classes: all, base or novel.
        split_source: which files told the parts of the tested set.
        split_sha256: of its split file, where there is one.
        split_hash: of the tested samples (:func:`clipprompt.datasets.classification.sets.hash_samples`).
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
    split_source: str
    split_sha256: str | None
    split_hash: str
    class_hash: str
    classnames: list[str]
    n_images: int
    n_skipped: int
    accuracy: float
    per_class_accuracy: list[float | None]
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
