#!/usr/bin/env python3
"""Entry script of the search command `| qscore`."""

import os
import sys
from pathlib import Path

BIN = Path(__file__).resolve().parent
APP_DIR = BIN.parent
LIB = APP_DIR / "lib"

# The script is called as the Python package is. Python puts a script's folder first on the path, where the script would
# be found in the package's place: it goes.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != BIN]

if __name__ == "__main__":
    # In the built app the library lies in lib/; in a checkout it lies beside bin/.
    sys.path.insert(0, str(LIB if LIB.is_dir() else APP_DIR))
    from splunk_app.command import main

    sys.exit(main(str(APP_DIR), os.environ))
elif __name__ == "qscore":
    # Somebody has bin/ on the path and imports the package.
    del sys.modules[__name__]
    import qscore  # noqa: F401
