"""Breaks guarantees on purpose, in a copy of this tree, and says whether the tests that have to notice do.

    python -m tests.broken [--only WORDS] [--whole]

Each guarantee of the table is broken by itself; each of its tests has to fail, and does not where nothing is broken.
``--only``: those whose name holds these words. ``--whole``: whole files of tests are run, and every test that fails is
told. Exit code 1 where a test notices nothing, or something else is wrong.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.broken.guarantees import GUARANTEES, Edit, Guarantee

ROOT = Path(__file__).resolve().parents[2]
_OUTCOME = re.compile(r"^(?:FAILED|ERROR) (\S+?::.*?)(?: - .*)?$", re.MULTILINE)


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """A folder with every file that git knows, as it is here now."""
    command = ["git", "ls-files", "-coz", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    with tempfile.TemporaryDirectory(prefix="broken-") as folder:
        for name in filter(None, listed.split("\0")):
            target = Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).exists():
                shutil.copy2(ROOT / name, target)
        yield Path(folder)


@contextmanager
def broken(tree: Path, edits: tuple[Edit, ...]) -> Iterator[None]:
    """The tree with these edits, and without them afterwards. Raises ValueError where a text is not there once."""
    before = {edit.file: (tree / edit.file).read_text("utf-8") for edit in edits}
    try:
        for edit in edits:
            text = (tree / edit.file).read_text("utf-8")
            if text.count(edit.sound) != 1:
                raise ValueError(f"{edit.file} holds {edit.sound!r} {text.count(edit.sound)} times")
            (tree / edit.file).write_text(text.replace(edit.sound, edit.broken), "utf-8")
        yield
    finally:
        for name, text in before.items():
            (tree / name).write_text(text, "utf-8")


def failures(tree: Path, tests: tuple[str, ...]) -> set[str]:
    """The tests that fail in the tree, with their parameters."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", "-rfE", *tests]
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "1000"}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise ValueError(f"pytest ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return set(_OUTCOME.findall(done.stdout))


def missed(guarantee: Guarantee, failed: set[str]) -> list[str]:
    """The named tests that noticed nothing; a name without parameters stands for all of them."""
    return [test for test in guarantee.tests if not any(one == test or one.startswith(f"{test}[") for one in failed)]


def main(words: str, whole: bool) -> int:
    """Go through the table."""
    wrong = 0
    with copy_of_the_tree() as tree:
        for guarantee in GUARANTEES:
            if words not in guarantee.name:
                continue
            tests = tuple(dict.fromkeys(test.partition("::")[0] if whole else test for test in guarantee.tests))
            with broken(tree, guarantee.edits):
                failed = failures(tree, tests)
            unnoticed = missed(guarantee, failed)
            wrong += bool(unnoticed)
            print(f"{'NOT NOTICED' if unnoticed else 'noticed'}: {guarantee.name} ({guarantee.how})", flush=True)
            print("".join(f"    passed: {test}\n" for test in unnoticed), end="", flush=True)
            print("".join(f"    failed: {test}\n" for test in sorted(failed)), end="", flush=True)
    return min(wrong, 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.broken", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", metavar="WORDS")
    parser.add_argument("--whole", action="store_true")
    given = parser.parse_args()
    raise SystemExit(main(given.only, given.whole))
