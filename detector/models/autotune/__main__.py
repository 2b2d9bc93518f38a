"""The service's child: a task packed on stdin, the choice as JSON on stdout, one line on stderr where it fails."""

from __future__ import annotations

import sys

from .worker_process import main

sys.exit(main())
