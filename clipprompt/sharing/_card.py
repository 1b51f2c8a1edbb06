"""The model card of a prompt on the Hub, for a folder that brings none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from clipprompt.learners import learner_class
from clipprompt.sharing._public import public_name

_BODY = """\
# {name}

{what}, learnt with `{method}` of clipprompt.

| | |
|---|---|
| method | `{method}` |
| backbone | `{backbone}` |
| image size | {image_size} |
| classes | {n_classes} |

```bash
clipprompt pull {repo} -o {name}
clipprompt tag photos/ --prompts {name}
{export}```

```python
from clipprompt import load_learner

learner = load_learner("{name}")  # loads the backbone as well
{other_classes}logits = learner(images)  # (B, {n_classes})
```

## Options

```yaml
{options}```

## Classes

```text
{classes}
```
"""

_EXPORT = "clipprompt export {name} --to {name}.safetensors   # for open_clip alone\n"
_OTHER_CLASSES = 'learner = load_learner("{name}", classnames=["zebra", "okapi"])  # the same prompt, other classes\n'


def write_card(repo: str, description: Mapping[str, Any]) -> str:
    """The card as Markdown with the Hub's YAML header.

    Args:
        repo: ``org/name``.
        description: what ``prompt.json`` holds.

    Returns:
        Text without any path of this machine.
    """
    backbone = description["backbone"]
    name, tag = str(backbone.get("name")), backbone.get("pretrained")
    has_head = not learner_class(description["method"]).has_text_features
    header: dict[str, Any] = {
        "library_name": "clipprompt",
        "pipeline_tag": "image-classification" if has_head else "zero-shot-image-classification",
        "tags": [*(["visual-tuning"] if has_head else ["clip", "open_clip", "prompt-learning"]), description["method"]],
    }
    if name.startswith("hf-hub:"):
        header["base_model"] = name.removeprefix("hf-hub:")
    fixed = has_head or bool(description["options"].get("class_specific"))
    name_here = repo.rpartition("/")[2]
    body = _BODY.format(
        repo=repo,
        name=name_here,
        what="A task on a frozen image tower" if has_head else "A prompt for a frozen CLIP",
        export="" if has_head else _EXPORT.format(name=name_here),
        method=description["method"],
        backbone=" ".join(filter(None, [public_name(name), tag and public_name(str(tag))])),
        image_size=backbone.get("image_size"),
        n_classes=len(description["classnames"]),
        other_classes="" if fixed else _OTHER_CLASSES.format(name=name_here),
        options=yaml.safe_dump(dict(description["options"]), sort_keys=False, allow_unicode=True) or "{}\n",
        classes="\n".join(_plain(name) for name in description["classnames"]),
    )
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n\n{body}"


def _plain(name: str) -> str:
    """A class name that can end neither its line nor the block it stands in."""
    return " ".join(name.split()).replace("`", "'")
