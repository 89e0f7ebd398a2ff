"""The protocols this server speaks, by the path a client asks for."""

from collections.abc import Callable

from streamtrans_server.dialects.deepgram import Deepgram
from streamtrans_server.dialects.dialect import Asked, Dialect
from streamtrans_server.dialects.native import Native
from streamtrans_server.dialects.openai_transcription import Transcription
from streamtrans_server.dialects.openai_translation import Translation
from streamtrans_server.dialects.simulstream import Simulstream

NATIVE_PATH = "/v1/translate"
DIALECTS: dict[str, Callable[[Asked], Dialect]] = {
    NATIVE_PATH: Native,
    "/v1/realtime/translations": Translation,
    "/v1/realtime": Transcription,
    "/v1/listen": Deepgram,
    "/v1/simulstream": Simulstream,
}

__all__ = ["DIALECTS", "NATIVE_PATH", "Asked", "Dialect"]
