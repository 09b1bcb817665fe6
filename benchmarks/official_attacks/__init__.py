"""Membership attacks as their authors' code computes them; one file is one attack, and nothing here uses leakfront.

Each attack is a function (target, shadows) -> scores float64 [N], higher for likelier members, with the defaults of
its source. Its docstring names the paper, the file that was transcribed, and every departure from it. Where a source
learns from known members of the attacked model, the fit here is on shadow models, so that what is compared is the
formula and not what the attacker knows.
"""
