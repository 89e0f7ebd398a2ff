"""streamtrans.js in a real browser: verbs, typed events, named errors, and how it comes back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from chromium import page_at
from fake_speech import speech
from scripted_site import Site

OPEN = """
async (options) => {
    const { connect } = await import("/streamtrans.js");
    const url = new URL("/v1/translate", location.href);
    url.protocol = "ws:";
    window.events = [];
    window.states = [];
    window.session = await connect(url, options);
    session.on("*", (event) => (event.type === "state" ? states : events).push(event));
}
"""
BLANK = "icon.svg"  # a page of the site that runs no script of its own


def opened(page: Any, **options: Any) -> None:
    page.evaluate(OPEN, options)


def told(page: Any, kind: str) -> list[Any]:
    return [event for event in page.evaluate("events") if event["type"] == kind]


def whole(page: Any, words: list[str]) -> None:
    """All words in order, each once, numbered without gaps, on both sides."""
    events = page.evaluate("events.filter((event) => event.seq)")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    for side, expected in (("source", words), ("target", [word.upper() for word in words])):
        found = [event for event in events if event["type"] == side]
        assert [event["text"] for event in found] == expected
        assert [event["index"] for event in found] == list(range(len(words)))
    assert events[-1]["type"] == "done"
    assert events[-1]["source_words"] == events[-1]["target_words"] == len(words)


def test_every_verb_and_typed_events_to_the_end(chromium: Any) -> None:
    site = Site(keeps=False)
    with site.serving() as url, page_at(chromium, url + BLANK) as page:
        opened(page, policy="wait-2", keep=False)
        page.evaluate("""async () => {
            session.sendText("I ");
            session.sendText("am", 12.5);
            session.flush();
            session.mark("here");
            session.setPolicy("wait-5");
            await session.end();
        }""")
        kinds = [event["type"] for event in page.evaluate("events")]
        assert page.evaluate("session.state") == "ended"
    assert site.sessions[0].received == [
        {"type": "start", "version": 1, "source": "en", "target": "fr", "kind": "text"}
        | {"policy": "wait-2"},
        {"type": "text", "text": "I "},
        {"type": "text", "text": "am", "at": 12.5},
        {"type": "flush"},
        {"type": "mark", "id": "here"},
        {"type": "policy", "policy": "wait-5"},
        {"type": "end"},
    ]
    assert kinds == "source target source target segment marked changed done".split()


TALK = "one two three. four five six seven. eight nine ten eleven twelve."


@pytest.mark.parametrize("after", [1, 2, 7, 12, 20, 27])
def test_a_cut_connection_is_taken_up_where_it_broke(chromium: Any, after: int) -> None:
    """Words of both directions were under way when it broke."""
    site = Site()
    with site.serving() as url, page_at(chromium, url + BLANK) as page:
        opened(page)
        site.drop_after = after
        page.evaluate(
            """async (words) => {
                for (const word of words) {
                    session.sendText(`${word} `);
                    await new Promise((resolve) => setTimeout(resolve, 2));
                }
                await session.end();
            }""",
            TALK.split(),
        )
        whole(page, TALK.split())
        assert len(told(page, "resumed")) == 1
        states = [event["state"] for event in page.evaluate("states")]
        assert states == ["reconnecting", "open", "ended"]
    assert len(site.sessions) == 1
    sent = "".join(m["text"] for m in site.sessions[0].received if m["type"] == "text")
    assert sent.split() == TALK.split()


@pytest.mark.parametrize("before", [0, 1, 3, 4, 5, 12])
def test_a_new_session_takes_over_when_the_server_is_lost(chromium: Any, before: int) -> None:
    """The open segment is READ again and its committed words are the prefix; listeners see one session."""
    site = Site()
    words = TALK.split()
    with site.serving() as url, page_at(chromium, url + BLANK) as page:
        opened(page)
        send = "(words) => words.forEach((word) => session.sendText(`${word} `))"
        page.evaluate(send, words[:before])
        page.wait_for_function(
            f"() => events.filter(({{type}}) => type === 'target').length === {before}"
        )
        site.drop(forget=True, closed=True)
        page.wait_for_function("() => session.state === 'reconnecting'")
        page.evaluate(send, words[before:])
        site.reopen()
        page.evaluate("session.end()")
        whole(page, words)
        segments = [event["source_words"] for event in told(page, "segment")]
        assert segments == [3, 7, 12]
    assert len(site.sessions) == 2
    begun = {0: [], 1: ["ONE"], 3: [], 4: ["FOUR"], 5: ["FOUR", "FIVE"], 12: []}[before]
    assert site.starts[1].get("prefix", []) == begun
    again = "".join(m["text"] for m in site.sessions[1].received if m["type"] == "text")
    assert again.split() == [word.lower() for word in begun] + words[before:]


def test_it_gives_up_when_patience_ends(chromium: Any) -> None:
    site = Site()
    with site.serving() as url, page_at(chromium, url + BLANK) as page:
        opened(page, patience=300)
        site.drop(closed=True)
        code = page.evaluate("session.done.catch((error) => error.code)")
        assert code == "connection_lost"
        assert page.evaluate("session.state") == "failed"
        late = "try { session.sendText('x') } catch (error) { error.code }"
        assert page.evaluate(late) == "bad_order"
        page.console_errors.clear()  # Chromium writes one for each attempt


def test_without_a_token_a_cut_connection_has_a_name(chromium: Any) -> None:
    site = Site(keeps=False)
    with site.serving() as url, page_at(chromium, url + BLANK) as page:
        opened(page)
        site.drop()
        assert page.evaluate("session.done.catch(String)").startswith(
            "SessionFailed: connection_lost: the connection was lost"
        )


def test_leaving_is_told_to_both_sides(chromium: Any) -> None:
    site = Site()
    with site.serving() as url, page_at(chromium, url + BLANK) as page:
        opened(page)
        code = page.evaluate("(session.close(), session.done.catch((error) => error.code))")
        assert code == "closed"
        assert page.evaluate("session.state") == "closed"


def test_no_server_there(chromium: Any) -> None:
    site = Site()
    with site.serving() as url, page_at(chromium, url + BLANK) as page:
        failed = page.evaluate("""async () => {
            const { connect } = await import("/streamtrans.js");
            const url = new URL("/nowhere", location.href);
            url.protocol = "ws:";
            return connect(url).catch(String);
        }""")
        assert (
            failed
            == "SessionFailed: connection_lost: no server answers there, or it lets nobody in"
        )
        page.console_errors.clear()


def test_audio_arrives_whole_over_a_cut_connection(chromium: Any) -> None:
    """Own marks let the client forget what was heard; nobody is told of them."""
    site = Site("audio")
    with site.serving() as url, page_at(chromium, url + BLANK) as page:
        opened(page, kind="audio", rate=16000, pause=900)
        site.drop_after = 30
        page.evaluate("""async () => {
            for (let frame = 0; frame < 120; frame++) {
                session.sendAudio(Int16Array.from({ length: 160 }, (_, i) => frame * 160 + i));
                await new Promise((resolve) => setTimeout(resolve, 1));
            }
            await session.end();
        }""")
        assert told(page, "marked") == []
        assert (
            page.evaluate(
                "(() => { try { session.sendAudio([1]) } catch (e) { return e.name } })()"
            )
            == "TypeError"
        )
        assert len(told(page, "resumed")) == 1
    expected = b"".join(i.to_bytes(2, "little", signed=True) for i in range(120 * 160))
    assert site.pcm == expected
    assert (site.starts[0]["rate"], site.starts[0]["pause"]) == (16000, 900)


def test_sound_that_waits_is_kept_for_ten_minutes(chromium: Any) -> None:
    """The oldest goes, and it says so; what was sent before the line broke is not among it."""
    site = Site("audio")
    with site.serving() as url, page_at(chromium, url + BLANK) as page:
        opened(page, kind="audio", rate=8000)
        page.evaluate("session.sendAudio(new Int16Array(8000).fill(1))")
        page.evaluate("new Promise((resolve) => setTimeout(resolve, 200))")
        site.drop(closed=True)
        page.wait_for_function("() => session.state === 'reconnecting'")
        page.evaluate("""() => {
            for (let s = 2; s <= 605; s++) session.sendAudio(new Int16Array(8000).fill(s));
        }""")
        assert [event["seconds"] for event in told(page, "lost")] == [1, 2, 3, 4, 5]
        site.reopen()
        page.evaluate("session.end()")
        page.console_errors.clear()
    heard = np.frombuffer(site.pcm, np.int16)[::8000].tolist()
    assert heard == [1, *range(7, 606)]


def test_sound_that_was_sent_and_given_up_cannot_be_asked_for(chromium: Any, site: str) -> None:
    with page_at(chromium, site + BLANK) as page:
        found = page.evaluate("""async () => {
            const { OutgoingSound } = await import("/outgoing-sound.js");
            const sound = new OutgoingSound(8000);
            for (let s = 0; s < 610; s++) sound.add(new Int16Array(8000), false);
            return [sound.lost, sound.after(9), sound.after(10).length, sound.after(610).length];
        }""")
    assert found == [0, None, 600, 0]


def test_sound_of_an_odd_rate_is_given_up_in_time(chromium: Any, site: str) -> None:
    """600000 * (1001 / 1000) is less than 600 * 1001. In a worker, as a loop without end would hold up the page."""
    with page_at(chromium, site + BLANK, bypass_csp=True) as page:
        found = page.evaluate("""async () => {
            const work = `
                import { OutgoingSound } from "${location.origin}/outgoing-sound.js";
                const sound = new OutgoingSound(1001);
                for (let s = 0; s < 610; s++) sound.add(new Int16Array(1001), false);
                postMessage([sound.lost, sound.after(10).length]);`;
            const address = URL.createObjectURL(new Blob([work], { type: "text/javascript" }));
            const worker = new Worker(address, { type: "module" });
            const told = new Promise((resolve) => {
                worker.onmessage = ({ data }) => resolve(data);
                worker.onerror = ({ message }) => resolve(message);
            });
            const late = new Promise((resolve) => setTimeout(resolve, 5000, "no end"));
            const found = await Promise.race([told, late]);
            worker.terminate();
            return found;
        }""")
    assert found == [0, 600]


class Drafting(Site):
    """A draft follows each piece of text."""

    async def answer(self, peer: Any, messages: list[dict[str, Any]]) -> None:
        await super().answer(peer, messages)
        if not messages or messages[0]["type"] != "ready":
            await super().answer(peer, [{"type": "draft", "source": [], "target": ["NEXT"]}])


@pytest.mark.parametrize(("text", "drafts"), [("one. ", 2), ("one ", 1)])
def test_a_lost_server_withholds_drafts_of_what_is_said_again_alone(
    chromium: Any, text: str, drafts: int
) -> None:
    site = Drafting()
    with site.serving() as url, page_at(chromium, url + BLANK) as page:
        opened(page, drafts=True)
        page.evaluate("(text) => session.sendText(text)", text)
        page.wait_for_function("() => events.some(({ type }) => type === 'draft')")
        site.drop(forget=True)
        page.wait_for_function("() => events.some(({ type }) => type === 'resumed')")
        page.evaluate("session.sendText('tw')")  # no event yet
        page.wait_for_timeout(200)
        assert len(told(page, "draft")) == drafts
        page.evaluate("session.close()")
        page.console_errors.clear()


def test_drafts_come_to_who_asks(chromium: Any, site: str) -> None:
    with page_at(chromium, site + BLANK) as page:
        for wanted in (False, True):
            opened(page, drafts=wanted)
            page.evaluate("session.sendText('one two three ')")
            page.wait_for_function("() => events.some(({ type }) => type === 'target')")
            page.wait_for_timeout(400)
            drafts = [{"type": "draft", "source": [], "target": ["TWO?", "THREE?"]}]
            assert told(page, "draft") == (drafts if wanted else [])
            page.evaluate("session.end()")
            whole(page, ["one", "two", "three"])


def test_sound_is_not_kept_when_the_session_cannot_come_back(chromium: Any) -> None:
    site = Site("audio", keeps=False)
    with site.serving() as url, page_at(chromium, url + BLANK) as page:
        page.evaluate(COUNT_KEPT)
        opened(page, kind="audio", rate=8000, keep=False)
        page.evaluate("""async () => {
            for (let frame = 0; frame < 60; frame++) session.sendAudio(new Int16Array(800));
        }""")
        assert page.evaluate("window.kept") == 0
        page.evaluate("session.end()")
    assert len(site.pcm) == 60 * 1600


def test_what_is_sent_before_the_session_is_open_goes_out_without_keeping(chromium: Any) -> None:
    site = Site("audio", keeps=False)
    with site.serving() as url, page_at(chromium, url + BLANK) as page:
        page.evaluate("""async () => {
            const { Session } = await import("/streamtrans.js");
            const url = new URL("/v1/translate", location.href);
            url.protocol = "ws:";
            const session = new Session(url, { kind: "audio", rate: 8000, keep: false });
            session.sendAudio(new Int16Array(800).fill(7));
            await session.end();
        }""")
    assert site.pcm == bytes([7, 0]) * 800


COUNT_KEPT = """async () => {
    window.kept = 0;  // of the list of what went out
    const { push, splice } = Array.prototype;
    const sound = (entry) => Boolean(entry?.command instanceof Int16Array);
    Array.prototype.push = function (...all) {
        kept += all.filter(sound).length;
        return push.apply(this, all);
    };
    Array.prototype.splice = function (...all) {
        const gone = splice.apply(this, all);
        kept -= gone.filter(sound).length;
        return gone;
    };
}"""


def test_words_and_their_times_go_on_in_a_new_session(chromium: Any, site: str) -> None:
    """The server forgets a session in the middle of its second segment: what follows counts and times on."""
    text = "one two. three four five six. seven."
    with page_at(chromium, site + BLANK) as page:
        opened(page, kind="audio", rate=8000, policy="wait-1")
        undisturbed = spoken(page, text, 0)
        opened(page, kind="audio", rate=8000, policy="wait-1", patience=5000)
        assert spoken(page, text, 3) == undisturbed
        resumed = told(page, "resumed")
        assert len(resumed) == 1 and resumed[0].get("received", 0) == 0
        page.console_errors.clear()  # the address it is sent to meanwhile


def spoken(page: Any, text: str, words: int) -> list[Any]:
    """What is told of a text that is said in frames; after so many words the session cannot be found again."""
    sound = np.frombuffer(speech(text, 8000), np.int16).tolist()
    page.evaluate(
        """async ([sound, words]) => {
            const Plain = WebSocket;
            const sources = () => events.filter(({ type }) => type === "source").length;
            for (let i = 0; i < sound.length; i += 333) {
                session.sendAudio(Int16Array.from(sound.slice(i, i + 333)));
                await new Promise((resolve) => setTimeout(resolve, 3));
                if (!words || sources() < words) continue;
                words = 0;
                window.WebSocket = function (url) {
                    window.WebSocket = Plain;
                    url.searchParams.set("resume", "gone");
                    return new Plain(url);
                };
                dispatchEvent(new Event("offline"));
            }
            await session.end();
        }""",
        [sound, words],
    )
    found = [e for e in page.evaluate("events") if e["type"] in ("source", "target", "segment")]
    times = ("begin", "end")
    return [
        {key: round(value) if key in times else value for key, value in event.items()}
        | dict.fromkeys({"at", "emitted"} & set(event), 0)
        for event in found
    ]


def test_a_page_of_another_origin_imports_it(chromium: Any, site: str) -> None:
    with Site().serving() as other, page_at(chromium, other + "v1/models") as page:
        names = page.evaluate(
            "async (url) => Object.keys(await import(url))", f"{site}streamtrans.js"
        )
        assert sorted(names) == ["PROTOCOL_VERSION", "Session", "SessionFailed", "connect"]
