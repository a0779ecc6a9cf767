/*
 * Sends queries from very many addresses at a given rate, whether they are answered or not, and
 * counts what comes back: random names, the names of a file, or packets that are none.
 */
#include <stdio.h>

#include "sources.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#define BATCH	 64
#define ROOM	 4096
#define LABEL	 12
#define TYPE_OPT 41

static char **arguments;
static size_t argument_count;

static size_t put16(uint8_t *wire, size_t at, unsigned value)
{
	wire[at] = (uint8_t)(value >> 8);
	wire[at + 1] = (uint8_t)value;
	return at + 2;
}

/* --- names --- */
static size_t random_name(uint8_t *wire)
{
	char name[256];
	int used = 0;

	for (int i = 0; i < LABEL; i++)
		name[used++] = (char)('a' + any_number() % 26);
	snprintf(name + used, sizeof name - LABEL, ".%s", arguments[any_number() % argument_count]);
	return question(wire, name);
}

static size_t next_name(uint8_t *wire)
{
	static size_t turn;

	return question(wire, arguments[turn++ % argument_count]);
}

/* The lines of a file instead of the arguments. */
static void read_arguments(const char *path)
{
	FILE *file = fopen(path, "r");
	char *line = NULL;
	size_t room = 0;

	if (!file)
		err(1, "%s", path);
	arguments = NULL;
	argument_count = 0;
	while (getline(&line, &room, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		arguments = reallocarray(arguments, argument_count + 1, sizeof *arguments);
		arguments[argument_count++] = strdup(line);
	}
	free(line);
	fclose(file);
	if (argument_count == 0)
		errx(1, "%s: no names", path);
}

/* --- packets that are none: each makes something of a sound query for a name of ours --- */
static size_t noise(uint8_t *wire, size_t size)
{
	(void)size;
	size = any_number() % 1400;
	for (size_t i = 0; i < size; i++)
		wire[i] = (uint8_t)any_number();
	if (size > 2 && any_number() % 4)
		wire[2] &= 0x7f;
	return size;
}

static size_t operation(uint8_t *wire, size_t size)
{
	wire[2] = (uint8_t)(any_number() % 16 << 3 | any_number() % 8);
	wire[3] = (uint8_t)any_number();
	put16(wire, size - 4, (unsigned)(any_number() % 2 ? any_number() % 300 : any_number()));
	put16(wire, size - 2, (unsigned)(any_number() % 2 ? 1 : any_number()));
	return size;
}

static size_t opt(uint8_t *wire, size_t size, unsigned payload, unsigned version, unsigned length)
{
	wire[11]++;
	wire[size++] = 0;
	size = put16(wire, size, TYPE_OPT);
	size = put16(wire, size, payload);
	size = put16(wire, size, version);
	size = put16(wire, size, (unsigned)any_number());
	return put16(wire, size, length);
}

static size_t cut_opt(uint8_t *wire, size_t size)
{
	size_t whole = opt(wire, size, 1232, 0, (unsigned)any_number() % 64);

	return whole - any_number() % (whole - size);
}

static size_t fat_opt(uint8_t *wire, size_t size)
{
	unsigned length = (unsigned)(any_number() % 3500), used = 0;

	size = opt(wire, size, 65535, (unsigned)any_number() % 3, length);
	while (used + 4 <= length) { /* options, the last one longer than the record */
		unsigned option = (unsigned)(any_number() % 2 ? 10 : any_number());
		unsigned room = (unsigned)(any_number() % 60);

		size = put16(wire, size, option);
		size = put16(wire, size, room);
		for (unsigned i = 0; i < room && used + 4 + i < length; i++)
			wire[size++] = (uint8_t)any_number();
		used += 4 + room;
	}
	return size;
}

static size_t two_opts(uint8_t *wire, size_t size)
{
	return opt(wire, opt(wire, size, 512, 0, 0), 0, 1, 0);
}

static size_t loop(uint8_t *wire, size_t size)
{
	/* To itself, ahead, behind, beyond the end, and from one to the other. */
	static const uint16_t targets[] = { 12, 13, 14, 2, 0x3fff };
	size_t at = DNS_HEADER;

	(void)size;
	if (any_number() % 2) {
		wire[at++] = 1;
		wire[at++] = 'x';
	}
	at = put16(wire, at, 0xc000u | targets[any_number() % 5]);
	at = put16(wire, at, 0xc000u | targets[any_number() % 5]);
	at = put16(wire, at, 1);
	return put16(wire, at, 1);
}

static size_t long_name(uint8_t *wire, size_t size)
{
	size_t at = DNS_HEADER;
	unsigned kind = (unsigned)(any_number() % 3) * 0x40; /* 0x40, 0x80: of no meaning */

	(void)size;
	for (unsigned i = 0; i < 20; i++) {
		wire[at++] = (uint8_t)(kind | 31);
		memset(wire + at, 'y', 31);
		at += 31;
	}
	memcpy(wire + at, "\0\0\1\0\1", 5);
	return at + 5;
}

static size_t counts(uint8_t *wire, size_t size)
{
	for (size_t at = 4; at < DNS_HEADER; at += 2)
		if (any_number() % 2)
			put16(wire, at, (unsigned)any_number());
	return size;
}

static size_t cut(uint8_t *wire, size_t size)
{
	(void)wire;
	return any_number() % size;
}

static size_t flips(uint8_t *wire, size_t size)
{
	for (int i = 0; i < 4; i++)
		wire[any_number() % size] ^= (uint8_t)(1u << any_number() % 8);
	return size;
}

static size_t trailing(uint8_t *wire, size_t size)
{
	size_t more = any_number() % 2000;

	memset(wire + size, 0xc0, more);
	return size + more;
}

static size_t malformed(uint8_t *wire)
{
	static size_t (*const kinds[])(uint8_t *, size_t) = {
		noise,	   operation, cut_opt, fat_opt, two_opts, loop,
		long_name, counts,    cut,     flips,	trailing,
	};

	return kinds[any_number() % (sizeof kinds / sizeof *kinds)](wire, next_name(wire));
}

/* --- sending --- */
static const struct kind {
	const char *name;
	size_t (*make)(uint8_t *wire);
} all_kinds[] = { { "random", random_name }, { "names", next_name }, { "malformed", malformed } };

struct message {
	uint8_t wire[ROOM];
	struct iovec part;
	union {
		char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
		struct cmsghdr header;
	} control;
};

static void prepare(struct message *message, struct msghdr *header, const struct kind *kind,
		    struct in_addr source)
{
	struct in_pktinfo info = { .ipi_spec_dst = source };
	size_t size = kind->make(message->wire);
	unsigned id = (unsigned)any_number();

	if (size >= 2)
		put16(message->wire, 0, id);
	message->part = (struct iovec){ message->wire, size };
	message->control.header = (struct cmsghdr){ .cmsg_level = IPPROTO_IP,
						    .cmsg_type = IP_PKTINFO,
						    .cmsg_len = CMSG_LEN(sizeof info) };
	memcpy(CMSG_DATA(&message->control.header), &info, sizeof info);
	*header = (struct msghdr){ .msg_iov = &message->part,
				   .msg_iovlen = 1,
				   .msg_control = message->control.bytes,
				   .msg_controllen = sizeof message->control.bytes };
}

/* Answers by RCODE; those with TC alone. */
static uint64_t came[16], truncated;

static void receive(int fd)
{
	static uint8_t wire[BATCH][512];
	static struct mmsghdr messages[BATCH];
	static struct iovec parts[BATCH];
	int r;

	do {
		for (int i = 0; i < BATCH; i++) {
			parts[i] = (struct iovec){ wire[i], sizeof wire[i] };
			messages[i].msg_hdr =
				(struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
		}
		r = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < r; i++) {
			if (messages[i].msg_len >= DNS_HEADER && (wire[i][2] & 2))
				truncated++;
			else if (messages[i].msg_len >= DNS_HEADER)
				came[wire[i][3] & 15]++;
		}
	} while (r == BATCH);
}

static void usage(void)
{
	fputs("usage: storm [-a FIRST/COUNT/STRIDE] [-q RATE] [-s SECONDS] ADDRESS PORT KIND "
	      "[NAME]...\n"
	      "From so many addresses, RATE a second (1000), until SIGTERM at the latest. KIND: "
	      "random (labels below the names),\n"
	      "names (in turn), file (the names of a file, in turn), malformed. Prints sent, and "
	      "the\n"
	      "answers: NOERROR FORMERR SERVFAIL NXDOMAIN NOTIMP REFUSED others truncated.\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	static struct message messages[BATCH];
	static struct mmsghdr headers[BATCH];
	struct sources sources = { INADDR_ANY, 1, 0 };
	uint64_t rate = 1000, seconds = 3, began, now, sent = 0, failed = 0, others = 0;
	int option, fd, buffer = 4 * 1024 * 1024;
	const struct kind *kind = NULL;
	struct sockaddr_in server;

	while ((option = getopt(argc, argv, "a:q:s:")) != -1) {
		switch (option) {
		case 'a':
			sources = sources_read(optarg);
			break;
		case 'q':
			rate = number(optarg, "-q");
			break;
		case 's':
			seconds = number(optarg, "-s");
			break;
		default:
			usage();
		}
	}
	if (argc - optind < 4)
		usage();
	server = address(argv[optind], argv[optind + 1]);
	arguments = argv + optind + 3;
	argument_count = (size_t)(argc - optind - 3);
	if (strcmp(argv[optind + 2], "file") == 0) {
		read_arguments(arguments[0]);
		kind = &all_kinds[1];
	}
	for (size_t i = 0; i < sizeof all_kinds / sizeof *all_kinds; i++)
		if (strcmp(argv[optind + 2], all_kinds[i].name) == 0)
			kind = &all_kinds[i];
	if (!kind)
		usage();
	fd = asker(&server, argv[optind]);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
	/* Connected it would have one source. */
	server.sin_family = AF_UNSPEC;
	if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0)
		err(1, "connect");
	server.sin_family = AF_INET;

	began = now = now_ns();
	end_on_sigterm();
	while (now < began + seconds * 1000000000u && !told_to_end) {
		uint64_t due = (now - began) * rate / 1000000000u;
		struct pollfd polled = { .fd = fd, .events = POLLIN };
		unsigned count = 0;
		int r;

		for (; count < BATCH && sent + count < due; count++) {
			prepare(&messages[count], &headers[count].msg_hdr, kind,
				sources_nth(&sources, sent + count));
			headers[count].msg_hdr.msg_name = &server;
			headers[count].msg_hdr.msg_namelen = sizeof server;
		}
		r = count ? sendmmsg(fd, headers, count, 0) : 0;
		if (r < 0 && failed++ > 1000)
			err(1, "sendmmsg");
		sent += r > 0 ? (unsigned)r : 0;
		if (count < BATCH)
			poll(&polled, 1, 1);
		receive(fd);
		now = now_ns();
	}
	usleep(200000);
	receive(fd);
	for (int i = 6; i < 16; i++)
		others += came[i];
	printf("%llu", (unsigned long long)sent);
	for (int i = 0; i < 6; i++)
		printf(" %llu", (unsigned long long)came[i]);
	printf(" %llu %llu\n", (unsigned long long)others, (unsigned long long)truncated);
	return 0;
}
