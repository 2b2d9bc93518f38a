"""The service's child process: a request on stdin, the choice as JSON on stdout, one line on stderr if it fails."""

from __future__ import annotations

import sys

from detector.core.processes import end_with_parent

from .worker_process import main

end_with_parent()
sys.exit(main())
