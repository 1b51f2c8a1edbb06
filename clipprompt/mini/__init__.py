"""The mini world: drawn scenes, captions about them, and a small CLIP trained on both.

What a user names: :mod:`clipprompt.mini.scenes` (descriptions and splits), :mod:`clipprompt.mini.render` (pictures),
:mod:`clipprompt.mini.captions` (sentences), :data:`ASSETS` (the trained CLIP, an open_clip local folder).
"""

from __future__ import annotations

from pathlib import Path

ASSETS = Path(__file__).resolve().parent / "assets"
