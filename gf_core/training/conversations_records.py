"""One line of a conversations file: what is asked, what is answered, and which images go with it.

Two forms are read. That of LLaVA (arXiv 2304.08485; its docs/Finetune_Custom_Data.md) and of Qwen-VL's fine-tuning::

    {"image": "a.png", "conversations": [{"from": "human", "value": "<image>\\nWhat is it?"}, {"from": "gpt", "value": "a fox"}]}

and that of chat templates::

    {"messages": [{"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "What is it?"}]},
                  {"role": "assistant", "content": "a fox"}]}

In both, ``image`` or ``images`` may be a path or a list of paths, of which every ``<image>`` tag takes the next.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gf_core._problems import shorten, show
from gf_core.canonical import JSON
from gf_core.errors import GrinningFaceError, SchemaError
from gf_core.schemas import parse_json
from gf_core.training.samples import ROBOT

TAG = "<image>"
OTHER = "vqa/other"
"""Domain of records that don't say theirs."""

_TAG_AND_SPACE = re.compile(r"[ \t]*<image>[ \t]*\n?")
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A question and its answer.

    Attributes:
        prompt: the question without tags, behind the record's system message if it has one.
        answer: the answer.
        images: paths of the images shown up to here, in order.
    """

    prompt: str
    answer: str
    images: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One line.

    Attributes:
        turns: its question-answer pairs; at least one.
        images: paths of all its images, as written.
        domain: the kind of question.
        content: the parsed line.
    """

    turns: tuple[Turn, ...]
    images: tuple[str, ...]
    domain: str
    content: Mapping[str, JSON]


@dataclass(frozen=True, kw_only=True)
class _Message:
    role: str
    text: str
    images: tuple[str, ...]


def parse_record(data: bytes, *, where: str, domain: str = OTHER) -> Record:
    """The record in a line.

    Args:
        data: the line.
        where: what errors call it, ``file:line``.
        domain: of a record that doesn't say its own.

    Raises:
        GrinningFaceError: it isn't JSON, has none of the two forms, a question has no answer, or tags and images don't match.
    """
    content = _parse(data, where)
    if "video" in content or "videos" in content:
        raise GrinningFaceError(
            "it has a video, and only images are read", where=where, hint="write some of its frames as images"
        )
    said = content.get("domain", domain)
    if not isinstance(said, str) or not said or said == ROBOT:
        raise GrinningFaceError(
            f"its domain is {show(said)}", where=where, hint=f"a text such as vqa/spatial; {ROBOT!r} is the domain of robot data"
        )
    messages = list(_messages(content, where))
    turns = tuple(_turns(messages, where))
    return Record(turns=turns, images=turns[-1].images, domain=said, content=content)


def _parse(data: bytes, where: str) -> dict[str, JSON]:
    try:
        content = json.loads(data.decode(), object_pairs_hook=_members)
    except (ValueError, RecursionError):  # the strict reader says better what is wrong
        try:
            content = parse_json(data, source=where)
        except SchemaError as error:
            raise GrinningFaceError(error.what, where=where, hint=error.hint) from None
    if isinstance(content, list):
        raise GrinningFaceError(
            "it is an array, not an object", where=where, hint="one record a line (JSON Lines), without brackets around them all"
        )
    if not isinstance(content, dict):
        raise GrinningFaceError(f"it is {show(content)}, not an object", where=where, hint="one record a line (JSON Lines)")
    return content


