"""A user's folder as a deck, and every way in which it can be wrong."""

from __future__ import annotations

import io
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gf_core._spec_checks import problems as spec_problems
from gf_core.contracts import Deck
from gf_core.errors import GrinningFaceError, UnknownIdError
from gf_core.schemas import validate_config
from gf_envs.decks import contact_sheet, folder, tiles
from gf_envs.decks.folder import folder_deck_spec, load_folder, make


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    path = tmp_path / "My Animals"
    (path / "more").mkdir(parents=True)
    for name, colour in (("Cat.png", "red"), ("dog.jpg", "green"), ("more/owl.webp", "blue")):
        Image.new("RGB", (60, 30), colour).save(path / name)
    write(
        path, "file,label,split,de,tags\nCat.png,cat,train,Katze,pet;small\ndog.jpg,dog,val,Hund,pet\nmore/owl.webp,owl,val,,\n"
    )
    return path


def write(path: Path, text: str) -> None:
    (path / "labels.csv").write_bytes(text.encode())


def refusal(path: Path) -> str:
    with pytest.raises(GrinningFaceError) as error:
        load_folder(path)
    assert "labels.csv" in error.value.where
    return error.value.what


def test_a_folder_is_a_deck(animals: Path) -> None:
    deck = load_folder(animals)
    assert isinstance(deck, Deck)
    assert deck.id == "local/my-animals@1"
    assert list(deck.items) == ["cat", "dog", "owl"]
    cat = deck.items["cat"]
    assert (cat.label, cat.split, cat.names, cat.tags) == ("cat", "train", {"de": "Katze"}, ("pet", "small"))
    assert deck.items["owl"].names == {}
    assert deck.image("cat").shape == (tiles.TILE, tiles.TILE, 4)
    assert tiles.on_white(deck.image("cat"))[64, 64].tolist() == [255, 0, 0]
    assert tiles.on_white(deck.image("cat"))[5, 64].tolist() == [255, 255, 255]  # 2 : 1 keeps its ratio


def test_only_file_and_label_are_needed(animals: Path) -> None:
    write(animals, '\ufefflabel,file\r\n小猫,Cat.png\r\n\r\n"dog, big",dog.jpg\r\n')
    assert [(i.label, i.split) for i in load_folder(animals).items.values()] == [("小猫", "all"), ("dog, big", "all")]


def test_the_hash_follows_labels_and_pixels_but_not_compression(animals: Path) -> None:
    first = load_folder(animals).sha256
    Image.open(animals / "Cat.png").save(animals / "Cat.png", compress_level=0)
    assert load_folder(animals).sha256 == first
    write(animals, (animals / "labels.csv").read_text().replace("Katze", "Kater"))
    second = load_folder(animals).sha256
    Image.new("RGB", (60, 30), (254, 0, 0)).save(animals / "Cat.png")
    assert len({first, second, load_folder(animals).sha256}) == 3


def test_photographs_are_turned_upright(animals: Path) -> None:
    photo = Image.new("RGB", (40, 40), "white")
    photo.paste("black", (0, 0, 40, 20))  # the sensor's upper half
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180°
    photo.save(animals / "dog.jpg", exif=exif)
    face = tiles.on_white(load_folder(animals).image("dog"))
    assert face[20, 64].min() > 200
    assert face[-20, 64].max() < 50


def test_a_spec_says_how_to_make_it(animals: Path) -> None:
    spec = folder_deck_spec(animals)
    assert spec.config_schema is not None
    settings = {name: value["default"] for name, value in spec.config_schema["properties"].items()}
    assert (spec.id, spec.entry_point) == ("local/my-animals@1", "gf_envs.decks.folder:make")
    assert spec_problems("decks", spec) == []
    assert make(validate_config({}, spec.config_schema, source="test")).sha256 == make(settings).sha256
    assert make(settings).sha256 == load_folder(animals).sha256
    with pytest.raises(GrinningFaceError, match="no such folder"):
        folder_deck_spec(animals / "nothing")
    with pytest.raises(GrinningFaceError, match="needs its folder"):
        make({})


@pytest.mark.parametrize("name", ["🐱", "x" * 100])
def test_a_folder_whose_name_makes_no_id_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(GrinningFaceError, match="ASCII letters or digits"):
        load_folder(tmp_path / name)


