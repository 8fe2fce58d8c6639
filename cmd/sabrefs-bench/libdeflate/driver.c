/*
 * Lets `sabrefs-bench codec` measure libdeflate, which is C, beside Go: one
 * process for each size of frames, pinned where the Go side is, does what a line
 * on standard input says and answers with one line.
 *
 *	driver RAW_FILE FRAME_BYTES
 *
 *	compress LEVEL FIRST END	nanoseconds; makes the frames FIRST to END-1
 *	save FILE			"ok"; all frames, each with its length (u32) before it
 *	load FILE			"ok"; the same, made by somebody else
 *	check				"ok" if every frame decodes to the bytes of RAW_FILE
 *	run FIRST END			nanoseconds of decoding the frames in one pass
 *	each FIRST END			nanoseconds of each, by the wall clock
 *
 * Nanoseconds are of this thread's CPU time otherwise, as on the Go side.
 *
 * An answer that begins with "error " says what is wrong. libdeflate gets what it
 * is best with: one decompressor for all frames, and the output length in
 * advance. Frames lie in heap buffers of exactly their size, as do the outputs. A
 * frame of the length of its raw bytes did not shrink and is stored raw.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LINE_BYTES = 4096 };

struct frame {
	const uint8_t *raw;
	size_t raw_bytes;
	uint8_t *packed;
	size_t packed_bytes;
};

static struct frame *frames;
static size_t frame_count;
static uint8_t *output; /* of one frame */
static size_t frame_bytes;
static struct libdeflate_decompressor *decompressor;

static void fail(const char *what)
{
	printf("error %s: %s\n", what, errno != 0 ? strerror(errno) : "not as expected");
	fflush(stdout);
	exit(1);
}

