"""Which architectures work with which learners: every one is built without memory for weights, and asked.

    name -> open_clip or timm on the meta device -> Backbone -> what its towers take -> works, or the reason in one line

Learners refuse a backbone with the same lines, so the table and they cannot differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.factory import get_model_config
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from clipprompt.backbone import Backbone, VisionTower, without_text
from clipprompt.backbone._loading import LOADING_ERRORS, first_line, undisturbed
from clipprompt.backbone._text_hf import HFTextTower
from clipprompt.backbone._timm import PREFIX, find_timm, sketch_timm, timm_tags
from clipprompt.errors import UserError, nearest
from clipprompt.files import write_text

LANGUAGE, VISUAL, MULTI_MODAL, HEAD = FAMILIES = ("language", "visual", "multi-modal", "head")
# What gives weights their first values.
_FILLS = {"normal_", "uniform_", "erfinv_", "clamp_", "mul_", "add_", "fill_", "zero_"}
# In place of a text tower that files on the Hub describe: what is asked of it, its class knows.
_ANY_TEXT = {"context_length": 16, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}


@dataclass(frozen=True)
class Capability:
    """What can be learnt on an architecture.

    Attributes:
        name: of the architecture, as open_clip lists it, or as timm does behind ``timm:``.
        text: kind of text tower; empty for none.
        image: kind of image tower.
        package: that loading it takes, beyond what clipprompt brings; None for most.
        refusals: the families of learners that do not work on it, and why, each in a line.
        prompts: what ``vpt_head`` prompts, tokens or (where there are none) pixels.
        weights: tags of the weights that there are, separated by spaces.
    """

    name: str
    text: str
    image: str
    package: str | None
    refusals: dict[str, str]
    prompts: str = ""
    weights: str = ""


def find_architectures(part: str | None) -> list[str]:
    """The architecture of that name, or those with ``part`` in their names, in open_clip's order; None: all of these.

    Those of timm are named behind ``timm:``.

    Raises:
        UserError: if there is none, with the nearest name suggested.
    """
    if part is not None and part.startswith(PREFIX):
        return find_timm(part)
    known = open_clip.list_models()
    if part is None or part in known:
        return [part] if part else known
    found = [name for name in known if part.lower() in name.lower()]
    if not found:
        raise UserError(f"open_clip has no architecture {part!r}{nearest(part, known)}")
    return found


def list_capabilities(names: Sequence[str], folder: Path | None = None) -> Iterator[Capability]:
    """Asks architectures one after another.

    Args:
        names: some of ``open_clip.list_models()``, or of timm's behind ``timm:``.
        folder: keeps the answers for the next time, as long as the towers' code and the packages stay the same.
    """
    place = None if folder is None else folder / f"models-{_code()}.json"
    known = {} if place is None else _read(place)
    try:
        for name in names:
            if name not in known:
                known[name] = capability(name)
            yield known[name]
    finally:
        if place is not None and known:
            with suppress(UserError):  # a folder that cannot be written to, a full disk: asked again next time
                write_text(place, json.dumps([asdict(one) for one in known.values()], indent=1))


def capability(name: str) -> Capability:
    """Builds one of ``open_clip.list_models()``, or one of timm's, and asks its towers. Nothing is fetched."""
    if name.startswith(PREFIX):
        return _timm_capability(name)
    weights = " ".join(open_clip.list_pretrained_tags_by_model(name))
    text = get_model_config(name)["text_cfg"]
    from_hub = "hf_model_name" in text
    package = "transformers" if from_hub or "hf_tokenizer_name" in text else None
    try:
        model = _build(name, {"text_cfg": _ANY_TEXT} if from_hub else {})
    except LOADING_ERRORS as error:  # of a configuration that a user has added
        return Capability(name, "", "", package, dict.fromkeys(FAMILIES, f"cannot be built: {first_line(error)}"))
    trunk = getattr(model.visual, "trunk", None)
    image = type(model.visual).__name__ if trunk is None else f"timm {type(trunk).__name__}"
    try:
        backbone = Backbone.from_open_clip(model, _tokenizer(_ANY_TEXT if from_hub else text), name=name)
    except UserError as error:
        return Capability(name, "", image, package, dict.fromkeys(FAMILIES, str(error)), weights=weights)
    tower = HFTextTower if from_hub else backbone.text
    visual = refuse_visual_prompts(backbone)
    lines = {VISUAL: visual, MULTI_MODAL: visual or refuse_deep_text_prompts(name, tower.takes_deep_prompts)}
    refusals = {family: line for family, line in lines.items() if line}
    return Capability(name, tower.kind, image, package, refusals, _prompts(backbone.vision), weights)


