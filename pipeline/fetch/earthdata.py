"""NASA's Earthdata, through earthaccess: the Common Metadata Repository (CMR), and sessions that may download.

Searching needs no login. Name and token of the login come from the user's environment or netrc file, and stay there.
Tested against generated responses only.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import requests
from earthaccess import Auth, DataGranules, Store
from earthaccess.exceptions import LoginAttemptFailure, LoginStrategyUnavailable
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from pipeline.errors import UserError
from pipeline.fetch.catalogue import Listing, Query, Refused, Remote, files_of

CMR = "https://cmr.earthdata.nasa.gov/search/"
APPLICATION = "NASA GESDISC DATA ARCHIVE"
STEPS = (
    "register at https://urs.earthdata.nasa.gov/users/new; there, under Applications > Authorized Apps, approve "
    f'"{APPLICATION}" (NLDAS-2); then set EARTHDATA_TOKEN (Generate Token in the profile), or EARTHDATA_USERNAME and '
    "EARTHDATA_PASSWORD, or write `machine urs.earthdata.nasa.gov login NAME password WORD` into ~/.netrc (chmod 600)"
)
TIMEOUT_S = (30, 120)  # to connect; between two bytes
PAUSE_S = 1.0  # before the third try of a request; doubles with each further one
LONGEST_PAUSE_S = 600  # that a server may ask for
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Status codes of faults that may pass."""


@dataclass(frozen=True)
class EarthdataCatalogue:
    """CMR, asked through earthaccess; `address` is that of its search."""

    address: str = CMR
    pause_s: float = PAUSE_S

    def search(self, query: Query) -> Listing:
        """Return the files that match.

        Raises
        ------
        UserError
            If CMR cannot be reached after several tries, or refuses the query.
        """
        search = DataGranules(mode=self.address).short_name(query.collection.short_name)
        search.version(query.collection.version).provider(query.collection.provider)
        search.bounding_box(*query.box).temporal(query.first, query.last)
        _limit(search.session, self.address, pause_s=self.pause_s, raise_on_status=True)
        try:
            with warnings.catch_warnings(), search.session:
                warnings.simplefilter("ignore", FutureWarning)  # earthaccess 0.17 calls functions that it deprecates
                granules = search.get_all()
        except (requests.RequestException, RuntimeError, KeyError, ValueError) as error:
            # earthaccess raises a bare RuntimeError with the text of CMR's answer.
            why = str(error)[:200] if type(error) is RuntimeError else type(error).__name__
            raise UserError(
                f"{urlsplit(self.address).netloc}: the search for {query.collection.short_name} of {query.first} to "
                f"{query.last} failed ({why}); check the network, or search again later"
            ) from error
        found = [part for granule in granules for part in files_of(granule)]
        return Listing(
            tuple(part for part in found if isinstance(part, Remote)),
            tuple(part for part in found if isinstance(part, Refused)),
        )


class EarthdataLogin(Auth):
    """A login of earthaccess whose sessions have time limits and wait for a busy archive.

    Sessions of earthaccess have no time limit, so that a silent server stops a transfer for ever, and its own three
    tries of a file all fall within seconds.
    """

    def __init__(self, *, pause_s: float = PAUSE_S) -> None:
        super().__init__()
        self._pause_s = pause_s

    def get_session(self) -> requests.Session:
        """Return a new session; a status that stays after all tries is left to earthaccess to report."""
        # Over http:// earthaccess asks for Amazon's metadata, which outside Amazon nobody serves: no retries there.
        return _limit(super().get_session(), "https://", pause_s=self._pause_s, raise_on_status=False)


def log_in() -> EarthdataLogin:
    """Return a login whose `get_session` opens sessions that may download; prompts for nothing and stores nothing.

    Raises
    ------
    UserError
        With the steps to take if neither environment nor netrc file holds a login, or if it is refused.
    """
    login = EarthdataLogin()
    # Not "interactive": a job in a queue would wait for input for ever.
    for strategy in ("environment", "netrc"):
        try:
            login.login(strategy=strategy)
        except LoginStrategyUnavailable:
            continue
        except LoginAttemptFailure:
            # The service's answer may repeat the password.
            raise UserError(f"Earthdata Login refused the name and password of the {strategy}; {STEPS}") from None
        except requests.RequestException as error:
            raise _unreachable(error) from None
        return login
    raise UserError(f"downloading needs an Earthdata Login, and none was found; {STEPS}")


def open_store(login: Auth) -> Store:
    """Return the store of earthaccess that transfers files with this login; it opens a session in each thread.

    Raises
    ------
    UserError
        If Earthdata Login cannot be reached.
    """
    try:
        return Store(login)
    except requests.RequestException as error:
        raise _unreachable(error) from None


def _unreachable(error: requests.RequestException) -> UserError:
    return UserError(f"urs.earthdata.nasa.gov cannot be reached ({type(error).__name__}); check the network")


def _limit(session: requests.Session, prefix: str, *, pause_s: float, raise_on_status: bool) -> requests.Session:
    """Set time limits, and five retries for the addresses that begin with `prefix`; return the session."""
    adapter = session.get_adapter(prefix)
    assert isinstance(adapter, HTTPAdapter)
    adapter.max_retries = Retry(
        total=5,
        backoff_factor=pause_s,
        status_forcelist=TRANSIENT,
        raise_on_status=raise_on_status,
        retry_after_max=LONGEST_PAUSE_S,  # some servers name hours
    )
    session.request = partial(session.request, timeout=TIMEOUT_S)  # type: ignore[method-assign]
    return session
