"""A microphone without hardware: the monitor of a null sink of PulseAudio, which hands on every sample as it is.

`norewinds=1` and equal rates on both sides are what makes it exact.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from pathlib import Path

from lacking import lacking

RATE = 16000
SINK = f"module-null-sink sink_name=mic rate={RATE} channels=1 format=s16le norewinds=1"


class VirtualMicrophone:
    """A sound server of its own; `environment` makes a program record from it."""

    def __init__(self, folder: Path) -> None:
        lacking(
            *(
                None if shutil.which(program) else f"{program} is not installed"
                for program in ("pulseaudio", "paplay")
            ),
            None if find_library("portaudio") else "PortAudio is not installed",
            None if importlib.util.find_spec("sounddevice") else "sounddevice is not installed",
        )
        folder.chmod(0o700)
        self._socket = folder / "pulse.sock"
        self.environment = os.environ | {
            "XDG_RUNTIME_DIR": str(folder),
            "HOME": str(folder),
            "PULSE_SERVER": f"unix:{self._socket}",
            "PULSE_SOURCE": "mic.monitor",
            "PULSE_COOKIE": str(folder / "cookie"),
        }
        self._daemon: subprocess.Popen[bytes] | None = None

    def plug(self) -> None:
        command = ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"]
        modules = [f"module-native-protocol-unix auth-anonymous=1 socket={self._socket}", SINK]
        loads = [part for module in modules for part in ("-L", module)]
        self._daemon = subprocess.Popen(
            [*command, "--log-level=error", "--system=no", *loads],
            env=self.environment,
            stderr=subprocess.DEVNULL,
        )
        ready = ["pactl", "get-default-sink"]
        while subprocess.run(ready, env=self.environment, capture_output=True).returncode:
            assert self._daemon.poll() is None, "pulseaudio does not start"

    def unplug(self) -> None:
        assert self._daemon is not None
        self._daemon.kill()
        self._daemon.wait()
        self._socket.unlink(missing_ok=True)

    def say(self, file: Path) -> None:
        """Play a WAV file of 16 kHz into it; returns when it is over."""
        subprocess.run(
            ["paplay", "--device=mic", str(file)], env=self.environment, check=True, timeout=30
        )


@contextmanager
def virtual_microphone(folder: Path) -> Iterator[VirtualMicrophone]:
    microphone = VirtualMicrophone(folder)
    microphone.plug()
    try:
        yield microphone
    finally:
        microphone.unplug()
