"""A caption grammar that speaks of mini scenes as people caption photos.

Synonyms, counts, colours, sizes, relations, places, objects left out, words about nothing. It reads the description of
a scene, never a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

from clipprompt.mini._words import (
    ACTIONS,
    ADJECTIVES,
    COLOUR_WORDS,
    FAMILIES,
    FILLERS,
    LARGE,
    NAMES,
    NUMBERS,
    PEOPLE,
    PLACES,
    SMALL,
    SYLLABLES,
)
from clipprompt.mini.kinds import SEATS
from clipprompt.mini.scenes import Scene, SceneObject, sample_scene, split_seeds

Group = list[SceneObject]

_OPENINGS = (
    "there is",
    "there is",
    "a photo of",
    "a picture of",
    "an image of",
    "a close up of",
    "a view of",
    "this is",
    "we see",
    "looking at",
)
_SIDE_BY_SIDE = (
    "next to",
    "beside",
    "near",
    "and",
    "and",
    "with",
    "with",
    "by",
    "along with",
    "alongside",
    "as well as",
)
_EMPTY = ("an outdoor scene", "a quiet scene", "a view of the area", "an empty place", "some things", "a picture")
_TAILS = (
    "during the day",
    "on a sunny day",
    "that is not moving",
    "in the daytime",
    "for a photo",
    "in the distance",
    "at once",
    "while others watch",
)


def sample_caption(scene: Scene, seed: int) -> str:
    """One caption of a scene.

    Args:
        scene: what is spoken of; only objects that are present can be named.
        seed: of the choice of words; a scene has as many captions as there are seeds.

    Returns:
        A sentence without line breaks that names a part of the scene.
    """
    rng = Random(seed * 1_000_003 + scene.seed)
    groups = _mentioned(rng, _groups(scene))
    words = _sentence(rng, scene, groups).split()
    if rng.random() < 0.45:
        words = _with_fillers(rng, words)
    text = " ".join(words)
    text = text[0].upper() + text[1:] if rng.random() < 0.7 else text
    return text + rng.choice((".", ".", ".", "", " ."))


def caption_split(name: str, n: int, seed: int = 0) -> list[tuple[str, list[int]]]:
    """Captions of the first ``n`` scenes of a split, each with its scene's labels (which a corpus never reads).

    Raises:
        UserError: for an unknown split.
    """
    scenes = (sample_scene(scene_seed) for scene_seed in split_seeds(name, n))
    return [(sample_caption(scene, seed), scene.labels()) for scene in scenes]


def _groups(scene: Scene) -> list[Group]:
    """Objects of one kind (people: of one variant) together, the largest first: it is what one speaks of first."""
    groups: dict[tuple[str, int], Group] = {}
    for thing in scene.present:
        key = (thing.kind, thing.variant if thing.kind == "person" else 0)
        groups.setdefault(key, []).append(thing)
    return sorted(groups.values(), key=lambda group: -sum(_area(thing) for thing in group))


def _area(thing: SceneObject) -> float:
    return thing.box[2] * thing.box[3] * thing.visible


def _mentioned(rng: Random, groups: list[Group]) -> list[Group]:
    """Small things are left out more often; now and then a caption names nothing."""
    if rng.random() < 0.03:
        return []
    kept = [group for group in groups if rng.random() < min(0.92, 0.62 + 2.5 * sum(map(_area, group)))]
    kept = kept or groups[:1]
    if rng.random() < 0.35:
        rng.shuffle(kept)
    return kept


def _sentence(rng: Random, scene: Scene, groups: list[Group]) -> str:
    place = rng.choice(PLACES[scene.background]) if rng.random() < 0.65 else ""
    if not groups:
        return f"{rng.choice(_EMPTY)} {place}"
    opening = rng.choice(_OPENINGS) if rng.random() < 0.22 else ""
    parts = [opening.replace("is", "are") if opening == "there is" and len(groups[0]) > 1 else opening]
    parts.append(_phrase(rng, groups[0]))
    parts.append(_action(rng, groups[0]) if rng.random() < 0.7 else "")
    if place and rng.random() < 0.35:
        parts.append(place)
        place = ""
    for before, group in pairwise(groups):
        parts.extend((_relation(rng, before, group), _phrase(rng, group)))
        if rng.random() < 0.25:
            parts.append(_action(rng, group))
    parts.append(place)
    if rng.random() < 0.08:
        parts.append(rng.choice(_TAILS))
    return " ".join(parts)


def _phrase(rng: Random, group: Group) -> str:
    noun = _noun(rng, group)
    front = " ".join(_attributes(rng, group))
    if len(group) > 1:
        return f"{rng.choice(NUMBERS[min(len(group), 5)])} {front} {noun}"
    phrase = f"{front} {noun}".strip()
    if rng.random() < 0.12:
        return f"{rng.choice(('the', 'one', 'his', 'some kind of'))} {phrase}"
    return f"{'an' if phrase[0].lower() in 'aeiou' else 'a'} {phrase}"


def _noun(rng: Random, group: Group) -> str:
    kind, plural = group[0].kind, len(group) > 1
    if kind in FAMILIES and rng.random() < 0.03:
        return FAMILIES[kind][plural]
    names = PEOPLE[group[0].variant] if kind == "person" else NAMES[kind]
    singular, many, _ = rng.choices(names, [name[2] for name in names])[0]
    return many if plural else singular


def _attributes(rng: Random, group: Group) -> list[str]:
    words = []
    if rng.random() < 0.14:
        area = max(map(_area, group))
        words.append(rng.choice(SMALL if area < 0.03 else LARGE if area > 0.12 else ADJECTIVES))
    if rng.random() < 0.08:
        words.append(rng.choice(ADJECTIVES))
    colours = {thing.colour for thing in group}
    if len(colours) == 1 and group[0].kind != "person" and rng.random() < 0.32:
        colour = colours.pop()
        words.append(rng.choice(COLOUR_WORDS.get(colour, (colour,))))
    return words


def _action(rng: Random, group: Group) -> str:
    action = rng.choice(ACTIONS.get(group[0].kind, ("sitting", "standing", "placed", "", "", "")))
    return f"{'are' if len(group) > 1 else 'is'} {action}" if action and rng.random() < 0.25 else action


def _relation(rng: Random, before: Group, after: Group) -> str:
    one, two = before[0], after[0]
    if one.kind == "person" and one.pose == 3 and two.kind in SEATS:
        return rng.choice(
            ("riding", "on", "on top of") if SEATS[two.kind] > 0.1 else ("sitting on", "on", "sitting in")
        )
    if rng.random() < 0.25:
        nearer = one.box[1] + one.box[3] > two.box[1] + two.box[3]
        return rng.choice(("in front of", "before")) if nearer else rng.choice(("behind", "in back of"))
    return rng.choice(_SIDE_BY_SIDE)


def _with_fillers(rng: Random, words: Sequence[str]) -> list[str]:
    """One to six words about nothing, at random places or in a row at an end; one in six is made up."""
    extra = [_made_up(rng) if rng.random() < 0.17 else rng.choice(FILLERS) for _ in range(rng.randint(1, 6))]
    out = list(words)
    if rng.random() < 0.4:
        return extra + out if rng.random() < 0.4 else out + extra
    for word in extra:
        out.insert(rng.randint(0, len(out)), word)
    return out


def _made_up(rng: Random) -> str:
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 4)))
