"""Features and tags of photos: open_clip with a DataLoader of as many workers, against our threads and one trunk."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.captions.synonyms import load_classes
from clipprompt.datasets import open_image
from clipprompt.features.images import Wanted, draft_opener, encode_images, image_batches
from clipprompt.inference import Tagger
from clipprompt.mini.render import render_scene
from clipprompt.mini.scenes import scene_split
from tools.bench._measure import SHARED, Row, compare, measure

Make = Callable[[str, list[Path], bool], Callable[[], object]]

WORKERS, BATCH = 4, 64
# Architecture, photos of a step, and whether drafts are measured too: where decoding takes most of the time.
MODELS = (("mini", 800, True), ("RN50", 192, False), ("ViT-B-32", 192, False))
_ASSETS = Path(__file__).resolve().parents[2] / "clipprompt" / "mini" / "assets"
_PHOTOS = SHARED / "data" / "coco_mini" / "train2017"
CLASSES = load_classes("voc2007").classnames


def rows() -> list[Row]:
    """Extraction of pooled features and tagging, with whole JPEGs and with drafts; memory at 100 and 2,000 photos."""
    with tempfile.TemporaryDirectory() as folder:
        photos, source = find_photos(Path(folder))
        made = []
        for name, n, with_draft in MODELS:
            paths = [photos[i % len(photos)] for i in range(n)]
            for draft in (False, True) if with_draft else (False,):
                made.append(_compare("features", name, paths, draft, _plain_features, _our_features))
                made.append(_compare("tags (20 classes)", name, paths, draft, _plain_tags, _our_tags))
        made[0]["note"] += f"; all rows: 640 x 480 ({source}), {WORKERS} workers, batch {BATCH}"
        made[1]["note"] += f"; {_memory(photos)}"
    return made


def _compare(what: str, name: str, paths: list[Path], draft: bool, plain: Make, ours: Make) -> Row:
    title = f"{what} of {len(paths)} photos, {name}{', draft' if draft else ''}"
    row = compare(title, partial(plain, name, paths, False), partial(ours, name, paths, draft), (3, 3))
    assert row["plain_s"] is not None
    assert row["ours_s"] is not None
    row["note"] = f"{len(paths) / row['plain_s']:.0f} -> {len(paths) / row['ours_s']:.0f} images/s"
    return row


def _memory(photos: list[Path]) -> str:
    peaks = [
        measure(partial(_our_tags, "mini", [photos[i % len(photos)] for i in range(n)], False), 1).megabytes
        for n in (100, 2000)
    ]
    return f"peak of tagging with mini: {peaks[0]:,.0f} MB for 100 photos, {peaks[1]:,.0f} MB for 2,000"


def find_photos(folder: Path) -> tuple[list[Path], str]:
    """Photos of 640 x 480, and what they are: real ones beside the checkout, or drawn scenes, written to a folder."""
    if _PHOTOS.is_dir():
        photos = sorted(_PHOTOS.glob("*.jpg"))
        return photos, f"{len(photos)} photos of COCO"
    paths = []
    for number, scene in enumerate(scene_split("test", 80)):
        picture = np.asarray(render_scene(scene, 640).crop((0, 80, 640, 560)), dtype=np.int16)
        noise = np.random.default_rng(number).normal(0, 8, picture.shape)
        paths.append(folder / f"{number}.jpg")
        Image.fromarray((picture + noise).clip(0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths, "80 drawn scenes with noise"


class _Photos(Dataset[Tensor]):
    def __init__(self, paths: list[Path], transform: Callable[[Image.Image], Tensor]) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def _plain_features(name: str, paths: list[Path], draft: bool) -> Callable[[], object]:
    """What open_clip's users write."""
    source = f"local-dir:{_ASSETS}" if name == "mini" else name
    model, _, transform = open_clip.create_model_and_transforms(source)
    model.eval()
    loader = DataLoader(_Photos(paths, transform), batch_size=BATCH, num_workers=WORKERS)

    @torch.inference_mode()
    def step() -> Tensor:
        return torch.cat([F.normalize(model.encode_image(images), dim=-1) for images in loader])

    return step


def _our_features(name: str, paths: list[Path], draft: bool) -> Callable[[], object]:
    backbone = _backbone(name)
    opener = draft_opener(open_image, backbone.image_size) if draft else open_image
    wanted = Wanted((True,), places=())

    def step() -> Tensor:
        batches = image_batches(backbone, paths, opener, batch_size=BATCH, workers=WORKERS)
        return torch.cat([encode_images(backbone, batch.images, wanted).pooled[True] for batch in batches])

    return step


def _plain_tags(name: str, paths: list[Path], draft: bool) -> Callable[[], object]:
    """Zero-shot: the five best of 20 classes for each photo."""
    extract = _plain_features(name, paths, draft)
    text = F.normalize(torch.randn(len(CLASSES), _backbone(name).embed_dim), dim=-1)

    def step() -> object:
        features = extract()
        assert isinstance(features, Tensor)
        return (features @ text.T).topk(5).indices.tolist()

    return step


def _our_tags(name: str, paths: list[Path], draft: bool) -> Callable[[], object]:
    """The Tagger, zero-shot."""
    backbone = _backbone(name)
    tagger = Tagger(backbone, None, CLASSES, batch_size=BATCH, workers=WORKERS, draft=draft)
    return lambda: sum(1 for _ in tagger.tag(paths))


def _backbone(name: str) -> Backbone:
    return load_backbone(name, None if name == "mini" else "random", device="cpu")
