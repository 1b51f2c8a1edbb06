"""Prompts that travel: export to plain open_clip, to and from the Hugging Face Hub, from the original projects."""
