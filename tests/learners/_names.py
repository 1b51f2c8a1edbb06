"""Learners by what class names are to them."""

from __future__ import annotations

from clipprompt.learners import learner_class, list_learners

OF_TEXTS = [name for name in list_learners() if learner_class(name).has_text_features]
"""Those whose class names go through the text tower."""

HEADS = [name for name in list_learners() if name not in OF_TEXTS]
"""Those that answer with a head of their own."""

LEARN_FROM_A_BATCH = [name for name in OF_TEXTS if name != "zero_shot" and not learner_class(name).reads_training_set]
"""Those of texts that have parameters before they have seen a training set."""
