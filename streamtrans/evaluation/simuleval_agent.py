"""An agent for SimulEval over the engine that serves: the same words after the same READs as `simulate`.

    simuleval --agent streamtrans/evaluation/simuleval_agent.py \\
        --source S.txt --target T.txt --model en-fr --policy wait-3
    simuleval --agent-class streamtrans.evaluation.simuleval_agent.TextAgent ...
    simuleval --agent-class streamtrans.evaluation.simuleval_agent.SpeechAgent --source-segment-size 320 \\
        --source WAVS.txt --target T.txt --model en-fr --recognizer auto --policy wait-3

SimulEval is no dependency of the library; only this file imports it. Keep in mind, with SimulEval 1.1.4:

- Its words are those between white space of any kind. A committed word of ours with a no-break space in it (`ravi ?`)
  goes out without that space, so that it stays one word; BLEU and chrF do not see the difference.
- The source's end comes with its last word, or its last piece of audio, so both are READ in one step.
- It reads audio of one channel only.
- Without `--output` it computes ATD in source words. With it, it reads its own log back and takes words for ms.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

import numpy as np
from simuleval.agents import GenericAgent, SpeechToTextAgent, TextToTextAgent
from simuleval.agents.actions import Action, ReadAction, WriteAction
from simuleval.data.segments import TextSegment
from simuleval.utils import entrypoint

from streamtrans.audio.resample import RATE
from streamtrans.engine import Engine, Session
from streamtrans.evaluation.manifest import to_pcm
from streamtrans.evaluation.simulate import SimulationError
from streamtrans.messages import Audio, Command, End, Error, Target, Text
from streamtrans.policy import parse
from streamtrans.translator import load_engine

DTYPES = {"fp16": "float16", "fp32": "float32", None: "float32"}


class EngineAgent(GenericAgent):  # type: ignore[misc]
    """One session at a time: what SimulEval sends is fed, what the engine commits in answer is written.

    A subclass names its `source_type` and `target_type` and says what to feed (`commands`).
    """

    def __init__(self, args: Namespace) -> None:
        """Load the model. Raises UnknownModel, CheckpointError, DeviceError, PolicyError."""
        self._policy = parse(args.policy).name
        self._engine = self.load(args, self.dtype(args))
        self._session: Session | None = None
        super().__init__(args)

    def load(self, args: Namespace, dtype: str) -> Engine:
        """An engine for one session."""
        return load_engine(args.model, args.device, dtype, max_sessions=1, max_batch=1)

    def open(self) -> Session:
        """A session, once the first source is there."""
        return self._engine.open(self._policy)

    @staticmethod
    def add_args(parser: ArgumentParser) -> None:
        """Arguments of `simuleval` beside its own; `--device` and `--dtype` are its own."""
        parser.add_argument("--model", default="en-fr", help="embedded model or checkpoint folder")
        parser.add_argument("--policy", default="wait-3", help="wait-3, wait-3:0.1, full, ...")

    @staticmethod
    def dtype(args: Namespace) -> str:
        """As `load_engine` names it."""
        return "float16" if args.fp16 else str(DTYPES[args.dtype])

    def commands(self, source: Sequence[Any]) -> list[Command]:
        """Source that is new, as SimulEval keeps it in `states.source`, for the engine."""
        raise NotImplementedError

    def reset(self) -> None:
        """The next sentence: a session of its own."""
        super().reset()
        if self._session:
            self._engine.close(self._session)
        self._session, self._fed = None, 0

    def policy(self) -> Action:
        """Feed what is new, write what it let the engine commit. Raises SimulationError."""
        if self._session is None:
            self._session = self.open()
        source = self.states.source[self._fed :]
        self._fed += len(source)
        for command in self.commands(source) if source else []:
            self._engine.feed(self._session, command)
        if self.states.source_finished:
            self._engine.feed(self._session, End())
        words = self._committed()
        if not words and not self.states.source_finished:
            return ReadAction()
        return WriteAction(" ".join(words), finished=self.states.source_finished)

    def _committed(self) -> list[str]:
        words = []
        while self._engine.ready:
            for _, event in self._engine.tick():
                if isinstance(event, Target):
                    words.append("".join(event.text.split()))
                elif isinstance(event, Error):
                    raise SimulationError(f"{event.code}: {event.text}")
        return words


@entrypoint
class TextAgent(EngineAgent, TextToTextAgent):  # type: ignore[misc]
    """Text to text: `states.source` is a list of words, one more in each step."""

    def commands(self, source: Sequence[str]) -> list[Command]:
        """Each word with the white space that completes it."""
        return [Text(f"{word} ") for word in source]


class RemoteTextAgent(TextAgent):
    """For `simuleval --standalone`, whose server can write a segment as JSON only when its language is a string.

    `--engine-dtype` is any dtype of ours.
    """

    @staticmethod
    def add_args(parser: ArgumentParser) -> None:
        """As of every agent, and the dtype."""
        EngineAgent.add_args(parser)
        parser.add_argument("--engine-dtype", default="auto", help="as of streamtrans serve")

    @staticmethod
    def dtype(args: Namespace) -> str:
        return str(args.engine_dtype)

    def policy(self) -> Action:
        """As before, in a segment that can be written."""
        action = super().policy()
        if action.is_read():
            return action
        segment = TextSegment(content=action.content, finished=action.finished, tgt_lang="")
        return WriteAction(segment, finished=action.finished)


class SpeechAgent(EngineAgent, SpeechToTextAgent):  # type: ignore[misc]
    """Speech to text: `states.source` is a list of samples from -1 to 1, one segment more in each step.

    No entry point, so that `--agent` with this file means the one above: name it with `--agent-class`.
    """

    @staticmethod
    def add_args(parser: ArgumentParser) -> None:
        """As for text, and what hears."""
        EngineAgent.add_args(parser)
        parser.add_argument("--recognizer", default="auto", help="auto or checkpoint folder")

    def load(self, args: Namespace, dtype: str) -> Engine:
        """An engine that hears."""
        return load_engine(args.model, args.device, dtype, 1, 1, recognizer=args.recognizer)

    def open(self) -> Session:
        """At the rate of the file; one without sound has none."""
        return self._engine.open(self._policy, rate=self.states.source_sample_rate or RATE)

    def commands(self, source: Sequence[float]) -> list[Command]:
        """The samples as a client sends them."""
        return [Audio(to_pcm(np.array(source, dtype=np.float32)))]
