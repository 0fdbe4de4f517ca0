"""What a group of settings is made of: the field is the environment variable's name in lower case.

All that is said of a variable stands at its field: its type reads and checks it, `setting` has its default and meaning.
docs/configuration.md, deploy/settings.env and `ratelimit settings` are made from that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic.fields import FieldInfo

from ratelimit.settings.addresses import host
from ratelimit.settings.go_values import Duration, Integer

INT32_MAX = 2**31 - 1

Port = Annotated[Integer, Field(ge=0, le=65535)]
Host = Annotated[str, BeforeValidator(host)]
Count = Annotated[Integer, Field(ge=0)]
Positive = Annotated[Integer, Field(ge=1)]
Wait = Annotated[Duration, Field(ge=0)]
Bound = Annotated[Duration, Field(gt=0)]
Upper = BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)
Lower = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)


class Group(BaseModel):
    """Settings of one concern, frozen. What holds between fields is a rule (rules.py)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class About:
    """What is said of a variable beside its type and default.

    `ours`: envoyproxy/ratelimit does not know it. `reference`: its default there, as text, where ours differs.
    `no_effect`: why it is accepted and changes nothing. `secret`: its value is shown nowhere.
    """

    meaning: str
    ours: bool = False
    reference: str = ""
    no_effect: str = ""
    secret: bool = False


def setting(  # noqa: PLR0913 - what stands at a field, by name
    default: Any, meaning: str, *, ours: bool = False, reference: str = "", no_effect: str = "", secret: bool = False
) -> Any:
    """A field of a group; see `About`."""
    about = About(meaning, ours, reference, no_effect, secret)
    return Field(default=default, repr=not secret, json_schema_extra={"about": cast("Any", about)})


def about(field: FieldInfo) -> About:
    """What `setting` says of a field."""
    said = cast("dict[str, Any]", field.json_schema_extra)["about"]
    return cast("About", said)


def read_as(adjust: Callable[[Any], tuple[Any, str] | None]) -> AfterValidator:
    """Take a value that cannot act as it stands for another one: `adjust` gives that and why, None to leave it.

    The reason goes to the validation's context, a list of (field, reason); an empty one is not told.
    """

    def check(value: Any, info: ValidationInfo) -> Any:
        adjusted = adjust(value)
        if adjusted is None:
            return value
        effective, reason = adjusted
        if reason and info.context is not None:
            info.context.append((info.field_name, reason))
        return effective

    return AfterValidator(check)


def at_least(least: float) -> AfterValidator:
    """Take what is below `least` for `least`, as the reference acts on it."""
    return read_as(lambda value: (least, "") if value < least else None)
