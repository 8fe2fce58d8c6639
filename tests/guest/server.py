"""Request server that runs as the only program of the test guest.

It builds the kinds of data that services keep in memory (arrays, dictionaries,
a text corpus with its index, an image) and then answers one line per request
line on the first serial port. Every answer is a function of guest memory
alone, never of time or chance: two guests that were restored from the same
snapshot must agree on every byte, whatever delivered their memory.
"""

import glob
import hashlib
import html
import json
import os
import re
import tty

import numpy
from PIL import Image

SERIAL_PATH = "/dev/ttyS0"
CORPUS_BYTES = 12 << 20
INDEXED_BYTES = 3 << 20
RECORD_COUNT = 30_000
MATRIX_SIDE = 1024
IMAGE_SIZE = (1600, 1200)
WORD = re.compile(rb"[A-Za-z_]{3,}")


def load_corpus():
    """Real text: the sources of the Python library, in a fixed order."""
    corpus = bytearray()
    for path in sorted(glob.glob("/usr/lib/python3*/**/*.py", recursive=True)):
        with open(path, "rb") as source:
            corpus += source.read()
        if len(corpus) >= CORPUS_BYTES:
            break
    return corpus[:CORPUS_BYTES]


def index_words(corpus):
    """Positions of every word, as a search service would hold them."""
    index = {}
    for match in WORD.finditer(bytes(corpus[:INDEXED_BYTES])):
        index.setdefault(match.group(), []).append(match.start())
    return index


def make_record(number):
    return {
        "id": number,
        "name": f"customer-{number:06d}",
        "city": ("Oslo", "Turin", "Ghent", "Porto", "Graz")[number * 7 % 5],
        "balance_cents": number * 7919 % 1_000_003,
        "tags": [f"tag{number % 17}", f"tier{number % 3}"],
    }


def make_image(generator):
    """A smooth scene with sensor noise, compressible as photographs are."""
    width, height = IMAGE_SIZE
    x = numpy.arange(width, dtype=numpy.int32)[numpy.newaxis, :]
    y = numpy.arange(height, dtype=numpy.int32)[:, numpy.newaxis]
    pixels = numpy.empty((height, width, 3), dtype=numpy.uint8)
    for channel, (a, b) in enumerate(((1, 2), (3, 1), (2, 5))):
        noise = generator.integers(0, 6, (height, width), dtype=numpy.uint8)
        pixels[..., channel] = 128 + (x * a + y * b) // 32 % 100 + noise
    return Image.fromarray(pixels)


def sha256_hex(data):
    return hashlib.sha256(data).hexdigest()


class Server:
    def __init__(self):
        generator = numpy.random.Generator(numpy.random.PCG64(20))
        self.corpus = load_corpus()
        self.index = index_words(self.corpus)
        self.records = {}
        self.ingest(str(RECORD_COUNT))
        # Whole numbers below 1000: their products are exact in float64, so the
        # result does not hang on the order in which a BLAS adds them.
        self.matrix = generator.integers(0, 1000, (MATRIX_SIDE, MATRIX_SIDE)).astype(numpy.float64)
        self.series = numpy.cumsum(generator.integers(-9, 10, 1 << 20))
        self.image = make_image(generator)

    def ping(self):
        return "pong"

    def fib(self, count):
        a, b = 0, 1
        for _ in range(int(count)):
            a, b = b, a + b
        return sha256_hex(str(a).encode()) if a >= 1 << 63 else str(a)

    def matmul(self, side):
        part = self.matrix[: int(side), : int(side)]
        return sha256_hex((part @ part.T).tobytes())

    def image_rotated(self, degrees):
        return sha256_hex(self.image.rotate(int(degrees)).tobytes())

    def lookup(self, key):
        """A customer record, or the places of a word of the corpus."""
        if key in self.records:
            return json.dumps(self.records[key])
        places = self.index.get(key.encode(), [])
        return json.dumps({"word": key, "count": len(places), "first": places[:8]})

    def digest(self, first, end):
        return sha256_hex(self.corpus[int(first) : int(end)])

    def series_window(self, first, end):
        window = self.series[int(first) : int(end)]
        return f"{int(window.min())} {int(window.max())} {int(window.sum())}"

    def template(self, row_count):
        rows = [self.records[f"customer-{n * 13 % RECORD_COUNT:06d}"] for n in range(int(row_count))]
        cells = ("".join(f"<td>{html.escape(str(v))}</td>" for v in row.values()) for row in rows)
        page = "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"
        return f"{len(page)} {sha256_hex(page.encode())}"

    def ingest(self, count):
        """Adds records: the one request that changes the guest's memory for good."""
        first = len(self.records)
        for number in range(first, first + int(count)):
            record = make_record(number)
            self.records[record["name"]] = record
        return str(len(self.records))

    def stats(self):
        return (
            f"records={len(self.records)} words={len(self.index)} corpus={len(self.corpus)}"
            f" matrix={self.matrix.nbytes} series={self.series.nbytes} image={self.image.size}"
        )

    def answer(self, line):
        """One line for one line. A bad request is answered, it never ends the server."""
        name, *arguments = line.split() or [""]
        requests = {
            "ping": self.ping, "fib": self.fib, "matmul": self.matmul,
            "image": self.image_rotated, "lookup": self.lookup, "digest": self.digest,
            "series": self.series_window, "template": self.template,
            "ingest": self.ingest, "stats": self.stats,
        }
        if name not in requests:
            return f"error: unknown request {name!r}"
        try:
            return requests[name](*arguments)
        except (TypeError, ValueError, KeyError) as problem:
            return f"error: {type(problem).__name__}: {problem}"


def main():
    serial = os.open(SERIAL_PATH, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(serial)
    port = os.fdopen(serial, "r+b", buffering=0)
    server = Server()
    port.write(b"READY\n")
    pending = b""
    while True:
        pending += port.read(4096)
        *lines, pending = pending.split(b"\n")
        for line in lines:
            port.write(server.answer(line.decode("utf-8", "replace")).encode() + b"\n")


main()
