"""Prompts of the original projects: from a ``model.pth.tar-N`` to one of our learners.

checkpoint --> plain tensors --> our names and shapes --> checked against the backbone's words and sizes --> Learner
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import Learner, create_learner
from clipprompt.sharing._checkpoint import Checkpoint, read_checkpoint
from clipprompt.sharing._keys import Prompt, read_prompt
from clipprompt.sharing._words import Words, read_words

_DEFAULT_WORDS = "a photo of a"
# They learn the first words of a text alone; the others stay and belong to the prompt. Their option of how many.
_FIRST_WORDS = {"maple": "n_ctx", "ivlp": "n_ctx_text", "promptsrc": "n_ctx_text"}


class Original(NamedTuple):
    """An original checkpoint, read and translated, before a backbone is known.

    Attributes:
        checkpoint: the file, its epoch and its tensors.
        prompt: method, parameters and options under our names.
    """

    checkpoint: Checkpoint
    prompt: Prompt


class Converted(NamedTuple):
    """A learner with the original's numbers.

    Attributes:
        learner: ready to score or to be saved.
        notes: lines for people: what was assumed, and how to say otherwise.
    """

    learner: Learner
    notes: tuple[str, ...]


def open_original(path: str | os.PathLike[str], method: str = "auto") -> Original:
    """Reads a checkpoint of CoOp, CoCoOp, VPT, IVLP, MaPLe, PromptSRC or TaI-DPT; nothing in it is executed.

    Args:
        path: a file, or the folder that such a project writes.
        method: one of ``METHODS``, such as ``coop``, or ``auto`` to tell it by the keys.

    Raises:
        UserError: in one line, naming the file and the key.
    """
    checkpoint = read_checkpoint(Path(path))
    with _naming(checkpoint.path):
        return Original(checkpoint, read_prompt(checkpoint.tensors, method))


def convert(
    original: Original, backbone: Backbone, classnames: Sequence[str], options: Mapping[str, Any] | None = None
) -> Converted:
    """Builds our learner with the original's numbers.

    Args:
        original: from ``open_original``.
        backbone: the CLIP that it was trained on.
        classnames: those that it was trained on, in their order.
        options: what a file does not tell, such as ``class_token_position`` of CoOp.

    Raises:
        UserError: if backbone, class names or options do not fit the numbers.
    """
    with _naming(original.checkpoint.path):
        prompt, given = original.prompt, dict(options or {})
        _check_context(prompt, backbone, classnames)
        words = None if prompt.suffix is None else read_words(prompt.suffix, backbone, classnames)
        _check_words(prompt, words)
        known = {**prompt.options, **_words_option(prompt, words), **given}
        learner = create_learner(prompt.method, backbone, classnames, **known)
        _load(learner, prompt)
        return Converted(learner, tuple(_notes(prompt, words, given)))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _check_context(prompt: Prompt, backbone: Backbone, classnames: Sequence[str]) -> None:
    context = prompt.parameters.get("ctx")
    if context is None:  # VPT learns no words; its prompts are checked when they are loaded
        return
    if context.shape[-1] != backbone.text_width:
        raise UserError(
            f"its context has width {context.shape[-1]}, but {backbone.name} has {backbone.text_width}: "
            "was it learnt on another backbone?"
        )
    if context.dim() == 3 and len(context) != len(classnames):
        raise UserError(
            f"it has a context for each of {len(context)} classes, but {len(classnames)} were given; "
            "name those that it was trained on, in their order"
        )


def _check_words(prompt: Prompt, words: Words | None) -> None:
    if words is None:
        return
    if words.difference and prompt.parameters["ctx"].dim() == 3:
        raise UserError(f"each context belongs to a class, and {words.difference}; give the classes in their order")
    if words.left_over and prompt.method not in _FIRST_WORDS:
        raise UserError(
            f"the words {words.left_over!r} stand between its context and the names, left over from words that the "
            f"original counted wrongly; {prompt.method} cannot say them here"
        )


def _words_option(prompt: Prompt, words: Words | None) -> dict[str, Any]:
    """The words of which a prompt learns the first alone."""
    if prompt.method not in _FIRST_WORDS:
        return {}
    n_ctx = prompt.options[_FIRST_WORDS[prompt.method]]
    default = _DEFAULT_WORDS.split()
    if words is None or words.left_over is None:
        return {"ctx_init": _DEFAULT_WORDS if n_ctx < len(default) else None}
    if words.left_over == " ".join(default[n_ctx:]):
        return {"ctx_init": _DEFAULT_WORDS if words.left_over else None}
    return {"ctx_init": " ".join(["x"] * n_ctx + [words.left_over]) if words.left_over else None}


def _load(learner: Learner, prompt: Prompt) -> None:
    expected = learner.state_dict()
    for key in sorted(set(expected) ^ set(prompt.parameters)):
        raise UserError(f"parameter {key!r} is {'missing' if key in expected else 'not one of ' + learner.name}")
    for key, value in expected.items():
        if value.shape != prompt.parameters[key].shape:
            raise UserError(
                f"{key!r} has shape {tuple(prompt.parameters[key].shape)}, but {learner.name} on "
                f"{learner.backbone.name} has {tuple(value.shape)}: was it learnt on another backbone?"
            )
    learner.load_state_dict(prompt.parameters, strict=True)


def _notes(prompt: Prompt, words: Words | None, given: Mapping[str, Any]) -> Iterator[str]:
    if words is None:
        yield "the file does not hold the words around the context, so backbone and class names could not be checked"
    elif words.difference:
        yield f"{words.difference}: the context is the same for every class, so it takes these names too"
    guessed = words is None or words.left_over is None
    if guessed and _words_option(prompt, words).get("ctx_init") and "ctx_init" not in given:
        yield f"the words of the prompt are taken to be {_DEFAULT_WORDS!r}; say otherwise with ctx_init=…"
    if prompt.method == "coop" and "class_token_position" not in given:
        yield "the class name is taken to stand at the end; say otherwise with class_token_position=middle or front"
    if prompt.method == "tai_dpt" and not {"spatial_scale_image", "spatial_scale_text"} & (
        set(given) | set(prompt.options)
    ):
        yield "spatial_scale_image is 50; the original's VOC2007 and COCO settings have 40, NUS-WIDE's 4"
