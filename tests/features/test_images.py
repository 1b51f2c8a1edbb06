from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from threading import Lock

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.datasets import open_image
from clipprompt.errors import UserError
from clipprompt.features.images import (
    Wanted,
    draft_opener,
    encode_images,
    everything,
    image_batches,
    what_learners_read,
)
from clipprompt.learners import create_learner

CLASSES = ["cat", "dog"]


def _transformed(backbone: Backbone, files: list[Path]) -> torch.Tensor:
    assert backbone.preprocess is not None
    return torch.stack([backbone.preprocess(open_image(path)) for path in files])


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batches_hold_what_the_transform_makes(
    backbone: Backbone, files: list[Path], workers: int, batch_size: int
) -> None:
    batches = list(image_batches(backbone, files, batch_size=batch_size, workers=workers))
    assert [path for batch in batches for path in batch.items] == files
    assert all(len(batch.items) <= batch_size for batch in batches)
    assert torch.equal(torch.cat([batch.images for batch in batches]), _transformed(backbone, files))


def test_an_unreadable_file_does_not_end_the_stream(backbone: Backbone, files: list[Path]) -> None:
    files[2].write_bytes(b"no picture")
    batches = list(image_batches(backbone, files, batch_size=3))
    assert [path for batch in batches for path in batch.items] == [*files[:2], *files[3:]]
    assert [path for batch in batches for path, _ in batch.unreadable] == [files[2]]


def test_a_batch_of_unreadable_files_alone_has_no_images(backbone: Backbone, tmp_path: Path) -> None:
    (batch,) = image_batches(backbone, [tmp_path / "a.jpg", tmp_path / "b.jpg"])
    assert (batch.items, len(batch.images), len(batch.unreadable)) == ([], 0, 2)


def test_an_endless_stream_is_read_as_far_as_it_is_used(backbone: Backbone, files: list[Path]) -> None:
    opened, lock, numbers = 0, Lock(), count()

    def open_item(path: Path) -> Image.Image:
        nonlocal opened
        with lock:
            opened += 1
        return open_image(path)

    def endless() -> Iterator[Path]:
        while True:
            yield files[next(numbers) % len(files)]

    batches = image_batches(backbone, endless(), open_item, batch_size=2, workers=2)
    for _ in range(5):
        next(batches)
    batches.close()
    assert next(numbers) <= 5 * 2 + 2 * 2 + 1
    assert opened <= 5 * 2 + 2 * 2


@pytest.mark.parametrize(("options", "message"), [({"batch_size": 0}, "batch size 0"), ({"workers": -1}, "-1 workers")])
def test_impossible_loading_is_refused(
    backbone: Backbone, files: list[Path], options: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        next(image_batches(backbone, files, **options))


@pytest.mark.parametrize("kind", ["rn", "vit"])
def test_features_are_those_of_each_learner(kind: str, request: pytest.FixtureRequest) -> None:
    backbone: Backbone = request.getfixturevalue(f"tiny_{kind}_backbone")
    images = torch.randn(3, 3, backbone.image_size, backbone.image_size, generator=torch.Generator().manual_seed(0))
    learners = [
        create_learner("zero_shot", backbone, CLASSES),
        create_learner("zero_shot", backbone, CLASSES, positional=False),
        create_learner("tai_dpt", backbone, CLASSES, n_ctx=2),
        create_learner("dualcoop", backbone, CLASSES, n_ctx=2),
    ]
    for wanted in (what_learners_read(learners), everything(backbone, (False, True))):
        features = encode_images(backbone, images, wanted)
        for learner in learners:
            ours, own = features.seen_by(learner), learner.encode_images(images)
            torch.testing.assert_close(ours.global_, own.global_)
            torch.testing.assert_close(ours.local, own.local)


def test_only_what_is_read_is_computed(tiny_rn_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_rn_backbone.vision, "project", None)
    size = tiny_rn_backbone.image_size
    features = encode_images(tiny_rn_backbone, torch.zeros(2, 3, size, size), Wanted((True,), places=()))
    assert list(features.pooled) == [True]
    assert features.local == {}
    assert features.seen_by(create_learner("coop", tiny_rn_backbone, CLASSES, n_ctx=2)).local.shape == (2, 0, 64)
    assert torch.allclose(features.pooled[True], F.normalize(features.pooled[True], dim=-1))


def test_a_draft_holds_the_pixels_that_are_needed(tmp_path: Path) -> None:
    Image.new("RGB", (1600, 1000), "teal").save(tmp_path / "large.jpg")
    assert open_image(tmp_path / "large.jpg").size == (1600, 1000)
    assert draft_opener(open_image, 224)(tmp_path / "large.jpg").size == (400, 250)


def test_a_draft_leaves_other_openers_alone() -> None:
    def draw(seed: int) -> Image.Image:
        return Image.new("RGB", (seed, seed))

    assert draft_opener(draw, 224) is draw


def test_a_draft_moves_the_features_of_photos_by_little(photos: list[Path]) -> None:
    """The tolerance that docs/tagging.md states, on COCO photos of 640 x 480 and the bundled CLIP of 128 pixels."""
    backbone = load_backbone("mini", device="cpu")
    wanted = Wanted((True,), places=())
    whole, drafts = (
        torch.cat([encode_images(backbone, batch.images, wanted).pooled[True] for batch in batches])
        for batches in (
            image_batches(backbone, photos, open_image),
            image_batches(backbone, photos, draft_opener(open_image, backbone.image_size)),
        )
    )
    cosines = (whole * drafts).sum(dim=1)
    assert 0.98 < cosines.min() < 0.9999
    assert cosines.mean() > 0.998
