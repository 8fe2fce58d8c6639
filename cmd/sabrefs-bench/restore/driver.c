/*
 * Lets sabrefs-bench time the restore part of a cold start without a VMM: one
 * process that gets guest memory and touches the pages of a working set in the
 * order in which a guest did.
 *
 *	driver reap SET_FILE MEMORY_BYTES PAGES_FILE
 *	driver reap-ahead SET_FILE MEMORY_BYTES PAGES_FILE
 *	driver map MEMORY_FILE MEMORY_BYTES PAGES_FILE
 *
 * PAGES_FILE holds page numbers (u32, little-endian) in the order of touching.
 * "reap" is what REAP does: SET_FILE holds the uncompressed pages of the set in
 * ascending order; it is read with O_DIRECT, as large as one read may be, and each
 * run of neighbours is installed with one UFFDIO_COPY into anonymous memory that is
 * registered with userfaultfd. "reap-ahead" reads the next part while the last one
 * is installed, which REAP does not. "map" maps MEMORY_FILE privately, as a VMM
 * does, and installs nothing.
 *
 * The process says "ready" and waits for a line on standard input before it opens
 * SET_FILE or MEMORY_FILE; the clock starts then. It answers with one line,
 *
 *	prepare_ns install_ns touch_ns crc32
 *
 * where prepare is opening, mapping and reading, and crc32 (IEEE) is of the touched
 * pages in order, computed afterwards. A line that begins with "error " says what is
 * wrong.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	PAGE = 4096,
	PART_PAGES = 512 /* of a read, where reads and installing overlap */
};

struct set {
	uint32_t *order;  /* as touched */
	uint32_t *sorted; /* as in SET_FILE */
	size_t count;
};

static void fail(const char *what)
{
	printf("error %s: %s\n", what, errno != 0 ? strerror(errno) : "not as expected");
	fflush(stdout);
	exit(1);
}

