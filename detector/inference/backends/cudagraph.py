"""CUDA graphs through cuda-bindings (the only file that imports it): many launches become one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)


class Captured:
    """The recorded work of a stream, which is launched again as one graph."""

    def __init__(self, *, driver: Any, graph: Any, executable: Any, stream: int) -> None:
        self._driver, self._graph, self._executable, self._stream = driver, graph, executable, stream

    def launch(self) -> None:
        """Launch it on the stream that it was captured from; raises RuntimeError, as does the driver's next call."""
        _checked(self._driver.cuGraphLaunch(self._executable, self._stream))

    def __del__(self) -> None:
        self._driver.cuGraphExecDestroy(self._executable)
        self._driver.cuGraphDestroy(self._graph)


def capture(stream: int, enqueue: Callable[[], None]) -> Captured | None:
    """Record what `enqueue` puts on `stream`, without running it; None, and a log line, if that is not possible.

    Run it once before and wait for it: lazy set-up cannot be recorded.
    """
    try:
        from cuda.bindings import driver
    except ImportError:
        return None
    mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    try:
        _checked(driver.cuStreamBeginCapture(stream, mode))
        try:
            enqueue()
        finally:
            graph = _checked(driver.cuStreamEndCapture(stream))
        executable = _checked(driver.cuGraphInstantiate(graph, 0))
    except Exception as error:  # whatever it is: the engine still runs without a graph
        log.info("no CUDA graph: %s", error)
        return None
    return Captured(driver=driver, graph=graph, executable=executable, stream=stream)


def _checked(result: tuple[Any, ...]) -> Any:
    """The value in a result of cuda-bindings (status, then the value if there is one); raises RuntimeError."""
    status, *value = result
    if int(status) != 0:
        raise RuntimeError(f"CUDA: {status.name}")
    return value[0] if value else None
