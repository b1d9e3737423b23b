"""Users of a translation service who wait for answers, for locust.

    locust -f loadtests/locustfile.py --headless -u 8 -r 8 -t 20s --host http://127.0.0.1:8000

Each user mixes its requests: most bring one sentence, some a text of several paragraphs, some a
list as programs send it, and some speak LibreTranslate's form. Users of one kind, in any
combination, are named behind the options: `... -t 20s SentenceUser ListUser`. Every answer is
checked; an answer that is wrong in any way is a failure, and with a failure, or with no request at
all, the exit status is 1.

What the figures mean: each user waits for its answer before it asks again (a closed loop), so more
users mean more work at the same time, and a slow service is asked less often: what a service does
when more comes than it can bear shows in `loadtests/open_loop`. The times are those of whole
requests as the client sees them, connections kept open. Translations are not judged.
"""

from __future__ import annotations

from typing import Any

from locust import events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.users import TranslationUser, not_negative


class ClosedLoopUser(TranslationUser):
    """Asks, waits for the answer, thinks, asks again."""

    abstract = True

    def wait_time(self) -> float:
        """Seconds until the next request: exponential, as independent people are."""
        options: Any = self.environment.parsed_options
        return self.rng.expovariate(1 / options.think_seconds) if options.think_seconds else 0.0

    @task
    def ask(self) -> None:
        """One request of this user's mix."""
        self.send(self.mix.draw(self.rng))


class MixedUser(ClosedLoopUser):
    """All kinds, as they come to a service that everybody uses."""

    mix_name = "realistic"


class SentenceUser(ClosedLoopUser):
    """Single sentences."""

    mix_name = "sentences"


class DocumentUser(ClosedLoopUser):
    """Texts of several paragraphs."""

    mix_name = "documents"


class ListUser(ClosedLoopUser):
    """Lists of sentences."""

    mix_name = "lists"


class LibreTranslateUser(ClosedLoopUser):
    """Texts and lists in LibreTranslate's form."""

    mix_name = "libretranslate"


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """The options of this file, beside locust's own and those of all users."""
    parser.add_argument(
        "--think-seconds",
        type=not_negative,
        default=0.0,
        metavar="SECONDS",
        help="mean pause of a user between an answer and the next request (default: none)",
    )


@events.init.add_listener
def take_mixed_users_unless_others_are_named(environment: Environment, **_: Any) -> None:
    """locust's own choice would be some of every class."""
    options: Any = environment.parsed_options
    # A worker is told which classes it runs, and must know all.
    if not options.user_classes and not isinstance(environment.runner, WorkerRunner):
        environment.user_classes[:] = [MixedUser]


@events.quitting.add_listener
def refuse_an_empty_run(environment: Environment, **_: Any) -> None:
    """A run in which nothing was asked has shown nothing."""
    if isinstance(environment.runner, WorkerRunner):
        return  # it has reported its statistics, and forgotten them
    if environment.stats.total.num_requests == 0:
        environment.process_exit_code = 1
