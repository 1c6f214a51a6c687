"""Anybody's conversations as a source of samples."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gf_core.canonical import sha256
from gf_core.errors import GrinningFaceError
from gf_core.training.conversations import Conversations
from gf_core.training.conversations_index import MAX_LINE
from gf_core.training.samples import Source, Wanted

WANTED = Wanted()
QUESTION = {"from": "human", "value": "<image>\nWhat is it?"}
ANSWER = {"from": "gpt", "value": "a fox"}
GOOD = {"id": "1", "image": "a.png", "conversations": [QUESTION, ANSWER]}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes records to a file beside ``a.png`` (red) and ``sub/b.png`` (blue, 4 x 2 px)."""
    (tmp_path / "sub").mkdir()
    Image.new("RGB", (3, 5), (255, 0, 0)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 2), (0, 0, 255)).save(tmp_path / "sub" / "b.png")

    def write(*records: object, name: str = "data.jsonl") -> Path:
        lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def refused(path: Path, **arguments: object) -> str:
    with pytest.raises(GrinningFaceError) as caught:
        Conversations(path, **arguments)
    return str(caught.value).replace(f"{path.parent}/", "")


def test_each_question_and_answer_is_a_sample(write: Write) -> None:
    several = {
        "image": ["a.png", "sub/b.png"],
        "conversations": [QUESTION, ANSWER, {"from": "human", "value": "And <image> here?"}, {"from": "gpt", "value": " sky \n"}],
        "domain": "vqa/grounding",
    }
    source = Conversations(write(GOOD, "", several), name="mine")
    samples = [source.sample(index, WANTED) for index in range(len(source))]
    assert isinstance(source, Source)
    assert [sample.key for sample in samples] == ["mine/1/0", "mine/3/0", "mine/3/1"]
    assert [sample.prompt for sample in samples] == ["What is it?", "What is it?", "And here?"]
    assert [sample.answer for sample in samples] == ["a fox", "a fox", "sky"]
    assert [sample.domain for sample in samples] == ["vqa/other", "vqa/grounding", "vqa/grounding"]
    assert not any(sample.is_robot for sample in samples)
    first, _, last = samples
    assert [frame.image.shape for frame in last.frames] == [(5, 3, 3), (2, 4, 3)]
    assert [tuple(frame.image[0, 0]) for frame in last.frames] == [(255, 0, 0), (0, 0, 255)]
    assert [(frame.camera, frame.offset) for frame in last.frames] == [("image0", 0), ("image1", 0)]
    assert len(first.frames) == 1
    assert first.frames[0].image.dtype == np.uint8
    with pytest.raises(IndexError):
        source.sample(3, WANTED)


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "image", "image": "a.png"}, {"type": "text", "text": "What is it?"}],
        [{"type": "image"}, {"type": "text", "text": "What is it?"}],
        "<image>What is it?",
    ],
)
def test_messages_of_chat_templates(write: Write, content: object) -> None:
    listed = {} if "a.png" in json.dumps(content) else {"images": ["a.png"]}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": content},
        {"role": "assistant", "content": [{"type": "text", "text": "a fox"}]},
    ]
    sample = Conversations(write({"messages": messages, **listed})).sample(0, WANTED)
    assert (sample.prompt, sample.answer, len(sample.frames)) == ("Be brief.\n\nWhat is it?", "a fox", 1)


def test_a_record_may_have_no_image(write: Write) -> None:
    messages = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    sample = Conversations(write({"messages": messages}), domain="vqa/text").sample(0, WANTED)
    assert (sample.frames, sample.domain) == ((), "vqa/text")


def changed(**changes: object) -> dict[str, object]:
    return {**GOOD, **changes}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("{", "data.jsonl:2: isn't JSON"),
        ('{"a": 1, "a": 2}', "data.jsonl:2: the key appears more than once"),
        ("7", "data.jsonl:2: it is 7, not an object"),
        ("[" * 100_000, "data.jsonl:2: is nested more than"),
        (json.dumps([GOOD]), "data.jsonl:2: it is an array, not an object; one record a line"),
        ({"text": "no"}, "data.jsonl:2: it has neither 'conversations' nor 'messages'; it has text"),
        (changed(conversations=[]), "'conversations' is an empty array"),
        (changed(conversations=[QUESTION]), "turn 1 has no answer"),
        (changed(conversations=[QUESTION, {"from": "gpt", "value": "  "}]), "turn 1 has no answer"),
        (changed(conversations=[QUESTION, ANSWER, {"from": "human", "value": "more?"}]), "turn 2 has no answer"),
        (changed(conversations=[ANSWER, QUESTION]), "turn 1 begins with the assistant"),
        (changed(conversations=[{"from": "human", "value": "<image>"}, ANSWER]), "turn 1 asks nothing"),
        (changed(conversations=[QUESTION, {"from": "bot", "value": "x"}]), "message 2 is from 'bot'"),
        (changed(conversations=[QUESTION, {"from": "gpt", "value": 3}]), "message 2 holds 3 instead of a text"),
        (changed(conversations=[QUESTION, {"from": "gpt", "value": "<image>"}]), "message 2 is no question, and has an image"),
        (changed(conversations=[{"from": "human", "value": "What?"}, ANSWER]), "it has 1 image and 0 <image> tags"),
        (changed(image=["a.png", "a.png"]), "it has 2 images and 1 <image> tag;"),
        (changed(image=None), "it has 0 images and 1 <image> tag;"),
        (changed(image=3), "an image is 3"),
        (changed(images=["a.png"]), "it has both 'image' and 'images'"),
        (changed(image="missing.png"), "data.jsonl:2: there is no image 'missing.png'"),
        (changed(image="sub"), "the image 'sub' isn't a file"),
        (changed(image="../a.png"), "the image '../a.png' lies outside"),
        (changed(image="/etc/hostname"), "the image '/etc/hostname' lies outside"),
        (changed(image="https://example.org/a.png"), "isn't a file; save it beside the file"),
        (changed(image="data:image/png;base64,AAAA"), "isn't a file; save it beside the file"),
        (changed(video="a.mp4"), "it has a video"),
        (changed(domain="robot"), "its domain is 'robot'"),
        (changed(domain=""), "its domain is ''"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "an image_url"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "a part that is 'audio'"),
        ({"messages": [{"role": "user"}]}, "message 1 holds null instead of a text"),
        (json.dumps(GOOD) + " " * MAX_LINE, "data.jsonl:2: the line is longer than 1 MiB"),
    ],
)
def test_what_cannot_be_trained_on_is_named_with_its_line(write: Write, record: object, message: str) -> None:
    assert message in refused(write(GOOD, record))


