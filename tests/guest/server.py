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
import math
import os
import re
import tty
import zlib

import numpy
from PIL import Image

SERIAL_PATH = "/dev/ttyS0"
CORPUS_BYTES = 12 << 20
INDEXED_BYTES = 3 << 20
RECORD_COUNT = 30_000
MATRIX_SIDE = 1024
IMAGE_SIZE = (1600, 1200)
FEATURE_COUNT = 4096
STATE_SIDE = 96
LETTERS = "abcdefghijklmnopqrstuvwxyz ."
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
        self.weights = generator.integers(-9, 10, FEATURE_COUNT)
        self.states = generator.integers(-3, 4, (STATE_SIDE, STATE_SIDE)).astype(numpy.float64)
        self.outputs = generator.integers(-9, 10, (len(LETTERS), STATE_SIDE)).astype(numpy.float64)

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

    def image_rotated(self, degrees, side=None):
        """The whole image, or the square of that side in its corner."""
        image = self.image.crop((0, 0, int(side), int(side))) if side else self.image
        return sha256_hex(image.rotate(int(degrees)).tobytes())

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

    def list_sorted(self, thousands):
        """A list of so many thousand numbers, grown, sorted and sliced."""
        numbers = []
        for number in range(int(thousands) * 1000):
            numbers.append(number * 7919 % 1_000_003)
        numbers.sort()
        return f"{len(numbers)} {sum(numbers[::7])}"

    def bfs(self, vertex_count):
        """Breadth-first search of a graph of that size, made for the request."""
        count = int(vertex_count)
        neighbors = [[(v * 5 + 1) % count, (v * 7 + 3) % count, (v + 1) % count] for v in range(count)]
        distance, frontier, order = {0: 0}, [0], 0
        while frontier:
            following = []
            for vertex in frontier:
                for neighbor in neighbors[vertex]:
                    if neighbor not in distance:
                        distance[neighbor] = distance[vertex] + 1
                        following.append(neighbor)
            order += len(frontier) * (distance[frontier[0]] + 1)
            frontier = following
        return f"{len(distance)} {order}"

    def pagerank(self, vertex_count):
        """Ten rounds over a graph of that size, with the ranks rounded at the end."""
        count = int(vertex_count)
        edges = numpy.arange(8 * count)
        sources, targets = edges // 8, edges * edges // 7 % count
        ranks = numpy.full(count, 1.0)
        for _ in range(10):
            ranks = 0.15 + 0.85 * numpy.bincount(targets, ranks[sources] / 8, count)
        top = numpy.argsort(-ranks.round(6), kind="stable")[:5]
        return " ".join(f"{v}:{ranks[v]:.4f}" for v in top.tolist())

    def dna(self, first, end):
        """A walk in the plane, a step for each base, as plots of sequences draw it."""
        bases = numpy.frombuffer(self.corpus, numpy.uint8)[int(first) : int(end)] & 3
        x = numpy.cumsum(numpy.array([1, 1, 1, 1])[bases])
        y = numpy.cumsum(numpy.array([1, -1, 2, -2])[bases])
        return f"{int(y.min())} {int(y.max())} {sha256_hex(numpy.stack((x, y)).tobytes())}"

    def train(self, row_count):
        """A logistic regression on rows of the matrix, by gradient descent."""
        rows = self.matrix[: int(row_count), :64] / 1000 - 0.5
        labels = (self.matrix[: int(row_count), 64] > 500) * 1.0
        weights = numpy.zeros(64)
        for _ in range(50):
            weights -= rows.T @ (1 / (1 + numpy.exp(-(rows @ weights))) - labels) / len(rows)
        return " ".join(f"{w:.4f}" for w in weights[:6])

    def predict(self, first, end):
        """What a logistic regression over the words of a text says of it."""
        words = WORD.findall(bytes(self.corpus[int(first) : int(end)]))
        features = numpy.array([zlib.crc32(word) % FEATURE_COUNT for word in words], dtype=numpy.int64)
        score = int(self.weights[features].sum()) / max(len(words), 1)
        return f"{len(words)} {1 / (1 + math.exp(-score)):.6f}"

    def rnn(self, seed, length):
        """So many letters of a recurrent network."""
        state = numpy.sin(numpy.arange(STATE_SIDE) * int(seed))
        text = ""
        for _ in range(int(length)):
            state = numpy.tanh(self.states @ state / 8)
            text += LETTERS[int(numpy.argmax((self.outputs @ state).round(6)))]
        return text

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
            "list": self.list_sorted, "bfs": self.bfs, "pagerank": self.pagerank, "dna": self.dna,
            "train": self.train, "predict": self.predict, "rnn": self.rnn,
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
