"""The table of settings. It makes ``--help`` and the validation; a test compares docs/settings.md with it.

A value comes from an argument, else from the environment (``APIMETRY_`` and the name in capitals), else from
``apimetry.toml``, else from the default here. A secret may stand in a file of its own that a variable names
(``APIMETRY_STORE_FILE``). An unknown key in the file or an unreadable value anywhere stops the start. Names with
units: ``_s`` seconds, ``_bytes`` bytes, ``_days`` days.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENVIRONMENT_PREFIX = "APIMETRY_"
CONFIG_FILE = "apimetry.toml"
# Docker and Kubernetes put secrets into files. A file with more bytes holds no secret.
FILE_SUFFIX = "_FILE"
MAX_SECRET_BYTES = 65_536
SECRET = {"secret": True}
TRACE_ADDRESS = r"^$|^https?://[^\s@]+\{trace_id\}\S*$"
PUBLIC_ADDRESS = r"^$|^https?://[^\s/?#@]+(/[^\s?#]*)?$"
CLUSTER_NAME = "^[A-Za-z0-9_.-]*$"
APPLICATION_ID = "^[A-Za-z0-9_.-]{0,64}$"
MAIL_ADDRESS = r"^$|^[^\s@<>,;]+@[^\s@<>,;]+$"
# What an error says in place of a pattern.
FORMS = {
    TRACE_ADDRESS: "an address with {trace_id}, such as https://traces.example.com/trace/{trace_id}",
    PUBLIC_ADDRESS: "an address such as https://apimetry.example.com, without user and query",
    CLUSTER_NAME: "a name of letters, digits, _, . and -",
    APPLICATION_ID: "an id of at most 64 letters, digits, _, . and -",
    MAIL_ADDRESS: "a mail address such as alerts@example.com",
}


class SettingsError(ValueError):
    """A setting that cannot be used; the message says its name, its value and the expected form."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of the services, read once at the start. An empty text counts as not set."""

    store: Annotated[
        str,
        Meta(
            description="ClickHouse: clickhouse://user:password@host:8123/database or https://…, "
            "the nodes of a cluster separated by commas; without it the embedded store in the data directory",
            extra=SECRET,
        ),
    ] = ""
    data_dir: Annotated[str, Meta(description="folder of the spool and the embedded store", min_length=1)] = (
        "./apimetry-data"
    )
    host: Annotated[str, Meta(description="address to listen on", min_length=1)] = "127.0.0.1"
    collector_port: Annotated[
        int, Meta(description="port of the collector; 0 picks a free one and prints it", ge=0, le=65535)
    ] = 7998
    query_port: Annotated[
        int, Meta(description="port of the query service; 0 picks a free one and prints it", ge=0, le=65535)
    ] = 7778
    cluster: Annotated[
        str,
        Meta(
            description="name of a ClickHouse cluster: replicated and distributed tables",
            pattern=CLUSTER_NAME,
        ),
    ] = ""
    migrate: Annotated[bool, Meta(description="bring the schema up to date at the start; false only checks it")] = (
        True
    )
    bootstrap_application: Annotated[
        str,
        Meta(
            description="on an empty store: id of the first application",
            pattern=APPLICATION_ID,
        ),
    ] = ""
    bootstrap_admin_key: Annotated[str, Meta(description="on an empty store: the first admin key", extra=SECRET)] = ""
    bootstrap_write_key: Annotated[str, Meta(description="on an empty store: the first write key", extra=SECRET)] = ""
    bootstrap_read_key: Annotated[str, Meta(description="on an empty store: the first read key", extra=SECRET)] = ""
    spool_max_bytes: Annotated[
        int,
        Meta(description="disk space for batches that wait for the store; beyond it 503", ge=2**26, le=2**50),
    ] = 4 * 2**30
    drop_oldest_below_bytes: Annotated[
        int,
        Meta(
            description="below so much free disk the oldest week of all events goes, with an embedded store; "
            "0: nothing goes",
            ge=0,
            le=2**50,
        ),
    ] = 0
    fsync: Annotated[
        Literal["always", "interval"],
        Meta(description="always: batches are safe from a power loss before their 200; interval: a second later"),
    ] = "always"
    events_per_s_per_key: Annotated[
        int, Meta(description="events a second that one key may send on average; 0 is no limit", ge=0, le=10**9)
    ] = 0
    hard_call_limit: Annotated[
        bool,
        Meta(description="events beyond the calls per month of an organization's plan are refused (429)"),
    ] = False
    traffic_metrics: Annotated[
        bool,
        Meta(description="count the collected requests for Prometheus, at /metrics/traffic of the collector"),
    ] = False
    allowed_origins: Annotated[
        str, Meta(description="origins whose pages may read answers (CORS), separated by commas", min_length=1)
    ] = "*"
    public_url: Annotated[
        str,
        Meta(
            description="address of the query service for people: https://apimetry.example.com; alerts link to it",
            pattern=PUBLIC_ADDRESS,
        ),
    ] = ""
    public_collector_url: Annotated[
        str,
        Meta(
            description="address of the collector for applications: https://collect.example.com; pages show it",
            pattern=PUBLIC_ADDRESS,
        ),
    ] = ""
    trace_url: Annotated[
        str,
        Meta(
            description="address of a trace in another tool: https://traces.example.com/trace/{trace_id}; pages link"
            " to it",
            pattern=TRACE_ADDRESS,
        ),
    ] = ""
    # The most are those of the store (`apimetry.store.limits.QUERY_LIMITS`).
    max_query_time_s: Annotated[
        float, Meta(description="time that the engine may spend on one statement, seconds; 30 at most", gt=0, le=30)
    ] = 30.0
    max_query_memory_bytes: Annotated[
        int, Meta(description="memory that the engine may use for one statement; 4 GiB at most", ge=2**26, le=2**32)
    ] = 2 * 2**30
    allow_private_webhooks: Annotated[
        bool, Meta(description="webhooks of alerts may go to private, loopback and link-local addresses")
    ] = False
    smtp_host: Annotated[str, Meta(description="mail server for alerts by e-mail; without one there are none")] = ""
    smtp_port: Annotated[int, Meta(description="port of the mail server", ge=1, le=65535)] = 587
    smtp_user: Annotated[str, Meta(description="user at the mail server; without one nobody logs in")] = ""
    smtp_password: Annotated[str, Meta(description="password at the mail server", extra=SECRET)] = ""
    smtp_from: Annotated[
        str,
        Meta(
            description="sender of alerts by e-mail: alerts@example.com",
            pattern=MAIL_ADDRESS,
        ),
    ] = ""
    smtp_security: Annotated[
        Literal["starttls", "tls", "none"],
        Meta(description="starttls, tls or none: how the connection to the mail server is encrypted"),
    ] = "starttls"
    plan_changes: Annotated[
        bool,
        Meta(description="whether an admin key may change its organization's plan; false when hosting for others"),
    ] = True
    price_per_request: Annotated[
        float, Meta(description="what a request costs, for the costs among the insights", ge=0, le=10**9)
    ] = 0.001
    price_per_byte: Annotated[
        float, Meta(description="what a byte of a request or an answer costs", ge=0, le=10**9)
    ] = 0.000001
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="least severe level that is logged")
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"], Meta(description="text or json: how a log line is written; json for log collectors")
    ] = "text"


