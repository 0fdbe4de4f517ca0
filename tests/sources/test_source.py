from pathlib import Path

from ratelimit.settings import ConfigSettings
from ratelimit.sources.directory import DirectorySource
from ratelimit.sources.source import Listener, Source


async def test_a_directory_is_a_source(tmp_path: Path) -> None:
    """Through the port alone: start tells the listener, close may come at any time and twice."""
    loaded: list[object] = []
    settings = ConfigSettings(runtime_root=str(tmp_path), runtime_appdirectory="")
    source: Source = DirectorySource(settings, Listener(loaded.append, loaded.append))
    await source.close()
    await source.start()
    assert len(loaded) == 1
    await source.close()
    await source.close()
