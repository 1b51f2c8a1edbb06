"""The mini world: drawn scenes, captions about them, and two small CLIPs trained on them.

What a user names: :mod:`clipprompt.mini.scenes` (descriptions and splits), :mod:`clipprompt.mini.render` (pictures),
:mod:`clipprompt.mini.captions` (sentences), :data:`ASSETS` (the trained CLIP, an open_clip local folder),
:data:`VIT_ASSETS` (the image tower that takes the place of its ResNet in ``mini-vit``, with its configuration).
"""

from __future__ import annotations

from pathlib import Path

ASSETS = Path(__file__).resolve().parent / "assets"
VIT_ASSETS = ASSETS.with_name("assets_vit")
