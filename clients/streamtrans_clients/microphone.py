"""A microphone, by name, that may be unplugged and come back.

This file knows devices and frames of PCM. It does not know sessions. It needs the extra `mic`, which is sounddevice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import numpy as np

FRAME_MS = 100
AGAIN = 1.0  # s between two attempts to open a microphone that is gone
RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz that a server takes


class MicrophoneError(RuntimeError):
    """No such device, or it cannot be opened; the text says what to do."""


def names() -> list[str]:
    """A line for each device that can record: number, name, channels and its own rate."""
    return [
        f"{number:3}  {device['name']}  ({device['max_input_channels']} channels,"
        f" {device['default_samplerate']:.0f} Hz)"
        for number, device in enumerate(_sounddevice().query_devices())
        if device["max_input_channels"] > 0
    ]


class Microphone:
    """`open` it, then `async for frame in microphone.frames()`: s16le mono PCM of 100 ms, or None when it goes away.

    device: a number or part of a name as `names` tells them; None is the system's default.
    """

    def __init__(self, device: str | None, rate: int) -> None:
        """Raises MicrophoneError when the rate is none that a server takes."""
        if rate not in RATES:
            raise MicrophoneError(f"rate {rate}: a server takes {', '.join(map(str, RATES))} Hz")
        self._device = int(device) if device is not None and device.isdigit() else device
        self.rate = rate
        self._frames: asyncio.Queue[bytes | None | _End] = asyncio.Queue()
        self._stream: Any = None
        self._stopped = False

    def open(self) -> None:
        """Record from now on. Raises MicrophoneError."""
        sounddevice = _sounddevice()
        loop = asyncio.get_running_loop()

        def take(pcm: Any, frames: int, clock: Any, status: Any) -> None:
            loop.call_soon_threadsafe(self._frames.put_nowait, bytes(pcm))

        def finished() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._gone, stream)

        try:
            stream = sounddevice.RawInputStream(
                samplerate=self.rate,
                blocksize=self.rate * FRAME_MS // 1000,
                device=self._device,
                channels=1,
                dtype="int16",
                callback=take,
                finished_callback=finished,
            )
            self._stream = stream
            stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            device = "the default microphone" if self._device is None else repr(self._device)
            raise MicrophoneError(
                f"{device} does not open at {self.rate} Hz: {error}; `streamtrans mic --list` shows what there is"
            ) from error

    async def frames(self) -> AsyncIterator[bytes | None]:
        """To `stop`; a device that went away is opened again as soon as it is back."""
        try:
            while True:
                frame = await self._frames.get()
                if isinstance(frame, _End):
                    return
                yield frame
                if frame is None:
                    await self._open_again()
        finally:
            self._close()

    def stop(self) -> None:
        """No further frame; those that were recorded still come."""
        self._stopped = True
        self._frames.put_nowait(_End())

    def _gone(self, stream: Any) -> None:
        if stream is self._stream and not self._stopped:
            self._frames.put_nowait(None)

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(ignore_errors=True)

    async def _open_again(self) -> None:
        sounddevice = _sounddevice()
        self._close()
        while not self._stopped:
            await asyncio.sleep(AGAIN)
            try:
                _start_again(sounddevice)
                return self.open()
            except (MicrophoneError, sounddevice.PortAudioError):
                self._close()


class _End:
    """The last item of the queue."""


def level(frame: bytes) -> float:
    """The loudest sample of a frame in dB below full scale, -100 for silence."""
    samples = np.frombuffer(frame, "<i2").astype(np.int32)
    peak = int(np.abs(samples).max(initial=0))
    return max(-100.0, 20 * float(np.log10(peak / 32768))) if peak else -100.0


def _start_again(sounddevice: ModuleType) -> None:
    """PortAudio sees new devices only when it starts. Raises PortAudioError."""
    with contextlib.suppress(sounddevice.PortAudioError):  # it did not start the last time
        sounddevice._terminate()
    sounddevice._initialize()


def _sounddevice() -> ModuleType:
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: PortAudio itself is missing
        raise MicrophoneError(
            f"{error}: a microphone needs `pip install streamtrans[mic]` and the library PortAudio"
        ) from error
    module: ModuleType = sounddevice
    return module