def _members(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key appears more than once")
    return members


def _messages(content: Mapping[str, JSON], where: str) -> Iterator[_Message]:
    """The messages in order, each ``<image>`` tag replaced by the image that it stands for."""
    rows, role_key, text_key = _rows(content, where)
    waiting = _listed(content, where)
    given, tags = len(waiting), 0
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not isinstance(row.get(role_key), str):
            raise GrinningFaceError(f"message {number} has no {role_key!r}", where=where)
        role = _ROLES.get(str(row[role_key]))
        if role is None:
            raise GrinningFaceError(
                f"message {number} is from {show(row[role_key])}",
                where=where,
                hint="roles are human, gpt, user, assistant, system",
            )
        text, images = "", []
        for part, path in _parts(row.get(text_key), number, where):
            text += part
            if path != "" and role != "user":
                raise GrinningFaceError(
                    f"message {number} is no question, and has an image", where=where, hint="images go with questions"
                )
            if path is None:
                tags += 1
                path = waiting.pop(0) if waiting else ""
            images += [path] if path else []
        yield _Message(role=role, text=text.strip(), images=tuple(images))
    if tags != given:
        raise GrinningFaceError(
            f"it has {given} image{'s' * (given != 1)} and {tags} {TAG} tag{'s' * (tags != 1)}",
            where=where,
            hint=f"write one {TAG} for each image where the questions refer to them",
        )


def _rows(content: Mapping[str, JSON], where: str) -> tuple[Sequence[JSON], str, str]:
    """The messages as written, and what their keys for role and text are called."""
    for name, role_key, text_key in (("conversations", "from", "value"), ("messages", "role", "content")):
        if name in content:
            rows = content[name]
            if not isinstance(rows, list) or not rows:
                raise GrinningFaceError(f"{name!r} is {show(rows)}", where=where, hint="a list of messages")
            return rows, role_key, text_key
    raise GrinningFaceError(
        "it has neither 'conversations' nor 'messages'", where=where, hint=f"it has {shorten(', '.join(content))}"
    )


def _listed(content: Mapping[str, JSON], where: str) -> list[str]:
    """Paths of ``image`` or ``images``."""
    if "image" in content and "images" in content:
        raise GrinningFaceError("it has both 'image' and 'images'", where=where, hint="keep one")
    found = content.get("image", content.get("images"))
    paths = [] if found is None else found if isinstance(found, list) else [found]
    return [_path(path, where) for path in paths]


def _parts(value: JSON, number: int, where: str) -> Iterator[tuple[str, str | None]]:
    """A message's parts: text, and the image behind it: its path, ``None`` for the next of the list, or empty for no image."""
    if isinstance(value, str):
        *tagged, last = _TAG_AND_SPACE.sub(TAG, value).split(TAG)
        yield from ((text if not text or text[-1].isspace() else f"{text} ", None) for text in tagged)
        yield last, ""
        return
    if not isinstance(value, list):
        raise GrinningFaceError(f"message {number} holds {show(value)} instead of a text", where=where)
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(part, dict) and kind == "text" and isinstance(part.get("text"), str):
            yield from _parts(part["text"], number, where)
        elif isinstance(part, dict) and kind == "image":
            paths = [part[key] for key in ("image", "path", "url") if part.get(key) is not None]
            yield "", _path(paths[0], where) if paths else None
        elif kind == "image_url":
            raise GrinningFaceError(
                f"message {number} has an image_url", where=where, hint='write {"type": "image", "image": PATH}'
            )
        else:
            raise GrinningFaceError(
                f"message {number} has a part that is {show(kind or part)}", where=where, hint="text or image"
            )


def _path(value: JSON, where: str) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise GrinningFaceError(f"an image is {show(value)}", where=where, hint="the path of a file")
    if _URL.match(value):
        raise GrinningFaceError(
            f"the image {show(value)} isn't a file", where=where, hint="save it beside the file, and give its path"
        )
    return value


def _turns(messages: Sequence[_Message], where: str) -> Iterator[Turn]:
    system = ""
    if messages[0].role == "system":
        system, messages = messages[0].text, messages[1:]
    if not messages:
        raise GrinningFaceError("it has no question", where=where)
    images: tuple[str, ...] = ()
    for number in range(0, len(messages), 2):
        question, answer = messages[number], messages[number + 1] if number + 1 < len(messages) else None
        if question.role != "user":
            raise GrinningFaceError(f"turn {number // 2 + 1} begins with the {question.role}, not with a question", where=where)
        if answer is None or answer.role != "assistant" or not answer.text:
            raise GrinningFaceError(f"turn {number // 2 + 1} has no answer", where=where, hint="each question is followed by one")
        if not question.text:
            raise GrinningFaceError(f"turn {number // 2 + 1} asks nothing", where=where, hint=f"write a question behind {TAG}")
        images += question.images
        prompt = f"{system}\n\n{question.text}" if system else question.text
        yield Turn(prompt=prompt, answer=answer.text, images=images)
