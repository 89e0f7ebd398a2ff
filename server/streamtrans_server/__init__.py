"""The websocket server of streamtrans: `run(load, config)`."""

from streamtrans_server.app import App
from streamtrans_server.config import ConfigError, ServerConfig
from streamtrans_server.run import hosted, run
from streamtrans_server.warm_up import WarmUpFailed

__all__ = ["App", "ConfigError", "ServerConfig", "WarmUpFailed", "hosted", "run"]