static void *allocate(size_t bytes)
{
	void *p = malloc(bytes);

	if (p == NULL)
		fail("allocating memory");
	return p;
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void map_raw(const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat status;
	const uint8_t *raw;
	size_t size;

	if (fd < 0 || fstat(fd, &status) != 0 || status.st_size <= 0)
		fail(path);
	size = (size_t)status.st_size;
	raw = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (raw == MAP_FAILED)
		fail(path);
	close(fd);
	frame_count = (size + frame_bytes - 1) / frame_bytes;
	frames = allocate(frame_count * sizeof *frames);
	for (size_t i = 0; i < frame_count; i++) {
		size_t left = size - i * frame_bytes;

		frames[i] = (struct frame){ raw + i * frame_bytes, left < frame_bytes ? left : frame_bytes, NULL, 0 };
	}
}

static void keep(struct frame *f, const uint8_t *packed, size_t packed_bytes)
{
	free(f->packed);
	f->packed = allocate(packed_bytes);
	f->packed_bytes = packed_bytes;
	memcpy(f->packed, packed, packed_bytes);
}

static void compress_frames(int level, size_t first, size_t end)
{
	struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(level);
	uint8_t *packed = allocate((end - first + 1) * frame_bytes);
	size_t *lengths = allocate((end - first + 1) * sizeof *lengths);
	int64_t took;

	if (compressor == NULL)
		fail("allocating a compressor");
	took = now_ns(CLOCK_THREAD_CPUTIME_ID);
	for (size_t i = first; i < end; i++)
		lengths[i - first] = libdeflate_deflate_compress(compressor, frames[i].raw, frames[i].raw_bytes,
								 packed + (i - first) * frame_bytes, frames[i].raw_bytes - 1);
	took = now_ns(CLOCK_THREAD_CPUTIME_ID) - took;
	for (size_t i = first; i < end; i++) {
		if (lengths[i - first] > 0)
			keep(&frames[i], packed + (i - first) * frame_bytes, lengths[i - first]);
		else
			keep(&frames[i], frames[i].raw, frames[i].raw_bytes);
	}
	free(lengths);
	free(packed);
	libdeflate_free_compressor(compressor);
	printf("%" PRId64 "\n", took);
}

static void save(const char *path)
{
	FILE *file = fopen(path, "wb");

	if (file == NULL)
		fail(path);
	for (size_t i = 0; i < frame_count; i++) {
		uint32_t length = (uint32_t)frames[i].packed_bytes;

		if (fwrite(&length, sizeof length, 1, file) != 1 || fwrite(frames[i].packed, 1, length, file) != length)
			fail(path);
	}
	if (fclose(file) != 0)
		fail(path);
	puts("ok");
}

static void load(const char *path)
{
	FILE *file = fopen(path, "rb");

	if (file == NULL)
		fail(path);
	for (size_t i = 0; i < frame_count; i++) {
		uint32_t length;

		if (fread(&length, sizeof length, 1, file) != 1 || length == 0 || length > frames[i].raw_bytes)
			fail(path);
		if (fread(output, 1, length, file) != length)
			fail(path);
		keep(&frames[i], output, length);
	}
	fclose(file);
	puts("ok");
}

static inline bool decode(const struct frame *f)
{
	if (f->packed_bytes == f->raw_bytes) {
		memcpy(output, f->packed, f->raw_bytes);
		return true;
	}
	return libdeflate_deflate_decompress(decompressor, f->packed, f->packed_bytes, output, f->raw_bytes, NULL) ==
	       LIBDEFLATE_SUCCESS;
}

static void check(void)
{
	for (size_t i = 0; i < frame_count; i++) {
		memset(output, 0xa5, frame_bytes);
		if (frames[i].packed == NULL || !decode(&frames[i]) || memcmp(output, frames[i].raw, frames[i].raw_bytes) != 0) {
			printf("error frame %zu decodes to other bytes\n", i);
			return;
		}
	}
	puts("ok");
}

static void run(size_t first, size_t end)
{
	bool good = true;
	int64_t took = now_ns(CLOCK_THREAD_CPUTIME_ID);

	for (size_t i = first; i < end; i++)
		good &= decode(&frames[i]);
	took = now_ns(CLOCK_THREAD_CPUTIME_ID) - took;
	if (good)
		printf("%" PRId64 "\n", took);
	else
		puts("error a frame does not decode");
}

static void each(size_t first, size_t end)
{
	int64_t *took = allocate((end - first + 1) * sizeof *took);
	bool good = true;

	for (size_t i = first; i < end; i++) {
		int64_t begin = now_ns(CLOCK_MONOTONIC);

		good &= decode(&frames[i]);
		took[i - first] = now_ns(CLOCK_MONOTONIC) - begin;
	}
	if (good) {
		for (size_t i = first; i < end; i++)
			printf("%" PRId64 " ", took[i - first]);
		puts("");
	} else {
		puts("error a frame does not decode");
	}
	free(took);
}

static bool range_is_good(size_t first, size_t end)
{
	if (first <= end && end <= frame_count)
		return true;
	puts("error no such frames");
	return false;
}

static void obey(char *line)
{
	char path[MAX_LINE_BYTES];
	size_t first, end;
	int level;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "compress %d %zu %zu", &level, &first, &end) == 3) {
		if (range_is_good(first, end))
			compress_frames(level, first, end);
	} else if (sscanf(line, "run %zu %zu", &first, &end) == 2) {
		if (range_is_good(first, end))
			run(first, end);
	} else if (sscanf(line, "each %zu %zu", &first, &end) == 2) {
		if (range_is_good(first, end))
			each(first, end);
	} else if (strcmp(line, "check") == 0) {
		check();
	} else if (sscanf(line, "save %4095[^\n]", path) == 1) {
		save(path);
	} else if (sscanf(line, "load %4095[^\n]", path) == 1) {
		load(path);
	} else {
		puts("error no such command");
	}
}

int main(int argc, char **argv)
{
	char line[MAX_LINE_BYTES];

	if (argc != 3 || sscanf(argv[2], "%zu", &frame_bytes) != 1 || frame_bytes == 0) {
		fputs("usage: driver RAW_FILE FRAME_BYTES\n", stderr);
		return 2;
	}
	output = allocate(frame_bytes);
	decompressor = libdeflate_alloc_decompressor();
	if (decompressor == NULL)
		fail("allocating a decompressor");
	map_raw(argv[1]);
	while (fgets(line, sizeof line, stdin) != NULL) {
		errno = 0;
		obey(line);
		fflush(stdout);
	}
	return 0;
}
