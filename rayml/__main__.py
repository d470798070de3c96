"""Lets `python -m rayml` run the command line."""

import sys

from rayml.cli import main

sys.exit(main())