@dataclass(frozen=True)
class SettingInfo:
    """One row of the table of settings."""

    name: str
    option: str
    environment: str
    default: object
    description: str
    expected: str
    secret: bool


def _info(field: msgspec.structs.FieldInfo) -> SettingInfo:
    meta = field.type.__metadata__[0]
    return SettingInfo(
        name=field.name,
        option="--" + field.name.replace("_", "-"),
        environment=ENVIRONMENT_PREFIX + field.name.upper(),
        default=field.default,
        description=meta.description,
        expected=_expected(field.type.__origin__, meta),
        secret=bool(meta.extra),
    )


def _expected(kind: Any, meta: Meta) -> str:  # noqa: ANN401 - a type expression has no better type
    if kind is bool:
        return "true or false"
    if kind is float:
        least = f"from {meta.ge}" if meta.gt is None else f"above {meta.gt} and up"
        return f"a number {least} to {meta.le}"
    if kind is int:
        return f"a whole number from {meta.ge} to {meta.le}"
    if getattr(kind, "__origin__", None) is Literal:
        return "one of " + ", ".join(kind.__args__)
    if meta.pattern:
        return FORMS[meta.pattern]
    return "text of a character or more" if meta.min_length else "text"


TABLE: tuple[SettingInfo, ...] = tuple(_info(field) for field in msgspec.structs.fields(Settings))
_BY_NAME = {info.name: info for info in TABLE}


