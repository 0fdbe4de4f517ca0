from ratelimit.errors import ConfigError, GrpcStatus, RpcError, SettingsError, StoreError


def test_a_config_error_names_the_place() -> None:
    """file:line: key path: what is wrong, without what is not known."""
    assert str(ConfigError("bad", file="a.yaml", line=3, key_path="descriptors[0].key")) == (
        "a.yaml:3: descriptors[0].key: bad"
    )
    assert str(ConfigError("bad", file="a.yaml")) == "a.yaml: bad"


def test_a_settings_error_names_every_variable() -> None:
    """All problems at once, so one restart is enough."""
    assert str(SettingsError([("PORT", "x"), ("HOST", "y")])) == "PORT: x; HOST: y"


def test_rpc_and_store_errors_carry_what_callers_need() -> None:
    """The status of a call, and whether hits may have been counted."""
    assert str(RpcError(GrpcStatus.UNAVAILABLE, "down")) == "UNAVAILABLE: down"
    assert StoreError("x", outcome_unknown=True).outcome_unknown