static void *allocate(size_t bytes)
{
	void *p = aligned_alloc(PAGE, (bytes + 2 * PAGE - 1) / PAGE * PAGE);

	if (p == NULL)
		fail("allocating memory");
	return p;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static struct set read_pages(const char *path, size_t memory_bytes)
{
	struct stat status;
	struct set set;
	FILE *file = fopen(path, "rb");

	if (file == NULL || fstat(fileno(file), &status) != 0)
		fail(path);
	set.count = (size_t)status.st_size / sizeof *set.order;
	set.order = allocate(set.count * sizeof *set.order);
	set.sorted = allocate(set.count * sizeof *set.sorted);
	if (fread(set.order, sizeof *set.order, set.count, file) != set.count)
		fail(path);
	fclose(file);
	memcpy(set.sorted, set.order, set.count * sizeof *set.order);
	qsort(set.sorted, set.count, sizeof *set.sorted, ascending);
	errno = 0;
	for (size_t i = 0; i < set.count; i++) {
		if ((size_t)set.sorted[i] >= memory_bytes / PAGE)
			fail("a page after the end of the memory");
		if (i > 0 && set.sorted[i] == set.sorted[i - 1])
			fail("a page twice");
	}
	return set;
}

/* A REAP restore: pages[0] to pages[ready-1] of buffer have been read. */
struct reap {
	const struct set *set;
	uint8_t *memory;
	uint8_t *buffer;
	int fd;
	int uffd;
	pthread_mutex_t mutex;
	pthread_cond_t more;
	size_t ready;
};

static uint8_t *register_memory(struct reap *r, size_t memory_bytes)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	uint8_t *memory = mmap(NULL, memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		fail("mapping memory");
	r->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (r->uffd < 0 || ioctl(r->uffd, UFFDIO_API, &api) != 0)
		fail("userfaultfd");
	range.range.start = (uintptr_t)memory;
	range.range.len = memory_bytes;
	if (ioctl(r->uffd, UFFDIO_REGISTER, &range) != 0)
		fail("registering memory with userfaultfd");
	return memory;
}

static void read_part(const struct reap *r, size_t first, size_t end)
{
	size_t at = first * PAGE;

	while (at < end * PAGE) {
		ssize_t n = pread(r->fd, r->buffer + at, end * PAGE - at, (off_t)at);

		if (n <= 0 || n % PAGE != 0)
			fail("reading the set");
		at += (size_t)n;
	}
}

static void install(const struct reap *r, size_t first, size_t end)
{
	while (first < end) {
		size_t next = first + 1;
		struct uffdio_copy copy;

		while (next < end && r->set->sorted[next] == r->set->sorted[next - 1] + 1)
			next++;
		copy = (struct uffdio_copy){
			.dst = (uintptr_t)(r->memory + (size_t)r->set->sorted[first] * PAGE),
			.src = (uintptr_t)(r->buffer + first * PAGE),
			.len = (next - first) * PAGE,
		};
		if (ioctl(r->uffd, UFFDIO_COPY, &copy) != 0 || copy.copy != (int64_t)copy.len)
			fail("UFFDIO_COPY");
		first = next;
	}
}

static void *read_ahead(void *argument)
{
	struct reap *r = argument;

	for (size_t first = 0; first < r->set->count; first += PART_PAGES) {
		size_t end = first + PART_PAGES < r->set->count ? first + PART_PAGES : r->set->count;

		read_part(r, first, end);
		pthread_mutex_lock(&r->mutex);
		r->ready = end;
		pthread_cond_signal(&r->more);
		pthread_mutex_unlock(&r->mutex);
	}
	return NULL;
}

static void install_behind(struct reap *r)
{
	pthread_t reader;
	size_t done = 0;

	if (pthread_create(&reader, NULL, read_ahead, r) != 0)
		fail("starting a thread");
	while (done < r->set->count) {
		size_t ready;

		pthread_mutex_lock(&r->mutex);
		while (r->ready == done)
			pthread_cond_wait(&r->more, &r->mutex);
		ready = r->ready;
		pthread_mutex_unlock(&r->mutex);
		install(r, done, ready);
		done = ready;
	}
	pthread_join(reader, NULL);
}

struct times {
	int64_t prepared, installed;
};

static uint8_t *reap(const char *path, const struct set *set, size_t memory_bytes, bool ahead, struct times *times)
{
	struct reap r = { .set = set, .mutex = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER };

	r.fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (r.fd < 0)
		fail(path);
	r.memory = register_memory(&r, memory_bytes);
	r.buffer = mmap(NULL, set->count * PAGE + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (r.buffer == MAP_FAILED)
		fail("mapping a buffer");
	if (ahead) {
		times->prepared = now_ns();
		install_behind(&r);
	} else {
		read_part(&r, 0, set->count);
		times->prepared = now_ns();
		install(&r, 0, set->count);
	}
	times->installed = now_ns();
	return r.memory;
}

static uint8_t *map(const char *path, size_t memory_bytes, struct times *times)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat status;
	uint8_t *memory;

	if (fd < 0 || fstat(fd, &status) != 0)
		fail(path);
	errno = 0;
	if ((size_t)status.st_size < memory_bytes)
		fail("the memory file is too short");
	memory = mmap(NULL, memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (memory == MAP_FAILED)
		fail(path);
	times->prepared = times->installed = now_ns();
	return memory;
}

static uint32_t crc_table[256];

static void make_crc_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		crc_table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			crc_table[i] = crc_table[i] >> 1 ^ (crc_table[i] & 1 ? 0xedb88320 : 0);
	}
}

static uint32_t crc32(uint32_t crc, const uint8_t *bytes, size_t count)
{
	crc = ~crc;
	for (size_t i = 0; i < count; i++)
		crc = crc >> 8 ^ crc_table[(crc ^ bytes[i]) & 0xff];
	return ~crc;
}

int main(int argc, char **argv)
{
	size_t memory_bytes;
	struct set set;
	struct times times;
	uint8_t *memory;
	int64_t begin, touched;
	uint32_t crc = 0;
	char line[16];

	if (argc != 5 || sscanf(argv[3], "%zu", &memory_bytes) != 1) {
		fputs("usage: driver reap|reap-ahead|map FILE MEMORY_BYTES PAGES_FILE\n", stderr);
		return 2;
	}
	set = read_pages(argv[4], memory_bytes);
	puts("ready");
	fflush(stdout);
	if (fgets(line, sizeof line, stdin) == NULL)
		return 1;
	begin = now_ns();
	if (strcmp(argv[1], "map") == 0)
		memory = map(argv[2], memory_bytes, &times);
	else
		memory = reap(argv[2], &set, memory_bytes, strcmp(argv[1], "reap-ahead") == 0, &times);
	for (size_t i = 0; i < set.count; i++)
		(void)*(volatile uint8_t *)(memory + (size_t)set.order[i] * PAGE);
	touched = now_ns();
	make_crc_table();
	for (size_t i = 0; i < set.count; i++)
		crc = crc32(crc, memory + (size_t)set.order[i] * PAGE, PAGE);
	printf("%" PRId64 " %" PRId64 " %" PRId64 " %" PRIu32 "\n", times.prepared - begin, times.installed - times.prepared,
	       touched - times.installed, crc);
	return 0;
}
