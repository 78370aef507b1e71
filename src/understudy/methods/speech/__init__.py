"""Hearing: speech, voices, emotion."""
