"""Settings: for every config key its meaning, choices, limits, and what a resumed run may change.

`catalog` lists them, `checks` refuses values that mean nothing. Defaults are in configs/default.py;
docs/settings.md is generated from both (`python -m tools.settings`).
"""