def test_every_problem_is_listed_with_its_line(animals: Path) -> None:
    (animals / "text.png").write_text("not an image")
    Image.new("RGBA", (5, 5)).save(animals / "empty.png")
    Image.new("RGB", (5, 5)).save(animals / "anim.gif")
    (animals / "link.png").symlink_to("/etc/hostname")
    rows = [
        "missing.png,a", "text.png,b", "empty.png,c", "anim.gif,d", "link.png,e", "/etc/passwd,f", "../x.png,g",
        "C:\\x.png,h", "more\\..\\..\\x.png,i", "Cat.png,", ",k", "Cat.png,l", "dog.jpg,B", "dog.jpg,m,n", "猫.png,o",
        "dog.jpg,\u202egnp", f"dog.jpg,{'y' * 201}",
    ]  # fmt: skip
    write(animals, "\n".join(["file,label", *rows]))
    lines = refusal(animals).splitlines()
    expected = {
        2: ["'missing.png': no such file"],
        3: ["'text.png': cannot identify image file"],
        4: ["every pixel is transparent"],
        5: ["'anim.gif': cannot identify image file"],
        6: ["lies outside of the folder"],
        7: ["no absolute path, drive or '..'"],
        8: ["no absolute path, drive or '..'"],
        9: ["no absolute path, drive or '..'"],
        10: ["no absolute path, drive or '..'"],
        11: ["no label"],
        12: ["no file", "id ''"],
        13: ["id 'cat' is that of line 11 too"],
        14: ["label 'B' is that of line 3 too"],
        15: ["3 cells, the header has 2"],
        16: ["id ''"],
        17: ["label has control characters"],
        18: ["label is longer than 200 characters"],
    }
    for number, texts in expected.items():
        found = [line for line in lines if line.startswith(f"  line {number}: ")]
        for text in texts:
            assert any(text in line for line in found), (number, text, found)
    assert lines[0] == f"{len(lines) - 1} problems"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("files,label\n", "line 1: no column 'file'; did you mean 'files'?"),
        ("file;label\nCat.png;cat\n", "line 1: no column 'file'"),
        ("file,label,label\n", "line 1: column 'label' twice"),
        ("file,label,\n", "line 1: column 3 has no name"),
        ("file,label\n", "line 1: no card"),
        ("", "line 1: no card"),
        ('file,label\n"Cat.png,cat\n', "line 2: unexpected end of data"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(animals: Path, text: str, problem: str) -> None:
    write(animals, text)
    assert problem in refusal(animals)


def test_a_deck_holds_a_bounded_number_of_cards() -> None:
    rows, problems = folder.parse_labels("file,label\n" + "".join(f"{i}.png,{i}\n" for i in range(5000)))
    assert len(rows) == folder.MAX_ITEMS
    assert problems == [(folder.MAX_ITEMS + 2, "more than 4096 cards")]


def test_a_table_that_is_missing_too_big_or_not_utf8_is_refused(animals: Path) -> None:
    table = animals / "labels.csv"
    table.write_bytes("file,label\nCat.png,Käse\n".encode("latin-1"))
    assert "line 2 isn't UTF-8" in refusal(animals)
    table.write_bytes(b"\0" * (folder.MAX_CSV_BYTES + 1))
    assert "more than 4 MiB" in refusal(animals)
    table.unlink()
    assert "can't be read: No such file" in refusal(animals)
    table.mkdir()
    assert "can't be read: Is a directory" in refusal(animals)


def bomb(side: int) -> bytes:
    """A PNG that says it has ``side × side`` pixels, in a few hundred bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("side", "problem"), [(5_000, "more than 16 million pixels"), (60_000, "exceeds limit")])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(animals: Path, side: int, problem: str) -> None:
    (animals / "Cat.png").write_bytes(bomb(side))
    assert problem in refusal(animals)


def test_a_torn_or_huge_image_file_is_refused(animals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(animals / "Cat.png")
    data = (animals / "Cat.png").read_bytes()
    (animals / "Cat.png").write_bytes(data[: len(data) // 2])
    assert "line 2: 'Cat.png': " in refusal(animals)
    monkeypatch.setattr(folder, "MAX_IMAGE_BYTES", 100)
    assert "more than 0 MiB" in refusal(animals)


@given(
    st.sampled_from(["PNG", "JPEG", "WEBP"]), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8)
)
def test_a_damaged_image_is_a_card_or_a_problem(kind: str, damage: list[tuple[float, int]]) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (16, 16), "teal").save(buffer, kind, exif=exif)
    data = bytearray(buffer.getvalue())
    for place, value in damage:
        data[min(int(place * len(data)), len(data) - 1)] = value
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "deck"
        path.mkdir()
        (path / "image").write_bytes(data)
        write(path, "file,label\nimage,x\n")
        try:
            deck = load_folder(path)
        except GrinningFaceError as refused:
            problem = refused.what
        else:
            problem = "" if deck.image("image").any() else "an invisible card"
        assert not problem or "line 2: 'image': " in problem


def test_long_lists_of_problems_are_cut(animals: Path) -> None:
    write(animals, "file,label\n" + "".join(f"no{i}.png,{i}\n" for i in range(80)))
    assert refusal(animals).splitlines()[-1] == "  and 30 more"


def test_a_contact_sheet_shows_every_card(animals: Path, tmp_path: Path) -> None:
    contact_sheet.main([str(animals), str(tmp_path / "sheet.png")])
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    for colour in ([255, 0, 0], [0, 0, 254]):
        assert (np.abs(sheet.astype(int) - colour).max(axis=-1) <= 3).sum() > 1000
    with pytest.raises(UnknownIdError, match="neither a deck"):
        contact_sheet.find_deck("gf/emoji")
    with pytest.raises(SystemExit) as stop:
        contact_sheet.main(["gf/emoji", "x.png"])
    assert stop.value.code == 2
