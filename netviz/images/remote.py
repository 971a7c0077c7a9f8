"""Images that are no files of this machine: in object stores, by URL, and in the rows of Parquet files.

Read through Arrow's file systems, which Ray Data's readers stand on too. An image has a name by which it can be
read again: ``s3://bucket/folder/photo.jpg``, ``train.parquet#17``, or ``train.parquet#17/photo.jpg`` where the rows
have names.
"""

import os
import threading
import time
from bisect import bisect_right
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from netviz.errors import ImageError

PARQUET = ".parquet"

TRIES = 3
"""How often a file is asked for before its store counts as unable to give it."""

_IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "webp", "bytes", "image_bytes", "content", "data")
_NAME_COLUMNS = ("name", "path", "file_name", "filename", "image_path", "__key__", "key", "id")


def is_remote(source: str | Path) -> bool:
    """Return whether an image or a set of images is addressed by URL, or lies in a Parquet file."""
    text = str(source)
    return "://" in text or _without_query(text).endswith(PARQUET) or f"{PARQUET}#" in text


def list_remote(source: str | Path, suffixes: Collection[str]) -> list[str]:
    """Return the names of the images that a URL or a Parquet file stands for.

    Parameters
    ----------
    source : str or Path
        A Parquet file, or the URL of one, of an image, or of a folder; of a folder every image file below it counts,
        by suffix, in sorted order, or, if there is none, every row of the Parquet files below it.
    suffixes : collection of str
        Of image files, such as ``".png"``.

    Raises
    ------
    ImageError
        If there is no such thing, or no image in it.
    """
    name = str(source)
    if f"{PARQUET}#" in name:
        return [name]
    if _without_query(name).endswith(PARQUET):
        return _rows(name)
    files, path = _open(name)
    arrow = _arrow("fs", name)
    try:
        (kind,) = (one.type for one in files.get_file_info([path]))
        if kind == arrow.FileType.File:
            return [name]
        infos = files.get_file_info(arrow.FileSelector(path, recursive=True))
    except OSError as error:
        raise ImageError(
            f"{name} cannot be listed ({_brief(error)}); check the address and your access"
        ) from None
    found = sorted(one.path for one in infos if one.type == arrow.FileType.File)
    images = [_url(name, one) for one in found if PurePosixPath(one).suffix.lower() in suffixes]
    if images:
        return images
    rows = [row for one in found if one.endswith(PARQUET) for row in _rows(_url(name, one))]
    if not rows:
        raise ImageError(f"{name} holds no image; name a folder with PNG, JPEG or Parquet files")
    return rows


def read_remote(name: str) -> bytes:
    """Return the bytes of an image file, by one of the names that `list_remote` gives.

    Raises
    ------
    ImageError
        If it cannot be had.
    """
    if f"{PARQUET}#" in name:
        file, _, row = name.partition(f"{PARQUET}#")
        number = row.partition("/")[0].partition("?")[0]
        query = f"?{row.partition('?')[2]}" if "://" in name and "?" in row else ""
        if not number.isdigit():
            raise ImageError(f"{name} names no row; name an image in it as FILE{PARQUET}#17")
        return _table(f"{file}{PARQUET}{query}", os.getpid()).read(int(number))
    files, path = _open(name)
    for _ in range(TRIES - 1):
        with suppress(_Busy):
            return _read(name, files, path)
        time.sleep(1)
    return _read(name, files, path)


class _Busy(ImageError):
    """A file that could not be fetched now; another try may succeed."""


def _read(name: str, files: Any, path: str) -> bytes:
    try:
        with files.open_input_stream(path) as stream:
            return bytes(stream.read())
    except (FileNotFoundError, PermissionError) as error:
        raise ImageError(f"{name} cannot be read ({_brief(error)}); check the address") from None
    except OSError as error:
        raise _Busy(f"{name} cannot be read ({_brief(error)}); try again later") from None


def short_name(name: str) -> str:
    """Return what an image is called in a caption."""
    return PurePosixPath(_without_query(name)).stem


