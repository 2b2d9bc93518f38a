"""The service's child process: a request on stdin, the choice as JSON on stdout, one line on stderr if it fails."""

from __future__ import annotations

import sys

from .worker_process import main

sys.exit(main())
