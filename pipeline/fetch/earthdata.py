"""NASA's Earthdata, through earthaccess: the Common Metadata Repository (CMR), and sessions that may download.

Searching needs no login. Name and token of the login come from the user's environment or netrc file, and stay there.
Tested against generated responses only.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from earthaccess import Auth, DataGranules
from earthaccess.exceptions import LoginAttemptFailure, LoginStrategyUnavailable
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from pipeline.errors import UserError
from pipeline.fetch.catalogue import Listing, Query, Refused, Remote, files_of
from pipeline.fetch.download import STEPS, TIMEOUT_S, TRANSIENT

CMR = "https://cmr.earthdata.nasa.gov/search/"


@dataclass(frozen=True)
class EarthdataCatalogue:
    """CMR, asked through earthaccess; `address` is that of its search."""

    address: str = CMR
    pause_s: float = 1.0  # before the second try; doubles with each further one

    def search(self, query: Query) -> Listing:
        """Return the files that match.

        Raises
        ------
        UserError
            If CMR cannot be reached after several tries, or refuses the query.
        """
        asked = DataGranules(mode=self.address).short_name(query.collection.short_name)
        asked.version(query.collection.version).provider(query.collection.provider)
        asked.bounding_box(*query.box).temporal(query.first, query.last)
        adapter = _Patient(self.pause_s)
        asked.session.mount("https://", adapter)
        asked.session.mount("http://", adapter)
        try:
            with warnings.catch_warnings(), asked.session:
                warnings.simplefilter("ignore", FutureWarning)  # earthaccess 0.17 calls what it deprecates
                granules = asked.get_all()
        except (requests.RequestException, RuntimeError, KeyError, ValueError) as error:
            # earthaccess raises a bare RuntimeError with what CMR answered.
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


class _Patient(HTTPAdapter):
    """An adapter that gives up on a silent server, and asks a busy one again."""

    def __init__(self, pause_s: float) -> None:
        tries = Retry(
            total=5,
            backoff_factor=pause_s,
            status_forcelist=TRANSIENT,
            respect_retry_after_header=False,  # which may name hours
        )
        super().__init__(max_retries=tries)

    def send(self, request: requests.PreparedRequest, *args: Any, **settings: Any) -> requests.Response:
        """Send a request with time limits."""
        return super().send(request, *args, **{**settings, "timeout": TIMEOUT_S})


def log_in() -> Auth:
    """Return a login whose `get_session` opens sessions that may download; asks nothing and stores nothing.

    Raises
    ------
    UserError
        With the steps to take if neither environment nor netrc file holds a login, or if it is refused.
    """
    auth = Auth()
    for strategy in ("environment", "netrc"):
        try:
            auth.login(strategy=strategy)
        except LoginStrategyUnavailable:
            continue
        except LoginAttemptFailure:
            # What the service answers may repeat what it was sent.
            raise UserError(f"Earthdata Login refused the name and password of the {strategy}; {STEPS}") from None
        except requests.RequestException as error:
            raise UserError(
                f"urs.earthdata.nasa.gov: not reached ({type(error).__name__}); check the network"
            ) from None
        return auth
    raise UserError(f"downloading needs an Earthdata Login, and none was found; {STEPS}")
