"""The certificate with which the intake speaks TLS, and how a renewed one is taken while it runs.

What does not belong here: connections.
"""

import asyncio
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from dora_pipeline.errors import ConfigError

_SECONDS_BETWEEN_LOOKS = 10

_log = logging.getLogger("dora_pipeline.intake")


@dataclass(frozen=True)
class Tls:
    """A certificate with its chain, and its key; files in PEM."""

    certificate: Path
    key: Path

    def contents(self) -> tuple[bytes, bytes]:
        """The bytes of both files. Raises ConfigError for one that cannot be read."""
        return _content("--tls-cert", self.certificate), _content("--tls-key", self.key)

    def context(self) -> ssl.SSLContext:
        """What a server needs. Raises ConfigError for files that are no pair in PEM without a password."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # An encrypted key would ask for its password on the terminal.
            context.load_cert_chain(self.certificate, self.key, password=lambda: "")
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            files = f"--tls-cert {self.certificate} and --tls-key {self.key}"
            raise ConfigError(f"{files} are no pair in PEM without a password: {reason}") from None
        context.set_alpn_protocols(["http/1.1"])
        return context


def _content(option: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{option}: {path} cannot be read: {error.strerror}") from None


class Certificate:
    """The context for new connections, that of the files as they were last found good.

    Raises ConfigError where they are not good at the start.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._seen: object = tls.contents()
        self.context = tls.context()

    def renew(self) -> None:
        """Take the files where they changed; those that cannot be used leave the former certificate in use."""
        try:
            found: object = self._tls.contents()
        except ConfigError as error:
            found = str(error)
        if found == self._seen:
            return
        self._seen = found
        try:
            if isinstance(found, str):
                raise ConfigError(found)
            self.context = self._tls.context()
        except ConfigError as error:
            _log.error("the certificate was changed and cannot be used, so the former one stays in use: %s", error)
        else:
            _log.info("the changed certificate %s is in use", self._tls.certificate)

    async def watch(self) -> None:
        """Look for a change every 10 seconds, until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
            self.renew()
