"""The listening socket, its TLS and its address. This file does not know what is served."""

from __future__ import annotations

import socket as sockets
import ssl

from streamtrans_server.config import ConfigError, ServerConfig


def listen(config: ServerConfig) -> sockets.socket:
    """A listening socket whose connections have small kernel buffers, so that a client which does
    not read is noticed after kilobytes and not megabytes."""
    family = sockets.AF_INET6 if ":" in config.host else sockets.AF_INET
    listener = sockets.create_server(
        (config.host, config.port), family=family, backlog=config.max_sessions
    )
    for option in (sockets.SO_SNDBUF, sockets.SO_RCVBUF):
        listener.setsockopt(sockets.SOL_SOCKET, option, config.socket_buffer_bytes)
    return listener


def tls_of(config: ServerConfig) -> ssl.SSLContext | None:
    if not config.tls_cert:
        return None
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        tls.load_cert_chain(config.tls_cert, config.tls_key)
    except ssl.SSLError as error:
        raise ConfigError(f"{config.tls_cert}, {config.tls_key}: {error}") from error
    return tls


def host_in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
