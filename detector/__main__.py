"""`python -m detector` and the console script."""

from __future__ import annotations

from detector.core.processes import end_with_parent

if __name__ == "__main__":
    end_with_parent()  # before the imports: the service builds engines by `detector build`

from detector.cli.app import main

if __name__ == "__main__":
    main()
