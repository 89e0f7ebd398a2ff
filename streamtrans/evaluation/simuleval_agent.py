"""An agent for SimulEval over the engine that serves: the same words after the same READs as `simulate`.

    simuleval --agent streamtrans/evaluation/simuleval_agent.py \\
        --source S.txt --target T.txt --model en-fr --policy wait-3
    simuleval --agent-class streamtrans.evaluation.simuleval_agent.TextAgent ...

SimulEval is no dependency of the library; only this file imports it. Keep in mind, with SimulEval 1.1.4:

- Its words are those between white space of any kind. A committed word of ours with a no-break space in it (`ravi ?`)
  goes out without that space, so that it stays one word; BLEU and chrF do not see the difference.
- The source's end comes with its last word, so both are READ in one step.
- Without `--output` it computes ATD in source words. With it, it reads its own log back and takes words for ms.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from simuleval.agents import GenericAgent, TextToTextAgent
from simuleval.agents.actions import Action, ReadAction, WriteAction
from simuleval.data.segments import TextSegment
from simuleval.utils import entrypoint

from streamtrans.engine import Session
from streamtrans.evaluation.simulate import SimulationError
from streamtrans.messages import Command, End, Error, Target, Text
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
        device, dtype = args.device, self.dtype(args)
        self._engine = load_engine(args.model, device, dtype, max_sessions=1, max_batch=1)
        self._session: Session | None = None
        super().__init__(args)

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
            self._session = self._engine.open(self._policy)
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
