"""Row groups that are taken over: the file is that which is written from nothing, byte for byte."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from piperline.lerobot.parquet import TableWriter
from piperline.lerobot.parquet_groups import FirstGroups, GroupsWriter

SCHEMA = pa.schema(
    [("a.b", pa.list_(pa.float32(), 2)), ("text", pa.list_(pa.string()))],
    metadata={"huggingface": "{}"},
)


def group(number):
    """A group of 1 to 3 rows, different of each number."""
    rows = [[number, row / 7] for row in range(1 + number % 3)]
    texts = [["x", f"y{number}"]] * len(rows)
    return pa.table({"a.b": rows, "text": texts}, schema=SCHEMA)


def write(writer, numbers):
    for number in numbers:
        writer.write_table(group(number))
    writer.close()


def written(path, numbers, schema=SCHEMA):
    write(TableWriter(path, schema), numbers)
    return path


def sizes(count):
    return [len(group(number)) for number in range(count)]


# lists of 15 and more are of another form, numbers of 64 and more take another byte
@pytest.mark.parametrize(
    ("of", "taken", "then"),
    [
        (3, 3, 5),
        (3, 3, 3),
        (14, 14, 16),
        (80, 80, 90),
        (80, 1, 2),
        (20, 14, 14),
    ],
)
def test_the_bytes_are_those_of_a_file_from_nothing(tmp_path, of, taken, then):
    old = written(tmp_path / "old", range(of))
    before = old.read_bytes()
    first = FirstGroups.of(old, SCHEMA, sizes(taken))
    new = tmp_path / "new"
    write(GroupsWriter(new, first), range(taken, then))
    wanted = written(tmp_path / "wanted", range(then))
    assert new.read_bytes() == wanted.read_bytes()
    assert pq.read_table(new).equals(pq.read_table(wanted))
    assert old.read_bytes() == before


def test_a_file_of_another_writer_is_not_taken_over(tmp_path):
    old = written(tmp_path / "old", range(4))
    with pytest.raises(ValueError, match="fewer groups"):
        FirstGroups.of(old, SCHEMA, sizes(5))
    with pytest.raises(ValueError, match="other rows"):
        FirstGroups.of(old, SCHEMA, [1, 2, 2])
    with pytest.raises(ValueError, match="another writer"):
        FirstGroups.of(old, SCHEMA.remove_metadata(), sizes(2))
    pq.write_table(group(2), old, row_group_size=3, write_page_index=True)
    with pytest.raises(ValueError, match="another way"):
        FirstGroups.of(old, SCHEMA, [3])