def test_files_that_hold_nothing(write: Write, tmp_path: Path) -> None:
    assert "there is no such file" in refused(tmp_path / "none.jsonl")
    assert refused(write("", " ")) == "data.jsonl: it holds no conversation"


def test_links_out_of_the_folder_are_refused_and_the_folder_can_be_given(write: Write, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    home = tmp_path / "home"
    home.mkdir()
    Image.new("RGB", (2, 2)).save(away / "c.png")
    (home / "pictures").symlink_to(away)
    (home / "c.png").symlink_to(away / "c.png")
    for image in ("pictures/c.png", "c.png"):
        path = write(changed(image=image), name="home/data.jsonl")
        assert "lies outside" in refused(path)
    path = write(changed(image="c.png"), name="home/data.jsonl")
    assert len(Conversations(path, images=home / "pictures").sample(0, WANTED).frames) == 1


def test_damaged_and_huge_images_are_named(write: Write, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    source = Conversations(write(GOOD))
    with pytest.raises(GrinningFaceError, match=r"data.jsonl:1: the image 'a.png' can't be read"):
        source.sample(0, WANTED)
    Image.new("1", (60_000, 1000)).save(tmp_path / "a.png")
    with pytest.raises(GrinningFaceError, match="at most 50,000,000 are read"):
        source.sample(0, WANTED)


def test_a_file_that_changes_is_refused(write: Write) -> None:
    source = Conversations(write(GOOD))
    write(GOOD, GOOD)
    with pytest.raises(GrinningFaceError, match="it was changed since it was opened"):
        source.sample(0, WANTED)


def _answers(source: Conversations, indices: list[int]) -> list[str | None]:
    return [source.sample(index, WANTED).answer for index in indices]


def test_processes_and_threads_share_it(write: Write) -> None:
    records = [changed(conversations=[QUESTION, {"from": "gpt", "value": str(i)}]) for i in range(200)]
    source = Conversations(write(*records))
    indices = np.random.default_rng(0).permutation(200).tolist()
    expected = [str(i) for i in indices]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: source.sample(i, WANTED).answer, indices))
    assert found == expected
    assert _answers(pickle.loads(pickle.dumps(source)), indices) == expected
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as processes:  # while the parent's file is open
        halves = processes.starmap(_answers, [(source, indices[:100]), (source, indices[100:])])
    assert halves[0] + halves[1] == expected


def test_the_manifest_changes_with_text_and_images(write: Write, tmp_path: Path) -> None:
    before = Conversations(write(GOOD)).manifest()
    assert (before.kind, before.samples, before.items, before.name) == ("conversations", 1, None, "data")
    assert Conversations(write(GOOD)).manifest().sha256 == before.sha256
    assert Conversations(write(changed(id="2"))).manifest().sha256 != before.sha256
    Image.new("RGB", (30, 50), (255, 0, 0)).save(tmp_path / "a.png")
    assert Conversations(write(GOOD)).manifest().sha256 != before.sha256


def test_a_sidecar_says_which_items_occur(write: Write, tmp_path: Path) -> None:
    path = write(GOOD, name="conversations.jsonl")
    entry = {"sha256": "0" * 64, "shown": ["u2", "u1"], "named": ["u3", "u1"]}
    document = {"schema_version": "1.0", "kind": "conversations", "sha256": sha256(path.read_bytes()), "items": {"gf/d@1": entry}}
    sidecar = tmp_path / "manifest.json"
    sidecar.write_text(json.dumps(document), encoding="utf-8")
    assert Conversations(tmp_path).manifest().items == {"gf/d@1": ("u1", "u2", "u3")}
    sidecar.write_text(json.dumps({**document, "sha256": "1" * 64}), encoding="utf-8")
    assert "isn't the one that manifest.json describes" in refused(path)
    assert Conversations(path, sidecar=False).manifest().items is None
    sidecar.write_text(json.dumps({**document, "items": 3}), encoding="utf-8")
    assert "/items" in refused(path)


def test_memory_stays_flat(write: Write) -> None:
    text = "x" * 20_000
    source = Conversations(write(*[changed(conversations=[QUESTION, {"from": "gpt", "value": text}]) for _ in range(100)]))
    assert source.path.stat().st_size > 2_000_000
    assert len(pickle.dumps(source)) < 10_000
