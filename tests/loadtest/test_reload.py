from loadtest.reload import configuration
from ratelimit.descriptors.loader import ConfigFile, load_config


def test_the_configuration_is_as_large_as_it_is_said() -> None:
    """Every descriptor has a limit, the one that the client asks for among them."""
    config = load_config([ConfigFile("config.yaml", configuration(50, 7).encode())])
    assert config.limits == 50
    assert config.domains["bench"].children["tier"].limit is not None
