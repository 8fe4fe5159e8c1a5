"""How each model family is searched and fitted: one file each, and one row in ``table``.

To add a family: its file here, which ends in a ``TRAINING``; a row in ``table``; a row in ``scorer.models.families``
for what a worker loads; a paragraph in docs/models.md. ``family`` says what a family's file has to offer.
"""