@dataclass(frozen=True)
class _Table:
    """A Parquet file with a column of images.

    Attributes
    ----------
    name : str
    file : pyarrow.parquet.ParquetFile
    column, label : str
        The columns of encoded images and of their names; the latter may be "".
    starts : tuple of int
        The first row of each row group, and the number of rows.
    """

    name: str
    file: Any
    column: str
    label: str
    starts: tuple[int, ...]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _last: dict[int, Any] = field(default_factory=dict)

    def read(self, row: int) -> bytes:
        """Return the bytes of one image; rows that lie together are read together."""
        if row >= self.starts[-1]:
            raise ImageError(f"{self.name} has {self.starts[-1]} rows; there is no row {row}")
        group = bisect_right(self.starts, row) - 1
        with self._lock:
            if group not in self._last:
                values = self._column(self.column, group)
                self._last.clear()
                self._last[group] = values
            value = self._last[group][row - self.starts[group]].as_py()
        if value is None:
            raise ImageError(f"{self.name}#{row} is empty; leave the row out")
        return bytes(value)

    def labels(self) -> list[str]:
        """Return the names of all rows; "" where there is none."""
        if not self.label:
            return [""] * self.starts[-1]
        groups = range(len(self.starts) - 1)
        return [str(value) for group in groups for value in self._column(self.label, group).to_pylist()]

    def _column(self, name: str, group: int) -> Any:
        try:
            values = self.file.read_row_group(group, columns=[name], use_threads=False).column(0)
        except (OSError, ValueError) as error:
            raise ImageError(f"{self.name} is damaged ({_brief(error)}); get it again") from None
        inner = name.partition(".")[2]
        return _arrow("compute", self.name).struct_field(values, inner) if inner else values


@lru_cache(maxsize=4)
def _table(name: str, process: int) -> _Table:
    """Return an opened Parquet file; a process that was forked off opens its own."""
    files, path = _open(name)
    parquet = _arrow("parquet", name)
    try:
        file = parquet.ParquetFile(files.open_input_file(path))
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{name} is no Parquet file that can be read ({_brief(error)}); get it again"
        ) from None
    types = _arrow("types", name)
    binary, text = [], []
    for column in file.schema_arrow:
        nested = types.is_struct(column.type)
        inner = {one.name: one.type for one in column.type} if nested else {"": column.type}
        for part, kind in inner.items():
            whole = f"{column.name}.{part}" if part else column.name
            if types.is_binary(kind) or types.is_large_binary(kind):
                binary.append(whole)
            elif types.is_string(kind) or types.is_large_string(kind):
                text.append(whole)
    if not binary:
        raise ImageError(
            f"{name} has no column of image files; its columns: {', '.join(file.schema_arrow.names)}"
        )
    column = _first(binary, _IMAGE_COLUMNS) or binary[0]
    beside = [one for one in text if "." in one and one.partition(".")[0] == column.partition(".")[0]]
    starts = [0]
    for group in range(file.metadata.num_row_groups):
        starts.append(starts[-1] + file.metadata.row_group(group).num_rows)
    return _Table(name, file, column, _first([*beside, *text], _NAME_COLUMNS), tuple(starts))


def _first(columns: list[str], wanted: tuple[str, ...]) -> str:
    """Return the column whose name, or that of the structure it lies in, comes first among those wanted, or ""."""
    ranked = [
        (wanted.index(part), place, column)
        for place, column in enumerate(columns)
        for part in column.lower().split(".")
        if part in wanted
    ]
    return min(ranked)[2] if ranked else ""


def _rows(name: str) -> list[str]:
    """Return the names of a Parquet file's rows."""
    plain, mark, query = name.partition("?") if "://" in name else (name, "", "")
    labels = _table(name, os.getpid()).labels()
    return [f"{plain}#{row}{f'/{label}' if label else ''}{mark}{query}" for row, label in enumerate(labels)]


def _open(name: str) -> tuple[Any, str]:
    """Return the file system of a file, and its path there."""
    if "://" not in name:
        return _local(name), str(Path(name).absolute())
    parts = urlsplit(name, allow_fragments=False)
    files, base = _store(
        f"{parts.scheme}://{parts.netloc}/" + (f"?{parts.query}" if parts.query else ""), os.getpid()
    )
    return files, f"{base.rstrip('/')}/{parts.path.strip('/')}"


def _local(name: str) -> Any:
    return _arrow("fs", name).LocalFileSystem()


@lru_cache(maxsize=16)
def _store(url: str, process: int) -> tuple[Any, str]:
    """Return the file system of an object store and where it begins; a process that was forked off opens its own."""
    try:
        files, base = _arrow("fs", url).FileSystem.from_uri(url)
    except (OSError, ValueError, NotImplementedError) as error:
        raise ImageError(f"{url} cannot be opened ({_brief(error)}); use file://, s3:// or gs://") from None
    return files, str(base)


def _url(name: str, path: str) -> str:
    """Return the URL of a file in the store that another URL lies in."""
    parts = urlsplit(name, allow_fragments=False)
    base = _open(f"{parts.scheme}://{parts.netloc}/" + (f"?{parts.query}" if parts.query else ""))[1].rstrip(
        "/"
    )
    inside = path.removeprefix(base).lstrip("/")
    return f"{parts.scheme}://{parts.netloc}/{inside}" + (f"?{parts.query}" if parts.query else "")


def _without_query(name: str) -> str:
    return name.partition("?")[0] if "://" in name else name


def _arrow(part: str, name: str) -> Any:
    try:
        return import_module(f"pyarrow.{part}")
    except ImportError:
        raise ImageError(
            f"reading {name} needs pyarrow; install it with: pip install 'netviz[ray]'"
        ) from None


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
