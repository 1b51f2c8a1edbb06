"""The weights of an ensemble's members, by pictures that a member held out of its training: never by tested ones."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from clipprompt.config import DataConfig
from clipprompt.evaluation.ensembles.pictures import Validation, held_out_validation
from clipprompt.evaluation.ensembles.prompts import fit_members
from clipprompt.evaluation.ensembles.weights import Ensemble, given_ensemble
from clipprompt.evaluation.job_tests.multilabel import load_tested
from clipprompt.evaluation.job_tests.one_pass import Evaluation
from clipprompt.evaluation.multilabel import Row
from clipprompt.features.image_rows import ImageRows
from clipprompt.learners import Learner
from clipprompt.sweep.task import Task
from clipprompt.training.encoded_pictures import shared_for


def fit_weights(task: Task, learners: Mapping[str, Learner], how: Evaluation) -> Ensemble:
    """Weighs the members of an ensemble, once for all of its tests.

    Equal weights are taken, and said to be, where no member held pictures out, where another learnt from those as well,
    or where the labels that are known of them cannot tell weights apart.

    Args:
        task: of the ensemble.
        learners: of its members, by the names of their jobs.
        how: where data are, and how they are read.

    Raises:
        UserError: as :func:`clipprompt.evaluation.ensembles.pictures.held_out_validation`.
    """
    of_pictures = [one for one in task.members if one.job.learns_from_pictures]
    holders = [one for one in of_pictures if one.config.train.select != "last"]
    if not holders:
        return given_ensemble(None, len(learners), "equal: no member held pictures out")
    if learnt_all := [one for one in of_pictures if one not in holders and one.job.shots is None]:
        return given_ensemble(None, len(learners), f"equal: {learnt_all[0].job.spelling} held no picture out")
    # Of all classes where these are tested: what was held out has no label of unseen ones.
    test = next((test for test in task.job.tests if test.subset != "novel"), task.job.tests[0])
    tested = load_tested(task.job, test, how.root).images
    validation = held_out_validation([one.folder for one in task.members if one.job.learns], tested)
    for note in validation.notes:
        print(note, file=sys.stderr)  # which is the job's log
    names = " and ".join(dict.fromkeys(one.job.spelling for one in holders))
    rows = [Row(learner) for learner in learners.values()]
    told = replace(validation, where=f"pictures that {names} held out")
    kept = _kept(validation, list(learners.values()), holders[0].config.data, how)
    return fit_members(rows, told, or_equal=True, kept=kept, batch_size=how.batch_size, workers=how.workers)


def _kept(
    validation: Validation, learners: Sequence[Learner], data: DataConfig, how: Evaluation
) -> list[ImageRows | None]:
    """Features that training, or an ensemble before this one, left where all runs of the sweep find them."""
    assert validation.pool is not None  # of what a run held out
    options = data if data.cache or how.cache is None else data.model_copy(update={"cache": str(how.cache)})
    return shared_for(learners, validation.pool, validation.images.items, options)
