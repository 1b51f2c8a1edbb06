"""What can be found missing before the first run of a sweep, without a picture being opened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clipprompt.backbone import check_backbone
from clipprompt.datasets.classification.draw import Drawn, draw
from clipprompt.datasets.classification.load import load_classification, settle_pictures
from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from clipprompt.errors import UserError
from clipprompt.evaluation.protocols.multilabel_sets import load_part
from clipprompt.sweep.task import Task
from clipprompt.training.labelled_images import LabelledImages
from clipprompt.training.run import check_texts, load_source

Say = Callable[[str], None]


class _How(NamedTuple):
    """What a draw depends on, beside its seed."""

    shots: int | None
    subset: str
    split: int
    share: float | None = None
    with_val: bool = False


def check_tasks(tasks: Sequence[Task], say: Say = lambda _: None) -> None:
    """Reads what the tasks learn from and are tested on, as far as no picture is opened, and looks up their backbones.

    Args:
        tasks: of one sweep.
        say: takes a line for people about what is unusual in a set or a draw.

    Raises:
        UserError: naming what is missing.
    """
    for name, tag in dict.fromkeys((task.config.backbone.name, task.config.backbone.pretrained) for task in tasks):
        check_backbone(name, tag)
    for task in tasks:
        check_texts(task.config)
    one_class = [task for task in tasks if not task.job.multilabel]
    several = [task for task in tasks if task.job.multilabel]
    for note in dict.fromkeys((*_check_one_class(one_class), *_check_several(several))):
        say(note)


def _check_one_class(tasks: Sequence[Task]) -> Iterator[str]:
    """Yields what is unusual."""
    may_lack = any(task.config.data.skip_missing for task in tasks)
    for drawn, root, parts in _draws(tasks):
        for part in parts:
            settle_pictures(drawn.images(part), drawn.dataset, part, root, may_lack and part == "train")
        yield from drawn.notes


def _draws(tasks: Sequence[Task]) -> Iterator[tuple[Drawn, Path | None, list[str]]]:
    """Every draw that differs in more than its seed, where its set lies, and the parts of it that are used."""
    wanted = defaultdict[str, dict[_How, set[str]]](lambda: defaultdict(set))
    for job in (task.job for task in tasks):
        if job.learns:
            learnt = wanted[job.dataset][_How(job.shots, job.subset, job.class_split, job.share, job.with_val)]
            learnt |= {"train", "val"} if job.with_val else {"train"}
        for test in job.tests:
            wanted[test.dataset][_How(None, test.subset, job.class_split)].add(test.part)  # tests are of all pictures
    for name, draws in wanted.items():
        root = tasks[0].root if name in SPECIFICATIONS else None
        dataset = load_classification(name, root, parts=sorted(set[str]().union(*draws.values())))
        if any(how.with_val for how in draws) and not dataset.parts.get("val"):
            raise UserError(f"{name} has no part val to choose settings by, and to learn from: add one beside train")
        for how, parts in draws.items():
            drawn = draw(dataset, how.shots, 1, how.subset, how.split, share=how.share, with_val=how.with_val)
            yield drawn, root, ["train"] if how.with_val else sorted(parts)


def _check_several(tasks: Sequence[Task]) -> Iterator[str]:
    """Yields what is unusual. Of tasks that learn from the same, that of most shots and fewest known labels tells."""
    sources = dict[Any, Task]()
    for task in sorted((task for task in tasks if task.job.learns), key=_hardness):
        data = task.config.data
        sources.setdefault((data.dataset, data.corpus, data.labels, data.subset, data.class_split), task)
    for task in sources.values():
        source = load_source(task.config)
        if isinstance(source, LabelledImages):  # which labels a seed leaves known is for the log of each run
            yield from (source.pool if source.pool and task.job.shots is None else source.images).notes
    for dataset, part in dict.fromkeys((test.dataset, test.part) for task in tasks for test in task.job.tests):
        load_part(dataset, part, tasks[0].root)


def _hardness(task: Task) -> tuple[float, float]:
    data = task.config.data
    known = 1.0 if data.known is None else 0.0 if isinstance(data.known, str) else data.known
    return -(data.shots or 0), known