def _timm_capability(name: str) -> Capability:
    image, weights = "", " ".join(timm_tags(name))
    try:
        model = sketch_timm(name)
        image = f"timm {type(model.visual.trunk).__name__}"
        tower = Backbone(model, None, None, name, None).vision
    except UserError as error:
        return Capability(name, "", image, None, dict.fromkeys(FAMILIES, str(error)), weights=weights)
    refusals = dict.fromkeys((LANGUAGE, VISUAL, MULTI_MODAL), without_text(name))
    return Capability(name, "", image, None, refusals, _prompts(tower), weights)


def _prompts(tower: VisionTower) -> str:
    return "tokens" if tower.n_layers else "pixels"


def refuse_visual_prompts(backbone: Backbone) -> str | None:
    """Why learners with texts, and prompts in the image tower, do not work on a backbone; None if they do."""
    name, tower = backbone.name, backbone.vision
    if not backbone.has_text:
        return without_text(name)
    if not tower.n_layers:
        return f"needs a transformer image tower, such as ViT-B-16's; {name} has none"
    if len(set(tower.layer_widths)) > 1:
        return (
            f"needs an image tower with layers of one width, such as ViT-B-16's; {name} has stages: vpt_head takes it"
        )
    return None


def refuse_deep_text_prompts(name: str, takes_deep_prompts: bool) -> str | None:
    """Why learners with prompts in several layers of the text tower do not work on the backbone ``name``."""
    if takes_deep_prompts:
        return None
    return f"needs a text tower whose layers can be prompted; {name} takes text prompts at its input alone (depth 1)"


class _WithoutValues(TorchFunctionMode):
    """Leaves out what fills weights with numbers, two thirds of the time: on the meta device they have none."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in _FILLS and args and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


def _build(name: str, replaced: dict[str, Any]) -> Any:
    with undisturbed(seed=0), torch.device("meta"), _WithoutValues():
        model = open_clip.create_model(
            name, device="meta", load_weights=False, pretrained_image=False, pretrained_text=False, **replaced
        )
    model.logit_scale = nn.Parameter(torch.zeros(()))  # the one weight that is read at once
    return model


def _tokenizer(text: dict[str, Any]) -> Any:
    """CLIP's own; where the Hub has the tokenizer, one that ends texts as the configuration says."""
    if "hf_tokenizer_name" not in text:
        return _clip_tokenizer()
    end = text.get("eos_id", 1)

    def tokenize(texts: list[str], context_length: int) -> Tensor:
        rows = ([end + 1] * len(one.split()) + [end] + [0] * context_length for one in texts)
        return torch.tensor([row[:context_length] for row in rows])

    return tokenize


@cache
def _clip_tokenizer() -> Any:
    return open_clip.SimpleTokenizer()


def _code() -> str:
    """Names what answers depend on: this folder, the packages that build the towers, and all configurations."""
    digest = sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    digest.update(" ".join(version(package) for package in ("open_clip_torch", "timm", "torch")).encode())
    digest.update(json.dumps([get_model_config(name) for name in open_clip.list_models()]).encode())
    return digest.hexdigest()[:12]


def _read(place: Path) -> dict[str, Capability]:
    try:
        found = [Capability(**one) for one in json.loads(place.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):  # not there, or not whole: asked again
        return {}
    return {one.name: one for one in found}
