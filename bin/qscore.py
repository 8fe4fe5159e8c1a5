#!/usr/bin/env python3
"""Entry script of the search command `| qscore`."""

import os
import sys
from pathlib import Path

APP_DIR = Path(__file__).resolve().parent.parent
LIB = APP_DIR / "lib"
# In the built app the library lies in lib/; in a checkout it lies beside bin/.
sys.path.insert(0, str(LIB if LIB.is_dir() else APP_DIR))

from splunk_app.command import main

if __name__ == "__main__":
    sys.exit(main(str(APP_DIR), os.environ))