def load(arguments: Mapping[str, object], environment: Mapping[str, str], config: Path | None = None) -> Settings:
    """Return the settings from their three sources and the defaults.

    Args:
        arguments: by setting name; None counts as not set.
        environment: such as ``os.environ``; an empty value counts as not set, other variables are ignored.
        config: the TOML file; None reads ``apimetry.toml`` in the working directory, if it exists.

    Raises:
        SettingsError: an unknown key, an unreadable value, or a file that cannot be read.
    """
    values: dict[str, object] = {}
    for name, value in _from_file(config).items():
        values[name] = _checked(name, value, f"{name} in {config or CONFIG_FILE}", strict=True)
    for info in TABLE:
        variable = _from_environment(info, environment)
        # Kubernetes sets APIMETRY_COLLECTOR_PORT=tcp://… where a service has the name apimetry-collector.
        if variable and not variable.startswith("tcp://"):
            values[info.name] = _checked(info.name, variable, info.environment, strict=False)
        argument = arguments.get(info.name)
        if argument is not None:
            values[info.name] = _checked(info.name, argument, info.option, strict=False)
    return Settings(**values)  # type: ignore[arg-type] # every value was checked against its field


def _from_environment(info: SettingInfo, environment: Mapping[str, str]) -> str:
    """Return the setting's variable or the content of the file that another variable names; "" without both."""
    value = environment.get(info.environment, "")
    file_variable = info.environment + FILE_SUFFIX
    path = environment.get(file_variable, "") if info.secret else ""
    if not path:
        return value
    if value:
        raise SettingsError(f"{info.environment} and {file_variable} are both set; one of them is enough")
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
        secret = content.decode().rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"{file_variable}: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file_variable}: {path} is not text") from error
    if not secret.strip():
        raise SettingsError(f"{file_variable}: {path} has no secret")
    if len(content) > MAX_SECRET_BYTES:
        raise SettingsError(f"{file_variable}: {path} has too much text for a secret")
    return secret


def _from_file(config: Path | None) -> dict[str, object]:
    path = config or Path(CONFIG_FILE)
    if config is None and not path.exists():
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not a TOML file: it is not text in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not a TOML file: {error}") from error
    for name in content:
        if name not in _BY_NAME:
            nearest = difflib.get_close_matches(name, _BY_NAME, n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise SettingsError(f"{path}: unknown setting {name!r}; known are {', '.join(_BY_NAME)}{hint}")
    return content


def _checked(name: str, value: object, origin: str, *, strict: bool) -> object:
    info = _BY_NAME[name]
    try:
        settings = msgspec.convert({name: value}, Settings, strict=strict)
    except msgspec.ValidationError:
        # An address may have a user and a password.
        shown = "***" if info.secret else re.sub(r"//[^/?#]*@", "//***@", repr(value))
        raise SettingsError(f"{origin}: {shown} is not {info.expected}") from None
    return getattr(settings, name)
